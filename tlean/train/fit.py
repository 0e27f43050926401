"""`tl.fit`: train a model, show how it goes, test it, and keep what is needed to go on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tlean.arguments import whole
from tlean.data.batches import Batches, as_batch
from tlean.data.datasets import DataLoader, Dataset
from tlean.errors import OptionError
from tlean.files import as_path
from tlean.nn.module import Module
from tlean.ops import FLOAT, Spec
from tlean.optim.optimizers import Adam
from tlean.options import Options

from .checkpoint import load
from .checks import Files, Settings, check_batch, check_optimizer, check_schedule
from .history import History, JsonLog, TensorBoard, plot_curves
from .loop import Run, train
from .progress import say
from .trainer import ScalarTrainer


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
    mode: Literal["min", "max"] | None = None,
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
        loss: the name of an op (`"cross_entropy"`, `"mse_loss"`), or a function `loss(output, *targets)` or `loss(ops, output, *targets)`;
            a mean over samples.
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
    held = validation is not None
    settings = Settings(loss, epochs, metrics, inputs, accumulate, clip_norm, callbacks, verbose, unit, patience, monitor, mode, held)
    files = Files(checkpoint, checkpoint_every, resume, log, tensorboard, curves)
    run = begin(Parts(), model, data, optimizer, batch_size, validation, schedule, whole("fit: seed", seed), options, settings, files)
    return finish(run)


class Parts:
    """What a run is made of: that of one process."""

    run: type[Run] = Run

    def loader(self, loader: Any) -> Any:
        """The training data as the run reads them.

        Args:
            loader: a `DataLoader` or `Batches`.
        """
        return loader

    def first(self, loader: Any) -> tuple[np.ndarray, ...]:
        """A batch that shows what batches are like.

        Args:
            loader: a `DataLoader` or `Batches`.
        """
        return loader.first() if isinstance(loader, Batches) else as_batch(loader.batch(0, 0))

    def trainer(self, options: Options, state: Sequence[Any], specs: Sequence[Spec], loss: Callable[..., Any]) -> ScalarTrainer:
        """What takes the steps.

        Args:
            options, state, specs, loss: as for a `ScalarTrainer`.
        """
        return ScalarTrainer(options, state, specs, loss)

    def restore(self, run: Run) -> None:
        """Go on from the checkpoint, if it is there.

        Args:
            run: before its first step.
        """
        path = as_path("fit: checkpoint", run.files.checkpoint)
        if path.exists():
            load(path, **run.parts())


def begin(
    parts: Parts,
    model: Any,
    data: Any,
    optimizer: Any,
    batch: int,
    validation: Any,
    schedule: Any,
    seed: int,
    options: Any,
    settings: Settings,
    files: Files,
) -> Run:
    """The run before its first step, or where its checkpoint left it.

    Args:
        parts: what it is made of.
        model, data, optimizer, validation, schedule, options: as for `fit`.
        batch: the batch size, where the data are no loader.
        seed: of the shuffles and the random ops.
        settings, files: the rest, checked.
    """
    if not isinstance(model, Module):
        raise OptionError(f"fit: the model must be a tl.nn.Module, got a {type(model).__name__}")
    if not isinstance(options, Options | None):
        raise OptionError(f"fit: options must be a tl.Options, got a {type(options).__name__}")
    loss, epochs, inputs = settings.loss, settings.epochs, settings.inputs
    loader = _loader(data, epochs, batch, True, seed)
    held = None if validation is None else _loader(validation, epochs, getattr(loader, "batch_size", batch), False, 0)
    # A pass that was left half-way is continued, not restarted.
    loader.load_state_dict(loader.state_dict())
    arrays = parts.first(loader)
    check_batch(arrays, loss, inputs)
    state = model.state()
    options = options or Options(backend="compiled", seed=seed, dtype=state[0].dtype if state else "float32")
    if options.seed is None:
        options = options.replace(seed=seed)
    specs = [_spec(a) for a in arrays]
    trainer = parts.trainer(options, state, specs, model.program(loss, inputs))
    evaluator = ScalarTrainer(options, state, specs, model.program(loss, inputs, training=False))
    optimizer = check_optimizer(model, Adam if optimizer is None else optimizer)
    run = parts.run(model, trainer, evaluator, optimizer, parts.loader(loader), held, settings, files)
    # The running statistics of a step are stored with it.
    trainer.store_with_step(lambda aux: zip(run.buffers, aux["buffers"], strict=True))
    if schedule is not None:
        run.schedule = check_schedule(schedule, optimizer, _count(loader, epochs, settings.accumulate))
    if held is not None:
        _rehearse(evaluator, parts.first(held))
    if files.resume:
        parts.restore(run)
    run.listeners += [JsonLog(files.log)] if files.log is not None else []
    run.listeners += [TensorBoard(files.tensorboard)] if files.tensorboard is not None else []
    return run


def finish(run: Run) -> History:
    """The whole run: its epochs, then the best model, the last line and the curves.

    Args:
        run: as `begin` made it.
    """
    try:
        train(run)
    except BaseException as error:
        # The record of what was done is worth more than the run.
        error.history = run.history  # type: ignore[attr-defined]
        raise
    if run.settings.patience is not None and run.best is not None and run.reason != "interrupted":
        run.model.load_state_dict(run.best[2])
    run.history.ended = run.reason or "done"
    if run.settings.verbose and run.history.ended != "done":
        where = f"; {run.files.checkpoint} is there to go on from" if run.files.checkpoint is not None else ""
        say(f"stopped in epoch {run.epoch}, after step {run.step}: {run.history.ended}{where}")
    if run.files.curves is not None:
        try:
            plot_curves(run.history, run.files.curves)
        except Exception as error:
            # Where warnings are errors, this one ends the run, and has the record too.
            told = RuntimeWarning(f"fit: the curves were not drawn: {error}")
            told.history = run.history  # type: ignore[attr-defined]
            warnings.warn(told, stacklevel=3)
    return run.history


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


def _count(loader: Any, epochs: int, accumulate: int) -> int | None:
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
