"""The tape that threads itself: ops append to it, and its references have operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from tlean import arguments
from tlean._core.array import AnyTensor
from tlean._core.refs import RefBase, node_id
from tlean._core.tape import TapeStore
from tlean.devices import cuda
from tlean.errors import NodeError, OptionError
from tlean.interpreters.eager import EagerOps
from tlean.optim.gradients import GradientDict
from tlean.rng import checked_seed, program_seed

from ..arguments.literals import FloatName
from .tape import Tape, _tape_of, new_store


def _stream_of(tape: Tape | None, seed: int | None) -> tuple[int, int]:
    # Where the random numbers of a tape go on, or begin.
    if seed is not None:
        return checked_seed("TapeM", seed), 0
    return (program_seed(), 0) if tape is None else tape._stream


class StatefulTape:
    """What a backend adds to be a tape that is threaded for its user."""

    if TYPE_CHECKING:
        store: Any
        dtype: FloatName
        session_seed: int
        stream_position: int

        def get_value(self, ref: Any) -> Any: ...
        def ref_of(self, node: Any) -> Any: ...

    @property
    def tape(self) -> Tape:
        """The tape so far, as a value."""
        return _tape_of(self.store, len(self.store), self.dtype, (self.session_seed, self.stream_position))

    def _repr_svg_(self) -> str | None:
        return self.tape._repr_svg_()

    def value(self, ref: Any) -> AnyTensor:
        """The value of a reference or id.

        Args:
            ref: of this tape.

        Raises: NodeError for another tape's reference or an id out of range.
        """
        return self.get_value(ref if isinstance(ref, RefBase) else self.ref_of(node_id("value", ref)))

    def backward_scalar(self, loss: Any) -> GradientDict:
        """Gradients of a scalar, keyed by node id.

        Args:
            loss: a reference or id of shape `()`.

        Raises: NodeError, ShapeError.
        """
        return self.tape.backward_scalar(self._node(loss, "backward_scalar"))

    def backward(self, out: Any, seed: Any) -> GradientDict:
        """Gradients of `out` with the cotangent `seed`, keyed by node id.

        Args:
            out: a reference or id.
            seed: the cotangent, of the shape of `out`.

        Raises: NodeError, ShapeError.
        """
        return self.tape.backward(self._node(out, "backward"), seed)

    def _node(self, ref: Any, who: str) -> int:
        # A reference of this tape, or the id of a node.
        if isinstance(ref, RefBase):
            self.get_value(ref)
        return node_id(who, ref)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise OptionError("a TapeM cannot be pickled or copied: ops append to it; tl.TapeM(m.tape) goes on from the same nodes")


class TapeM(StatefulTape, EagerOps):
    """A tape threaded for you: an `Ops` backend whose references have `.id` and the operators and methods of arrays.

    Args:
        tape: the tape to continue; an empty one by default.
        dtype: of a new tape.
        seed: of its random numbers; None goes on with those of the tape that is continued, and gives a new tape its own stream.
        strict_shapes: elementwise ops take inputs of one shape only; otherwise they broadcast.
        device: of a new tape. On a device, or for a tape that is on one, the backend of that device is made, with the same methods.

    Example::

        m = tl.TapeM()
        x = m.leaf([1.0, 2.0])
        loss = (x * x).sum()
        m.backward_scalar(loss)[x.id]       # [2, 4]
    """

    session_seed: int
    stream_position: int

    #: The threaded tape of a device, set by `tlean.tape.cuda`.
    _on_device: ClassVar[Any]

    def __new__(
        cls,
        tape: Tape | None = None,
        dtype: FloatName = "float32",
        device: str = "cpu",
        seed: int | None = None,
        strict_shapes: bool = False,
    ) -> Any:
        if tape is not None and not isinstance(tape, Tape):
            raise NodeError(f"TapeM: the tape to continue must be a Tape, got {type(tape).__name__}")
        store = new_store(dtype, device) if tape is None else tape._store
        if not isinstance(store, TapeStore):
            cuda()
            strict = arguments.flag("TapeM", "strict_shapes", strict_shapes)
            return TapeM._on_device(store, 0 if tape is None else tape.size, _stream_of(tape, seed), strict)
        return super().__new__(cls)

    def __init__(
        self,
        tape: Tape | None = None,
        dtype: FloatName = "float32",
        device: str = "cpu",
        seed: int | None = None,
        strict_shapes: bool = False,
    ) -> None:
        if tape is None:
            super().__init__(arguments.float_dtype("TapeM", dtype))
            self.use_store(self.store.continued(0, self))
        else:
            super().__init__(tape.dtype, tape._store)
            self.use_store(tape._store.continued(tape.size, self))
        self.session_seed, self.stream_position = _stream_of(tape, seed)
        self.strict_shapes: bool = arguments.flag("TapeM", "strict_shapes", strict_shapes)

    @classmethod
    def run(cls, f: Callable[[Any], Any], tape: Tape | None = None) -> tuple[Any, Tape]:
        """Run the program `f(m)` on a tape.

        Args:
            f: the program; m is a `TapeM`.
            tape: to go on from; None for a new one.

        Returns: (its result, the tape after it).
        """
        arguments.function("TapeM.run", "the program", f)
        m = cls(tape)
        return f(m), m.tape

    @classmethod
    def eval(cls, f: Callable[[Any], Any], tape: Tape | None = None) -> Any:
        """The result of the program `f(m)`.

        Args:
            f: the program; m is a `TapeM`.
            tape: to go on from; None for a new one.
        """
        return cls.run(f, tape)[0]

    @classmethod
    def exec(cls, f: Callable[[Any], Any], tape: Tape | None = None) -> Tape:
        """The tape after the program `f(m)`.

        Args:
            f: the program; m is a `TapeM`.
            tape: to go on from; None for a new one.
        """
        return cls.run(f, tape)[1]
