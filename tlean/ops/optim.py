"""Optimiser steps: one op an optimiser, state in, state out, by PyTorch's formulas and order of operations.

Inputs: the parameter p, its gradient g, the states, then `hyper`, a vector that is float64 in programs of either dtype, so that rates and
step counts change from step to step without a new plan. It begins with lr, factor, weight_decay: the gradient that a step uses is
factor·g + weight_decay·p (factor is 1; −1 maximises; a clipping coefficient clips without a separate pass). Steps count from 1.
Outputs: the new parameter and states; each may be written over the old one. The ops have no derivative and, since `hyper` keeps its dtype
when a program's changes, no samples: their tests compare them with the formulas directly.
"""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ..shapes import Shape, size
from .registry import Spec, defop, no_gradient, no_tangent
from .unregistered import plain_op


def _shapes(hyper: Shape, length: int, p: Shape, *others: Shape) -> list[Shape]:
    # One shape for the parameter and one for each state; `others` are the gradient and the states.
    if any(s != p for s in others):
        raise ShapeError("the gradient and the states must have the parameter's shape")
    if hyper != (length,):
        raise ShapeError(f"hyper must have {length} entries")
    return [p] * len(others)


def _step(name: str, *states: str, source: str = "") -> Any:
    return defop(
        name,
        dtypes={"hyper": "float64"},
        outputs=("p1", *(f"{s}1" for s in states)),
        source=source,
        algebraic=False,
        differentiable=False,
        updates=True,
    )


class _Rules:
    def kernel_params(p, *rest):
        """Ints: elements."""
        return (size(p),), ()

    vjp = no_gradient
    jvp = no_tangent


@_step("_sgd_step")
class SgdStep(_Rules):
    """p − lr·g′, g′ = factor·g + weight_decay·p. hyper: lr, factor, weight_decay."""

    def shape(p, g, hyper):
        return _shapes(hyper, 3, p, g)[0]


@_step("_momentum_step", "velocity", source="Sutskever et al. 2013, On the importance of initialization and momentum in deep learning")
class MomentumStep(_Rules):
    """u = momentum·u + (1 − dampening)·g′ (the first step: u = g′); p − lr·u, or p − lr·(g′ + momentum·u) with nesterov.

    hyper: lr, factor, weight_decay, momentum, dampening, nesterov (0 or 1), step.
    """

    def shape(p, g, velocity, hyper):
        return _shapes(hyper, 7, p, g, velocity)


@_step("_adam_step", "m", "v", source="Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2")
class AdamStep(_Rules):
    """m ← β₁, v ← β₂ running means of g′ and g′²; p − lr/(1−β₁ᵗ)·m / (√v/√(1−β₂ᵗ) + eps).

    With decoupled (AdamW), weight decay leaves g alone and shrinks p by the factor 1 − lr·weight_decay first.
    hyper: lr, factor, weight_decay, beta1, beta2, eps, step t, decoupled (0 or 1).
    """

    def shape(p, g, m, v, hyper):
        return _shapes(hyper, 8, p, g, m, v)


@_step("_amsgrad_step", "m", "v", "vmax", source="Reddi, Kale, Kumar 2018, algorithm 2")
class AmsgradStep(_Rules):
    """As `_adam_step`, with the largest v so far in the place of v. hyper: as there."""

    def shape(p, g, m, v, vmax, hyper):
        return _shapes(hyper, 8, p, g, m, v, vmax)


_TIELEMAN = "Tieleman & Hinton 2012, lecture 6.5"


@_step("_rmsprop_step", "v", source=_TIELEMAN)
class RmspropStep(_Rules):
    """v ← alpha running mean of g′²; p − lr·g′/(√v + eps).

    hyper: lr, factor, weight_decay, alpha, eps, momentum (read by the variants with a velocity).
    """

    def shape(p, g, v, hyper):
        return _shapes(hyper, 6, p, g, v)


@_step("_rmsprop_momentum_step", "v", "velocity", source=_TIELEMAN)
class RmspropMomentumStep(_Rules):
    """u = momentum·u + g′/(√v + eps); p − lr·u. hyper: as `_rmsprop_step`."""

    def shape(p, g, v, velocity, hyper):
        return _shapes(hyper, 6, p, g, v, velocity)


@_step("_rmsprop_centred_step", "v", "mean", source="Graves 2013, Generating sequences with recurrent neural networks, equations 38 to 45")
class RmspropCentredStep(_Rules):
    """As `_rmsprop_step` with v − mean² under the root, `mean` the running mean of g′."""

    def shape(p, g, v, mean, hyper):
        return _shapes(hyper, 6, p, g, v, mean)


@_step("_rmsprop_centred_momentum_step", "v", "mean", "velocity", source="Graves 2013, equations 38 to 45")
class RmspropCentredMomentumStep(_Rules):
    """Both at once."""

    def shape(p, g, v, mean, velocity, hyper):
        return _shapes(hyper, 6, p, g, v, mean, velocity)


@_step("_adagrad_step", "total", source="Duchi, Hazan, Singer 2011, figure 1")
class AdagradStep(_Rules):
    """total += g′²; p − lr/(1 + (t − 1)·lr_decay)·g′/(√total + eps). hyper: lr, factor, weight_decay, lr_decay, eps, step t."""

    def shape(p, g, total, hyper):
        return _shapes(hyper, 6, p, g, total)


@_step("_adadelta_step", "v", "d", source="Zeiler 2012, algorithm 1")
class AdadeltaStep(_Rules):
    """v ← rho running mean of g′²; s = √(d + eps)/√(v + eps)·g′; d ← rho running mean of s²; p − lr·s.

    hyper: lr, factor, weight_decay, rho, eps.
    """

    def shape(p, g, v, d, hyper):
        return _shapes(hyper, 5, p, g, v, d)


def _finite_shape(hyper: Shape, *values: Shape) -> Spec:
    return Spec(hyper, "float64")


def _finite_params(hyper: Shape, *values: Shape) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Ints: entries of hyper, values, the elements of each."""
    return (hyper[0], len(values), *map(size, values)), ()


FINITE = plain_op(
    "_finite",
    "The `hyper` of a step, where every number of the values (the loss, then norms or gradients) is finite; else the run fails with a"
    " NumericsError, before anything was updated.",
    _finite_shape,
    _finite_params,
    {"xs[0]": "float64"},
)
