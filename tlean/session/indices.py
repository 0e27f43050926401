"""Indices that live in a session: integers that ops read when they are recorded."""

from __future__ import annotations

from typing import Any

from tlean._core.array import AnyTensor, as_tensor
from tlean.errors import NodeError, OptionError, ShapeError


class NatRef:
    """A non-negative integer of a session that ops take as an index; it has no gradient and goes with `reset_tape`.

    Args:
        session: the session that it belongs to.
        value: an int of at least 0.

    Raises: NodeError for something that is no session, OptionError for another value.
    """

    __slots__ = ("_generation", "_session", "_value")

    def __init__(self, session: Any, value: Any) -> None:
        self._session = session
        self._generation = _generation_of(type(self).__name__, session)
        self._value = _naturals(value, ())

    def read(self, session: Any) -> AnyTensor:
        """The value now.

        Args:
            session: the session that asks.

        Raises: NodeError if it belongs to another session or is from before `reset_tape`.
        """
        if session is not self._session or self._generation != session.generation:
            raise NodeError("an index belongs to another session or is from before reset_tape")
        return self._value

    def write(self, session: Any, value: Any) -> None:
        """Set the value for ops recorded from now on.

        Args:
            session: the session that asks.
            value: the new value.

        Raises: NodeError, ShapeError for another length, OptionError for a negative one.
        """
        before = self.read(session)
        new = _naturals(value, () if before.shape == () else None)
        if new.shape != before.shape:
            raise ShapeError(f"an index of {before.shape[0]} entries takes as many again, got {new.shape[0]}")
        self._value = new

    def __tlean_value__(self, ops: Any) -> AnyTensor:
        # What an op that takes this as an index reads, at the moment it is recorded.
        return self.read(ops)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._value.tolist()})"


class NatVecRef(NatRef):
    """A vector of non-negative integers of a session that ops take as indices.

    Args:
        session: the session that it belongs to.
        values: ints of at least 0.

    Raises: NodeError for something that is no session, OptionError for other values.
    """

    __slots__ = ()

    def __init__(self, session: Any, values: Any) -> None:
        self._session = session
        self._generation = _generation_of(type(self).__name__, session)
        self._value = _naturals(values, None)


def _generation_of(who: str, session: Any) -> int:
    try:
        return session.generation
    except AttributeError:
        raise NodeError(f"{who}: belongs to a session, got {type(session).__name__}; input_nat and input_nat_vec make indices") from None


def index_of(who: str, ref: Any, kind: type[NatRef]) -> NatRef:
    """The index itself if it is of that kind. Raises: NodeError if it is something else."""
    if type(ref) is not kind:
        made = "input_nat_vec" if kind is NatVecRef else "input_nat"
        raise NodeError(f"{who}: an index that {made} made is expected, got {type(ref).__name__}")
    return ref


def _naturals(value: Any, shape: tuple[int, ...] | None) -> AnyTensor:
    tensor = as_tensor(value, "int64")
    if (shape is not None and tensor.shape != shape) or (shape is None and len(tensor.shape) != 1):
        raise ShapeError(f"an index must be {'one integer' if shape == () else 'a vector of integers'}, got shape {tensor.shape}")
    if tensor.size and int(tensor.numpy().min()) < 0:
        raise OptionError(f"an index must be a natural number, got {tensor.numpy().min()}")
    return tensor
