"""Makes the pictures of docs/gallery.md: each by the command that its card shows, run in a fresh folder, then made small.

    python -m tools.gallery                    # all of them: about ten minutes
    python -m tools.gallery nuts pinn          # some
    python -m tools.gallery --pack FILE...     # no run: make these pictures small, in docs/examples

Digits are those that `TLEAN_DATA` or the cache has, else the small ones of scikit-learn.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "gallery.md"
#: A picture has at most so many bytes, and all together.
BYTES, IN_ALL = 40_000, 600_000
_CARD = re.compile(r"^- .*?(?=^- |^</div>)", re.MULTILINE | re.DOTALL)


class Card(NamedTuple):
    """A card of the gallery."""

    #: Of its picture, beside the page.
    picture: Path
    command: list[str]


def cards() -> list[Card]:
    """The cards of the page that have a picture."""
    found = []
    for text in _CARD.findall(PAGE.read_text()):
        picture, command = re.search(r"!\[[^\]]+\]\(([^)]+)\)", text), re.search(r"`python (\S+\.py[^`]*)`", text)
        if picture and command:
            found.append(Card(PAGE.parent / picture[1], shlex.split(command[1])))
    return found


def pack(source: Path, target: Path) -> None:
    """Write a picture with so few colours that it is small enough; SVG as it is.

    Args:
        source: what an example drew.
        target: where it goes.

    Raises: ValueError for one that stays too large.
    """
    if source.suffix == ".svg":
        shutil.copy(source, target)
        return
    from PIL import Image

    picture = Image.open(source).convert("RGB")
    # Smaller pictures are no smaller files at once: blurred edges have more colours.
    for width in (picture.width, 1300, 1000):
        picture.thumbnail((width, width), Image.Resampling.LANCZOS)
        for colours in (48, 32):
            picture.quantize(colours, dither=Image.Dither.NONE).save(target, optimize=True)
            if target.stat().st_size <= BYTES:
                return
    raise ValueError(f"{target.name} has {target.stat().st_size:,} bytes, more than {BYTES:,}")


def draw(card: Card) -> None:
    """Run a card's command, and keep its picture."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        script, *options = card.command
        subprocess.run([sys.executable, str(ROOT / script), *options], cwd=folder, env=environment, check=True)
        pack(Path(folder) / "out" / card.picture.name, card.picture)
    print(f"{card.picture.relative_to(ROOT)}: {card.picture.stat().st_size:,} bytes")


def main() -> None:
    """Draw what the command line names."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", help="of pictures without their ending, or with --pack files; default: all")
    p.add_argument("--pack", action="store_true", help="make the named files small")
    args = p.parse_args()
    if args.pack:
        for file in map(Path, args.names):
            pack(file, PAGE.parent / "examples" / file.name)
        return
    for card in cards():
        if not args.names or card.picture.stem in args.names:
            draw(card)


if __name__ == "__main__":
    main()
