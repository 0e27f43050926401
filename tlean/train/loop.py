"""The loop of `tl.fit`: epochs, the steps of one epoch, evaluation, and what callbacks, checkpoints and Ctrl-C see of it."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tlean import tree
from tlean.data.batches import Batches
from tlean.data.datasets import DataLoader
from tlean.errors import NumericsError, OptionError
from tlean.functions import scale
from tlean.optim.clip import clip_by_norm
from tlean.optim.updates import check_finite

from .checkpoint import save
from .checks import Files, Settings
from .history import History
from .progress import progress, say
from .trainer import ScalarTrainer


class Interrupt:
    """Ctrl-C during its context is noted, not raised, so that a step is whole; a second one is raised at once."""

    def __init__(self) -> None:
        self.asked: bool = False
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

    count: int

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


class Run:
    """A training run, as callbacks see it: `model`, `optimizer`, `trainer`, `history`, `epoch` and `step` (both counted from 1)."""

    model: Any
    trainer: ScalarTrainer
    evaluator: ScalarTrainer
    optimizer: Any
    loader: Any
    validation: Any
    settings: Settings
    files: Files
    epoch: int
    step: int
    first: int

    def __init__(
        self,
        model: Any,
        trainer: ScalarTrainer,
        evaluator: ScalarTrainer,
        optimizer: Any,
        loader: Any,
        validation: Any,
        settings: Settings,
        files: Files,
    ) -> None:
        self.model, self.trainer, self.evaluator, self.optimizer = model, trainer, evaluator, optimizer
        self.loader, self.validation, self.settings, self.files = loader, validation, settings, files
        self.listeners: list[Any] = list(settings.callbacks)
        self.history: History = History()
        # Looked for once: a step has no time to walk through the model.
        self.buffers: Any = model.buffers()
        self.epoch = self.step = 0
        # A loader that was used before begins at a later epoch than 0.
        self.first = int(loader.state_dict()["epoch"])
        self.reason: str = ""
        self.schedule: Any = None
        self.meter: Meter = Meter()
        self.seconds: float = 0.0
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
        self.meter = type(self.meter)(state["sums"], int(state["count"]))
        self.history = History([float(x) for x in state["step_loss"]], [dict(row) for row in state["epochs"]])
        best = state["best"]
        self.best = None if best is None else (float(best["value"]), int(best["epoch"]), dict(best["state"]))

    def parts(self) -> dict[str, Any]:
        """What is saved, by name."""
        found = {"trainer": self.trainer, "optimizer": self.optimizer, "loader": self.loader, "run": self}
        return found if self.schedule is None else found | {"schedule": self.schedule}

    def save(self) -> None:
        """Write the checkpoint, if there is one."""
        self.settle()
        if self.files.checkpoint is not None:
            self.write()

    def write(self) -> None:
        """Write the checkpoint."""
        save(self.files.checkpoint, **self.parts())

    # What several processes that train together do in their own way.

    def settle(self) -> None:
        """Bring the means so far up to date."""

    def agree(self, asked: bool, epoch: bool = False) -> None:
        """End the run after this step where that was asked for, as Ctrl-C does; `epoch` is true behind an epoch."""
        if asked:
            self.stop("interrupted")

    def evaluate(self) -> dict[str, float]:
        """The mean loss and metrics over all samples of the validation data."""
        meter = Meter()
        for number, batch in _validation(self.validation):
            meter.add(*self.evaluated(number, batch))
        return meter.means()

    def evaluated(self, number: int, batch: Any) -> tuple[dict[str, float], int]:
        """The means over a batch of the validation data, and its size."""
        value = self.evaluator.forward(*batch).item()
        targets = batch[self.settings.inputs :]
        return {"loss": value, **measured(self.settings.metrics, self.evaluator.aux["output"], targets)}, len(batch[0])

    def tell(self, event: str) -> None:
        """Call what listens to "on_step", "on_epoch" or "on_end"."""
        for listener in self.listeners:
            hook = getattr(listener, event, None)
            if hook is not None:
                hook(self)
            elif event == "on_epoch" and callable(listener):
                listener(self)

    def count(self, value: float, batch: Sequence[Any]) -> None:
        """Add a batch with this loss to the epoch's means."""
        inputs, metrics = self.settings.inputs, self.settings.metrics
        self.meter.add({"loss": value, **measured(metrics, self.trainer.aux["output"], batch[inputs:])}, len(batch[0]))


def train(run: Run) -> None:
    """All epochs, up to the last checkpoint."""
    with Interrupt() as interrupt:
        try:
            while not run.reason and run.done < run.settings.epochs:
                _steps(run, interrupt)
                if run.done < run.epoch:
                    break
                _end_epoch(run)
                run.agree(interrupt.asked, epoch=True)
            if run.reason:
                run.save()
        finally:
            run.tell("on_end")


# One epoch ----------------------------------------------------------------------------------------------------------------


def _steps(run: Run, interrupt: Interrupt) -> None:
    """The steps of one epoch, or what is left of it."""
    settings, every = run.settings, run.files.every
    start = run.loader.state_dict()
    run.epoch = run.done + 1
    groups: Any = _groups(iter(run.loader), settings.accumulate)
    if settings.verbose:
        left = None if isinstance(run.loader, Batches) else _left(run.loader, start["batch"])
        title = f"epoch {run.epoch}/{settings.epochs}"
        groups = progress(groups, title, left, run.meter.report, lambda g: sum(map(_size, g)), settings.unit)
    begun = time.perf_counter()
    before = run.seconds
    for group in groups:
        try:
            value = _step(run, group)
        except NumericsError as error:
            # The weights are those of before the step.
            what = str(error).partition(";")[0]
            raise NumericsError(f"fit: {what} at step {run.step + 1} (epoch {run.epoch}): try a smaller learning rate") from None
        run.step += 1
        run.seconds = before + time.perf_counter() - begun
        run.history.step_loss.append(value)
        if run.schedule is not None:
            run.schedule.step()
        run.tell("on_step")
        if run.done < run.epoch:
            if every and run.step % every == 0:
                run.save()
            run.agree(interrupt.asked)
            if run.reason:
                groups.close()
                return


def _end_epoch(run: Run) -> None:
    """What follows the last step of an epoch: its row, the callbacks, the checkpoint."""
    run.settle()
    row = {"epoch": run.epoch, "step": run.step, **run.meter.means(), "lr": float(run.optimizer.lr), "seconds": run.seconds}
    if run.validation is not None:
        row |= {f"val_{k}": v for k, v in run.evaluate().items()}
    run.history.epochs.append(row)
    run.meter, run.seconds = type(run.meter)(), 0.0
    if run.settings.verbose:
        shown = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k not in ("epoch", "step", "seconds"))
        say(f"epoch {run.epoch}/{run.settings.epochs}  {shown}  {row['seconds']:.1f} s")
    if run.settings.patience is not None:
        _watch(run, row, run.settings.patience)
    run.tell("on_epoch")
    run.save()


def _validation(data: Any) -> Iterator[tuple[int, Any]]:
    # Read by position: the loader's epochs do not move.
    return enumerate(data if isinstance(data, Batches) else (data.batch(0, k) for k in range(len(data))))


def _size(batch: Any) -> int:
    # The rows of a batch, of which this process may have a part.
    return int(getattr(batch, "rows", len(batch[0])))


def measured(metrics: Mapping[str, Callable[..., float]], output: Any, targets: Sequence[Any]) -> dict[str, float]:
    """The metrics of a batch. Raises: OptionError for one that gives no number."""
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


def _watch(run: Run, row: Mapping[str, float], patience: int) -> None:
    monitor = run.settings.monitor
    value = -row[monitor] if run.settings.rising else row[monitor]
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


def _left(loader: DataLoader, begun: int) -> int:
    """The samples of an epoch from this batch on."""
    samples = len(loader.dataset)
    return samples - begun * loader.batch_size - (samples % loader.batch_size if loader.drop_last else 0)


# One step -----------------------------------------------------------------------------------------------------------------


def _step(run: Run, group: Sequence[Any]) -> float:
    """One step of the optimiser from a group of batches; the loss before it."""
    sizes = [_size(batch) for batch in group]
    if len(group) == 1:
        value = run.trainer.optim_step(run.optimizer, *group[0], clip_norm=run.settings.clip_norm, check_finite=True).item()
        if not math.isfinite(value):
            raise NumericsError(f"the loss became {value}")
        run.count(value, group[0])
        return value
    # The batches move the buffers and the random stream one after the other; if the step is not taken, they go back.
    buffers, stream = [b.get() for b in run.model.buffers()], run.trainer.stream_state
    try:
        return _accumulated(run, group, sizes)
    except BaseException:
        run.trainer.stream_state = stream
        run.model.set_buffers(buffers)
        raise


def _accumulated(run: Run, group: Sequence[Any], sizes: Sequence[int]) -> float:
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
        run.count(value, batch)
        mean += share * value
    grads: Any = total
    if not math.isfinite(mean):
        raise NumericsError(f"the loss became {mean}")
    check_finite(run.trainer.aux["loss"], list(total.values()), "a gradient")
    if run.settings.clip_norm is not None:
        grads, norm = clip_by_norm(total, run.settings.clip_norm)
        if not math.isfinite(norm):
            raise NumericsError(f"the norm of the gradients became {norm}")
    run.optimizer.step(grads)
    return mean
