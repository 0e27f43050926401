"""Order, moments, random numbers, and the vector math of float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from rows.base import FORWARD, Row
from rows.bounded.shapes import eager
from rows.libraries import Bound, CompiledRow, Timed
from rows.ops import random_ops
from rows.statistics import moments_and_order

_FAMILY = "operations"
_MOMENTS, _VECTORS = 0.6, 0.9


def _million(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.standard_normal(1 << 20)]


def _sorted(arrays: list[np.ndarray]) -> Timed:
    import tlean as tl

    x = tl.AnyTensor(arrays[0])
    both = tl.jit(lambda x: (tl.sort(x), tl.argsort(x)))
    return lambda: both(x)[0]


def _sorted_torch(arrays: list[np.ndarray]) -> Timed:
    import torch

    x = torch.from_numpy(arrays[0])
    return lambda: torch.sort(x, stable=True)[0]


def _order() -> list[CompiledRow]:
    named = {row.name: row for row in moments_and_order()}

    def numbers(rng: np.random.Generator) -> list[np.ndarray]:
        return [rng.standard_normal(1 << 20).astype(np.float32)]

    found = [
        eager(named["sort_values_1M"], FORWARD, (Bound(1.5, "numpy"),), _FAMILY, numpy=np.sort),
        CompiledRow("sort_with_indices_1M", "call", numbers, 0, _sorted, _sorted_torch, None, _FAMILY, (Bound(0.2, "torch"),)),
        eager(named["argsort_1M"], FORWARD, (Bound(0.2, "torch"),), _FAMILY),
        eager(named["topk_100_of_1M"], FORWARD, (Bound(0.5, "torch"),), _FAMILY),
    ]
    for row in named.values():
        if isinstance(row, Row) and row.name.split("_")[0] in ("var", "std", "norm", "prod", "logsumexp"):
            found += [eager(row, mode, (Bound(_MOMENTS, "torch"),), _FAMILY) for mode in row.modes]
    normal = next(row for row in random_ops() if row.name == "random_normal_1M")
    # PyTorch writes into an array that is there already, as tlean does with what its arena kept.
    return [*found, eager(normal, FORWARD, (Bound(0.5, "torch"),), _FAMILY, torch=_randn)]


def _randn(_: Any) -> Timed:
    import torch

    result = torch.empty(1 << 20)
    return lambda: torch.randn(1 << 20, out=result)


def _jax_function(name: str) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        import jax
        import jax.numpy as jnp

        module = {"sigmoid": jax.nn, "softmax": jax.nn, "erf": jax.scipy.special, "logsumexp": jax.scipy.special}.get(name, jnp)
        return getattr(module, name)(x, axis=-1) if name in ("softmax", "logsumexp") else getattr(module, name)(x)

    return function


def _torch_function(name: str) -> Callable[[Any, Any], Any]:
    if name in ("softmax", "logsumexp"):
        return lambda t, x: getattr(t, name)(x, -1)
    return lambda t, x: getattr(t, name)(x)


def _vectors() -> list[CompiledRow]:
    def positive(rng: np.random.Generator) -> list[np.ndarray]:
        return [rng.uniform(0.1, 10, 1 << 20)]

    def square(rng: np.random.Generator) -> list[np.ndarray]:
        return [rng.standard_normal((512, 512))]

    found = []
    for name in ("exp", "log", "tanh", "sigmoid", "erf", "softmax", "logsumexp"):
        rows = name in ("softmax", "logsumexp")
        arrays = square if rows else positive if name == "log" else _million
        size = "512x512" if rows else "1M"
        row = CompiledRow(
            f"{name}_{size}_float64",
            "forward",
            arrays,
            0,
            lambda ops, x, name=name: getattr(ops, name)(x),
            _torch_function(name),
            _jax_function(name),
            _FAMILY,
            (Bound(_VECTORS),),
        )
        found.append(row)
        if not rows:
            # Summed: nothing but the arithmetic.
            ours, torch, jax = row.ours, row.torch, row.jax
            found.append(
                replace(
                    row,
                    name=f"{name}_sum_1M_float64",
                    ours=lambda ops, x, f=ours: ops.sum(f(ops, x)),
                    torch=lambda t, x, f=torch: f(t, x).sum(),
                    jax=lambda x, f=jax: f(x).sum(),
                )
            )
    return found


def operation_rows() -> list[CompiledRow]:
    """Sorting, the largest, moments over each axis, normal numbers; functions of a million numbers in float64."""
    return [*_order(), *_vectors()]
