"""Batches of which each rank has its rows, in the order of a single process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tlean.data.batches import Batches, as_batch
from tlean.data.datasets import DataLoader

from .blocks import cut, own_rows, share
from .world import World
from .world import world as job


class Shard(tuple):
    """A rank's rows of a batch, as a tuple of arrays."""

    #: The rows that the whole batch has.
    rows: int


class ShardedLoader:
    """A loader whose batches are cut: each rank gets its rows of the batch that a single process gets. `shard` makes it.

    Everything else is the loader's: the order, the epochs, the state that is saved, which is the same on every rank and for every number of
    ranks.

    Args:
        loader: a `DataLoader`, or `Batches`.
        world: the ranks.
        blocks: into how many blocks a batch is cut; None: one for each rank.
    """

    loader: DataLoader | Batches
    world: World
    blocks: int | None

    def __init__(self, loader: DataLoader | Batches, world: World, blocks: int | None = None) -> None:
        self.loader, self.world, self.blocks = loader, world, blocks
        share(blocks, world.size)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.loader)

    def cut(self, batch: Any) -> Shard:
        """This rank's rows of a batch.

        Args:
            batch: a tuple of arrays.
        """
        rows = len(batch[0])
        mine = own_rows(rows, self.world.rank, self.world.size, self.blocks)
        made = Shard(a[mine] for a in batch)
        made.rows = rows
        return made

    def block_rows(self, rows: int) -> list[int]:
        """How many rows each block of this rank has, in a batch of so many.

        Args:
            rows: of the whole batch.
        """
        each = share(self.blocks, self.world.size)
        first = self.world.rank * each
        return [p.stop - p.start for p in cut(rows, each * self.world.size)[first : first + each]]

    def batch(self, epoch: int, number: int, order: np.ndarray | None = None) -> Shard:
        """This rank's rows of batch `number` of an epoch, counted from 0.

        Args:
            epoch: its number, from 0.
            number: of the batch, from 0.
            order: what the loader's `order(epoch)` returned, where the caller has it.
        """
        loader = self.loader
        assert isinstance(loader, DataLoader)
        if loader.transform is not None:
            return self.cut(loader.batch(epoch, number, order))
        # Only this rank's samples are read.
        order = loader.order(epoch) if order is None else order
        positions = order[number * loader.batch_size : (number + 1) * loader.batch_size]
        mine = own_rows(len(positions), self.world.rank, self.world.size, self.blocks)
        made = Shard(loader.dataset[positions[mine]])
        made.rows = len(positions)
        return made

    def __iter__(self) -> Iterator[Shard]:
        loader = self.loader
        if isinstance(loader, Batches):
            return (self.cut(as_batch(batch)) for batch in loader)
        return loader._pass(self.batch)

    def state_dict(self) -> dict[str, int]:
        """The loader's."""
        return self.loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state of the loader.

        Args:
            state: what `state_dict` returned, with any number of ranks.

        Raises: OptionError for a state that is none.
        """
        self.loader.load_state_dict(state)

    def __getattr__(self, name: str) -> Any:
        if name == "loader":
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __repr__(self) -> str:
        return f"ShardedLoader({self.loader!r}, {self.world!r})"


def shard(loader: Any, world: World | None = None, blocks: int | None = None) -> ShardedLoader:
    """A loader of which each rank gets its rows of every batch, in the order of a single process.

    The batch size is that of all ranks together. Without a transform a rank reads its own samples alone; a transform is given the whole
    batch, whose random numbers depend on its place in the epoch.

    Args:
        loader: a `DataLoader`, or any iterable of batches, the same on every rank.
        world: the ranks; None: those of the job.
        blocks: as for `ScalarTrainer`.

    Returns: an iterable of tuples of arrays, which may have no rows on a rank.
    Raises: OptionError for a number of blocks that the ranks cannot share.

    Example:
        >>> loader = tl.data.DataLoader(np.arange(6.0), batch_size=4)
        >>> [rows[0].tolist() for rows in tl.distributed.shard(loader)]
        [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0]]
    """
    return ShardedLoader(loader if isinstance(loader, DataLoader | Batches) else Batches(loader), world or job(), blocks)
