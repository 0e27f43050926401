"""What the scientific examples share: their options and how they draw."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

BLUE, RED, GREEN, GREY = "#3b6fb6", "#d1603d", "#4f9153", "#8a8a8a"


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Options that all of them have."""
    p = argparse.ArgumentParser(prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="a small problem, for a look")
    p.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    p.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="where the picture goes (default: %(default)s)")
    p.add_argument("--plot", action=argparse.BooleanOptionalAction, default=True, help="draw the picture")
    return p


def figure(columns: int, width: float = 4.6, height: float = 3.8) -> tuple[Any, Any]:
    """A figure and its axes, side by side."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "savefig.dpi": 150})
    return plt.subplots(1, columns, figsize=(width * columns, height), layout="constrained", squeeze=False)


def save(drawn: Any, path: Path) -> None:
    """Write the picture and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path)
    print(f"picture: {path}")
