"""What is shown of a tape: for every node its name, op, value and gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .tape import Tape


# Longer arrays are shown by their range.
_FEW = 4


@dataclass(frozen=True)
class Shown:
    """What is shown of one node."""

    id: int
    name: str
    op: str
    call: str
    parents: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str
    value: str
    requires_grad: bool

    @property
    def title(self) -> str:
        """The name if there is one, and what made the node."""
        return f"{self.name} = {self.call}" if self.name else self.call


def nodes(tape: Tape) -> Iterator[Shown]:
    """The nodes of a tape, in order."""
    for i in range(tape.size):
        op, name, parents, _, _, requires_grad, options = tape._store.describe(i)
        array = np.asarray(tape.get_value(i))
        settings = [f"{key}={option!r}" for key, option in options.items()]
        # A dot marks an input that is no node: an array such as labels, or one left out.
        inputs = ["·" if p < 0 else str(p) for p in parents]
        call = f"{op}({', '.join(inputs + settings)})" if op else "leaf"
        known = tuple(p for p in parents if p >= 0)
        yield Shown(i, name or "", op or "leaf", call, known, array.shape, array.dtype.name, summary(array), requires_grad)


def summary(array: np.ndarray) -> str:
    """A value in a few characters: its numbers if they are few, else the range of the finite ones and how many are not finite."""
    if array.size == 0:
        return "empty"
    if array.dtype.kind == "b":
        return str(array.tolist()) if array.size <= _FEW else f"{int(array.sum())} of {array.size} true"
    if array.size <= _FEW:
        return _numbers(array)
    finite = array[np.isfinite(array)]
    parts = [f"{finite.min():.4g} … {finite.max():.4g}"] if finite.size else []
    nans = int(np.isnan(array).sum())
    infinities = array.size - finite.size - nans
    return ", ".join(parts + [f"{n} {what}" for n, what in ((nans, "NaN"), (infinities, "inf")) if n])


def _numbers(array: np.ndarray) -> str:
    if array.ndim == 0:
        return f"{array.item():.4g}"
    return f"[{', '.join(_numbers(a) for a in array)}]"


def tape_lines(tape: Tape) -> list[str]:
    """One line a node: id, name, what made it of which parents, shape and dtype, value or range, whether no gradient flows to it."""
    found = list(nodes(tape))
    titles = [n.title for n in found]
    shapes = [f"{n.shape} {n.dtype}" for n in found]
    wide, tall = max(map(len, titles), default=0), max(map(len, shapes), default=0)
    digits = len(str(max(len(found) - 1, 0)))
    return [
        f"{n.id:>{digits}}  {title:{wide}}  {shape:{tall}}  {n.value}{'' if n.requires_grad else '  (no gradient)'}"
        for n, title, shape in zip(found, titles, shapes, strict=True)
    ]


def box_text(n: Shown, norms: dict[int, float]) -> tuple[str, str, str]:
    """The three lines of a node's box: id and name, shape and the gradient's norm if it is known, value."""
    what = n.op if not n.name else n.name if n.op == "leaf" else f"{n.name} = {n.op}"
    detail = f"{n.shape} · |g| {norms[n.id]:.3g}" if n.id in norms else str(n.shape)
    return f"{n.id}  {what}", detail, n.value


def gradient_norms(grads: Any, size: int) -> dict[int, float]:
    """The Euclidean norms of gradients given as a list or a dict by node id; none for None."""
    if grads is None:
        return {}
    entries = grads.items() if isinstance(grads, dict) else zip(range(size), grads, strict=False)
    return {int(i): float(np.linalg.norm(np.asarray(g).ravel())) for i, g in entries if g is not None}
