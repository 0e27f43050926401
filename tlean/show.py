"""Tapes to look at: a line for every node, Graphviz text, and an SVG drawing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np

if TYPE_CHECKING:
    from .tape import Tape

# Longer arrays are shown by their range.
_FEW = 4
# The drawing, in pixels: a box, the gaps between boxes and between rows, the margin.
_WIDTH, _HEIGHT, _GAP, _ROW_GAP, _MARGIN = 176, 58, 22, 40, 16


@dataclass(frozen=True)
class Shown:
    """What is shown of one node."""

    id: int
    name: str
    call: str
    parents: tuple[int, ...]
    shape: tuple[int, ...]
    value: str
    requires_grad: bool

    @property
    def title(self) -> str:
        return f"{self.name} = {self.call}" if self.name else self.call


def nodes(tape: Tape) -> Iterator[Shown]:
    """The nodes of a tape, in order."""
    for i in range(tape.size):
        op, name, parents, _, _, requires_grad, options = tape._store.describe(i)
        array = np.asarray(tape.get_value(i))
        settings = [f"{key}={option!r}" for key, option in options.items()]
        # A dot stands for an input that is no node: an array such as labels, or one left out.
        inputs = ["·" if p < 0 else str(p) for p in parents]
        call = f"{op}({', '.join(inputs + settings)})" if op else "leaf"
        yield Shown(i, name or "", call, tuple(p for p in parents if p >= 0), array.shape, summary(array), requires_grad)


def summary(array: np.ndarray) -> str:
    """A value in a few characters: its numbers if they are few, else their range."""
    if array.size == 0:
        return "empty"
    if array.size <= _FEW:
        return str(array.tolist()) if array.dtype.kind != "f" else _numbers(array)
    if array.dtype.kind == "b":
        return f"{int(array.sum())} of {array.size} true"
    low, high = array.min(), array.max()
    return f"{low:.4g} … {high:.4g}"


def _numbers(array: np.ndarray) -> str:
    if array.ndim == 0:
        return f"{array.item():.4g}"
    return f"[{', '.join(_numbers(a) for a in array)}]"


def tape_lines(tape: Tape) -> list[str]:
    """One line a node: id, what made it, shape, value."""
    found = list(nodes(tape))
    titles = [n.title for n in found]
    shapes = [str(n.shape) for n in found]
    wide, tall = max(map(len, titles), default=0), max(map(len, shapes), default=0)
    digits = len(str(max(len(found) - 1, 0)))
    return [
        f"{n.id:>{digits}}  {title:{wide}}  {shape:{tall}}  {n.value}{'' if n.requires_grad else '  (no gradient)'}"
        for n, title, shape in zip(found, titles, shapes, strict=True)
    ]


def to_dot(tape: Tape) -> str:
    """The tape as Graphviz text: values flow downwards; nodes that take no gradient are dashed."""
    lines = ["digraph tape {", '  node [shape=box, style=rounded, fontname="sans-serif", fontsize=10];']
    for n in nodes(tape):
        label = f"{n.id}: {n.title}\\n{n.shape}\\n{n.value}".replace('"', '\\"')
        lines.append(f'  n{n.id} [label="{label}"{"" if n.requires_grad else ", style=dashed"}];')
        lines += [f"  n{p} -> n{n.id};" for p in n.parents]
    return "\n".join([*lines, "}"])


def to_svg(tape: Tape, path: Any = None, grads: Any = None) -> str:
    """The tape as an SVG picture (text): a box a node, leaves above, each node below its parents.

    Args:
        tape: what to draw.
        path: a file to write the picture to.
        grads: gradients by node id, a list or a dict: their norms are shown where there are any.
    """
    found = list(nodes(tape))
    norms = _norms(grads, len(found))
    level = _levels(found)
    rows: list[list[Shown]] = [[] for _ in range(max(level, default=-1) + 1)]
    place: dict[int, tuple[int, int]] = {}
    for n in found:
        place[n.id] = (level[n.id], len(rows[level[n.id]]))
        rows[level[n.id]].append(n)
    columns = max(map(len, rows), default=1)
    width = 2 * _MARGIN + columns * (_WIDTH + _GAP) - _GAP
    height = 2 * _MARGIN + max(1, len(rows)) * (_HEIGHT + _ROW_GAP) - _ROW_GAP

    def corner(i: int) -> tuple[float, float]:
        row, k = place[i]
        missing = columns - len(rows[row])
        return _MARGIN + (k + missing / 2) * (_WIDTH + _GAP), _MARGIN + row * (_HEIGHT + _ROW_GAP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#9aa5b1"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for n in found:
        x, y = corner(n.id)
        for k, p in enumerate(n.parents):
            px, py = corner(p)
            # Several edges into one box arrive side by side.
            x1, y1, x2 = px + _WIDTH / 2, py + _HEIGHT, x + _WIDTH * (k + 1) / (len(n.parents) + 1)
            bend = max(_ROW_GAP, (y - y1) / 2)
            curve = f"M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y - bend:.0f} {x2:.0f} {y:.0f}"
            parts.append(f'<path d="{curve}" fill="none" stroke="#9aa5b1" stroke-width="1.2" marker-end="url(#tip)"/>')
    for n in found:
        x, y = corner(n.id)
        fill, edge = ("#eef4fb", "#3b6fb6") if not n.parents else ("#ffffff", "#52606d")
        dash = "" if n.requires_grad else ' stroke-dasharray="4 3"'
        detail = f"{n.shape} · |g| {norms[n.id]:.3g}" if n.id in norms else str(n.shape)
        parts.append(f'<rect x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="7" fill="{fill}" stroke="{edge}"{dash}/>')
        short = n.title.partition("(")[0]
        texts = ((f"{n.id}  {short}", 12, "#1f2933", "bold"), (detail, 10, "#52606d", "normal"), (n.value, 10, "#52606d", "normal"))
        for k, (text, size, colour, weight) in enumerate(texts):
            room = 21 if k == 0 else 29
            clipped = text if len(text) <= room else text[: room - 1] + "…"
            parts.append(
                f'<text x="{x + 10:.0f}" y="{y + 19 + 15 * k:.0f}" font-size="{size}" font-weight="{weight}" fill="{colour}">'
                f"<title>{escape(n.title)}</title>{escape(clipped)}</text>"
            )
    picture = "\n".join([*parts, "</svg>"])
    if path is not None:
        Path(path).write_text(picture, encoding="utf-8")
    return picture


def _levels(found: list[Shown]) -> list[int]:
    """The row of each node: one below its lowest parent; a node without parents stands just above the first that uses it."""
    level: list[int] = []
    first_use: dict[int, int] = {}
    for n in found:
        level.append(max((level[p] + 1 for p in n.parents), default=0))
        for p in n.parents:
            first_use[p] = min(first_use.get(p, level[-1]), level[-1])
    return [level[n.id] if n.parents else first_use.get(n.id, 1) - 1 for n in found]


def _norms(grads: Any, size: int) -> dict[int, float]:
    if grads is None:
        return {}
    entries = grads.items() if isinstance(grads, dict) else zip(range(size), grads, strict=False)
    return {int(i): float(np.linalg.norm(np.asarray(g).ravel())) for i, g in entries if g is not None}
