"""What tells how well a classifier does: accuracy, the confusion matrix, and a picture of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tlean.arguments import whole
from tlean.data.arrays import as_array
from tlean.errors import IndexRangeError, OptionError, ShapeError
from tlean.files import check_picture
from tlean.optim.param_list import listed


def _classes(scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = as_array("scores", scores, numbers=True), as_array("labels", labels, numbers=True)
    if scores.ndim == labels.ndim + 1 and not scores.shape[-1]:
        raise ShapeError(f"scores must be for at least one class, got scores of shape {scores.shape}")
    found = scores.argmax(axis=-1) if scores.ndim == labels.ndim + 1 else scores
    if found.shape != labels.shape:
        raise ShapeError(f"a score for each class, or one class, for each label; got {scores.shape} and {labels.shape}")
    return found.reshape(-1).astype(np.int64), labels.reshape(-1).astype(np.int64)


def accuracy(scores: Any, labels: Any) -> float:
    """The share of samples whose highest score is at their label; of nothing, NaN.

    Args:
        scores: `(*k, C)`, or the classes themselves, `(*k,)`.
        labels: `(*k,)`, integer.

    Example:
        >>> tl.nn.accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
        0.5
    """
    found, true = _classes(scores, labels)
    return float((found == true).mean()) if len(true) else float("nan")


def confusion_matrix(scores: Any, labels: Any, classes: int | None = None) -> np.ndarray:
    """How often a sample of class i was read as class j, int64 `(C, C)`.

    Args:
        scores, labels: as in `accuracy`.
        classes: C; by default the number of scores, or one more than the highest class.

    Raises: IndexRangeError for a class outside [0, C).
    """
    found, true = _classes(scores, labels)
    if classes is None:
        wide = np.asarray(scores).ndim > np.asarray(labels).ndim
        classes = np.asarray(scores).shape[-1] if wide else int(max(found.max(initial=-1), true.max(initial=-1))) + 1
    classes = whole("confusion_matrix: classes", classes, 0)
    if classes >= 1 << 16:
        raise OptionError(f"confusion_matrix: fewer than {1 << 16} classes, got {classes}")
    for name, values in (("class", found), ("label", true)):
        if len(values) and not 0 <= values.min() <= values.max() < classes:
            raise IndexRangeError(f"confusion_matrix: a {name} outside [0, {classes}): {values.min()} to {values.max()}")
    return np.bincount(true * classes + found, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def plot_confusion(matrix: Any, path: str | os.PathLike[str], names: Sequence[str] | None = None, title: str = "") -> Path:
    """Draw a confusion matrix: rows are true classes, columns what they were read as; mistakes stand out by colour.

    Args:
        matrix: `(C, C)`.
        path: of the picture; its ending names the format.
        names: of the classes; numbers by default.
        title: above the picture.

    Returns: the path.
    Raises: OptionError if the number of names is not C.
    """
    path = check_picture("plot_confusion: the picture", path)
    from matplotlib.figure import Figure

    matrix = as_array("plot_confusion: the matrix", matrix, numbers=True)
    count = len(matrix) if matrix.ndim else 0
    names = [str(k) for k in range(count)] if names is None else listed("plot_confusion: the names", names)
    if matrix.shape != (count, count) or len(names) != count:
        raise OptionError(f"plot_confusion: a square matrix and a name for each row, got {matrix.shape} and {len(names)} names")
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    wrong = np.where(np.eye(count, dtype=bool), np.nan, share)
    figure = Figure(figsize=(0.55 * count + 2, 0.55 * count + 1.6), layout="constrained")
    axes = figure.add_subplot()
    # The diagonal is left white: its numbers are far larger than all others and would take the scale.
    top = np.nanmax(wrong) if count > 1 else 0.0
    axes.imshow(wrong, cmap="OrRd", vmin=0, vmax=top or 1)
    for i in range(count):
        for j in range(count):
            if matrix[i, j]:
                dark = i != j and top and share[i, j] > 0.6 * top
                axes.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", fontsize=8, color="white" if dark else "#1f2933")
    axes.set_xticks(range(count), names)
    axes.set_yticks(range(count), names)
    axes.set(xlabel="read as", ylabel="is", title=title or f"{np.trace(matrix) / max(matrix.sum(), 1):.2%} of {matrix.sum():,} right")
    axes.tick_params(length=0)
    figure.savefig(path, dpi=160)
    return path
