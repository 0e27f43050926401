"""`tl.fit`: train a model, show how it goes, test it, and keep what is needed to go on."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlean import tree
from tlean.arguments import truth, whole
from tlean.data.batches import Batches, as_batch
from tlean.data.datasets import DataLoader, Dataset
from tlean.errors import NumericsError, OptionError
from tlean.files import as_path
from tlean.functions import scale
from tlean.nn.metrics import accuracy
from tlean.nn.module import Module
from tlean.ops import FLOAT, Spec
from tlean.optim.clip import clip_by_norm
from tlean.optim.optimizers import Adam
from tlean.optim.updates import check_finite
from tlean.options import Options

from .checkpoint import load, save
from .checks import (
    check_batch,
    check_callbacks,
    check_checkpoint,
    check_counts,
    check_files,
    check_metrics,
    check_mode,
    check_monitor,
    check_norm,
    check_optimizer,
    check_schedule,
)
from .history import History, JsonLog, TensorBoard, plot_curves
from .progress import progress, say
from .trainer import ScalarTrainer


class Interrupt:
    """Ctrl-C during its context is noted, not raised, so that a step is whole; a second one is raised at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        # Only the main thread may set a handler, and only it is ever interrupted.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *error: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


class Meter:
    """Means over the samples seen so far, by name."""

    def __init__(self, sums: Mapping[str, float] | None = None, count: int = 0) -> None:
        self.sums: dict[str, float] = dict(sums or {})
        self.count = count

    def add(self, values: Mapping[str, float], count: int) -> None:
        """Count a batch with these means."""
        self.count += count
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * count

    def means(self) -> dict[str, float]:
        """The means."""
        return {name: total / self.count for name, total in self.sums.items()} if self.count else {}

    def report(self) -> str:
        """The means, as text."""
        return "  ".join(f"{name} {value:.4f}" for name, value in self.means().items())


@dataclass(frozen=True)
class _How:
    """The options of `fit` that a step needs."""

    epochs: int
    metrics: Mapping[str, Callable[..., float]]
    inputs: int
    accumulate: int
    clip_norm: float | None
    listeners: Sequence[Any]
    verbose: bool
    unit: str
    checkpoint: str | os.PathLike[str] | None
    every: int | None


class Run:
    """A training run, as callbacks see it: `model`, `optimizer`, `trainer`, `history`, `epoch` and `step` (both counted from 1)."""

    def __init__(self, model: Any, trainer: ScalarTrainer, evaluator: ScalarTrainer, optimizer: Any, loader: Any) -> None:
        self.model, self.trainer, self.evaluator, self.optimizer, self.loader = model, trainer, evaluator, optimizer, loader
        self.history = History()
        # Looked for once: a step has no time to walk through the model.
        self.buffers = model.buffers()
        self.epoch = self.step = 0
        # A loader that was used before begins at a later epoch than 0.
        self.first = int(loader.state_dict()["epoch"])
        self.reason = ""
        self.schedule: Any = None
        self.meter = Meter()
        self.seconds = 0.0
        #: The best value watched so far, its epoch, and the model then.
        self.best: tuple[float, int, dict[str, Any]] | None = None

    @property
    def done(self) -> int:
        """How many epochs are complete."""
        return int(self.loader.state_dict()["epoch"]) - self.first

    def stop(self, reason: str) -> None:
        """End the run after this step."""
        self.reason = self.reason or reason

    # What a checkpoint holds beside trainer, optimiser, schedule and loader.

    def state_dict(self) -> dict[str, Any]:
        """Counts, sums and the record, for `tl.save`."""
        best = None if self.best is None else {"value": self.best[0], "epoch": self.best[1], "state": self.best[2]}
        return {
            "epoch": self.epoch,
            "step": self.step,
            "first": self.first,
            "sums": self.meter.sums,
            "count": self.meter.count,
            "seconds": self.seconds,
            "step_loss": np.array(self.history.step_loss, np.float64),
            "epochs": self.history.epochs,
            "best": best,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.epoch, self.step, self.first = int(state["epoch"]), int(state["step"]), int(state["first"])
        self.seconds = float(state["seconds"])
        self.meter = Meter(state["sums"], int(state["count"]))
        self.history = History([float(x) for x in state["step_loss"]], [dict(row) for row in state["epochs"]])
        best = state["best"]
        self.best = None if best is None else (float(best["value"]), int(best["epoch"]), dict(best["state"]))

    def parts(self) -> dict[str, Any]:
        """What is saved, by name."""
        found = {"trainer": self.trainer, "optimizer": self.optimizer, "loader": self.loader, "run": self}
        return found if self.schedule is None else found | {"schedule": self.schedule}


def fit(
    model: Any,
    data: Any,
    loss: Any,
    optimizer: Any = None,
    epochs: int = 1,
    *,
    batch_size: int = 32,
    validation: Any = None,
    metrics: Mapping[str, Callable[..., float]] | None = None,
    schedule: Any = None,
    accumulate: int = 1,
    clip_norm: float | None = None,
    inputs: int = 1,
    seed: int = 0,
    options: Options | None = None,
    patience: int | None = None,
    monitor: str = "val_loss",
    mode: str | None = None,
    callbacks: Sequence[Any] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    log: str | os.PathLike[str] | None = None,
    tensorboard: str | os.PathLike[str] | None = None,
    curves: str | os.PathLike[str] | None = None,
    verbose: bool = True,
    unit: str = "samples",
) -> History:
    """Train a model. Its parameters are trained in place; it stays usable whenever and however the run ends.

        model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        history = tl.fit(model, (images, labels), "cross_entropy", tl.optim.Adam, epochs=5, validation=(test_images, test_labels))

    Ctrl-C ends the run after the step it is in: the checkpoint is written and the history returned, `ended` being "interrupted".

    Args:
        model: a `tl.nn.Module`; training steps run each layer in the mode it has, evaluation runs all in evaluation mode.
        data: a `Dataset`, or a tuple of arrays of inputs and targets, of which shuffled batches are made; a `DataLoader`; or any iterable
            of batches, such as a loader of another library (see `tl.data.Batches`).
        loss: the name of an op (`"cross_entropy"`, `"mse_loss"`), or `loss(ops, output, *targets)`; a mean over samples.
        optimizer: of `tl.optim`, over the model's parameters, or a function of them that makes it; Adam by default.
        epochs: passes over the data, those before a resumed run included.
        batch_size: where `data` is no loader.
        validation: as `data`, but not shuffled; evaluated after every epoch.
        metrics: by name, `f(output, *targets) -> float` on arrays, averaged over samples; accuracy by default with cross_entropy.
        schedule: over the optimiser, or a function `(optimizer, steps in all)` that makes one; it steps with the optimiser.
        accumulate: batches whose gradients are averaged into one step of the optimiser.
        clip_norm: the largest joint norm of the gradients.
        inputs: how many of a batch's arrays the model takes; the rest are targets.
        seed: of the shuffles and the random ops.
        options: how to compute; the compiled backend in the model's dtype by default. Every backend gives the same bits.
        patience: epochs without a better `monitor` before the run ends; at the end the best epoch's model is put back.
        monitor: an entry of the epoch's row.
        mode: "min" if less of `monitor` is better, "max" if more is. None where it is known: less of a loss, more of the accuracy of
            `tl.nn.metrics`.
        callbacks: functions of the `Run`, called after every epoch; or objects with `on_step`, `on_epoch` or `on_end`.
        checkpoint: a file written by `tl.save` after every epoch and at the end.
        checkpoint_every: steps after which it is written within an epoch too.
        resume: go on from the checkpoint, if it is there, as if the run had never stopped.
        log: a file that gets a line of JSON for every epoch.
        tensorboard: a folder that gets events (package tensorboardX).
        curves: a picture of losses and metrics, drawn at the end (package matplotlib).
        verbose: show the progress and print a line for every epoch, to standard error.
        unit: what the samples are called.

    Returns: a `History`.

    Raises: OptionError for options that do not fit, FileNotFoundError and the like for files that could not be written, ImportError for a
        package that is missing, all before the first step; NumericsError where the loss is no longer finite; what the ops and callbacks
        raise. An error that ends a run has the `History` so far as its attribute `history`. Curves that cannot be drawn are a
        RuntimeWarning.
    """
    check_counts(epochs=epochs, accumulate=accumulate, patience=patience, checkpoint_every=checkpoint_every)
    check_norm(clip_norm)
    if not isinstance(model, Module):
        raise OptionError(f"fit: the model must be a tl.nn.Module, got a {type(model).__name__}")
    if not isinstance(options, Options | None):
        raise OptionError(f"fit: options must be a tl.Options, got a {type(options).__name__}")
    if metrics is None:
        metrics = {"accuracy": accuracy} if isinstance(loss, str) and loss == "cross_entropy" else {}
    metrics = check_metrics(metrics)
    check_mode(mode)
    rising = patience is not None and check_monitor(monitor, mode, metrics, validation is not None)
    listeners, verbose = check_callbacks(callbacks), truth("fit: verbose", verbose)
    resume = check_checkpoint(checkpoint, checkpoint_every, resume)
    check_files(checkpoint, log, tensorboard, curves)
    loader = _loader(data, epochs, batch_size, True, whole("fit: seed", seed))
    held = None if validation is None else _loader(validation, epochs, getattr(loader, "batch_size", batch_size), False, 0)
    # A pass that was left half-way is continued, not restarted.
    loader.load_state_dict(loader.state_dict())
    batch = _first(loader)
    check_batch(batch, loss, inputs)
    state = model.state()
    options = options or Options(backend="compiled", seed=seed, dtype=state[0].dtype if state else "float32")
    if options.seed is None:
        options = options.replace(seed=seed)
    specs = [_spec(a) for a in batch]
    trainer = ScalarTrainer(options, state, specs, model.program(loss, inputs))
    evaluator = ScalarTrainer(options, state, specs, model.program(loss, inputs, training=False))
    optimizer = check_optimizer(model, Adam if optimizer is None else optimizer)
    # The running statistics of a step are stored with it.
    trainer.store_with_step(lambda aux: zip(run.buffers, aux["buffers"], strict=True))
    run = Run(model, trainer, evaluator, optimizer, loader)
    if schedule is not None:
        run.schedule = check_schedule(schedule, optimizer, _steps(loader, epochs, accumulate))
    if held is not None:
        _rehearse(evaluator, _first(held))
    if resume and as_path("fit: checkpoint", checkpoint).exists():
        load(as_path("fit: checkpoint", checkpoint), **run.parts())
    listeners += [*([JsonLog(log)] if log is not None else []), *([TensorBoard(tensorboard)] if tensorboard is not None else [])]

    how = _How(epochs, metrics, inputs, accumulate, clip_norm, listeners, verbose, unit, checkpoint, checkpoint_every)
    try:
        _run(run, how, held, patience, monitor, rising)
    except BaseException as error:
        # The record of what was done is worth more than the run.
        error.history = run.history  # type: ignore[attr-defined]
        raise
    if patience is not None and run.best is not None and run.reason != "interrupted":
        model.load_state_dict(run.best[2])
    run.history.ended = run.reason or "done"
    if verbose and run.history.ended != "done":
        where = f"; {checkpoint} is there to go on from" if checkpoint is not None else ""
        say(f"stopped in epoch {run.epoch}, after step {run.step}: {run.history.ended}{where}")
    if curves is not None:
        try:
            plot_curves(run.history, curves)
        except Exception as error:
            # Where warnings are errors, this one ends the run, and has the record too.
            told = RuntimeWarning(f"fit: the curves were not drawn: {error}")
            told.history = run.history  # type: ignore[attr-defined]
            warnings.warn(told, stacklevel=2)
    return run.history


def _run(run: Run, how: _How, held: Any, patience: int | None, monitor: str, rising: bool) -> None:
    """All epochs, up to the last checkpoint."""
    with Interrupt() as interrupt:
        try:
            while not run.reason and run.done < how.epochs:
                _epoch(run, how, interrupt)
                if run.done < run.epoch:
                    break
                row = {"epoch": run.epoch, "step": run.step, **run.meter.means(), "lr": float(run.optimizer.lr), "seconds": run.seconds}
                if held is not None:
                    row |= {f"val_{k}": v for k, v in evaluate(run.evaluator, held, how.metrics, how.inputs).items()}
                run.history.epochs.append(row)
                run.meter, run.seconds = Meter(), 0.0
                if how.verbose:
                    shown = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k not in ("epoch", "step", "seconds"))
                    say(f"epoch {run.epoch}/{how.epochs}  {shown}  {row['seconds']:.1f} s")
                if patience is not None:
                    _watch(run, row, monitor, patience, rising)
                _tell(how.listeners, "on_epoch", run)
                if how.checkpoint is not None:
                    save(how.checkpoint, **run.parts())
                if interrupt.asked:
                    run.stop("interrupted")
            if how.checkpoint is not None and run.reason:
                save(how.checkpoint, **run.parts())
        finally:
            _tell(how.listeners, "on_end", run)


def evaluate(
    trainer: ScalarTrainer, data: Any, metrics: Mapping[str, Callable[..., float]] | None = None, inputs: int = 1
) -> dict[str, float]:
    """The mean loss and metrics of a trainer made from `Module.program`, over all samples of a `DataLoader` or `Batches`."""
    meter = Meter()
    # A loader's own epochs go on as if they had not been read here.
    for batch in data if isinstance(data, Batches) else (data.batch(0, k) for k in range(len(data))):
        value = trainer.forward(*batch).item()
        meter.add({"loss": value, **_measured(metrics or {}, trainer.aux["output"], batch[inputs:])}, len(batch[0]))
    return meter.means()


def _loader(data: Any, epochs: int, batch_size: int, shuffle: bool, seed: int) -> Any:
    """The data as a `DataLoader` or as `Batches`. Raises: OptionError where they cannot be passed as often as there are epochs."""
    if isinstance(data, list) and data and all(isinstance(one, tuple) and _same_length(one) for one in data):
        raise OptionError(
            "fit: a list of tuples of arrays of one length may hold batches or samples: give tl.data.Batches(data) for batches,"
            " tl.data.DataLoader(data, batch_size) for samples"
        )
    known = isinstance(data, DataLoader | Batches)
    if not known and not isinstance(data, Dataset | tuple | list) and not hasattr(data, "__array__"):
        data, known = Batches(data), True
    loader = data if known else DataLoader(data, batch_size, shuffle=shuffle, seed=seed)
    if isinstance(loader, Batches) and loader.once and epochs > 1:
        raise OptionError(f"fit: the data are an iterator, which gives one epoch, not {epochs}: give a list, or a loader")
    if isinstance(loader, DataLoader) and not len(loader):
        raise OptionError("fit: the data holds no batch")
    return loader


def _same_length(arrays: tuple[Any, ...]) -> bool:
    shapes = [np.shape(a) for a in arrays if hasattr(a, "__array__")]
    return len(shapes) == len(arrays) > 0 and all(s and s[0] == shapes[0][0] for s in shapes)


def _first(loader: Any) -> tuple[np.ndarray, ...]:
    return loader.first() if isinstance(loader, Batches) else as_batch(loader.batch(0, 0))


def _steps(loader: Any, epochs: int, accumulate: int) -> int | None:
    """The number of steps in all; None where the batches cannot be counted."""
    try:
        return epochs * -(-len(loader) // accumulate)
    except TypeError:
        return None


def _rehearse(evaluator: ScalarTrainer, batch: Sequence[np.ndarray]) -> None:
    # Validation data that do not fit are found before the first step, not after the first epoch.
    stream = evaluator._steps.stream_state
    evaluator.forward(*batch)
    evaluator._steps.stream_state = stream


def _spec(array: Any) -> Spec:
    kind = {"i": "int64", "u": "int64", "b": "bool"}.get(np.asarray(array).dtype.kind, FLOAT)
    return Spec(tuple(np.shape(array)), kind)


def _measured(metrics: Mapping[str, Callable[..., float]], output: Any, targets: Sequence[Any]) -> dict[str, float]:
    found = {}
    if metrics:
        output = tree.map(np.asarray, output)
    for name, f in metrics.items():
        value = f(output, *targets)
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            raise OptionError(f"fit: metric {name} returns a number, got {value!r}") from None
    return found


def _tell(listeners: Sequence[Any], event: str, run: Run) -> None:
    for listener in listeners:
        hook = getattr(listener, event, None)
        if hook is not None:
            hook(run)
        elif event == "on_epoch" and callable(listener):
            listener(run)


def _watch(run: Run, row: Mapping[str, float], monitor: str, patience: int, rising: bool) -> None:
    value = -row[monitor] if rising else row[monitor]
    # Nothing is worse than NaN.
    if run.best is None or value < run.best[0] or math.isnan(run.best[0]):
        run.best = (value, run.epoch, run.model.state_dict())
    elif run.epoch - run.best[1] >= patience:
        run.stop(f"no better {monitor} since epoch {run.best[1]}")


def _groups(batches: Iterator[Any], size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _epoch(run: Run, how: _How, interrupt: Interrupt) -> None:
    """The steps of one epoch, or what is left of it."""
    start = run.loader.state_dict()
    run.epoch = run.done + 1
    groups: Any = _groups(iter(run.loader), how.accumulate)
    if how.verbose:
        left = None if isinstance(run.loader, Batches) else _left(run.loader, start["batch"])
        groups = progress(groups, f"epoch {run.epoch}/{how.epochs}", left, run.meter.report, lambda g: sum(len(b[0]) for b in g), how.unit)
    begun = time.perf_counter()
    before = run.seconds
    for group in groups:
        try:
            value = _step(run, how, group)
        except NumericsError as error:
            # The weights are those of before the step.
            what = str(error).partition(";")[0]
            raise NumericsError(f"fit: {what} at step {run.step + 1} (epoch {run.epoch}): try a smaller learning rate") from None
        run.step += 1
        run.seconds = before + time.perf_counter() - begun
        run.history.step_loss.append(value)
        if run.schedule is not None:
            run.schedule.step()
        _tell(how.listeners, "on_step", run)
        if how.checkpoint is not None and how.every and run.step % how.every == 0 and run.done < run.epoch:
            save(how.checkpoint, **run.parts())
        if interrupt.asked and run.done < run.epoch:
            run.stop("interrupted")
        if run.reason and run.done < run.epoch:
            groups.close()
            return


def _left(loader: DataLoader, begun: int) -> int:
    """The samples of an epoch from this batch on."""
    samples = len(loader.dataset)
    return samples - begun * loader.batch_size - (samples % loader.batch_size if loader.drop_last else 0)


def _step(run: Run, how: _How, group: Sequence[Any]) -> float:
    """One step of the optimiser from a group of batches; the loss before it."""
    sizes = [len(batch[0]) for batch in group]
    if len(group) == 1:
        value = run.trainer.optim_step(run.optimizer, *group[0], clip_norm=how.clip_norm, check_finite=True).item()
        if not math.isfinite(value):
            raise NumericsError(f"the loss became {value}")
        _count(run, how, value, group[0])
        return value
    # The batches move the buffers and the random stream one after the other; if the step is not taken, they go back.
    buffers, stream = [b.get() for b in run.model.buffers()], run.trainer.stream_state
    try:
        return _accumulated(run, how, group, sizes)
    except BaseException:
        run.trainer.stream_state = stream
        run.model.set_buffers(buffers)
        raise


def _accumulated(run: Run, how: _How, group: Sequence[Any], sizes: Sequence[int]) -> float:
    # The mean over all samples: each batch's mean gradient counts by its size.
    total: dict[Any, Any] = {}
    mean = 0.0
    for batch, size in zip(group, sizes, strict=True):
        share = size / sum(sizes)
        for p, g in zip(run.trainer.params, run.trainer.backward(*batch), strict=True):
            if g is not None:
                part = scale(g, share)
                total[p] = total[p].add(part) if p in total else part
        value = float(run.trainer.aux["loss"].item())
        run.model.set_buffers(run.trainer.aux["buffers"])
        _count(run, how, value, batch)
        mean += share * value
    grads: Any = total
    if not math.isfinite(mean):
        raise NumericsError(f"the loss became {mean}")
    check_finite(run.trainer.aux["loss"], list(total.values()), "a gradient")
    if how.clip_norm is not None:
        grads, norm = clip_by_norm(total, how.clip_norm)
        if not math.isfinite(norm):
            raise NumericsError(f"the norm of the gradients became {norm}")
    run.optimizer.step(grads)
    return mean


def _count(run: Run, how: _How, value: float, batch: Sequence[Any]) -> None:
    run.meter.add({"loss": value, **_measured(how.metrics, run.trainer.aux["output"], batch[how.inputs :])}, len(batch[0]))
