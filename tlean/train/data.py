"""Data sets and loaders: arrays of equal length, handed out in batches in an order that a seed determines."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import IndexRangeError, OptionError, ShapeError
from ..rng import Rng
from .readers import read_csv, read_idx, read_npy, write_idx

__all__ = ["Dataset", "DataLoader", "read_csv", "read_idx", "read_npy", "write_idx"]


class Dataset:
    """Arrays whose first axes have one length n: a sequence of n samples.

        data = tl.data.Dataset(images, labels)
        image, label = data[0]             # one sample
        images, labels = data[10:20]       # a slice, or an array of positions: the arrays' rows there

    Args:
        arrays: one or more arrays `(n, …)`; they are referred to, not copied.

    Raises: ShapeError if there is no array, one has no first axis, or the lengths differ.
    """

    __slots__ = ("arrays",)

    def __init__(self, *arrays: Any) -> None:
        #: The arrays themselves.
        self.arrays: tuple[np.ndarray, ...] = tuple(np.asarray(a) for a in arrays)
        shapes = ", ".join(str(a.shape) for a in self.arrays)
        if not self.arrays or any(a.ndim == 0 for a in self.arrays):
            raise ShapeError(f"Dataset: takes arrays with a first axis, got {shapes or 'none'}")
        if len({len(a) for a in self.arrays}) > 1:
            raise ShapeError(f"Dataset: the arrays have one length, got {shapes}")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        try:
            return tuple(a[index] for a in self.arrays)
        except IndexError:
            raise IndexRangeError(f"Dataset: position {index} is out of range for {len(self)} samples") from None

    def take(self, positions: Any) -> Dataset:
        """The samples at these positions (a slice or an array of positions) as a data set."""
        return Dataset(*self[positions])

    def map(self, f: Callable[..., Any]) -> Dataset:
        """The data set of `f(*sample)`: an array, or a tuple of arrays, for every sample; all of one shape. Raises: ShapeError."""
        if not len(self):
            raise ShapeError("Dataset.map: there is no sample to learn the result's shape from")
        made = [r if isinstance(r := f(*self[k]), tuple) else (r,) for k in range(len(self))]
        columns = [[np.asarray(x) for x in column] for column in zip(*made, strict=False)]
        shapes = sorted({str(x.shape) for column in columns for x in column}) if columns else []
        if len({len(r) for r in made}) > 1 or any(len({x.shape for x in column}) > 1 for column in columns):
            raise ShapeError(f"Dataset.map: the results have one shape for all samples, got {', '.join(shapes)}")
        return Dataset(*map(np.stack, columns))

    def append(self, other: Dataset) -> Dataset:
        """The samples of this data set, then those of another. Raises: ShapeError unless the samples' shapes agree."""
        mine, others = [a.shape[1:] for a in self.arrays], [a.shape[1:] for a in other.arrays]
        if mine != others:
            raise ShapeError(f"Dataset.append: the samples have one form, got {mine} and {others}")
        return Dataset(*(np.concatenate(pair) for pair in zip(self.arrays, other.arrays, strict=True)))

    def split_at(self, count: int) -> tuple[Dataset, Dataset]:
        """The first `count` samples, and the rest, in order; views of the same memory.

        Raises: IndexRangeError unless 0 ≤ count ≤ n.
        """
        if not 0 <= count <= len(self):
            raise IndexRangeError(f"Dataset: {count} samples to split off, there are {len(self)}")
        return self.take(slice(0, count)), self.take(slice(count, None))

    def shuffle(self, seed: int) -> Dataset:
        """The same samples in a random order that the seed determines; this data set stays as it is."""
        return self.take(Rng(seed).permutation(len(self)))

    def batches(self, size: int, drop_last: bool = False) -> Iterator[tuple[np.ndarray, ...]]:
        """Batches of `size` samples in order; the last one holds what is left. Raises: OptionError on a size below 1."""
        return iter(DataLoader(self, size, drop_last=drop_last))

    def split(self, count: int, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Two data sets that share no sample: the first `count` samples of a random order, and the rest.

        Raises: IndexRangeError unless 0 ≤ count ≤ n.
        """
        return self.shuffle(seed).split_at(count)

    def __repr__(self) -> str:
        return f"Dataset({len(self)} samples: {', '.join(f'{a.shape} {a.dtype}' for a in self.arrays)})"


class DataLoader:
    """Batches of a data set. Each pass over the loader is an epoch; every epoch has a shuffle of its own.

        for images, labels in tl.data.DataLoader(data, batch_size=32, shuffle=True, seed=0):
            ...

    The order depends on the seed and the number of the epoch alone: the same seed gives the same batches on every machine, and setting
    `epoch` comes back to the same point after a restart.

    Args:
        dataset: a `Dataset`, or a tuple of arrays of equal length.
        batch_size: samples in a batch, at least 1; the last batch holds what is left.
        shuffle: whether to draw a random order for every epoch.
        seed: what determines these orders.
        drop_last: leave out a last batch that is not full.

    Raises: OptionError on a batch size below 1; ShapeError as `Dataset` does.
    """

    def __init__(self, dataset: Any, batch_size: int = 1, shuffle: bool = False, seed: int = 0, drop_last: bool = False) -> None:
        try:
            size = operator.index(batch_size)
        except TypeError:
            size = 0
        if size < 1:
            raise OptionError(f"DataLoader: batch_size is an int of at least 1, got {batch_size!r}")
        self.dataset = dataset if isinstance(dataset, Dataset) else Dataset(*dataset)
        self.batch_size = size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        #: The number of the next epoch.
        self.epoch = 0

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """The positions of the samples in the order in which that epoch visits them."""
        n = len(self.dataset)
        if not self.shuffle:
            return np.arange(n)
        rng = Rng(self.seed)
        rng.count = epoch
        return rng.permutation(n)

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self._batches(epoch)

    def _batches(self, epoch: int) -> Iterator[tuple[np.ndarray, ...]]:
        order = self.order(epoch)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            stop = start + self.batch_size
            # Without a shuffle a batch is a view: nothing is copied until an op takes it in.
            yield self.dataset[order[start:stop] if self.shuffle else slice(start, stop)]

    def __repr__(self) -> str:
        return f"DataLoader({len(self)} batches of {self.batch_size}, {'shuffled' if self.shuffle else 'in order'}, epoch {self.epoch})"
