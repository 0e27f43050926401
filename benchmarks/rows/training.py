"""Whole training steps: forward, backward and the update of small networks, from the same initial values on the same batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rows.base import BOTH, Row, StepRow, Work
from rows.work import work_of

LR = 1e-2
CLASSES = 10

MLP = ((256, 784), (256,), (CLASSES, 256), (CLASSES,))
BLOCK_LENGTH, BLOCK_WIDTH, BLOCK_HEADS = 128, 256, 4
BLOCK = (
    *((3 * BLOCK_WIDTH, BLOCK_WIDTH), (3 * BLOCK_WIDTH,), (BLOCK_WIDTH, BLOCK_WIDTH), (BLOCK_WIDTH,)),
    *((BLOCK_WIDTH,),) * 4,
    *((4 * BLOCK_WIDTH, BLOCK_WIDTH), (4 * BLOCK_WIDTH,), (BLOCK_WIDTH, 4 * BLOCK_WIDTH), (BLOCK_WIDTH,)),
)
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


def block_ours(ops: Any, w1: Any, b1: Any, w2: Any, b2: Any, *rest: Any) -> Any:
    # (N, n, D) -> (N·n, 3, H, h) and (3, N, H, n, h): one projection for queries, keys and values
    g1, c1, g2, c2, u1, v1, u2, v2, x, y = rest
    batch, n, width = x.shape
    features = width // BLOCK_HEADS
    z = ops.reshape(ops.linear(w1, b1, ops.layer_norm(x, g1, c1)), (batch, n, 3, BLOCK_HEADS, features))
    joined = ops.permute(z, (2, 0, 3, 1, 4))
    q, k, v = (ops.reshape(ops.slice_range0(joined, i, 1), (batch, BLOCK_HEADS, n, features)) for i in range(3))
    a = ops.reshape(ops.permute(ops.scaled_dot_product_attention(q, k, v), (0, 2, 1, 3)), x.shape)
    h = ops.add(x, ops.linear(w2, b2, a))
    z = ops.gelu(ops.linear(u1, v1, ops.layer_norm(h, g2, c2)), approximate="none")
    return ops.mse_loss(ops.add(h, ops.linear(u2, v2, z)), y)


def block_theirs(t: Any, w1: Any, b1: Any, w2: Any, b2: Any, *rest: Any) -> Any:
    g1, c1, g2, c2, u1, v1, u2, v2, x, y = rest
    f, (batch, n, width) = t.nn.functional, x.shape
    z = f.linear(f.layer_norm(x, (width,), g1, c1), w1, b1)
    q, k, v = z.view(batch, n, 3, BLOCK_HEADS, -1).permute(2, 0, 3, 1, 4).unbind(0)
    h = x + f.linear(f.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape), w2, b2)
    return f.mse_loss(h + f.linear(f.gelu(f.linear(f.layer_norm(h, (width,), g2, c2), u1, v1)), u2, v2), y)


@dataclass(frozen=True)
class Network:
    """Parameters' shapes, the batches measured, `data(rng, batch)` that draws the inputs, and the loss in both libraries."""

    shapes: tuple[tuple[int, ...], ...]
    batches: tuple[int, ...]
    data: Callable[[np.random.Generator, int], list[np.ndarray]]
    ours: Callable[..., Any]
    theirs: Callable[..., Any]

    def start(self, batch: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Initial values of the parameters, and a batch of inputs."""
        rng = np.random.default_rng(0)
        values = []
        for shape in self.shapes:
            fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 0
            values.append((rng.standard_normal(shape) * (2 / fan_in) ** 0.5 if fan_in else np.zeros(shape)).astype(np.float32))
        return values, self.data(rng, batch)


def _digits(rng: np.random.Generator, batch: int) -> list[np.ndarray]:
    return [rng.random((batch, 1, 28, 28), dtype=np.float32), rng.integers(0, CLASSES, batch)]


def _tokens(rng: np.random.Generator, batch: int) -> list[np.ndarray]:
    return [rng.standard_normal((batch, BLOCK_LENGTH, BLOCK_WIDTH), dtype=np.float32) for _ in range(2)]


NETWORKS = {
    "mlp": Network(MLP, (1, 32, 128), _digits, mlp_ours, mlp_theirs),
    "cnn": Network(CNN, (1, 32, 128), _digits, cnn_ours, cnn_theirs),
    "transformer_block": Network(BLOCK, (1, 8), _tokens, block_ours, block_theirs),
}


def _ours(network: Network, batch: int, optimizer: str) -> Callable[[], Callable[[], float]]:
    def build() -> Callable[[], float]:
        import tlean as tl

        values, inputs = network.start(batch)
        specs = [tl.Spec(a.shape, "int64") if a.dtype.kind == "i" else a.shape for a in inputs]
        trainer = tl.ScalarTrainer(tl.Options(), values, specs, network.ours)
        if optimizer == "sgd":
            return lambda: trainer.step(LR, *inputs).item()
        return lambda: trainer.adam_step(LR, 0.9, 0.999, 1e-8, *inputs).item()

    return build


def _theirs(network: Network, batch: int, optimizer: str) -> Callable[[], Callable[[], float]]:
    def build() -> Callable[[], float]:
        import torch

        values, inputs = network.start(batch)
        params = [torch.from_numpy(v).requires_grad_() for v in values]
        tensors = [torch.from_numpy(a) for a in inputs]
        # The fused optimisers are PyTorch's fastest on a CPU.
        kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
        update = kind(params, lr=LR, fused=True)

        def step() -> float:
            update.zero_grad(set_to_none=True)
            value = network.theirs(torch, *params, *tensors)
            value.backward()
            update.step()
            return value.item()

        return step

    return build


def _work(network: Network, batch: int, optimizer: str) -> Callable[[], Work]:
    """The gradient's operations and the update's; inputs, parameters and the optimiser's state are read, parameters and state written."""

    def work() -> Work:
        values, inputs = network.start(batch)
        count = sum(v.size for v in values)
        frozen = tuple(range(len(values), len(values) + len(inputs)))
        row = Row("", "", lambda rng: [*values, *inputs], network.ours, network.theirs, frozen=frozen)
        state = {"sgd": 0, "adam": 2}[optimizer]
        gradient = work_of(row)[BOTH]
        return Work(gradient.flops + 2 * (1 + 4 * state) * count, gradient.reads + 4.0 * state * count, 4.0 * (1 + state) * count)

    return work


def step_rows() -> list[StepRow]:
    """Every network with SGD and with Adam: from a batch to updated parameters and the loss as a number."""
    return [
        StepRow(
            f"{name}_step_{optimizer}_N{n}",
            "training step",
            _ours(network, n, optimizer),
            _theirs(network, n, optimizer),
            work=_work(network, n, optimizer),
        )
        for name, network in NETWORKS.items()
        for optimizer in ("sgd", "adam")
        for n in network.batches
    ]
