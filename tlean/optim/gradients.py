"""The gradients of one backward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor
from tlean._core.refs import RefBase, id_of, node_id
from tlean.errors import NodeError, OptionError


class GradientList(list[Any]):
    """Gradients by node id, an entry for every node; a reference means its node: `grads[x]` is `grads[x.id]`."""

    __slots__ = ()

    def __getitem__(self, i: Any) -> Any:
        return list.__getitem__(self, i if type(i) is int else id_of(i))


class GradientDict(dict[Any, AnyTensor]):
    """Gradients by node id, of the nodes that something reached; a reference means its node: `grads[x]` is `grads[x.id]`."""

    __slots__ = ()

    def __missing__(self, key: Any) -> Any:
        if isinstance(key, RefBase):
            return self[id_of(key)]
        raise KeyError(key)

    def __contains__(self, key: Any) -> bool:
        return dict.__contains__(self, id_of(key))

    def get(self, key: Any, default: Any = None) -> Any:
        """The gradient of a node, or the default where nothing arrived.

        Args:
            key: the id or the reference of a node.
            default: what is returned for other nodes.
        """
        return dict.get(self, id_of(key), default)


class Gradients(Sequence[Any]):
    """Gradients of one backward pass, by node id: one array for every node, an explicit zero where nothing arrived."""

    __slots__ = ("_found", "_session", "generation")

    def __init__(self, found: list[Any], session: Any) -> None:
        self._found = found
        self._session = session
        self.generation: Any = session.generation

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, i: Any) -> Any:
        found = self._found
        if type(i) is int and 0 <= i < len(found) and found[i] is not None:
            return found[i]
        if type(i) is not int or i < 0:
            if isinstance(i, slice):
                self.every()
                return [self[k] for k in range(*i.indices(len(self)))]
            if isinstance(i, RefBase) and i.ops is not self._session:
                raise NodeError("gradients: a reference belongs to another session or tape")
            k = node_id("gradients", i)
            i = k + len(self) if k < 0 else k
        g = self.reached(i)
        if g is None:
            # Of zeros the tape knows the shape.
            self.check_tape()
            shape, dtype = self._session.spec_of(i)
            g = self._session.array(np.zeros(shape, dtype))
        return g

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise OptionError("gradients cannot be pickled or copied: they belong to a session's tape; pickle the arrays, list(grads)")

    def check_tape(self) -> None:
        """Raise NodeError if the tape that they are of was reset: what was not computed before it cannot be now."""
        if self._session.generation != self.generation:
            raise NodeError("these gradients are from before reset_tape; read what is needed of them before it")

    def check_node(self, i: int) -> int:
        """The id of one of their nodes. Raises: NodeError if they have no such node."""
        if type(i) is not int:
            i = node_id("gradients", i)
        if not 0 <= i < len(self._found):
            raise NodeError(f"there is no gradient of node {i}: the tape had {len(self)} nodes when they were asked for")
        return i

    def reached(self, i: int) -> AnyTensor | None:
        """The gradient of node i, or None if nothing arrived there. Raises: NodeError if the node is newer than the gradients."""
        return self._found[self.check_node(i)]

    def _entries_of(self, ids: Iterable[int]) -> list[AnyTensor | None]:
        """The gradients of some nodes, None where nothing arrived and for nodes newer than the pass."""
        found, count = self._found, len(self._found)
        return [found[i] if i < count else None for i in ids]

    def every(self) -> list[AnyTensor | None]:
        """The gradients of all nodes, None where nothing arrived."""
        return self._found

    def __contains__(self, g: Any) -> bool:
        return self.count(g) > 0

    def count(self, g: Any) -> int:
        """How many nodes this very array is the gradient of."""
        return sum(found is g for found in self.every())

    def index(self, g: Any, start: int = 0, stop: int | None = None) -> int:
        """The first node that this very array is the gradient of. Raises: NodeError if there is none."""
        found = range(len(self))[slice(node_id("index", start), None if stop is None else node_id("index", stop))]
        for i in found:
            if self.every()[i] is g:
                return i
        raise NodeError(f"index: none of the {len(self)} gradients is this array")

    def __iter__(self) -> Iterator[AnyTensor]:
        self.every()
        return (self[i] for i in range(len(self)))

    @property
    def session(self) -> Any:
        """The session that made them."""
        return self._session

    def __repr__(self) -> str:
        return f"<gradients of {len(self)} nodes>"
