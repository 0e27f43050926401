"""A drawing of a tape without Graphviz: nodes in layers, few crossings, edges that go around boxes.

Source: Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system structures", IEEE SMC 1981: layers, a joint in
every layer that an edge passes, orders by barycentres. Places along a layer are a least-squares fit to the neighbours'.
"""

from __future__ import annotations

import re
from bisect import bisect_right, insort

from .shown import Shown, box_text

# In pixels: a box, the gaps between boxes and between rows, the margin, and the lane that an edge takes through a row.
_WIDTH, _HEIGHT, _GAP, _ROW_GAP, _MARGIN, _LANE = 176, 58, 22, 40, 16, 14
# Sweeps over the layers for the order, and for the places.
_ORDER_SWEEPS, _PLACE_SWEEPS = 12, 24
# What XML's markup is made of, and what XML 1.0 has no way to write.
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class _Layers:
    # Items 0 … n-1 are the nodes; further items are the joints of edges that pass a layer.

    def __init__(self, found: list[Shown]) -> None:
        self.count = len(found)
        self.level = _levels(found)
        self.above: list[list[int]] = [[] for _ in found]
        self.below: list[list[int]] = [[] for _ in found]
        #: For each edge (node, position of the parent): the items it goes through, from the parent down.
        self.routes: dict[tuple[int, int], list[int]] = {}
        shared: dict[tuple[int, int], int] = {}
        for n in found:
            for k, p in enumerate(n.parents):
                route = [p]
                for level in range(self.level[p] + 1, self.level[n.id]):
                    # Edges out of one node share a lane until they arrive.
                    if (p, level) not in shared:
                        shared[p, level] = self._joint(level)
                        self._link(route[-1], shared[p, level])
                    route.append(shared[p, level])
                self._link(route[-1], n.id)
                self.routes[n.id, k] = [*route, n.id]
        rows = max(self.level, default=-1) + 1
        self.rows: list[list[int]] = [[i for i, at in enumerate(self.level) if at == row] for row in range(rows)]
        self._order()
        self.x = self._places()

    def _joint(self, level: int) -> int:
        self.level.append(level)
        self.above.append([])
        self.below.append([])
        return len(self.level) - 1

    def _link(self, upper: int, lower: int) -> None:
        self.below[upper].append(lower)
        self.above[lower].append(upper)

    def _order(self) -> None:
        # Orders each row by the mean position of the neighbours in the row before it, down and up in turn; keeps the best seen.
        best, fewest = [list(r) for r in self.rows], self._crossings()
        at: dict[int, float] = {i: k for row in self.rows for k, i in enumerate(row)}
        for sweep in range(_ORDER_SWEEPS):
            down = sweep % 2 == 0
            neighbours = self.above if down else self.below
            for row in self.rows if down else reversed(self.rows):
                key = {i: sum(at[j] for j in neighbours[i]) / len(neighbours[i]) if neighbours[i] else at[i] for i in row}
                row.sort(key=key.__getitem__)
                at.update((i, k) for k, i in enumerate(row))
            now = self._crossings()
            if now < fewest:
                best, fewest = [list(r) for r in self.rows], now
        self.rows = best

    def _crossings(self) -> int:
        total = 0
        for upper, lower in zip(self.rows, self.rows[1:], strict=False):
            at = {i: k for k, i in enumerate(lower)}
            passed: list[int] = []
            for i in upper:
                for end in sorted(at[j] for j in self.below[i]):
                    total += len(passed) - bisect_right(passed, end)
                    insort(passed, end)
        return total

    def _width(self, i: int) -> int:
        return _WIDTH if i < self.count else _LANE

    def _places(self) -> list[float]:
        # Centres along each row: as near as the neighbours' as the order and the widths allow.
        x = [0.0] * len(self.level)
        offsets = []
        for row in self.rows:
            offset, at = [], 0.0
            for k, i in enumerate(row):
                at += (self._width(row[k - 1]) + self._width(i)) / 2 + _GAP if k else 0.0
                offset.append(at)
            offsets.append(offset)
            for i, o in zip(row, offset, strict=True):
                x[i] = o - at / 2
        for sweep in range(_PLACE_SWEEPS):
            order = range(len(self.rows)) if sweep % 2 == 0 else range(len(self.rows) - 1, -1, -1)
            for r in order:
                row = self.rows[r]
                wanted = []
                for i in row:
                    near = self.above[i] + self.below[i]
                    wanted.append(sum(x[j] for j in near) / len(near) if near else x[i])
                for i, place, o in zip(row, _rising([w - o for w, o in zip(wanted, offsets[r], strict=True)]), offsets[r], strict=True):
                    x[i] = place + o
        left = min((x[i] - self._width(i) / 2 for i in range(len(x))), default=0.0)
        return [v - left + _MARGIN for v in x]


def _rising(values: list[float]) -> list[float]:
    # The non-decreasing sequence nearest in least squares: neighbouring blocks that fall are pooled to their mean.
    blocks: list[tuple[float, int]] = []
    for v in values:
        blocks.append((v, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (b, m), (a, n) = blocks.pop(), blocks.pop()
            blocks.append(((a * n + b * m) / (n + m), n + m))
    return [mean for mean, n in blocks for _ in range(n)]


def _levels(found: list[Shown]) -> list[int]:
    # The row of each node: one below its lowest parent; a node without parents is just above the first that uses it.
    level: list[int] = []
    first_use: dict[int, int] = {}
    for n in found:
        level.append(max((level[p] + 1 for p in n.parents), default=0))
        for p in n.parents:
            first_use[p] = min(first_use.get(p, level[-1]), level[-1])
    return [level[n.id] if n.parents else first_use.get(n.id, 1) - 1 for n in found]


def _text(x: float, y: float, text: str, size: int, colour: str, weight: str, room: int) -> str:
    clipped = text if len(text) <= room else text[: room - 1] + "…"
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" font-weight="{weight}" fill="{colour}">{_written(clipped)}</text>'


def _written(text: str) -> str:
    return _UNWRITABLE.sub("�", text).translate(_ESCAPED)


def draw(found: list[Shown], norms: dict[int, float]) -> str:
    """The SVG text of these nodes, with the gradients' norms where they are known."""
    layers = _Layers(found)
    x, level = layers.x, layers.level
    width = max((x[i] + (_WIDTH if i < len(found) else _LANE) / 2 for i in range(len(x))), default=200.0) + _MARGIN
    height = 2 * _MARGIN + max(1, len(layers.rows)) * (_HEIGHT + _ROW_GAP) - _ROW_GAP

    def top(i: int) -> float:
        return _MARGIN + level[i] * (_HEIGHT + _ROW_GAP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
        ' font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#9aa5b1"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    drawn: set[int] = set()
    for n in found:
        # Edges into one box arrive side by side, in the order from which they come.
        ways = sorted((x[layers.routes[n.id, k][-2]], k) for k in range(len(n.parents)))
        for place, (_, k) in enumerate(ways):
            route = layers.routes[n.id, k]
            end = x[n.id] + _WIDTH * ((place + 1) / (len(ways) + 1) - 0.5)
            # A lane that another edge has drawn already is not drawn again.
            first = max(j for j, i in enumerate(route) if j == 0 or i in drawn)
            drawn.update(route[1:-1])
            here, y = x[route[first]], top(route[first]) + _HEIGHT
            path = f"M{here:.0f} {y:.0f}"
            for i in route[first + 1 :]:
                there = end if i == n.id else x[i]
                middle = y + _ROW_GAP / 2
                path += f"C{here:.0f} {middle:.0f} {there:.0f} {middle:.0f} {there:.0f} {top(i):.0f}"
                here, y = there, top(i) + _HEIGHT
                if i != n.id:
                    path += f"V{y:.0f}"
            parts.append(f'<path d="{path}" fill="none" stroke="#9aa5b1" stroke-width="1.2" marker-end="url(#tip)"/>')
    for n in found:
        left, y = x[n.id] - _WIDTH / 2, top(n.id)
        fill, edge = ("#eef4fb", "#3b6fb6") if not n.parents else ("#ffffff", "#52606d")
        dash = "" if n.requires_grad else ' stroke-dasharray="4 3"'
        heading, detail, value = box_text(n, norms)
        parts += [
            f"<g><title>{_written(n.title)}</title>",
            f'<rect x="{left:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="7" fill="{fill}" stroke="{edge}"{dash}/>',
            _text(left + 10, y + 19, heading, 12, "#1f2933", "bold", 21),
            _text(left + 10, y + 35, detail, 10, "#52606d", "normal", 28),
            _text(left + 10, y + 49, value, 10, "#52606d", "normal", 28),
            "</g>",
        ]
    return "\n".join([*parts, "</svg>"])
