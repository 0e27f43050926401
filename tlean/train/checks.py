"""What `tl.fit` looks at before its first step, so that no work is lost to a mistake that could have been seen."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlean.arguments import truth, whole
from tlean.errors import OptionError
from tlean.files import as_path, check_picture, writable
from tlean.nn.metrics import accuracy
from tlean.ops.protocol import Ops
from tlean.optim.optimizer import Optimizer
from tlean.optim.schedules import Schedule
from tlean.optim.updates import limit

from . import checkpoint

#: What a row of the history holds beside losses and metrics.
PLAIN = ("epoch", "step", "loss", "lr", "seconds")


@dataclass
class Files:
    """What a run writes, checked, and whether it goes on from its checkpoint: arguments of `fit`.

    Raises: OptionError, OSError where a file could not be written in the end; ImportError where a package for it is missing.
    """

    checkpoint: Any
    every: int | None
    resume: bool
    log: Any
    tensorboard: Any
    curves: Any

    def __post_init__(self) -> None:
        check_counts(checkpoint_every=self.every)
        self.resume = truth("fit: resume", self.resume)
        if self.checkpoint is None and self.resume:
            raise OptionError("fit: resume needs a checkpoint to go on from")
        if self.checkpoint is None and self.every is not None:
            raise OptionError("fit: checkpoint_every needs a checkpoint to write")
        if self.checkpoint is not None:
            checkpoint.package()
            writable("fit: checkpoint", self.checkpoint)
        if self.log is not None:
            target = Path(os.path.realpath(as_path("fit: log", self.log)))
            if not target.parent.is_dir():
                raise FileNotFoundError(f"{target.parent}: no such folder")
            if target.is_dir():
                raise OptionError(f"fit: log is a file, {target} is a folder")
            if target.is_fifo() or target.is_socket():
                raise OptionError(f"fit: log is a file, and {target} is a pipe or a socket, which may wait for a reader for ever")
            if not os.access(target if target.exists() else target.parent, os.W_OK):
                raise PermissionError(f"{target}: cannot be written to")
        if self.tensorboard is not None:
            folder = as_path("fit: tensorboard", self.tensorboard)
            if folder.exists() and not folder.is_dir():
                raise OptionError(f"fit: tensorboard is a folder, {folder} is none")
        if self.curves is not None:
            check_picture("fit: curves", self.curves)


@dataclass
class Settings:
    """How a run trains, checked: arguments of `fit`.

    Raises: OptionError.
    """

    loss: Any
    epochs: int
    metrics: Any
    inputs: int
    accumulate: int
    clip_norm: float | None
    callbacks: Any
    verbose: bool
    unit: str
    patience: int | None
    monitor: str
    mode: Any
    held: InitVar[bool]

    def __post_init__(self, held: bool) -> None:
        for name, count in (("epochs", self.epochs), ("accumulate", self.accumulate)):
            whole(f"fit: {name}", count, 1)
        check_counts(patience=self.patience)
        if self.clip_norm is not None:
            limit("fit: clip_norm", self.clip_norm)
        if self.metrics is None:
            self.metrics = {"accuracy": accuracy} if isinstance(self.loss, str) and self.loss == "cross_entropy" else {}
        self.metrics = check_metrics(self.metrics)
        if self.mode is not None and (not isinstance(self.mode, str) or self.mode not in ("min", "max")):
            raise OptionError(f"fit: mode must be 'min' or 'max', got {self.mode!r}")
        #: Whether more of the watched value is better.
        self.rising: bool = self.patience is not None and check_monitor(self.monitor, self.mode, self.metrics, held)
        self.callbacks = check_callbacks(self.callbacks)
        self.verbose = truth("fit: verbose", self.verbose)


def check_counts(**counts: Any) -> None:
    """Raise OptionError for a number that is no int of at least 1; None is left out."""
    for name, value in counts.items():
        if value is not None:
            whole(f"fit: {name}", value, 1)


def check_metrics(metrics: Any) -> Mapping[str, Callable[..., float]]:
    """The metrics. Raises: OptionError unless they are functions by names that a row has no other use for."""
    if not isinstance(metrics, Mapping):
        raise OptionError(f"fit: metrics must be functions by name, as in {{'mae': mae}}, got a {type(metrics).__name__}")
    for name, f in metrics.items():
        if not isinstance(name, str) or name in PLAIN or name.startswith("val_"):
            raise OptionError(f"fit: a metric needs a name other than {', '.join(PLAIN)} or val_*; got {name!r}")
        if not callable(f):
            raise OptionError(f"fit: metric {name} must be a function (output, *targets), got {f!r}")
    return metrics


def check_monitor(monitor: Any, mode: Any, metrics: Mapping[str, Any], held: bool) -> bool:
    """Whether more of the watched value is better. Raises: OptionError where there is no such value or it cannot be told."""
    names = ["epoch", "step", "loss", *metrics, "lr", "seconds", *([f"val_{n}" for n in ("loss", *metrics)] if held else [])]
    if not held and isinstance(monitor, str) and monitor.startswith("val_"):
        raise OptionError(f"fit: {monitor} needs validation data")
    if not isinstance(monitor, str) or monitor not in names:
        raise OptionError(f"fit: monitor must be an entry of {', '.join(names)}, got {monitor!r}")
    if mode is not None:
        return bool(mode == "max")
    name = monitor.removeprefix("val_")
    if name == "loss":
        return False
    if metrics.get(name) is accuracy:
        return True
    raise OptionError(f"fit: whether less or more of {monitor} is better is not known: give mode='min' or mode='max'")


def check_callbacks(callbacks: Any) -> list[Any]:
    """The callbacks. Raises: OptionError unless each can be told of something."""
    if not isinstance(callbacks, list | tuple):
        raise OptionError(f"fit: callbacks must be a list of functions or objects, got {callbacks!r}")
    for one in callbacks:
        if not callable(one) and not any(callable(getattr(one, name, None)) for name in ("on_step", "on_epoch", "on_end")):
            raise OptionError(f"fit: a callback must be a function of the run, or have on_step, on_epoch or on_end; got {one!r}")
    return list(callbacks)


def check_batch(batch: Sequence[np.ndarray], loss: Any, inputs: Any) -> None:
    """Raise OptionError where a batch has fewer arrays than the model takes, or not as many targets as the loss."""
    count = whole("fit: inputs", inputs, 1)
    if len(batch) < count:
        raise OptionError(f"fit: the model takes {count} arrays of a batch, and a batch has {len(batch)}")
    op = getattr(Ops, loss, None) if isinstance(loss, str) else None
    targets = len(batch) - count
    if callable(op):
        try:
            inspect.signature(op).bind(None, None, *batch[count:])
        except TypeError as error:
            raise OptionError(f"fit: {loss} of the output and {targets} targets cannot be called: {error}") from None


def check_optimizer(model: Any, optimizer: Any) -> Optimizer:
    """The optimiser. Raises: OptionError for something that is none, or one that moves parameters of another model."""
    if not isinstance(optimizer, Optimizer):
        if not callable(optimizer):
            raise OptionError(f"fit: optimizer must be one of tl.optim, or a function of the parameters that makes one; got {optimizer!r}")
        optimizer = optimizer(model.parameters())
        if not isinstance(optimizer, Optimizer):
            raise OptionError(f"fit: the function given as optimizer makes one of tl.optim, it made a {type(optimizer).__name__}")
    names = {p: name for name, p in model.named_parameters().items()}
    foreign = [repr(p) for p in optimizer.params if p not in names]
    if foreign:
        raise OptionError(
            f"fit: the optimiser moves parameters of the model alone, but {_some(foreign)} {'is' if len(foreign) == 1 else 'are'} not among"
            f" its {len(names)} ({_some(list(names.values()))}); make it over model.parameters()"
        )
    return optimizer


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:4])}{', ...' if names[4:] else ''}"


def check_schedule(schedule: Any, optimizer: Optimizer, steps: int | None) -> Schedule:
    """The schedule. Raises: OptionError for something that is none, or one that sets the rates of another optimiser or of none."""
    if not isinstance(schedule, Schedule):
        if not callable(schedule):
            raise OptionError(f"fit: schedule must be one of tl.optim, or a function (optimizer, steps) that makes one; got {schedule!r}")
        if steps is None:
            raise OptionError("fit: the data do not say how many batches they have, so a schedule is made beforehand, not by a function")
        schedule = schedule(optimizer, steps)
        if not isinstance(schedule, Schedule):
            raise OptionError(f"fit: the function given as schedule makes one of tl.optim, it made a {type(schedule).__name__}")
    if schedule.optimizer is not optimizer:
        raise OptionError("fit: the schedule is not over this optimizer, whose rates it would leave alone")
    return schedule
