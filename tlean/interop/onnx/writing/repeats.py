"""Loops of a rule's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tlean.ops import Spec

from .model import ModelWriter
from .writer import Node

_FLAG, _COUNT = Spec((), "bool"), Spec((), "int64")


def repeated(
    w: ModelWriter,
    states: Sequence[tuple[str, Spec]],
    step: Callable[..., Sequence[str]],
    count: int | None = None,
    again: Callable[..., str] | None = None,
) -> list[str]:
    """What becomes of arrays, step by step.

    Args:
        w: the writer.
        states: the arrays before the first step.
        step: (the number of the step, the arrays) -> the arrays after it.
        count: how many steps, or
        again: (the arrays) -> whether there is a next step.
    """
    number, flag, *names = (w.name() for _ in range(len(states) + 2))

    def write() -> list[tuple[str, Spec]]:
        made = step(number, *names)
        goes_on = w.op("Identity", flag) if again is None else again(*made)
        return [(goes_on, _FLAG), *((m, spec) for m, (_, spec) in zip(made, states, strict=True))]

    first = "" if again is None else again(*(name for name, _ in states))
    part = w._part([(number, _COUNT), (flag, _FLAG), *zip(names, (spec for _, spec in states), strict=True)], write)
    most = "" if count is None else w.ints(count)
    made = [w.name() for _ in states]
    most = most and w.squeeze(most, 0)
    w.nodes.append(Node("Loop", [most, first, *(name for name, _ in states)], made, {"body": part}))
    return made
