"""Whole training steps: forward, backward and the update of two small networks, from the same initial values on the same batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rows import StepRow

LR = 1e-2
CLASSES = 10

MLP = ((256, 784), (256,), (CLASSES, 256), (CLASSES,))
CNN = ((16, 1, 3, 3), (16,), (32, 16, 3, 3), (32,), (128, 1568), (128,), (CLASSES, 128), (CLASSES,))


def mlp_ours(ops: Any, w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any) -> Any:
    h = ops.relu(ops.linear(w1, b1, ops.reshape(x, (x.shape[0], -1))))
    return ops.cross_entropy(ops.linear(w2, b2, h), y)


def mlp_theirs(t: Any, w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any) -> Any:
    f = t.nn.functional
    return f.cross_entropy(f.linear(t.relu(f.linear(x.flatten(1), w1, b1)), w2, b2), y)


def cnn_ours(ops: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, w4: Any, b4: Any, x: Any, y: Any) -> Any:
    h = ops.max_pool2d(ops.relu(ops.conv2d(w1, b1, x, padding=1)), 2)
    h = ops.max_pool2d(ops.relu(ops.conv2d(w2, b2, h, padding=1)), 2)
    h = ops.relu(ops.linear(w3, b3, ops.reshape(h, (x.shape[0], -1))))
    return ops.cross_entropy(ops.linear(w4, b4, h), y)


def cnn_theirs(t: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, w4: Any, b4: Any, x: Any, y: Any) -> Any:
    f = t.nn.functional
    h = f.max_pool2d(t.relu(f.conv2d(x, w1, b1, padding=1)), 2)
    h = f.max_pool2d(t.relu(f.conv2d(h, w2, b2, padding=1)), 2)
    return f.cross_entropy(f.linear(t.relu(f.linear(h.flatten(1), w3, b3)), w4, b4), y)


def _start(shapes: tuple[tuple[int, ...], ...], batch: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    values = []
    for shape in shapes:
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 0
        values.append((rng.standard_normal(shape) * (2 / fan_in) ** 0.5 if fan_in else np.zeros(shape)).astype(np.float32))
    return values, rng.random((batch, 1, 28, 28), dtype=np.float32), rng.integers(0, CLASSES, batch)


def _ours(shapes: Any, batch: int, loss: Callable[..., Any], optimizer: str) -> Callable[[], Callable[[], float]]:
    def build() -> Callable[[], float]:
        import tlean as tl

        values, x, y = _start(shapes, batch)
        trainer = tl.ScalarTrainer(tl.Options(), values, [x.shape, tl.Spec(y.shape, "int64")], loss)
        if optimizer == "sgd":
            return lambda: trainer.step(LR, x, y).item()
        return lambda: trainer.adam_step(LR, 0.9, 0.999, 1e-8, x, y).item()

    return build


def _theirs(shapes: Any, batch: int, loss: Callable[..., Any], optimizer: str) -> Callable[[], Callable[[], float]]:
    def build() -> Callable[[], float]:
        import torch

        values, x, y = _start(shapes, batch)
        params = [torch.from_numpy(v).requires_grad_() for v in values]
        inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
        # The fused optimisers are PyTorch's fastest on a CPU.
        kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
        update = kind(params, lr=LR, fused=True)

        def step() -> float:
            update.zero_grad(set_to_none=True)
            value = loss(torch, *params, inputs, labels)
            value.backward()
            update.step()
            return value.item()

        return step

    return build


def step_rows() -> list[StepRow]:
    """MLP 784-256-10 and the convolutional network of the examples, at batch 1, 32 and 128."""
    networks = {"mlp": (MLP, mlp_ours, mlp_theirs), "cnn": (CNN, cnn_ours, cnn_theirs)}
    return [
        StepRow(f"{name}_step_{optimizer}_N{n}", "training step", _ours(shapes, n, ours, optimizer), _theirs(shapes, n, theirs, optimizer))
        for name, (shapes, ours, theirs) in networks.items()
        for optimizer in ("sgd", "adam")
        for n in (1, 32, 128)
    ]
