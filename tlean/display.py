"""HTML of what notebooks show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence


def escaped(text: str) -> str:
    """Text as HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def preformatted(text: str) -> str:
    """Text as it is, its lines and spaces kept."""
    return f"<pre>{escaped(text)}</pre>"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table.

    Args:
        caption: above it.
        head: the names of the columns; none for a table without.
        rows: the cells.
    """
    lines = [f"<table><caption>{escaped(caption)}</caption>"]
    if head:
        lines.append(f"<tr>{''.join(f'<th>{escaped(cell)}</th>' for cell in head)}</tr>")
    lines += [f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return "\n".join([*lines, "</table>"])


def folded(title: str, **parts: str) -> str:
    """A line, and texts under it that a click unfolds.

    Args:
        title: the line.
        parts: the texts by name.
    """
    return preformatted(title) + "".join(
        f"<details><summary>{escaped(name)}</summary>{preformatted(text)}</details>" for name, text in parts.items()
    )


def curves(title: str, lines: Mapping[str, Sequence[tuple[float, float]]], width: int = 360, height: int = 120) -> str:
    """An SVG picture of curves; what is not finite is left out.

    Args:
        title: above.
        lines: the points of each by its name.
        width, height: in pixels.
    """
    finite = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in lines.items()}
    every = [p for points in finite.values() for p in points]
    if not every:
        return ""
    left, right, low, high = (pick(p[k] for p in every) for k in (0, 1) for pick in (min, max))
    top, bottom = 22.0, height - 6.0
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">']
    parts.append(f'<text x="4" y="14" fill="currentColor">{escaped(title)}</text>')
    for k, (name, points) in enumerate(finite.items()):
        at = [
            (4 + (x - left) / ((right - left) or 1) * (width - 8), bottom - (y - low) / ((high - low) or 1) * (bottom - top))
            for x, y in points
        ]
        colour = _COLOURS[k % len(_COLOURS)]
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in at)}"/>')
        parts.append(f'<text x="{width - 4 - 90 * k}" y="14" text-anchor="end" fill="{colour}">{escaped(name)}</text>')
    return "".join([*parts, "</svg>"])


_COLOURS = ("#3b6fb6", "#d1603d")
