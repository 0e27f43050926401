"""The pictures of the digit job: curves of loss and accuracy, and the digits that were misread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

if TYPE_CHECKING:
    from tlean.data.datasets import Dataset

    from .digits import History

INK, QUIET, FAINT = "#1f2933", "#6b7785", "#d9dee3"
TRAIN, TEST = "#3b6fb6", "#d1603d"
STYLE: Any = {
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": QUIET,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
    "savefig.dpi": 160,
}


def curves(history: History, title: str, path: Path) -> Path:
    """Loss over the steps and accuracy over the epochs, training and test."""
    losses = np.array(history.step_loss)
    epochs = np.arange(1, len(history.test_loss) + 1)
    at = np.arange(1, len(losses) + 1) / history.steps_per_epoch
    width = max(1, min(len(losses) // 10, history.steps_per_epoch // 4))
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
        smooth = np.convolve(losses, np.full(width, 1 / width), "valid")
        left.plot(at, losses, color=TRAIN, alpha=0.18, linewidth=0.7)
        left.plot(at[width - 1 :], smooth, color=TRAIN, label=f"training, mean of {width} steps")
        left.plot(epochs, history.test_loss, color=TEST, marker="o", markersize=4, label="test")
        left.set(title="Cross entropy", xlabel="epoch", yscale="log")
        # Single steps go far below: the floor is set by what is read off the picture.
        left.set_ylim(bottom=max(min(smooth.min(), *history.test_loss), 1e-6) / 4)
        left.legend()
        right.plot(
            epochs, 100 * np.array(history.train_accuracy), color=TRAIN, marker="o", markersize=4, label="training, during the epoch"
        )
        right.plot(epochs, 100 * np.array(history.test_accuracy), color=TEST, marker="o", markersize=4, label="test, after the epoch")
        last = 100 * history.test_accuracy[-1]
        right.annotate(
            f"{last:.2f} %", (epochs[-1], last), xytext=(0, -16), textcoords="offset points", ha="right", color=TEST, weight="bold"
        )
        right.set(title="Accuracy in %", xlabel="epoch")
        right.margins(y=0.12)
        right.legend(loc="lower right")
        for axes in (left, right):
            axes.xaxis.get_major_locator().set_params(integer=True)
        figure.suptitle(title, x=0.012, ha="left", color=QUIET, fontsize=9)
        figure.savefig(path, bbox_inches="tight", pad_inches=0.12)
        plt.close(figure)
    return path


def misread(data: Dataset, scores: np.ndarray, path: Path, rows: int = 4, columns: int = 10) -> Path:
    """The misread digits that the network was surest of, each with what it is, what it was read as, and how surely."""
    images, labels = data.arrays
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    read, sure = chances.argmax(axis=1), chances.max(axis=1)
    wrong = np.flatnonzero(read != labels)
    shown = wrong[np.argsort(-sure[wrong], kind="stable")][: rows * columns]
    with plt.rc_context(STYLE | {"axes.grid": False}):
        rows = max(1, -(-len(shown) // columns))
        figure, grid = plt.subplots(rows, columns, figsize=(columns * 1.05, rows * 1.4 + 0.7), squeeze=False, layout="constrained")
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, i in zip(grid.flat, shown, strict=False):
            axes.imshow(images[i, 0], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(f"{labels[i]} read as {read[i]}", loc="center", fontsize=8, fontweight="normal", color=TEST, pad=3)
            axes.text(0.5, -0.02, f"{sure[i]:.0%} sure", transform=axes.transAxes, ha="center", va="top", fontsize=7, color=QUIET)
        figure.suptitle(_caption(len(wrong), len(labels), len(shown)), x=0.012, ha="left", fontsize=11, weight="bold")
        figure.savefig(path, bbox_inches="tight", pad_inches=0.12)
        plt.close(figure)
    return path


def _caption(wrong: int, total: int, shown: int) -> Any:
    which = "" if shown == wrong else f"; the {shown} it was surest of"
    return f"{wrong:,} of {total:,} digits misread ({wrong / total:.2%}){which}"
