"""Updates of parameters: a step of an optimiser, by the formulas of the kernels, with what `hyper` says computed in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .rules import Call, rule
from .special.reals import Real, where
from .writer import Writer


class _Hyper:
    # The numbers of a step, in float64; `self(x)` is one as an operand of the arrays.
    def __init__(self, w: Writer, name: str, dtype: str) -> None:
        self.w, self.name, self.dtype = w, name, dtype

    def __getitem__(self, k: int) -> Real:
        return Real(self.w, self.w.op("Gather", self.name, self.w.array(k, "int64"), axis=0))

    def __call__(self, x: Any) -> Real:
        return (self[x] if isinstance(x, int) else x).cast(self.dtype)

    def gradient(self, p: Real, g: Real, decay: Real | None = None) -> Real:
        """factor·g + weight_decay·p."""
        return self(1) * g + self(2 if decay is None else decay) * p


def _update(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    # (numbers, parameter, gradient, states…) -> the new parameter and states.
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        def write(w: Writer, c: Call) -> Any:
            *values, hyper = c.x
            made = function(_Hyper(w, hyper, c.out.dtype), *(Real(w, x, c.out.dtype) for x in values))
            return [y.name for y in made]

        rule(name)(write)
        return function

    return register


@_update("_sgd_step")
def _sgd(h: _Hyper, p: Real, g: Real) -> Any:
    # Without a decay, rather than with one of 0 times an infinite parameter.
    g = h(1) * g
    return [p - h(0) * where(h(2) == 0.0, g, g + h(2) * p)]


@_update("_momentum_step")
def _momentum(h: _Hyper, p: Real, g: Real, u: Real) -> Any:
    g = h.gradient(p, g)
    u = h(3) * u + h(where(h[6] <= 1.0, 1.0, 1.0 - h[4])) * g
    return [p - h(0) * where(h[5] == 0.0, u, g + h(3) * u), u]


def _means(h: _Hyper, p: Real, g: Real, m: Real, v: Real) -> tuple[Real, Real]:
    g = h.gradient(p, g, where(h[7] == 0.0, h[2], 0.0))
    return m + h(1.0 - h[3]) * (g - m), h(4) * v + h(1.0 - h[4]) * g * g


def _moved(h: _Hyper, p: Real, m: Real, v: Real) -> Real:
    left = h(where(h[7] == 0.0, 1.0, 1.0 - h[0] * h[2]))
    rate = h(h[0] / (1.0 - h[3].power(h[6])))
    return left * p - rate * m / (v.sqrt() / h((1.0 - h[4].power(h[6])).sqrt()) + h(5))


@_update("_adam_step")
def _adam(h: _Hyper, p: Real, g: Real, m: Real, v: Real) -> Any:
    m, v = _means(h, p, g, m, v)
    return [_moved(h, p, m, v), m, v]


@_update("_amsgrad_step")
def _amsgrad(h: _Hyper, p: Real, g: Real, m: Real, v: Real, most: Real) -> Any:
    m, v = _means(h, p, g, m, v)
    most = where(v > most, v, most)
    return [_moved(h, p, m, most), m, v, most]


def _mean(h: _Hyper, rate: int, old: Real, new: Real) -> Real:
    # The running mean of squares.
    return h(rate) * old + h(1.0 - h[rate]) * new * new


@_update("_rmsprop_step")
def _rmsprop(h: _Hyper, p: Real, g: Real, v: Real) -> Any:
    g = h.gradient(p, g)
    v = _mean(h, 3, v, g)
    return [p - h(0) * g / (v.sqrt() + h(4)), v]


@_update("_rmsprop_momentum_step")
def _rmsprop_momentum(h: _Hyper, p: Real, g: Real, v: Real, u: Real) -> Any:
    g = h.gradient(p, g)
    v = _mean(h, 3, v, g)
    u = h(5) * u + g / (v.sqrt() + h(4))
    return [p - h(0) * u, v, u]


def _spread(h: _Hyper, g: Real, v: Real, mean: Real) -> tuple[Real, Real, Real]:
    v, mean = _mean(h, 3, v, g), mean + h(1.0 - h[3]) * (g - mean)
    return v, mean, (v - mean * mean).sqrt() + h(4)


@_update("_rmsprop_centred_step")
def _centred(h: _Hyper, p: Real, g: Real, v: Real, mean: Real) -> Any:
    g = h.gradient(p, g)
    v, mean, spread = _spread(h, g, v, mean)
    return [p - h(0) * g / spread, v, mean]


@_update("_rmsprop_centred_momentum_step")
def _centred_momentum(h: _Hyper, p: Real, g: Real, v: Real, mean: Real, u: Real) -> Any:
    g = h.gradient(p, g)
    v, mean, spread = _spread(h, g, v, mean)
    u = h(5) * u + g / spread
    return [p - h(0) * u, v, mean, u]


@_update("_adagrad_step")
def _adagrad(h: _Hyper, p: Real, g: Real, total: Real) -> Any:
    g = h.gradient(p, g)
    total = total + g * g
    return [p - h(h[0] / ((h[5] - 1.0) * h[3] + 1.0)) * g / (total.sqrt() + h(4)), total]


@_update("_adadelta_step")
def _adadelta(h: _Hyper, p: Real, g: Real, v: Real, d: Real) -> Any:
    g = h.gradient(p, g)
    v = _mean(h, 3, v, g)
    s = (d + h(4)).sqrt() / (v + h(4)).sqrt() * g
    return [p - h(0) * s, v, _mean(h, 3, d, s)]
