"""What the examples share: their options, how far they are, and the look of their pictures."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tlean as tl

BLUE, RED, GREEN, GREY, INK = "#3b6fb6", "#d1603d", "#3f8f5b", "#6b7785", "#1f2933"


def parser(file: str, doc: str | None, seed: bool = True) -> argparse.ArgumentParser:
    """A command line with the options of every example: `--quick`, `--out`, `--plot`, and `--seed`."""
    p = argparse.ArgumentParser(prog=Path(file).name, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="settings that take a second or two, to see that all works")
    p.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="where the picture goes (default: %(default)s)")
    p.add_argument("--plot", action=argparse.BooleanOptionalAction, default=True, help="draw the picture")
    if seed:
        p.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    return p


def settle(args: argparse.Namespace, **choices: tuple[Any, Any]) -> None:
    """Give the options that were left out their values: the first of each pair, or the second with `--quick`."""
    for name, (usual, quick) in choices.items():
        if getattr(args, name) is None:
            setattr(args, name, quick if args.quick else usual)


class Progress:
    """Lines on standard error, every two seconds and at the end: how far, and how long it still takes."""

    def __init__(self, total: int, what: str) -> None:
        self.total, self.what = total, what
        self.begun = self.told = time.perf_counter()

    def __call__(self, done: int, note: str = "") -> None:
        now = time.perf_counter()
        if now - self.told > 2 or done == self.total:
            self.told = now
            left = (now - self.begun) / done * (self.total - done)
            print(f"{self.what} {done}/{self.total}  {note}  {left:.0f} s left", file=sys.stderr, flush=True)


def panels(count: int, size: tuple[float, float], widths: tuple[float, ...] | None = None) -> tuple[Any, list[Any]]:
    """A figure with so many panels side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, count, squeeze=False, width_ratios=widths)[0]
    for a in axes:
        a.spines[["top", "right"]].set_visible(False)
        a.title.set_fontsize(11)
    return figure, list(axes)


def save(figure: Any, args: argparse.Namespace, name: str) -> None:
    """Write the picture and say where it is."""
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / name
    figure.savefig(path, dpi=110)
    print(f"picture: {path}")


def run(main: Callable[[], None], file: str) -> None:
    """Run an example; what a user can mend is told in a line."""
    try:
        main()
    except (tl.TleanError, OSError, UnicodeDecodeError) as error:
        sys.exit(f"{Path(file).name}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
