"""A picture of the digits that were misread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tlean.data.datasets import Dataset
from tlean.files import check_picture


def misread(digits: Dataset, scores: Any, path: Path, rows: int = 4, columns: int = 10) -> None:
    """Draw the misread digits that the network was surest of, each with what it is, what it was read as, and how surely.

    Args:
        digits: images and labels.
        scores: `(n, 10)`.
        path: of the picture.
        rows, columns: how many there are room for.

    Raises: ImportError without Matplotlib.
    """
    check_picture("misread: the picture", path)
    from matplotlib.figure import Figure

    (images, labels), scores = digits.arrays, np.asarray(scores)
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    read, sure = chances.argmax(axis=1), chances.max(axis=1)
    wrong = np.flatnonzero(read != labels)
    shown = wrong[np.argsort(-sure[wrong], kind="stable")][: rows * columns]
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(columns * 1.05, rows * 1.4 + 0.7), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, i in zip(grid.flat, shown, strict=False):
        axes.imshow(images[i, 0], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(f"{labels[i]} read as {read[i]}", fontsize=8, color="#d1603d", pad=3)
        axes.text(0.5, -0.02, f"{sure[i]:.0%} sure", transform=axes.transAxes, ha="center", va="top", fontsize=7, color="#6b7785")
    which = "" if len(shown) == len(wrong) else f"; the {len(shown)} it was surest of"
    title = f"{len(wrong):,} of {len(labels):,} digits misread ({len(wrong) / len(labels):.2%}){which}"
    figure.suptitle(title, x=0.012, ha="left", fontsize=11, weight="bold")
    figure.savefig(path, dpi=160, bbox_inches="tight", pad_inches=0.12)
