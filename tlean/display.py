"""HTML of what notebooks show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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
