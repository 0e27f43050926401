"""Parameter updates: every parameter in one call, in place, with the optimiser kernels."""

from __future__ import annotations

from typing import Any

from tlean._core.array import AnyTensor, as_tensor
from tlean._core.plan import call_in_place
from tlean._core.table import KERNELS
from tlean.errors import ShapeError
from tlean.session import Param

_SUFFIX = {"float32": "f32", "float64": "f64"}


def apply_update(kernel: str, items: list[tuple[Param, Any, tuple[AnyTensor, ...]]], hyper: list[float]) -> None:
    """Run an update kernel for (parameter, gradient, state) triples: parameter and state are written in place.

    Args:
        kernel: the op's kernel name, such as `_adam_step`; its inputs are parameter, gradient, states, hyper.
        hyper: what the kernel's `hyper` input holds.

    Raises: ShapeError if a gradient has another shape than its parameter; then nothing was updated.
    """
    values = as_tensor(hyper, "float64")
    calls: dict[str, list[Any]] = {}
    for p, g, state in items:
        g = as_tensor(g, p.dtype)
        if g.shape != p.shape:
            raise ShapeError(f"{kernel.strip('_')}: {p.name or 'the parameter'} has shape {p.shape}, its gradient {g.shape}")
        calls.setdefault(p.dtype, []).append(((p._tensor, *state), (p._tensor, g, *state, values), (p._tensor.size,)))
    for dtype, group in calls.items():
        call_in_place(KERNELS[f"{kernel}:{_SUFFIX[dtype]}"], group)
    for p, _, _ in items:
        p._version += 1
