"""`tl.fit` over several ranks."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tlean.arguments import whole
from tlean.errors import OptionError
from tlean.files import as_path
from tlean.train import fit as single
from tlean.train.checkpoint import load
from tlean.train.checks import Files, Settings
from tlean.train.history import History
from tlean.train.loop import Meter, Run, measured

from .loader import ShardedLoader
from .norm import has_batch_norm, synchronised
from .trainer import BUCKET_BYTES, ScalarTrainer
from .world import World
from .world import world as job

_SIGNATURE = inspect.signature(single.fit)


class RankMeter(Meter):
    """Means over the samples of all ranks, exact and in no order: sums are rounded once. Shows this rank's own in between."""

    def __init__(self, sums: Mapping[str, float] | None = None, count: int = 0) -> None:
        super().__init__(sums, count)
        #: What this rank has counted since the ranks last added up: (means, rows), one for each block.
        self.own: list[tuple[dict[str, float], int]] = []

    def report(self) -> str:
        """This rank's means, as text."""
        shown = Meter(self.sums, self.count)
        for values, rows in self.own:
            shown.add(values, rows)
        return shown.report()

    def add_up(self, world: World) -> None:
        """Count what all ranks have counted.

        Args:
            world: the ranks.
        """
        parts = [part for own in world.gather(self.own) for part in own]
        self.own = []
        self.count += sum(rows for _, rows in parts)
        for name in dict.fromkeys(name for values, _ in parts for name in values):
            self.sums[name] = math.fsum([self.sums.get(name, 0.0), *(values[name] * rows for values, rows in parts)])


class RunTrainer(ScalarTrainer):
    """The trainer of a run: `aux` is that of the first block, whose loss and buffers are means over all rows."""

    @property
    def aux(self) -> Any:
        """What the loss returned beside the scalar in the last call, as arrays."""
        return self._aux[0] if self._aux else None

    @aux.setter
    def aux(self, value: Any) -> None:
        self._keep(value)


class RankRun(Run):
    """A training run of all ranks, as each sees it.

    Callbacks run on every rank; `run.world.root` says which is the first. Its model, history and rows are the same on all.
    """

    trainer: ScalarTrainer
    loader: ShardedLoader
    meter: RankMeter

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        #: The ranks.
        self.world: World = self.trainer.how.world
        self.meter = RankMeter()
        # Why this rank requests an end; all end together.
        self._wish = ""

    def count(self, value: float, batch: Sequence[Any]) -> None:
        """Add this rank's rows of a batch to the epoch's means."""
        inputs, metrics, at = self.settings.inputs, self.settings.metrics, 0
        trees = iter(self.trainer._aux)
        for rows in self.loader.block_rows(batch.rows):  # type: ignore[attr-defined]
            if rows:
                aux, targets = next(trees), [a[at : at + rows] for a in batch[inputs:]]
                self.meter.own.append(({"loss": value, **measured(metrics, aux["output"], targets)}, rows))
            at += rows

    def settle(self) -> None:
        """Add up what the ranks have counted."""
        self.meter.add_up(self.world)

    def stop(self, reason: str) -> None:
        """Ask all ranks to end the run; they do after the next step, or with the epoch."""
        self._wish = self._wish or reason

    def agree(self, asked: bool, epoch: bool = False) -> None:
        """End the run where a rank asked for it before this step began, or in this epoch: all do at once."""
        if asked:
            self.stop("interrupted")
        if self.trainer.asked or epoch:
            # The first rank that says why.
            self.reason: Any = self.reason or next(filter(None, self.world.gather(self._wish)), "")
        self.trainer.ask = bool(self._wish)

    def write(self) -> None:
        """Write the checkpoint: rank 0 does."""
        if self.world.root:
            super().write()
        self.world.barrier()
        self.world.note(f"{self.files.checkpoint} is there to go on from, of step {self.step}")

    def evaluate(self) -> dict[str, float]:
        """The means over the validation data, whose batches are shared out whole: the numbers of a single process."""
        self._evaluated: dict[int, Any] = {}
        super().evaluate()
        means, meter = {}, Meter()
        for found in self.world.gather(self._evaluated):
            means.update(found)
        for number in sorted(means):
            meter.add(*means[number])
        return meter.means()

    def evaluated(self, number: int, batch: Any) -> tuple[dict[str, float], int]:
        """The means over a batch that is this rank's, and its size."""
        if number % self.world.size != self.world.rank:
            return {}, 0
        self._evaluated[number] = super().evaluated(number, batch)
        return self._evaluated[number]


class RankParts(single.Parts):
    """What a run of several ranks is made of.

    Args:
        world: the ranks.
        trainer: makes the trainer.
        blocks: into how many blocks a batch is cut.
    """

    world: World
    trainer: Callable[..., ScalarTrainer]
    blocks: int | None

    run: Any = RankRun

    def __init__(self, world: World, trainer: Callable[..., ScalarTrainer], blocks: int | None) -> None:
        self.world, self.trainer, self.blocks = world, trainer, blocks  # type: ignore[method-assign]

    def loader(self, loader: Any) -> ShardedLoader:
        """The training data as this rank reads them.

        Args:
            loader: a `DataLoader` or `Batches`.
        """
        return ShardedLoader(loader, self.world, self.blocks)

    def restore(self, run: Run) -> None:
        """Go on from the checkpoint that rank 0 has, if there is one.

        Args:
            run: before its first step.
        """
        path, parts = as_path("fit: checkpoint", run.files.checkpoint), None
        if self.world.root and path.exists():
            parts = load(path, **run.parts())
        parts = self.world.share(parts)
        if parts is not None and not self.world.root:
            for name, part in run.parts().items():
                part.load_state_dict(parts[name])
        if parts is not None:
            self.world.note(f"{path} is there to go on from, of step {run.step}")


def fit(
    model: Any,
    data: Any,
    loss: Any,
    optimizer: Any = None,
    epochs: int = 1,
    *,
    world: World | None = None,
    deterministic: bool = False,
    blocks: int | None = None,
    bucket_bytes: int = BUCKET_BYTES,
    sync_batch_norm: bool = True,
    **options: Any,
) -> History:
    """`tl.fit` by all ranks of a job together; each calls it with the same model, data and options.

        history = tl.distributed.fit(model, (images, labels), "cross_entropy", tl.optim.Adam, epochs=5, checkpoint="run.safetensors")

    A batch is that of a single process, in its order, and each rank takes its rows of it. The model begins as rank 0's. Progress is shown,
    and logs, curves and checkpoints are written, by rank 0 alone. Ctrl-C, and a callback's `run.stop(...)` on any rank, end the run of all
    after a step. A checkpoint goes on with any number of ranks, and with `tl.fit`.

    Args:
        model, data, loss, optimizer, epochs: as for `tl.fit`.
        world: the ranks; None: those of the job.
        deterministic, blocks, bucket_bytes: as for `tl.distributed.ScalarTrainer`. With both `deterministic` and `blocks` a run has the
            same bits on every number of ranks, also where it was stopped and went on with another.
        sync_batch_norm: whether batch normalisations take their statistics over the rows of all ranks; else each block's rows are
            normalised by their own, and the running statistics are means over the blocks: what `blocks` needs of a model that has some.
        options: the others of `tl.fit`.

    Returns: a `History`, the same on every rank.
    Raises: as `tl.fit`; OptionError for a number of blocks that the ranks cannot share, and for `blocks` with `sync_batch_norm` and a model
        that has batch normalisations; RankError where another rank failed.
    """
    ranks = world or job()
    given = _SIGNATURE.bind(model, data, loss, optimizer, epochs, **options)
    given.apply_defaults()
    a = given.arguments
    held = a["validation"] is not None
    settings = Settings(**{f.name: a[f.name] for f in dataclasses.fields(Settings)}, held=held)
    settings.verbose = settings.verbose and ranks.root
    files = Files(*[a[n] for n in ("checkpoint", "checkpoint_every", "resume", "log", "tensorboard", "curves")])
    if not ranks.root:
        files.log = files.tensorboard = files.curves = None
    make = functools.partial(RunTrainer, deterministic=deterministic, blocks=blocks, bucket_bytes=bucket_bytes, world=ranks)
    if sync_batch_norm and blocks is not None and has_batch_norm(model):
        raise OptionError("fit: blocks are normalised by their own statistics, if at all: give sync_batch_norm=False with blocks")
    if sync_batch_norm and ranks.size > 1:
        synchronised(model, ranks)
    parts = RankParts(ranks, make, blocks)
    seed = whole("fit: seed", a["seed"])
    run = single.begin(
        parts, model, data, a["optimizer"], a["batch_size"], a["validation"], a["schedule"], seed, a["options"], settings, files
    )
    return single.finish(run)
