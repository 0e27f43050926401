"""Ordinary differential equations: `odeint`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

import tlean.functions as F

from .. import tree
from ..arguments import choice, is_reference, truth, whole
from ..autodiff import jacfwd
from ..errors import OptionError, ShapeError
from ..loops import fori_loop, scan, while_loop
from ..stats.values import floats
from .adjoint import by_adjoint
from .implicit import root_at
from .steppers import ADAPTIVE, Field, Method, factored, rk4
from .vectors import Unknowns, dot, flat, largest, solved

FIXED = ("rk4", "implicit_euler")
METHODS = (*ADAPTIVE, *FIXED)


def odeint(
    f: Callable[..., Any],
    y0: Any,
    ts: Any,
    *args: Any,
    method: Literal["dopri5", "rodas4", "rk4", "implicit_euler"] = "dopri5",
    rtol: float | None = None,
    atol: float | None = None,
    steps: int = 1,
    max_steps: int | None = None,
    adjoint: bool = False,
) -> Any:
    """The solution of dy/dt = f(t, y, *args) with y(ts[0]) = y0, at each of the times: one compiled program.

    Its derivative by y0, ts, args, and what f captures is that of the steps that were taken; their lengths count as constants. In reverse
    mode the steps between two times are taken again, and kept while the sweep goes back over them.

    Args:
        f: `f(t, y, *args)` returns dy/dt, a tree like y.
        y0: the first state, a tree.
        ts: `(n,)`, times that go up, or that go down.
        args: trees of further arguments.
        method: "dopri5", steps of order 5 whose lengths follow the error; "rodas4", the same of order 4 for stiff systems, where each step
            solves with the Jacobian; "rk4" and "implicit_euler", steps of a fixed length, the latter for stiff systems.
        rtol, atol: the error that a step may have: `atol + rtol * |y|`; None is 1e-7 and 1e-9, in float32 1e-4 and 1e-6.
        steps: so many steps of a fixed length between two times.
        max_steps: the most steps of changing length between two times; with it there are derivatives of any order, and a reverse sweep
            takes the memory of so many steps. None: as many as it takes, and first derivatives in reverse mode.
        adjoint: whether the reverse sweep solves the adjoint equation back in time instead: the derivative of the equation, as exact as the
            tolerances, in memory that does not grow with the steps. First derivatives in reverse mode alone; f captures no reference.

    Returns: the states, a tree like y0 with the times as a new first axis; NaN from the first time that could not be reached.
    Raises: OptionError for an option that is none of these; ShapeError unless ts is a vector, and f returns what y looks like.

    Example:
        >>> tl.solvers.odeint(lambda t, y: -y, 1.0, np.array([0.0, 1.0])).tolist()
        [1.0, 0.367879]
    """
    choice("odeint", "method", method, tuple(METHODS))
    whole("odeint: steps", steps, 1)
    adjoint = truth("odeint: adjoint", adjoint)
    if max_steps is not None:
        whole("odeint: max_steps", max_steps, 1)
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not (isinstance(value, int | float) and value > 0):
            raise OptionError(f"odeint: {name} must be a positive number, got {value!r}")

    def record(program: Any, y0: Any, ts: Any, args: tuple[Any, ...]) -> Any:
        unknowns = Unknowns("odeint", program, y0, (ts, args))
        _, ts = floats(unknowns.vector, ts)
        if len(ts.shape) != 1 or ts.shape[0] < 1:
            raise ShapeError(f"odeint: ts must be a vector of times, got shape {tuple(ts.shape)}")
        direction = F.where(F.less(ts[-1], ts[0]), -1.0, 1.0) if ts.shape[0] > 1 else F.ones_like(ts[0])
        direction = F.stop_gradient(F.astype(direction, unknowns.dtype))

        def fields(given: Any) -> Field:
            args, direction = given

            def field(t: Any, y: Any) -> Any:
                made = flat(tree.flatten(f(direction * t, unknowns.tree(y), *args))[0])
                if tuple(made.shape) != tuple(y.shape):
                    raise ShapeError(f"odeint: f must return what y looks like, got {made.shape[0]} numbers for {y.shape[0]}")
                return direction * made

            return field

        def march(field: Field, y: Any, times: Any) -> Any:
            if method not in ADAPTIVE:
                return _fixed(method, field, y, times, steps)
            errors = (rtol or (1e-7 if unknowns.dtype == "float64" else 1e-4), atol or (1e-9 if unknowns.dtype == "float64" else 1e-6))
            return _adaptive(ADAPTIVE[method], field, y, times, errors, max_steps)

        times, given = direction * ts, (args, direction)
        y = unknowns.vector
        return _unstacked(unknowns, by_adjoint(fields, march, y, times, given) if adjoint else march(fields(given), y, times))

    ts = ts if is_reference(ts) or hasattr(ts, "dtype") else np.asarray(ts)
    return solved("odeint", (f,), record, y0, ts, args)


def _unstacked(unknowns: Unknowns, ys: Any) -> Any:
    n = int(ys.shape[0])
    leaves, start = [], 0
    for shape in unknowns.shapes:
        size = int(np.prod(shape, dtype=int))
        leaves.append(F.reshape(ys[:, start : start + size], (n, *shape)))
        start += size
    return tree.unflatten(unknowns.structure, leaves)


def _with_first(y: Any, others: Any) -> Any:
    return F.concat([F.expand_dims(y, 0), others])


def _fixed(method: str, field: Field, y: Any, times: Any, steps: int) -> Any:
    advance = rk4 if method == "rk4" else _implicit_euler
    if times.shape[0] == 1:
        return F.expand_dims(y, 0)

    def interval(y: Any, ends: Any) -> Any:
        t, end = ends
        h = (end - t) / steps
        if steps == 1:
            y = advance(field, t, y, h)
        else:
            t, y = fori_loop(0, steps, lambda _, both: (both[0] + h, advance(field, both[0], both[1], h)), (t, y))
        return y, y

    return _with_first(y, scan(interval, y, (times[:-1], times[1:]))[1])


def _implicit_euler(field: Field, t: Any, y: Any, h: Any) -> Any:
    # z = y + h·f(t + h, z), by Newton's method from y on.
    eps = float(np.finfo(str(y.dtype)).eps)

    def residual(z: Any) -> Any:
        return z - y - h * field(t + h, z)

    def go_on(carry: Any) -> Any:
        z, d, k = carry
        return F.logical_and(F.greater(largest(d), 100.0 * eps * largest(z)), F.less(k, 20))

    def step(carry: Any) -> Any:
        z, _, k = carry
        d = -factored(jacfwd(residual)(z))(residual(z))
        return z + d, d, k + 1

    def solve(_: Any, y: Any) -> Any:
        first = -factored(jacfwd(residual)(y))(residual(y))
        z, _, steps = while_loop(go_on, step, (y + first, first, 1))
        return z, steps

    return root_at(residual, y, solve)[0]


def _first_step(field: Field, t: Any, y: Any, slope: Any, size: Callable[[Any, Any], Any], order: int) -> Any:
    # Hairer, Nørsett and Wanner, II.4: a step at which an explicit Euler step is about right.
    d0, d1 = size(y, y), size(slope, y)
    h = F.where(F.logical_or(F.less(d0, 1e-5), F.less(d1, 1e-5)), 1e-6, 0.01 * d0 / F.maximum(d1, 1e-30))
    d2 = size(field(t + h, y + h * slope) - slope, y) / h
    larger = F.maximum(d1, d2)
    usual = F.where(F.less_equal(larger, 1e-15), F.maximum(1e-6, 1e-3 * h), (0.01 / F.maximum(larger, 1e-30)) ** (1.0 / order))
    return F.stop_gradient(F.minimum(100.0 * h, usual))


def _adaptive(method: Method, field: Field, y: Any, times: Any, errors: tuple[float, float], most: int | None) -> Any:
    rtol, atol = errors
    eps = float(np.finfo(str(y.dtype)).eps)

    def size(error: Any, scale: Any) -> Any:
        share = error / (atol + rtol * F.abs(scale))
        return F.sqrt(dot(share, share) / int(y.shape[0]))

    def moving(h: Any, t: Any) -> Any:
        return F.greater(h, 4.0 * eps * F.abs(t))

    def step(carry: Any) -> Any:
        t, y, slope, h = carry[:4]
        made = method.step(field, t, y, slope, h)
        error = F.stop_gradient(size(made.error, F.maximum(F.abs(y), F.abs(made.y))))
        # A NaN compares as false: it is no good step.
        good = F.less_equal(error, 1.0)
        factor = F.clamp(0.9 * F.maximum(error, 1e-10) ** (-1.0 / method.order), 0.2, method.growth)
        # After a step that failed the next one does not grow.
        factor = F.where(good, factor, F.where(F.isfinite(error), F.minimum(factor, 1.0), 0.2))
        following = F.stop_gradient(h * factor)
        after = (t + h, made.y, made.slope, following, h, y, *made.curve)
        kept = (t, y, slope, following, *carry[4:])
        return tuple(F.where(good, a, k) if k is not a else a for a, k in zip(after, kept, strict=True))

    def interval(carry: Any, end: Any) -> Any:
        carry = while_loop(lambda c: F.logical_and(F.less(c[0], end), moving(c[3], c[0])), step, carry, max_steps=most)
        t, y, slope, _, h, before, *curve = carry
        # The step that went past the time may have begun before an earlier one.
        share = 1.0 - (t - end) / h
        return carry, F.where(F.greater_equal(t, end), method.within(share, h, before, y, slope, curve), np.nan)

    if times.shape[0] == 1:
        return F.expand_dims(y, 0)
    t = times[0]
    slope = field(t, y)
    h = _first_step(field, t, y, slope, size, method.order)
    none = F.zeros_like(y)
    carry = (t, y, slope, h, F.ones_like(h), y, none, none)
    return _with_first(y, scan(interval, carry, times[1:])[1])
