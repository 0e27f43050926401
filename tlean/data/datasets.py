"""Data sets and loaders: arrays of equal length, handed out in batches in an order that a seed determines."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tlean.arguments import truth, whole
from tlean.errors import IndexRangeError, OptionError, ShapeError
from tlean.rng import MASK64, Rng, op_seed

from .arrays import as_array
from .prefetch import ahead


class Dataset:
    """Arrays whose first axes have one length n: a sequence of n samples.

        data = tl.data.Dataset(images, labels)
        image, label = data[0]             # one sample
        images, labels = data[10:20]       # a slice, or an array of positions: the arrays' rows there

    Args:
        arrays: one or more arrays `(n, …)`; they are referred to, not copied.

    Raises: ShapeError if there is no array, one has no first axis, or the lengths differ; DTypeError for masked arrays, whose mask would be
        lost, and for unsigned numbers that int64 does not have.

    Example:
        >>> data = tl.data.Dataset(np.arange(6.0).reshape(3, 2), np.array([0, 1, 1]))
        >>> len(data), data.take(slice(0, 2))
        (3, Dataset(2 samples: (2, 2) float64, (2,) int64))
    """

    __slots__ = ("arrays",)

    def __init__(self, *arrays: Any) -> None:
        #: The arrays themselves.
        self.arrays: tuple[np.ndarray, ...] = tuple(as_array(f"Dataset: array {k}", a) for k, a in enumerate(arrays))
        shapes = ", ".join(str(a.shape) for a in self.arrays)
        if not self.arrays or any(a.ndim == 0 for a in self.arrays):
            raise ShapeError(f"Dataset: takes arrays with a first axis, got {shapes or 'none'}")
        if len({len(a) for a in self.arrays}) > 1:
            raise ShapeError(f"Dataset: the arrays must have one length, got {shapes}")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        try:
            where = _positions(index)
            return tuple(a[where] for a in self.arrays)
        except (IndexError, OverflowError):
            raise IndexRangeError(f"Dataset: position {index} is out of range for {len(self)} samples") from None
        except (TypeError, ValueError):
            raise OptionError(f"Dataset: a position must be an int, a slice, or an array of ints or Booleans, got {index!r}") from None

    def take(self, positions: Any) -> Dataset:
        """The samples at these positions (a slice or an array of positions) as a data set.

        Args:
            positions: from 0 to n − 1.

        Raises: IndexRangeError for a position out of range.
        """
        return Dataset(*self[positions])

    def map(self, f: Callable[..., Any]) -> Dataset:
        """The data set of `f(*sample)`: an array, or a tuple of arrays, for every sample; all of one shape.

        Args:
            f: called once for each sample, in order.

        Raises: ShapeError.
        """
        if not len(self):
            raise ShapeError("Dataset.map: there is no sample to learn the result's shape from")
        if not callable(f):
            raise OptionError(f"Dataset.map: f must be a function of a sample's arrays, got {f!r}")
        made = [r if isinstance(r := f(*self[k]), tuple) else (r,) for k in range(len(self))]
        columns = [[as_array("Dataset.map: a result", x) for x in column] for column in zip(*made, strict=False)]
        shapes = sorted({str(x.shape) for column in columns for x in column}) if columns else []
        if len({len(r) for r in made}) > 1 or any(len({x.shape for x in column}) > 1 for column in columns):
            raise ShapeError(f"Dataset.map: the results must have one shape for all samples, got {', '.join(shapes)}")
        return Dataset(*map(np.stack, columns))

    def append(self, other: Dataset) -> Dataset:
        """The samples of this data set, then those of another.

        Args:
            other: a data set with as many arrays.

        Raises: OptionError for something that is no data set, ShapeError unless the samples' shapes agree.
        """
        if not isinstance(other, Dataset):
            raise OptionError(f"Dataset.append: another Dataset, got a {type(other).__name__}; Dataset(*arrays) makes one")
        mine, others = [a.shape[1:] for a in self.arrays], [a.shape[1:] for a in other.arrays]
        if mine != others:
            raise ShapeError(f"Dataset.append: the samples must have one form, got {mine} and {others}")
        return Dataset(*(np.concatenate(pair) for pair in zip(self.arrays, other.arrays, strict=True)))

    def split_at(self, count: int) -> tuple[Dataset, Dataset]:
        """The first `count` samples, and the rest, in order; views of the same memory.

        Args:
            count: the length of the first part.

        Raises: IndexRangeError unless 0 ≤ count ≤ n.
        """
        if not 0 <= whole("Dataset: the number of samples", count) <= len(self):
            raise IndexRangeError(f"Dataset: {count} samples to split off, there are {len(self)}")
        return self.take(slice(0, count)), self.take(slice(count, None))

    def shuffle(self, seed: int) -> Dataset:
        """The same samples in a random order that the seed determines; this data set stays as it is.

        Args:
            seed: an int; the same seed gives the same order.
        """
        return self.take(Rng(whole("Dataset: the seed", seed)).permutation(len(self)))

    def batches(self, size: int, drop_last: bool = False) -> Iterator[tuple[np.ndarray, ...]]:
        """Batches of `size` samples in order; the last one holds what is left.

        Args:
            size: the samples of a batch, at least 1.
            drop_last: leave out a last batch that is smaller.

        Raises: OptionError on a size below 1.
        """
        return iter(DataLoader(self, size, drop_last=drop_last))

    def split(self, count: int, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Two data sets that share no sample: the first `count` samples of a random order, and the rest.

        Args:
            count: the length of the first part.
            seed: of the order.

        Raises: IndexRangeError unless 0 ≤ count ≤ n.
        """
        return self.shuffle(seed).split_at(count)

    def __repr__(self) -> str:
        return f"Dataset({len(self)} samples: {', '.join(f'{a.shape} {a.dtype}' for a in self.arrays)})"


def _positions(index: Any) -> Any:
    if isinstance(index, slice) or (isinstance(index, int | np.integer) and not isinstance(index, bool)):
        return index
    found = np.asarray(index)
    # An empty list counts as one of ints.
    if found.dtype.kind not in "iu" and not (found.dtype.kind == "b" and found.ndim == 1) and not (found.size == 0 and found.ndim == 1):
        raise TypeError
    return found if found.size or found.dtype.kind == "b" else found.astype(np.int64)


def _dataset(data: Any) -> Dataset:
    """What a loader is given, as a data set."""
    if isinstance(data, Dataset):
        return data
    if isinstance(data, tuple):
        return Dataset(*data)
    if hasattr(data, "__array__") and not isinstance(data, type):
        return Dataset(data)
    if not isinstance(data, list):
        raise OptionError(
            f"DataLoader: a Dataset, an array, a tuple of arrays, or a list of samples, got a {type(data).__name__};"
            " what makes batches itself is given to tl.fit as it is"
        )
    if data and all(isinstance(sample, tuple) for sample in data):
        return _of_samples(data)
    if any((hasattr(x, "__array__") and np.ndim(x)) or isinstance(x, tuple | dict | str | bytes) for x in data):
        raise OptionError(
            "DataLoader: a list holds samples: numbers, lists of numbers, or tuples (x, y); for arrays of all samples give a tuple (X, Y),"
            f" for a sample in each array np.stack(samples); got a list of {', '.join(sorted({type(x).__name__ for x in data}))}"
        )
    return Dataset(data)


def _of_samples(samples: list[tuple[Any, ...]]) -> Dataset:
    if len({len(sample) for sample in samples}) > 1:
        raise ShapeError(f"DataLoader: samples must be tuples of one length, got {sorted({len(sample) for sample in samples})}")
    columns = []
    for k, column in enumerate(zip(*samples, strict=True)):
        arrays = [as_array(f"DataLoader: entry {k} of a sample", x) for x in column]
        if len({a.shape for a in arrays}) > 1:
            raise ShapeError(f"DataLoader: entry {k} of the samples must have one shape, got {sorted({a.shape for a in arrays})}")
        columns.append(np.stack(arrays))
    return Dataset(*columns)


class DataLoader:
    """Batches of a data set. Each pass over the loader is an epoch; every epoch has its own shuffle.

        for images, labels in tl.data.DataLoader(data, batch_size=32, shuffle=True, seed=0):
            ...

    The order depends on the seed and the number of the epoch alone: the same seed gives the same batches on every machine, and setting
    `epoch` comes back to the same point after a restart (`state_dict` holds the batch within the epoch too).

    Args:
        dataset: a `Dataset`; a tuple of arrays of equal length; one array, whose rows are the samples; or a list of samples: numbers, rows
            of numbers, or tuples of what the samples hold, such as `[(x, y), …]`.
        batch_size: samples in a batch, at least 1; the last batch holds what is left.
        shuffle: whether to draw a random order for every epoch.
        seed: what determines these orders, and the transform's random numbers.
        drop_last: leave out a last batch that is not full.
        transform: `transform(rng, *arrays)` returns the arrays of the batch to hand out (`tl.data.augment` makes some); the `tl.Rng` it is
            given depends on seed, epoch and the batch's number alone.
        prefetch: how many batches a thread in the background gets ready ahead; 0 makes each when it is asked for. The batches are the same.

    Raises: OptionError on a batch size below 1 or a negative prefetch, or for a list of arrays, which may be samples or not; ShapeError as
        `Dataset` does.
    """

    seed: int
    epoch: int

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        transform: Callable[..., Any] | None = None,
        prefetch: int = 0,
    ) -> None:
        try:
            size, lead = operator.index(batch_size), operator.index(prefetch)
        except TypeError:
            size = lead = -1
        if size < 1 or lead < 0:
            raise OptionError(
                f"DataLoader: batch_size must be an int of at least 1, prefetch of at least 0, got {batch_size!r}, {prefetch!r}"
            )
        if transform is not None and not callable(transform):
            raise OptionError(f"DataLoader: transform must be a function (rng, *arrays), got {transform!r}")
        self.dataset: Dataset = _dataset(dataset)
        self.batch_size = size
        self.shuffle: bool = truth("DataLoader: shuffle", shuffle)
        self.drop_last: bool = truth("DataLoader: drop_last", drop_last)
        self.seed = whole("DataLoader: the seed", seed)
        self.transform = transform
        self.prefetch = lead
        #: The number of the next epoch.
        self.epoch = 0
        # Where the next pass begins, and where the pass now is: (epoch, batches handed out).
        self._first = 0
        self._at: tuple[int, int] | None = None

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """The positions of the samples in the order in which that epoch visits them.

        Args:
            epoch: its number, from 0.
        """
        n = len(self.dataset)
        if not self.shuffle:
            return np.arange(n)
        rng = Rng(self.seed)
        rng.count = whole("DataLoader: an epoch", epoch)
        return rng.permutation(n)

    def batch(self, epoch: int, number: int, order: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        """Batch `number` of an epoch, counted from 0.

        Args:
            epoch: its number, from 0.
            number: of the batch, from 0.
            order: what `order(epoch)` returned, where the caller has it.

        Raises: IndexRangeError if the epoch has no such batch.
        """
        if not 0 <= whole("DataLoader: the number of a batch", number) < len(self):
            raise IndexRangeError(f"DataLoader: the number of a batch must be from 0 to {len(self) - 1}, got {number}")
        order = self.order(whole("DataLoader: an epoch", epoch)) if order is None else order
        rows = slice(number * self.batch_size, (number + 1) * self.batch_size)
        # Without a shuffle a batch is a view: nothing is copied until an op takes it in.
        found = self.dataset[order[rows] if self.shuffle else rows]
        if self.transform is None:
            return found
        made = self.transform(Rng(op_seed(op_seed(self.seed & MASK64, epoch), number)), *found)
        # A list counts as the tuple that was asked for.
        arrays = made if isinstance(made, tuple | list) else (made,)
        return tuple([as_array(f"DataLoader: array {k} of the transform's", a) for k, a in enumerate(arrays)])

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        return self._pass(self.batch)

    def _pass(self, batch: Callable[..., Any]) -> Iterator[Any]:
        # An epoch of batches that are made as `batch` makes them.
        epoch, self.epoch = self.epoch, self.epoch + 1
        first, self._first = self._first, 0
        self._at = (epoch, first)
        return self._batches(batch, epoch, first)

    def _batches(self, batch_of: Callable[..., Any], epoch: int, first: int) -> Iterator[Any]:
        order = self.order(epoch)
        numbers = range(first, len(self))

        def make(k: int) -> Any:
            return batch_of(epoch, k, order)

        for k, batch in zip(numbers, ahead(make, numbers, self.prefetch) if self.prefetch else map(make, numbers), strict=True):
            # Counted when handed out, however many are ready: a state saved now goes on with the next one.
            self._at = (epoch, k + 1)
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The seed, and the epoch and batch that come next."""
        epoch, batch = self._at if self._at is not None else (self.epoch, self._first)
        if batch >= len(self):
            epoch, batch = epoch + 1, 0
        return {"seed": int(self.seed), "epoch": epoch, "batch": batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state: the next pass begins at its epoch and batch.

        Args:
            state: what `state_dict` of a loader returned.

        Raises: OptionError for a state that is none.
        """
        if not isinstance(state, Mapping) or state.keys() != {"seed", "epoch", "batch"}:
            raise OptionError("DataLoader: this is no state of a loader")
        seed, epoch, batch = (whole(f"DataLoader: {k} of a state", state[k]) for k in ("seed", "epoch", "batch"))
        if epoch < 0 or not 0 <= batch <= len(self):
            raise OptionError(f"DataLoader: no batch {batch} of epoch {epoch}; an epoch has {len(self)}")
        self.seed, self.epoch, self._first, self._at = seed, epoch, batch, None

    def __repr__(self) -> str:
        return f"DataLoader({len(self)} batches of {self.batch_size}, {'shuffled' if self.shuffle else 'in order'}, epoch {self.epoch})"
