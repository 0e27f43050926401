"""Transformations of programs: whole Jacobians, and the gradients of a network for each example of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rows.base import StepRow
from rows.training import NETWORKS

FAMILY = "transformations"


def layers(n: int) -> list[np.ndarray]:
    """Two square matrices and a vector."""
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((n, n)) * n**-0.5).astype(np.float32) for _ in range(2)] + [rng.standard_normal(n).astype(np.float32)]


def _jacobian_ours(which: str, n: int) -> Callable[[], Callable[[], Any]]:
    def build() -> Callable[[], Any]:
        import tlean as tl

        a, b, x = layers(n)
        jacobian = getattr(tl, which)(lambda x: tl.linear(b, None, tl.tanh(tl.linear(a, None, x))))
        return lambda: [jacobian(x)]

    return build


def _jacobian_theirs(which: str, n: int) -> Callable[[], Callable[[], Any]]:
    def build() -> Callable[[], Any]:
        import torch

        a, b, x = map(torch.from_numpy, layers(n))
        linear = torch.nn.functional.linear
        jacobian = getattr(torch.func, which)(lambda x: linear(torch.tanh(linear(x, a)), b))
        return lambda: [jacobian(x)]

    return build


def _examples_ours(name: str, batch: int) -> Callable[[], Callable[[], Any]]:
    def build() -> Callable[[], Any]:
        import tlean as tl

        network = NETWORKS[name]
        values, inputs = network.start(batch)
        weights = tuple(range(len(values)))

        def loss(ops: Any, *args: Any) -> Any:
            # The network takes a batch: here it is one of a single example.
            x, y = args[len(values) :]
            return network.ours(ops, *args[: len(values)], ops.reshape(x, (1, *x.shape)), ops.reshape(y, (1,)))

        gradients = tl.vmap(tl.grad(loss, argnums=weights), in_axes=(*(None for _ in values), *(0 for _ in inputs)))
        return lambda: list(gradients(*values, *inputs))

    return build


def _examples_theirs(name: str, batch: int) -> Callable[[], Callable[[], Any]]:
    def build() -> Callable[[], Any]:
        import torch

        network = NETWORKS[name]
        values, inputs = ([torch.from_numpy(a) for a in arrays] for arrays in network.start(batch))
        weights = tuple(range(len(values)))

        def loss(*args: Any) -> Any:
            return network.theirs(torch, *args[: len(values)], *(x[None] for x in args[len(values) :]))

        gradients = torch.func.vmap(torch.func.grad(loss, argnums=weights), in_dims=(*(None for _ in values), *(0 for _ in inputs)))
        return lambda: list(gradients(*values, *inputs))

    return build


def transform_rows() -> list[StepRow]:
    """The Jacobian of two layers of 1,000, in reverse and forward; the gradients of each of 128 digits."""
    rows = [
        StepRow(f"{which}_mlp_1000", FAMILY, _jacobian_ours(which, 1000), _jacobian_theirs(which, 1000)) for which in ("jacrev", "jacfwd")
    ]
    return rows + [
        StepRow(f"per_example_gradients_{name}_N128", FAMILY, _examples_ours(name, 128), _examples_theirs(name, 128))
        for name in ("mlp", "cnn")
    ]
