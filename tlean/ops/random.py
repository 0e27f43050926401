"""Random numbers: counter-based, so each depends on the seed and the element's index alone.

`seed` is an input, so that a compiled program takes a new one every step; where it is None the backend gives the next of its stream.
"""

from __future__ import annotations

from typing import Any

from ..dtypes import float_option
from ..errors import OptionError, ShapeError
from ..shapes import Shape, as_shape, size
from .registry import defop, linear_jvp, no_gradient, no_tangent, whole
from .samples import Arr, bad, good

_SALMON = "Salmon, Moraes, Dror, Shaw 2011, Parallel random numbers: as easy as 1, 2, 3, section 3.3"


def _seed(value: int) -> Arr:
    return Arr((), "values", data=value)


def _check_seed(seed: Shape | None) -> None:
    if seed not in (None, ()):
        raise ShapeError("seed must have shape ()")


#: What all random ops are.
_RANDOM: dict[str, Any] = {"optional": ("seed",), "dtypes": {"seed": "int64"}, "random": True, "algebraic": False}


def _uniform_samples() -> list[Any]:
    return [
        good(_seed(0), shape=(7,)),
        good(_seed(-3), shape=(3, 5)),
        good(_seed(1 << 40), shape=()),
        good(_seed(2), shape=(0, 4)),
        bad("ShapeError", _seed(0), shape=(2, -1)),
    ]


@defop("rand_uniform", samples=_uniform_samples, source=_SALMON, differentiable=False, **_RANDOM)
class RandUniform:
    """Uniform random numbers in [0, 1), by Philox4x32-10."""

    def options(seed, *, shape, dtype=None):
        return {"shape": as_shape(shape), "dtype": float_option(dtype)}

    def shape(seed, *, shape, dtype):
        _check_seed(seed)
        return shape

    def kernel_params(seed, *, shape, dtype):
        """Ints: elements."""
        return (size(shape),), ()

    vjp = no_gradient
    jvp = no_tangent


def _loop_samples() -> list[Any]:
    steps = Arr((4,), "values", data=(0, 1, -5, 1 << 33))
    return [
        good(_seed(3), _seed(0), number=0),
        good(_seed(-9), steps, number=7),
        good(steps, _seed(1 << 40), number=(1 << 32) - 1),
        good(steps, steps, number=1),
        good(Arr((0,), "int", 0, 5), _seed(2), number=1),
        bad("OptionError", _seed(0), _seed(0), number=-1),
        bad("OptionError", _seed(0), _seed(0), number=1 << 32),
        bad("ShapeError", steps, Arr((3,), "int", 0, 5), number=0),
    ]


@defop(
    "_loop_seed",
    samples=_loop_samples,
    source=_SALMON,
    dtypes={"seed": "int64", "step": "int64"},
    out_dtype="int64",
    differentiable=False,
    algebraic=False,
)
class LoopSeed:
    """The seed of random op `number` of a loop at a step: the first 64 bits of Philox(seed, counter (number, low step, high step, 2))."""

    def options(seed, step, *, number):
        number = whole("number", number)
        if not 0 <= number < 1 << 32:
            raise OptionError("number must be in [0, 2**32)")
        return {"number": number}

    def shape(seed, step, *, number):
        if seed != step and () not in (seed, step):
            raise ShapeError("seed and step must have one shape, or shape ()")
        return seed or step

    def kernel_params(seed, step, *, number):
        """Ints: elements, from one seed to the next, from one step to the next, number."""
        return (size(seed or step), int(seed != ()), int(step != ()), number), ()

    vjp = no_gradient
    jvp = no_tangent


def _mask_samples() -> list[Any]:
    return [
        good(Arr((), "values", data=0.5), _seed(5), shape=(4, 9), smooth=False),
        good(Arr((), "values", data=0.0), _seed(1), shape=(3,), smooth=False),
        good(Arr((), "values", data=1.0), _seed(1), shape=(3,), smooth=False),
        bad("ShapeError", (2,), _seed(0), shape=(2,)),
    ]


@defop("bernoulli_mask", samples=_mask_samples, source=_SALMON, differentiable=False, **_RANDOM)
class BernoulliMask:
    """1 where the uniform number of the element is below keep_prob, else 0."""

    def options(keep_prob, seed, *, shape):
        return {"shape": as_shape(shape)}

    def shape(keep_prob, seed, *, shape):
        _check_seed(seed)
        if keep_prob != ():
            raise ShapeError("keep_prob must have shape ()")
        return shape

    def kernel_params(keep_prob, seed, *, shape):
        """Ints: elements."""
        return (size(shape),), ()

    vjp = no_gradient
    jvp = no_tangent


def _dropout_samples() -> list[Any]:
    return [
        good((4, 9), _seed(7), p=0.5),
        good((130,), _seed(-1), p=0.1),
        good((3,), _seed(1), p=0.0),
        good((3, 2), _seed(1), p=0.9, train=False),
        good((0, 2), _seed(1), p=0.3),
        bad("OptionError", (3,), _seed(1), p=1.0),
        bad("OptionError", (3,), _seed(1), p=-0.1),
        bad("OptionError", (3,), _seed(1), p=1.5, train=False),
    ]


@defop(
    "dropout",
    samples=_dropout_samples,
    source="Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting",
    **_RANDOM,
)
class Dropout:
    """x·mask/(1 − p) with mask = bernoulli_mask(1 − p, x.shape, seed); x itself with train=False.

    Linear in x, so the gradient is the op itself at g, with the same seed.
    """

    def options(x, seed, *, p, train=True):
        p = float(p)
        if not 0.0 <= p < 1.0:
            raise OptionError(f"p must be in [0, 1), not {p}")
        return {"p": p, "train": True} if train and p > 0.0 else {"p": 0.0, "train": False}

    def shape(x, seed, *, p, train):
        _check_seed(seed)
        return x

    def kernel_params(x, seed, *, p, train):
        """Ints: elements. Floats: p (0: a copy)."""
        return (size(x),), (p,)

    def vjp(ops, g, y, x, seed, *, p, train):
        return ops.dropout(g, seed=seed, p=p, train=train), None

    jvp = linear_jvp("dropout")

    def decompose(ops, x, seed, *, p, train):
        if not train:
            return ops.scale(x, c=1.0)
        mask = ops.bernoulli_mask(ops._full(shape=(), value=1.0 - p), seed=seed, shape=x.shape)
        return ops.mul(x, ops.scale(mask, c=1.0 / (1.0 - p)))
