"""The page of results: every script writes its own part of it and leaves the others as they are."""

from __future__ import annotations

import re
from pathlib import Path

#: The parts in the order of the page, by their headings.
ORDER = ("# Measured", "# The compiled path", "# Starting", "# GPU")


def parts_of(page: str) -> dict[str, str]:
    """The parts of a page by their headings."""
    found = [p.strip() for p in re.split(rf"^(?=(?:{'|'.join(ORDER)})$)", page, flags=re.MULTILINE)]
    return {p.partition("\n")[0]: p for p in found if p}


def write_part(path: Path, text: str, *, unless_there: bool = False) -> None:
    """Write a part, which begins with its heading, in the place of the one before.

    Args:
        unless_there: leave the page as it is where it has that part.
    """
    parts = parts_of(path.read_text()) if path.exists() else {}
    title = text.partition("\n")[0]
    if title not in ORDER:
        raise ValueError(f"the page has no part {title!r}")
    if not (unless_there and title in parts):
        parts[title] = text.strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(parts[t] for t in ORDER if t in parts) + "\n")
