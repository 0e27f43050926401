"""Derivatives of a differential equation's solution by the adjoint equation, which is solved back in time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tlean.functions as F

from .. import tree
from ..autodiff import vjp
from ..custom import custom_vjp
from ..dtypes import FLOATS
from ..loops import scan
from .vectors import Layout, dot, flat

#: `field(args)(t, y)` is dy/dt; `march(field, y, times)` the states at the times, one a row.
Fields = Callable[[Any], Callable[[Any, Any], Any]]
March = Callable[[Callable[[Any, Any], Any], Any, Any], Any]


def by_adjoint(fields: Fields, march: March, y: Any, times: Any, args: tuple[Any, ...]) -> Any:
    """The states at times that go up, with the adjoint equation for their derivative.

    Between two times the state, its cotangent and that of the arguments are one system, which goes from the later time, where the state is
    known, to the earlier one. So memory does not depend on how many steps are taken, and the derivative is that of the equation, not
    that of the steps.

    Args:
        fields: the equation.
        march: solves one.
        y: the first state.
        times: a vector.
        args: trees that the equation depends on.
    """
    leaves, structure = tree.flatten(args)
    # Plain numbers are part of the equation; of the arrays those of floats have a derivative.
    places = [k for k, x in enumerate(leaves) if hasattr(x, "dtype")]
    given = [leaves[k] for k in places]
    moving = [k for k, x in enumerate(given) if str(x.dtype) in FLOATS]
    layout = Layout(tree.flatten([0] * len(moving))[1], [given[k].shape for k in moving])
    size = int(y.shape[0])

    def field_of(arrays: Any) -> Callable[[Any, Any], Any]:
        found = list(leaves)
        for k, x in zip(places, arrays, strict=True):
            found[k] = x
        return fields(tree.unflatten(structure, found))

    def with_floats(arrays: Any, floats: Any) -> Any:
        found = list(arrays)
        for k, x in zip(moving, floats, strict=True):
            found[k] = x
        return found

    def states(y: Any, times: Any, arrays: Any) -> Any:
        return march(field_of(arrays), y, times)

    def forward(y: Any, times: Any, arrays: Any) -> Any:
        ys = states(y, times, arrays)
        return ys, (ys, times, arrays)

    def backward(kept: Any, g: Any) -> Any:
        ys, times, arrays = kept
        known, field = [arrays[k] for k in moving], field_of(arrays)

        def system(s: Any, both: Any) -> Any:
            # With s = −t: of (y, cotangent, the arguments' cotangent).
            state, cotangent = both[:size], both[size : 2 * size]
            slope, pull = vjp(lambda y, floats: field_of(with_floats(arrays, floats))(-s, y), state, known)
            by_state, by_args = pull(cotangent)
            return flat([-slope, by_state, *by_args])

        def interval(carry: Any, at: Any) -> Any:
            cotangent, total = carry
            late, early, state, more = at
            # The state at this time moves with it along the curve; those after it stay where they are.
            by_time = dot(more, field(late, state))
            begin = flat([state, cotangent + more, *([total] if moving else [])])
            end = march(system, begin, F.stack([-late, -early]))[-1]
            return (end[size : 2 * size], end[2 * size :] if moving else total), by_time

        none = F.zeros((sum(math.prod(shape) for shape in layout.shapes),), dtype=str(ys.dtype))
        if times.shape[0] == 1:
            return g[0], None, None
        carry, by_times = scan(interval, (F.zeros_like(g[0]), none), (times[1:], times[:-1], ys[1:], g[1:]), reverse=True)
        cotangent, total = carry
        first = -dot(cotangent, field(times[0], ys[0]))
        return (
            cotangent + g[0],
            F.concat([F.reshape(first, (1,)), by_times]),
            with_floats([None] * len(given), layout.tree(total) if moving else ()),
        )

    solve = custom_vjp(states)
    solve.defvjp(forward, backward)
    return solve(y, times, given)
