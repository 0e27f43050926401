"""Parameter updates: every parameter in one call, in place, with the optimiser kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor, as_tensor
from tlean._core.plan import call_in_place
from tlean._core.table import KERNELS
from tlean.errors import OptionError, ShapeError
from tlean.param import Param

_SUFFIX = {"float32": "f32", "float64": "f64"}


def apply_update(kernel: str, items: Sequence[tuple[Param, Any, tuple[AnyTensor, ...], tuple[float, ...]]]) -> None:
    """Run an update kernel for (parameter, gradient, states, hyper) entries: parameters and states are written in place.

    Args:
        kernel: the op of `tlean/ops/optim.py`, such as `_adam_step`; `hyper` is laid out as that op says.

    Raises: ShapeError if a gradient has another shape than its parameter; then nothing was updated.
    """
    calls: dict[str, list[Any]] = {}
    vectors: dict[tuple[float, ...], AnyTensor] = {}
    for p, g, states, hyper in items:
        g = as_tensor(g, p.dtype)
        if g.shape != p.shape:
            raise ShapeError(f"{kernel.strip('_')}: {p.name or 'the parameter'} has shape {p.shape}, its gradient {g.shape}")
        if hyper not in vectors:
            vectors[hyper] = as_tensor(hyper, "float64")
        calls.setdefault(p.dtype, []).append(((p._tensor, *states), (p._tensor, g, *states, vectors[hyper]), (p._tensor.size,)))
    for dtype, group in calls.items():
        call_in_place(KERNELS[f"{kernel}:{_SUFFIX[dtype]}"], group)
    for p, _, _, _ in items:
        p._version += 1


def number(name: str, value: Any, low: float = 0.0, high: float = float("inf")) -> float:
    """A hyper-parameter as a float. Raises: OptionError unless it is in [low, high)."""
    try:
        x = float(value)
    except (TypeError, ValueError):
        raise OptionError(f"{name} is a number, got {value!r}") from None
    if not low <= x < high:
        raise OptionError(f"{name} is in [{low:g}, {high:g}), got {value!r}")
    return x


def sgd_update(grads: Mapping[Param, Any], lr: float) -> None:
    """p ← p − lr·g for every parameter."""
    hyper = (number("lr", lr, -float("inf")), 1.0, 0.0)
    apply_update("_sgd_step", [(p, g, (), hyper) for p, g in grads.items()])


def adam_hyper(lr: float, beta1: float, beta2: float, eps: float, weight_decay: float) -> tuple[float, ...]:
    """The hyper-parameters of `_adam_step` up to the step count, checked. Raises: OptionError."""
    rate, decay = number("lr", lr, -float("inf")), number("weight_decay", weight_decay)
    return (rate, 1.0, decay, number("beta1", beta1, 0.0, 1.0), number("beta2", beta2, 0.0, 1.0), number("eps", eps))


class AdamState:
    """The moments and step counts of Adam, by parameter."""

    __slots__ = ("moments", "steps")

    def __init__(self) -> None:
        self.moments: dict[Param, tuple[AnyTensor, AnyTensor]] = {}
        self.steps: dict[Param, int] = {}

    def advance(self, p: Param, hyper: tuple[float, ...]) -> tuple[tuple[AnyTensor, AnyTensor], tuple[float, ...]]:
        """The moments of a parameter (zeros at first) and `hyper` for its next step, counted from 1; weight decay is decoupled."""
        if p not in self.moments:
            self.moments[p] = (as_tensor(np.zeros(p.shape, p.dtype)), as_tensor(np.zeros(p.shape, p.dtype)))
        self.steps[p] = self.steps.get(p, 0) + 1
        return self.moments[p], (*hyper, float(self.steps[p]), 1.0)

    def __repr__(self) -> str:
        return f"<AdamState of {len(self.moments)} parameters>"


def adam_update(
    grads: Mapping[Param, Any], state: AdamState, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> None:
    """One step of Adam for every parameter; with `weight_decay` ≠ 0, of AdamW (decoupled decay).

    Source: Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2.
    """
    if not isinstance(state, AdamState):
        raise OptionError(f"adam: state is an AdamState, got {type(state).__name__}")
    hyper = adam_hyper(lr, beta1, beta2, eps, weight_decay)
    for p, g in grads.items():
        if tuple(g.shape) != p.shape:
            raise ShapeError(f"adam: {p.name or 'the parameter'} has shape {p.shape}, its gradient {tuple(g.shape)}")
    apply_update("_adam_step", [(p, g, *state.advance(p, hyper)) for p, g in grads.items()])
