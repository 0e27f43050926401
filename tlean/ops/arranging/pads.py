"""Pads made of an array's own entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import OptionError, ShapeError, completing
from ..registry import array, composite
from .axes import ints


def _reflected(i: int, n: int) -> int:
    at = i % (2 * n - 2) if n > 1 else 0
    return min(at, 2 * n - 2 - at)


def _mirrored(i: int, n: int) -> int:
    at = i % (2 * n)
    return min(at, 2 * n - 1 - at)


#: Which of n entries is at place i, from -before to n + after, by NumPy's names and PyTorch's.
_MODES: dict[str, Callable[[int, int], int]] = {
    "reflect": _reflected,
    "symmetric": _mirrored,
    "edge": lambda i, n: min(max(i, 0), n - 1),
    "wrap": lambda i, n: i % n,
}
_MODES |= {"replicate": _MODES["edge"], "circular": _MODES["wrap"]}


def _widths(widths: Any, n: int) -> list[tuple[int, int]]:
    pairs = [ints(w) for w in widths]
    if len(pairs) != n or any(len(p) != 2 or min(p) < 0 for p in pairs):
        raise OptionError(f"widths must hold two numbers of at least 0 for each of the {n} axes of x")
    return [(p[0], p[1]) for p in pairs]


def _runs(places: Sequence[int]) -> list[tuple[int, int, int]]:
    # The places as runs of neighbours, upwards, downwards or in one place: (first, step, count).
    runs: list[tuple[int, int, int]] = []
    for at in places:
        if runs:
            first, step, count = runs[-1]
            following = at - (first + step * (count - 1))
            if (count == 1 and abs(following) <= 1) or (count > 1 and following == step):
                runs[-1] = (first, following, count + 1)
                continue
        runs.append((at, 1, 1))
    return runs


def _part(ops: Any, x: Any, axis: int, first: int, step: int, count: int) -> Any:
    last = first + (step or 1) * (count if step else 1)
    starts = tuple(first if k == axis else 0 for k in range(len(x.shape)))
    stops = tuple(last if k == axis else d for k, d in enumerate(x.shape))
    y = ops.slice(x, starts, stops, tuple((step or 1) if k == axis else 1 for k in range(len(x.shape))))
    return y if step else ops.broadcast_to(y, tuple(count if k == axis else d for k, d in enumerate(x.shape)))


@composite
def pad_by(ops: Any, x: Any, widths: Any, mode: str = "reflect", *, name: str | None = None) -> Any:
    """x with copies of its entries around it."""
    x = array(ops, x, "pad_by: x")
    with completing("pad_by", x=x, widths=widths, mode=mode):
        source = _MODES.get(mode) if isinstance(mode, str) else None
        if source is None:
            raise OptionError(f"mode must be one of {', '.join(_MODES)}")
        for axis, (before, after) in enumerate(_widths(widths, len(x.shape))):
            n = x.shape[axis]
            if not before + after:
                continue
            if n == 0:
                raise ShapeError("an axis that is padded must have at least one entry")
            places = [source(i, n) for i in range(-before, 0)], [source(i, n) for i in range(n, n + after)]
            ahead, behind = ([_part(ops, x, axis, *run) for run in _runs(p)] for p in places)
            x = ops.concat([*ahead, x, *behind], axis)
        return ops.reshape(x, tuple(x.shape), name=name)
