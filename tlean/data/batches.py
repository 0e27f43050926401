"""Batches that come from elsewhere: another library's loader, a generator, a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tlean.arguments import whole
from tlean.errors import DTypeError, OptionError, ShapeError

from .arrays import as_array


class Batches:
    """An iterable of batches as data of `tl.fit`, which makes one of anything that is not a data set.

        tl.fit(model, torch_loader, "cross_entropy", epochs=3)
        tl.fit(model, tl.data.Batches([(x0, y0), (x1, y1)]), "mse_loss")

    Every epoch is a pass over the iterable; an iterator, which can be passed once, gives one epoch. A run that goes on from a checkpoint
    within an epoch leaves out as many batches as were used: it has the bits of a whole run if the iterable gives the same batches again.

    Args:
        batches: tuples or lists of arrays, each with the samples along its first axis, or single arrays. Arrays of other libraries are
            taken where NumPy takes them.

    Raises: OptionError for something that is not iterable; when a batch is taken, OptionError for one that is none, ShapeError where its
        arrays differ in length, DTypeError for arrays of no numbers.
    """

    def __init__(self, batches: Iterable[Any]) -> None:
        if isinstance(batches, str | bytes | Mapping) or not hasattr(batches, "__iter__"):
            raise OptionError(f"Batches: an iterable of batches, got a {type(batches).__name__}")
        self.batches = batches
        # A pass that was begun to look at its first batch: (batches, what comes after them).
        self._begun: tuple[list[Any], Iterator[Any]] | None = None
        self._passes = 0
        self._next = (0, 0)

    def __len__(self) -> int:
        """The number of batches in a pass. Raises: TypeError if the iterable does not know."""
        return len(self.batches)  # type: ignore[arg-type]

    @property
    def once(self) -> bool:
        """Whether the batches can be passed once only."""
        return isinstance(self.batches, Iterator)

    def first(self) -> tuple[np.ndarray, ...]:
        """The first batch of the next pass, which it still has. Raises: OptionError if there is none."""
        taken, rest = self._pass()
        if not taken:
            taken += [batch for _, batch in zip(range(1), rest, strict=False)]
        self._begun = taken, rest
        if not taken:
            raise OptionError("fit: the data holds no batch")
        return as_batch(taken[0])

    def _pass(self) -> tuple[list[Any], Iterator[Any]]:
        if self._begun is None:
            if self.once and self._passes:
                raise OptionError("fit: the data are an iterator, which is at its end after one epoch; give a list, or a loader")
            self._passes += 1
            self._begun = [], iter(self.batches)
        return self._begun

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        epoch, skipped = self._next
        taken, rest = self._pass()
        self._begun = None
        return self._walk(epoch, skipped, taken, rest)

    def _walk(self, epoch: int, skipped: int, taken: list[Any], rest: Iterator[Any]) -> Iterator[tuple[np.ndarray, ...]]:
        # One batch ahead of its reader: a state saved after the last one says that the next epoch is next.
        missing = object()
        source = iter([*taken])
        number = 0

        def more() -> Any:
            found = next(source, missing)
            return next(rest, missing) if found is missing else found

        batch = more()
        while batch is not missing:
            after = more()
            number += 1
            if number > skipped:
                self._next = (epoch + 1, 0) if after is missing else (epoch, number)
                yield as_batch(batch)
            batch = after

    def state_dict(self) -> dict[str, int]:
        """The epoch and the batch that come next."""
        return {"epoch": self._next[0], "batch": self._next[1]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Args:
            state: what `state_dict` returned.

        Raises: OptionError for a state that is none.
        """
        if not isinstance(state, Mapping) or state.keys() != {"epoch", "batch"}:
            raise OptionError("Batches: this is no state of batches")
        epoch, batch = (whole(f"Batches: {k} of a state", state[k], 0) for k in ("epoch", "batch"))
        self._next = (epoch, batch)

    def __repr__(self) -> str:
        return f"Batches({type(self.batches).__name__}, epoch {self._next[0]})"


def as_batch(batch: Any) -> tuple[np.ndarray, ...]:
    """A batch as a tuple of arrays. Raises: OptionError, ShapeError, DTypeError."""
    if isinstance(batch, Mapping | str | bytes) or batch is None:
        raise OptionError(f"fit: a batch must be a tuple of arrays, got a {type(batch).__name__}")
    arrays = tuple(as_array(f"fit: array {k} of a batch", a) for k, a in enumerate(batch if isinstance(batch, tuple | list) else (batch,)))
    for k, a in enumerate(arrays):
        if a.dtype.kind not in "biuf":
            raise DTypeError(f"fit: array {k} of a batch holds numbers or Booleans, got {a.dtype}")
    if not arrays or any(a.ndim == 0 for a in arrays) or len({len(a) for a in arrays}) > 1:
        raise ShapeError(f"fit: the arrays of a batch must have one length, got {', '.join(str(a.shape) for a in arrays) or 'none'}")
    return arrays
