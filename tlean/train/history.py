"""What a training run leaves behind: losses and metrics, as a log, as TensorBoard events, and as a picture."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tlean.display import curves, table
from tlean.files import as_path, check_picture


@dataclass(repr=False)
class History:
    """The record of a run."""

    #: The loss of every step.
    step_loss: list[float] = field(default_factory=list)
    #: A row for every epoch: "epoch", "step", "loss", the metrics, with "val_" before those of the evaluation, "lr", "seconds".
    epochs: list[dict[str, float]] = field(default_factory=list)
    #: Why it ended: "done", "interrupted", or what stopped it early.
    ended: str = ""

    def column(self, name: str) -> list[float]:
        """One entry of every epoch's row, NaN where it has none."""
        return [row.get(name, float("nan")) for row in self.epochs]

    def __repr__(self) -> str:
        last = "".join(f", {name} {value:.4g}" for name, value in (self.epochs[-1] if self.epochs else {}).items() if name not in _COUNTS)
        return f"<History: {len(self.epochs)} epochs, {len(self.step_loss)} steps, {self.ended or 'running'}{last}>"

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys(name for row in self.epochs for name in row))
        shown = self.epochs if len(self.epochs) <= 2 * _ENDS else [*self.epochs[:_ENDS], {}, *self.epochs[-_ENDS:]]
        rows = [[f"{row[n]:.4g}" if n in row else "" if row else "…" for n in names] for row in shown]
        # A point for each of at most 400 stretches of steps: their means.
        size, steps = max(1, -(-len(self.step_loss) // 400)), self.step_loss
        loss = [(k + size / 2, sum(part) / len(part)) for k in range(0, len(steps), size) if (part := steps[k : k + size])]
        validation = [(row["step"], row["val_loss"]) for row in self.epochs if "val_loss" in row]
        lines = {"training": loss} | ({"validation": validation} if validation else {})
        return curves("loss of the steps", lines) + table(f"{len(self.epochs)} epochs, {self.ended or 'running'}", names, rows)


class JsonLog:
    """A callback that writes a line of JSON for every epoch, appended to the file and flushed.

    Args:
        path: of the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = as_path("JsonLog: the file", path)

    def on_epoch(self, run: Any) -> None:
        """Write the row of this epoch."""
        # JSON has no NaN: what is not finite becomes null.
        row = {k: v if np.isfinite(v) else None for k, v in run.history.epochs[-1].items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


class TensorBoard:
    """A callback that writes events for TensorBoard: the loss of every step, all else of every epoch.

    Args:
        folder: where the events go.

    Raises: ImportError, saying what to install, without the package tensorboardX.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ImportError("TensorBoard events need the package tensorboardX: pip install 'tlean[tensorboard]'") from None
        self.writer: Any = SummaryWriter(str(folder))

    def on_step(self, run: Any) -> None:
        """Write the loss of this step."""
        self.writer.add_scalar("step/loss", run.history.step_loss[-1], run.step)

    def on_epoch(self, run: Any) -> None:
        """Write the row of this epoch."""
        for name, value in run.history.epochs[-1].items():
            if name not in ("epoch", "step"):
                self.writer.add_scalar(name, value, run.step)

    def on_end(self, run: Any) -> None:
        """Close the file."""
        self.writer.close()


def plot_curves(history: History, path: str | os.PathLike[str], title: str = "") -> Path:
    """Draw the loss over the steps, and each metric over the epochs, training and validation.

    Args:
        path: of the picture; its ending names the format.
        title: a line above.

    Raises: ImportError without Matplotlib; OptionError for a path that is none, or an ending that names no format.
    """

    path = check_picture("plot_curves: the picture", path)
    from matplotlib.figure import Figure

    metrics = [n for n in (history.epochs[0] if history.epochs else {}) if n not in _PLAIN and not n.startswith("val_")]
    figure = Figure(figsize=(5.5 * (1 + len(metrics)), 4.2), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, 1 + len(metrics)))
    losses = np.array(history.step_loss)
    per_epoch = (history.epochs[-1]["step"] / history.epochs[-1]["epoch"]) if history.epochs else max(len(losses), 1)
    at = np.arange(1, len(losses) + 1) / per_epoch
    epochs = np.array(history.column("epoch"))
    if len(losses):
        width = max(1, min(len(losses) // 10, int(per_epoch) // 4))
        axes[0].plot(at, losses, color=_TRAIN, alpha=0.2, linewidth=0.7)
        axes[0].plot(at[width - 1 :], np.convolve(losses, np.full(width, 1 / width), "valid"), color=_TRAIN, label="training")
    if np.isfinite(history.column("val_loss")).any():
        axes[0].plot(epochs, history.column("val_loss"), color=_VALIDATION, marker="o", markersize=4, label="validation")
    positive = losses[losses > 0] if len(losses) else losses
    axes[0].set(title="loss", xlabel="epoch", yscale="log" if len(positive) == len(losses) > 0 else "linear")
    for one, name in zip(axes[1:], metrics, strict=True):
        one.plot(epochs, history.column(name), color=_TRAIN, marker="o", markersize=4, label="training, during the epoch")
        if np.isfinite(history.column(f"val_{name}")).any():
            one.plot(epochs, history.column(f"val_{name}"), color=_VALIDATION, marker="o", markersize=4, label="validation, after it")
        one.set(title=name, xlabel="epoch")
    for one in axes:
        # From the start, a single epoch too.
        one.set_xlim(0, 1.03 * max([*at[-1:], *epochs[-1:], 1]))
        one.grid(color="#d9dee3", linewidth=0.6)
        one.spines[["top", "right"]].set_visible(False)
        one.xaxis.get_major_locator().set_params(integer=True)
        if one.get_legend_handles_labels()[0]:
            one.legend(frameon=False)
    if title:
        figure.suptitle(title, x=0.012, ha="left", fontsize=9, color="#6b7785")
    figure.savefig(path, dpi=160)
    return path


#: Columns that count, and how many first and last epochs a notebook shows of many.
_COUNTS = ("epoch", "step", "lr", "seconds")
_ENDS = 8
_PLAIN = ("epoch", "step", "loss", "lr", "seconds")
_TRAIN, _VALIDATION = "#3b6fb6", "#d1603d"
