"""The explicit tape: a value that ops extend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from typing import Any, SupportsIndex

import numpy as np

from tlean import arguments
from tlean._core.array import AnyTensor, as_tensor
from tlean._core.eager.eager import recording
from tlean._core.refs import node_id
from tlean._core.tape import TapeStore
from tlean._generated.tape_methods import TapeMethods
from tlean.devices import array_at, context_at, context_of, cuda
from tlean.dtypes import FLOATS
from tlean.errors import DTypeError, NodeError, OptionError, ShapeError
from tlean.interpreters.eager import EagerOps
from tlean.optim.gradients import GradientDict, GradientList
from tlean.rng import checked_seed, program_seed

from ..arguments.literals import FloatName
from .show import to_dot, to_svg
from .shown import tape_lines


class Node:
    """A node that a user puts on a tape.

    Args:
        value: the forward value.
        parents: ids of the nodes that it depends on.
        backward: `backward(g) -> [(parent id, contribution), …]`, the node's vector-Jacobian product on arrays; None for a leaf.
        name: shown by `repr(tape)`.
        requires_grad: whether gradients flow to the node.
    """

    __slots__ = ("backward", "name", "parents", "requires_grad", "value")

    def __init__(
        self,
        value: Any,
        parents: Sequence[int] = (),
        backward: Callable[[AnyTensor], Sequence[tuple[int, Any]]] | None = None,
        name: str | None = None,
        requires_grad: bool = True,
    ) -> None:
        self.value: Any = value if context_at(value) else as_tensor(value)
        self.parents: tuple[int, ...] = tuple([node_id("Node", p) for p in arguments.each("Node", "parents' ids", parents, NodeError)])
        self.backward: Any = None if backward is None else arguments.function("Node", "backward", backward)
        self.name: str | None = arguments.label("Node", name)
        self.requires_grad: bool = arguments.flag("Node", "requires_grad", requires_grad)

    def __repr__(self) -> str:
        value = f"{self.value.shape} {self.value.dtype}"
        return f"Node({self.name or 'node'}: {value}, parents={self.parents}, requires_grad={self.requires_grad})"


class Tape(TapeMethods):
    """A computation as a list of nodes: values, parents, and how gradients flow.

    A tape is a value: an op returns a new tape that shares all that came before (in O(1)) and the id of the new node; the old tape stays
    valid and can be continued another way (a fork, which costs what it appends). Ids are plain ints, in order of appending.

    Args:
        dtype: "float32" or "float64"; what inputs are cast to.
        device: "cpu", "cuda" or "cuda:<number>". On a device values and gradients are its arrays, and the dtype is float32.
        seed: of its random numbers; None for its own stream, which `tl.seed` fixes.

    Example::

        tape, x = tl.Tape().leaf([1.0, 2.0])
        tape, y = tape.square(x)
        tape, s = tape.sum(y)
        tape.backward_scalar(s)[x]          # [2, 4]
    """

    __slots__ = ("_dtype", "_size", "_store", "_stream")

    def __init__(self, dtype: FloatName = "float32", device: str = "cpu", seed: int | None = None) -> None:
        self._dtype = arguments.float_dtype("Tape", dtype)
        self._store: Any = new_store(dtype, device)
        self._size = 0
        #: Seed and position of its random numbers.
        self._stream = (program_seed() if seed is None else checked_seed("Tape", seed), 0)

    # Appending ------------------------------------------------------------------------------------------------------------

    @property
    def _where(self) -> Any:
        # The device, None on the CPU.
        return getattr(self._store, "context", None)

    def _builder(self) -> Any:
        # Continues the shared nodes where this tape ends; a fork if another tape has gone on from there, or is about to in another thread.
        ops: Any = EagerOps(self._dtype, self._store) if self._where is None else cuda().CudaEager(self._where, self._store)
        ops.strict_shapes = True
        ops.use_store(self._store.continued(self._size, ops))
        ops.session_seed, ops.stream_position = self._stream
        return ops

    def _after(self, ops: Any) -> Tape:
        ops.store.done()
        return _tape_of(ops.store, len(ops.store), self._dtype, (ops.session_seed, ops.stream_position))

    def _record(self, op: str, call: Callable[[Any, Callable[[Any], Any]], Any]) -> tuple[Tape, Any]:
        ops = self._builder()

        try:
            made = _recorded(lambda: call(ops, lambda i: _ref_of(ops, op, i)))
        except BaseException:
            ops.store.done()
            raise
        ids = tuple(r.id for r in made) if isinstance(made, tuple) else made.id
        return self._after(ops), ids

    def leaf(self, value: Any, name: str | None = None, requires_grad: bool = True) -> tuple[Tape, int]:
        """Append a leaf that holds `value` (copied, cast to the tape's dtype).

        Args:
            value: anything array-like.
            name: shown in printed tapes.
            requires_grad: whether gradients flow to it.

        Returns: (tape, id).
        Raises: DTypeError for a value that is no array of numbers.
        """
        requires_grad = arguments.flag("leaf", "requires_grad", requires_grad)
        name = arguments.label("leaf", name)
        ops = self._builder()
        i = ops.store.leaf(array_at(value, self._dtype, self._where), requires_grad, name)
        return self._after(ops), i

    def const(self, value: Any, name: str | None = None) -> tuple[Tape, int]:
        """Append a leaf that takes no gradient.

        Args:
            value: anything array-like.
            name: shown in printed tapes.

        Returns: (tape, id).
        """
        return self.leaf(value, name, requires_grad=False)

    def add_node(self, node: Node) -> tuple[Tape, int]:
        """Append a user's own node. Returns: (tape, id).

        Args:
            node: its parents are ids of this tape.

        Returns: (tape, id).
        Raises: NodeError if a parent is not on this tape; the tape is unchanged then.
        """
        if not isinstance(node, Node):
            raise NodeError(f"add_node: a Node is expected, got {type(node).__name__}")
        value = array_at(node.value, self._dtype if node.value.dtype in FLOATS else None, self._where)
        ops = self._builder()
        if node.backward is None and node.parents:
            raise NodeError(f"add_node: a node with parents {node.parents} needs a backward function")
        if node.backward is None:
            i = ops.store.leaf(value, node.requires_grad, node.name)
        else:
            i = ops.store.custom(value, node.parents, node.backward, node.requires_grad, node.name)
        return self._after(ops), i

    def unary(self, op_name: str, x: SupportsIndex, forward: Callable[[Any], Any], backward: Callable[[Any, Any], Any]) -> tuple[Tape, int]:
        """A user's own op with one input. Returns: (tape, id).

        Args:
            op_name: the name of the node.
            x: the id of the input.
            forward: `forward(x)` gives the value, from and as NumPy arrays.
            backward: `backward(x, g)` gives the gradient of x for the cotangent g of the value.

        Returns: (tape, id).
        Raises: NodeError for an id that is not on the tape, OptionError for functions that are none.
        """
        for name, f in (("forward", forward), ("backward", backward)):
            arguments.function(f"unary {op_name}", name, f)
        x = self._require(x, f"unary {op_name}")
        array = self._store.value(x).numpy()

        def pull(g: AnyTensor) -> list[tuple[int, Any]]:
            return [(x, backward(array, g.numpy()))]

        flows = self._store.describe(x)[5]
        return self.add_node(Node(as_tensor(forward(array), self._dtype), (x,), pull, op_name, flows))

    # Reading --------------------------------------------------------------------------------------------------------------

    def _require(self, id: SupportsIndex, who: str) -> int:
        # The id as an int: a reference of a TapeM means its node.
        i = node_id(who, id)
        if not 0 <= i < self._size:
            raise NodeError(f"{who}: there is no node {i} on this tape of {self._size} nodes")
        return i

    @property
    def dtype(self) -> str:
        """The float dtype of the tape."""
        return self._dtype

    @property
    def size(self) -> int:
        """The number of nodes."""
        return self._size

    def __len__(self) -> int:
        return self._size

    def get_node(self, id: SupportsIndex) -> Node | None:
        """Node `id` (its value, parents, name, flag and vector-Jacobian product), or None out of range.

        Args:
            id: the number of the node.
        """
        id = node_id("get_node", id)
        if not 0 <= id < self._size:
            return None
        op, name, parents, _, _, requires_grad, _ = self._store.describe(id)
        node = Node(self._store.value(id), [p for p in parents if p >= 0], None, name or op, requires_grad)
        if op is not None:
            node.backward = self._store.custom_backward(id) or (lambda g: self._contributions(id, g))
        return node

    def _contributions(self, id: int, g: Any) -> list[tuple[int, AnyTensor]]:
        parents = [p for p in self._store.describe(id)[2] if p >= 0]
        start: list[Any] = [None] * len(self._store)
        start[id] = g
        after = self._store.backward_from(start, id + 1, id)
        return [(p, after[p]) for p in dict.fromkeys(parents) if after[p] is not None]

    def get_value(self, id: SupportsIndex) -> AnyTensor | None:
        """The value of node `id`, or None out of range.

        Args:
            id: the number of the node.
        """
        i = node_id("get_value", id)
        return self._store.value(i) if 0 <= i < self._size else None

    def require_value(self, id: SupportsIndex, shape: Sequence[int]) -> AnyTensor:
        """The value of node `id`, checked to have this shape.

        Args:
            id: the number of the node.
            shape: the shape that it must have.

        Raises: NodeError, ShapeError.
        """
        id = self._require(id, "require_value")
        value = self._store.value(id)
        if value.shape != arguments.shape("require_value", shape):
            raise ShapeError(f"require_value: node {id} must have shape {tuple(shape)}, got {value.shape}")
        return value

    def item(self, id: SupportsIndex) -> float:
        """The only element of node `id`, as a number.

        Args:
            id: the number of the node.

        Raises: NodeError, ShapeError.
        """
        return self._store.value(self._require(id, "item")).item()

    # Gradients ------------------------------------------------------------------------------------------------------------

    def _seed(self, out: int, seed: Any) -> AnyTensor:
        return require_grad(array_at(seed, self._dtype, self._where), self._store.value(out).shape)

    def backward_dense(self, out: SupportsIndex, seed: Any) -> GradientList:
        """Gradients of `out` with the cotangent `seed`: one entry per node, None where nothing arrived.

        The seed is at `out` whatever its flag. Raises: NodeError, ShapeError.

        Args:
            out: the number of a node.
            seed: the cotangent, of the shape of `out`.
        """
        out = self._require(out, "backward")
        return GradientList(self._store.backward(out, self._seed(out, seed), self._size))

    def backward_dense_all(self, out: SupportsIndex, seed: Any) -> GradientList:
        """The same with an explicit zero for every node that nothing reached (the rules of those nodes are not run).

        Args:
            out: the number of a node.
            seed: the cotangent, of the shape of `out`.

        Raises: NodeError, ShapeError.
        """
        dense = self.backward_dense(out, seed)
        return GradientList([g if g is not None else _zeros(self._store.value(i)) for i, g in enumerate(dense)])

    def backward_dense_from(self, grads: Sequence[Any], n: int | None = None) -> GradientList:
        """Reverse over the first n nodes (default: all), starting from a gradient for every node; every rule is run.

        Args:
            grads: a gradient for each of the nodes, of its shape.
            n: how many nodes, from the first.

        Raises: ShapeError unless `grads` has one gradient of the right shape for each node.
        """
        return self._from(grads, self._size if n is None else n, 0)

    def backward_step(self, grads: Sequence[Any], id: SupportsIndex) -> GradientList:
        """One step of the reverse sweep: add the contributions of node `id` to its parents' gradients.

        Args:
            grads: a gradient for each node, of its shape.
            id: the number of the node.

        Returns: the gradients after the step.
        Raises: NodeError, ShapeError.
        """
        id = self._require(id, "backward_step")
        return self._from(grads, id + 1, id)

    def _from(self, given: Sequence[Any], n: int, first: int) -> GradientList:
        grads, n = list(arguments.each("backward", "gradients", given)), node_id("backward", n)
        if len(grads) != self._size:
            raise ShapeError(f"backward: one gradient for each of the {self._size} nodes, got {len(grads)}")
        if not 0 <= n <= self._size:
            raise NodeError(f"backward: n must be between 0 and {self._size}, got {n}")
        full = [require_grad(_cast(g, self._store.value(i)), self._store.value(i).shape) for i, g in enumerate(grads)]
        rest = len(self._store) - self._size
        return GradientList(self._store.backward_from([*full, *[None] * rest], n, first)[: self._size])

    def backward(self, out: SupportsIndex, seed: Any) -> GradientDict:
        """Gradients of `out` with the cotangent `seed`, keyed by node id; only the nodes that something reached.

        Args:
            out: the number of a node.
            seed: the cotangent, of the shape of `out`.

        Raises: NodeError, ShapeError.
        """
        return dense_to_dict(self.backward_dense(out, seed))

    def backward_scalar(self, out: SupportsIndex) -> GradientDict:
        """Gradients of the scalar `out` (seed 1), keyed by node id.

        Args:
            out: the number of a node of shape `()`.

        Raises: ShapeError if `out` has axes.
        """
        value = self.get_value(out)
        if value is not None and value.shape != ():
            raise ShapeError(f"backward_scalar: the output must be a scalar, got shape {value.shape}; use backward(out, seed)")
        return self.backward(out, 1.0)

    # Showing --------------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"Tape of {self._size} nodes, {self._dtype}\n" + "\n".join(tape_lines(self))

    def _repr_svg_(self) -> str | None:
        # Beyond this a picture shows nothing, and its layout takes long.
        return to_svg(self) if self._size <= 200 else None

    def to_dot(self) -> str:
        """The tape as Graphviz text."""
        return to_dot(self)

    def show(self, path: Any = None, grads: Any = None) -> str:
        """The tape as an SVG picture (text), with shapes, ranges of values and, given gradients, their norms.

        Args:
            path: a file to write it to.
            grads: what a backward pass of this tape returned.

        Raises: OptionError for gradients of another kind, or a path that cannot be written to.
        """
        if isinstance(grads, str | bytes) or not isinstance(grads, Mapping | Sequence | None):
            raise OptionError(f"show: gradients must be what a backward pass returned, got {type(grads).__name__}")
        return to_svg(self, path, grads)

    def __copy__(self) -> Tape:
        return self

    def __deepcopy__(self, memo: Any) -> Tape:
        # A tape is a value that never changes, as are the arrays of its nodes.
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise OptionError("a tape cannot be pickled: its nodes hold functions of this process; pickle the arrays that get_value returns")


def new_store(dtype: str, device: str) -> Any:
    """The empty nodes of a tape on the CPU or on a device. Raises: DeviceError that says what is missing; DTypeError; OptionError."""
    where = context_of(arguments.device("Tape", device))
    if where is None:
        return TapeStore()
    if dtype != "float32":
        raise DTypeError(f"Tape: CUDA computes in float32, got dtype={dtype!r}")
    return cuda().DeviceTape(where)


def _tape_of(store: Any, size: int, dtype: FloatName, stream: tuple[int, int]) -> Tape:
    tape = Tape.__new__(Tape)
    tape._store = store
    tape._size = size
    tape._dtype = dtype
    tape._stream = stream
    return tape


def _ref_of(ops: Any, op: str, i: Any) -> Any:
    # A function of the module: one that calls itself inside `_record` would be a cycle, and keep the builder as the tape's writer.
    if i is None:
        return None
    if isinstance(i, list | tuple):
        return [_ref_of(ops, op, k) for k in i]
    return ops.ref_of(node_id(op, i))


def _recorded(call: Callable[[], Any]) -> Any:
    # An explicit tape is its nodes: an op on it is recorded under no_grad too, of which an empty context knows nothing.
    return call() if recording() else Context().run(call)


def _zeros(like: Any) -> Any:
    return array_at(np.zeros(like.shape, like.dtype), None, context_at(like))


def _cast(g: Any, like: Any) -> Any:
    return array_at(g, like.dtype, context_at(like))


def require_grad(g: Any, shape: Sequence[int]) -> AnyTensor:
    """A cotangent, checked to have this shape.

    Args:
        g: anything array-like.
        shape: the shape that it must have.

    Raises: ShapeError if it has another.
    """
    g = g if context_at(g) else as_tensor(g)
    if g.shape != arguments.shape("require_grad", shape):
        raise ShapeError(f"a cotangent must have the shape of the value it belongs to, got {g.shape}, expected {tuple(shape)}")
    return g


def dense_to_dict(grads: Sequence[AnyTensor | None]) -> GradientDict:
    """Gradients keyed by node id, from a dense list; entries that are None are left out.

    Args:
        grads: one entry for each node.
    """
    return GradientDict({i: g for i, g in enumerate(arguments.each("dense_to_dict", "gradients", grads)) if g is not None})
