"""The eager backend of a device: runs each op at once and appends its node to the device's tape, as `EagerOps` does on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlean._core.array import as_tensor, named_dtype
from tlean._core.eager.eager import body_among, recording
from tlean._core.refs import RefBase, ValueRef

from .._generated.methods import OpsMethods
from ..arguments.literals import FloatName
from ..compiler.graph import integers_of
from ..compiler.lower import lower
from ..dtypes import holds_integers, keeps
from ..errors import DeviceError, DTypeError, NodeError, NumericsError
from ..ops import OpDef, Spec, get
from ..rng import op_seed
from .calls.call import LOWERING, Call, call_of
from .calls.table import EXACT
from .kernels.plan import Mode
from .runtime.array import DeviceArray, device_array
from .runtime.context import Context, context
from .tape import DeviceTape, TapeNode
from .target import target

_MASK64 = (1 << 64) - 1


# A loop runs as its plan does.
LOWERING.append(lambda graph, device, mode: lower(graph, target(device, mode)))


class DeviceRef(ValueRef):
    """A value on a device's tape: `.id`, `.shape`, `.dtype`, and the operators of every reference."""

    __slots__ = ("_value", "generation", "id", "ops")

    def __init__(self, ops: CudaEager, id: int | None, value: DeviceArray) -> None:
        self.ops: CudaEager = ops
        #: The node's id, or None for a value computed under `no_grad`.
        self.id: int | None = id
        self.generation: int = ops.generation
        self._value = value

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes along each axis."""
        return self._value.shape

    @property
    def dtype(self) -> str:
        """The dtype: equal to NumPy's and to its name."""
        return named_dtype(self._value.dtype)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this value."""
        if self.id is None:
            return False
        self.ops.require(self)
        return self.ops.store.at(self.id).requires_grad

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]} on {self._value.device}>"


def Cuda(session: CudaEager) -> CudaEager:
    """The `Ops` of a session on a device: the session itself.

    Args:
        session: a session or tape.

    Raises: DeviceError for a session that is not on a device.
    """
    if not isinstance(session, CudaEager):
        raise DeviceError(f"Cuda: a session on a device is expected, got {session!r}; make it with device='cuda'")
    return session


class CudaEager(OpsMethods):
    """A tape on a device that ops append to.

    Args:
        where: the device, or its number.
        store: the nodes to continue; a new tape by default.
        seed: of the stream that random ops without their own seed draw from.
        mode: how the kernels compute.
        fused: False runs an op that has a decomposition as that.

    Raises: DeviceError that says what is missing.
    """

    generation: int

    dtype: FloatName = "float32"

    def __init__(
        self, where: Context | int = 0, store: DeviceTape | None = None, seed: int = 0, mode: Mode = EXACT, fused: bool = True
    ) -> None:
        self.context: Context = context(where) if isinstance(where, int) else where
        self.store: DeviceTape = DeviceTape(self.context) if store is None else store
        self.session_seed = seed
        self.stream_position: int = 0
        self.generation = 0
        self.check_numerics = False
        self.mode = mode
        self.fused = fused
        #: Whether the inputs of an elementwise op must have equal shapes; else they broadcast.
        self.strict_shapes = False

    # Leaves -----------------------------------------------------------------------------------------------------------------

    def use_store(self, store: DeviceTape) -> None:
        """Append to these nodes from now on; references made before stay valid only if the store continues theirs.

        Args:
            store: the nodes.
        """
        self.store = store

    def reset_tape(self) -> None:
        """Forget every node; references made before raise NodeError from now on."""
        self.generation += 1
        self.store = DeviceTape(self.context)

    def add_leaf(self, value: Any, requires_grad: bool = True, name: str | None = None) -> DeviceRef:
        """A leaf that holds this array itself, of whatever dtype; one of the host is copied to the device.

        Args:
            value: an array.
            requires_grad: whether gradients flow to it.
            name: shown in printed tapes.
        """
        value = device_array(value, None, self.context).shared()
        if not recording():
            return DeviceRef(self, None, value)
        return DeviceRef(self, self.store.append(TapeNode(value, requires_grad and value.dtype == self.dtype, name)), value)

    def leaf(self, value: Any, requires_grad: bool = True, name: str | None = None) -> DeviceRef:
        """A leaf with this value; floating-point and integer values of the host take the tape's float dtype.

        Args:
            value: anything array-like.
            requires_grad: whether gradients flow to it.
            name: shown in printed tapes.
        """
        return self.add_leaf(device_array(value, self.dtype, self.context), requires_grad, name)

    def const(self, value: Any, name: str | None = None) -> DeviceRef:
        """A leaf that takes no gradient.

        Args:
            value: anything array-like.
            name: shown in printed tapes.
        """
        return self.leaf(value, False, name)

    def _own_constant(self, value: Any) -> DeviceRef:
        return self.add_leaf(value, False)

    def ref_of(self, node: Any) -> DeviceRef:
        """A reference to an existing node.

        Args:
            node: its number.

        Raises: NodeError.
        """
        return DeviceRef(self, int(node), self.store.at(int(node)).value)

    def custom_node(self, value: Any, parents: Sequence[int], backward: Any, requires_grad: bool, name: str | None = None) -> DeviceRef:
        """Append a node whose backward is a Python function; see `DeviceTape.custom`.

        Args:
            value: of the node.
            parents: their numbers.
            backward: gives the parents' gradients.
            requires_grad: whether gradients flow to it.
            name: shown in printed tapes.

        Returns: its reference.
        """
        value = device_array(value, None, self.context)
        id = self.store.custom(value, parents, backward, requires_grad, name) if recording() else None
        return DeviceRef(self, id, value)

    # References -------------------------------------------------------------------------------------------------------------

    def require(self, ref: Any) -> DeviceRef:
        """The reference itself if it is this session's and of the current tape.

        Args:
            ref: the reference.

        Raises: NodeError.
        """
        return self._own(ref, "")

    def _own(self, ref: Any, who: str) -> DeviceRef:
        if not isinstance(ref, DeviceRef):
            what = "a reference belongs to another backend" if isinstance(ref, RefBase) else "a reference of this session is expected"
            raise NodeError(f"{who}{what}, got {type(ref).__name__}")
        if ref.ops is not self:
            raise NodeError(f"{who}a reference belongs to another session or tape")
        if ref.id is not None and ref.generation != self.generation:
            raise NodeError(f"{who}a reference is from before reset_tape")
        return ref

    def get_value(self, ref: Any) -> DeviceArray:
        """The value of a reference, on the device; `.numpy()` reads it back.

        Args:
            ref: the reference.

        Raises: NodeError for a reference of another session.
        """
        return self._own(ref, "")._value.shared()

    def sweep(self, out: int, seed: Any, free_interior: bool = False) -> list[DeviceArray | None]:
        """Gradients of node `out` with the cotangent `seed`: see `DeviceTape.backward`.

        Args:
            out: the number of a node.
            seed: the cotangent, of its shape.
            free_interior: give the memory of nodes that are no leaves back as the sweep passes.
        """
        return self.store.backward(out, seed, -1, free_interior)

    def next_seed(self) -> int:
        """The seed of the next random op of this tape's stream."""
        self.stream_position += 1
        return op_seed(self.session_seed & _MASK64, self.stream_position - 1)

    # Ops --------------------------------------------------------------------------------------------------------------------

    def apply(self, op: str | OpDef, inputs: Sequence[Any], options: dict[str, Any], name: str | None = None) -> DeviceRef:
        """One op.

        Args:
            op: its name or record.
            inputs: references or arrays; None for an absent one.
            options: of the op.
            name: shown in printed tapes.

        Returns: its reference.
        Raises: what the op raises; then the tape is as before.
        """
        record = get(op)
        inside = body_among(self, inputs)
        if inside is not None:
            return inside.apply(op, inputs, options, name)  # type: ignore[no-any-return]
        if record.loop is not None and len(record.outputs) > 1:
            return record.loop.on_tape(self, record, tuple(inputs))  # type: ignore[return-value]
        if len(record.outputs) > 1:
            raise DeviceError(f"{record.name}: an op with several outputs has no place on a tape")
        before, position = len(self.store), self.stream_position
        try:
            inputs = integers_of(record, inputs, lambda x: self.add_leaf(device_array(x, x.dtype, self.context), False))
            names = record.input_names(len(inputs))
            found = [self._argument(record, n, x) for n, x in zip(names, inputs, strict=False)]
            parents, arrays = tuple([p for p, _ in found]), tuple([a for _, a in found])
            specs = tuple([None if a is None else Spec(a.shape, a.dtype) for a in arrays])
            if self.strict_shapes:
                record.require_equal_shapes(specs)
            call = call_of(record, specs, options, self.mode, self.fused)
            made = call.run(self.context, arrays)
            if self.check_numerics and made[0].dtype == self.dtype:
                self._look_for_nonfinite(call, made[0], parents)
            if not recording():
                return DeviceRef(self, None, made[0])
            flows = call.differentiable and any(p >= 0 and self.store.at(p).requires_grad for p in parents)
            kept = tuple(made[1:]) if flows else ()
            id = self.store.append(TapeNode(made[0], flows, name, call, parents, arrays, kept))
            return DeviceRef(self, id, made[0])
        except BaseException:
            # A constant leaf made of an argument goes with the op that failed.
            self.store.truncate(before)
            self.stream_position = position
            raise

    def _argument(self, record: OpDef, name: str, x: Any) -> tuple[int, DeviceArray | None]:
        # The node of an argument (-1: none) and its array; anything array-like becomes a constant leaf, integers are captured.
        if x is None:
            if not (record.random and name == "seed"):
                return -1, None
            x = self.next_seed()
        who = f"{record.name.lstrip('_')}: "
        if isinstance(x, RefBase):
            ref = self._own(x, who)
            if ref.id is None and recording():
                ref = self.add_leaf(ref._value, False)
            return -1 if ref.id is None else ref.id, ref._value
        try:
            if name in record.integer:
                return -1, self._integers(x, record.dtypes[name] == "bool")
            ref = self._as_it_is(x) if keeps(record.dtypes.get(name.partition("[")[0], ""), x) else self.const(x)
        except (TypeError, ValueError) as error:
            if type(error) in (TypeError, ValueError):
                raise
            raise type(error)(f"{who}{name}: {error}") from None
        except OverflowError:
            raise DTypeError(f"{who}{name} does not fit 64 bits") from None
        return -1 if ref.id is None else ref.id, ref._value

    def _as_it_is(self, x: Any) -> DeviceRef:
        # Integers and Booleans stay what they are.
        value = x if hasattr(x, "__cuda_array_interface__") else as_tensor(x)
        return self.add_leaf(value, False) if holds_integers(value) else self.const(x)

    def _integers(self, x: Any, boolean: bool) -> DeviceArray:
        if hasattr(x, "__tlean_value__"):
            x = x.__tlean_value__(self)
        if boolean and not hasattr(x, "__cuda_array_interface__"):
            x = as_tensor(x)
            if x.dtype != "bool":
                raise DTypeError(f"an array of dtype {x.dtype} is not taken where bool is expected")
        return device_array(x, "bool" if boolean else "int64", self.context)

    def _look_for_nonfinite(self, call: Call, value: DeviceArray, parents: tuple[int, ...]) -> None:
        flat = value.numpy().ravel()
        wrong = np.flatnonzero(~np.isfinite(flat))
        if len(wrong):
            what = "a NaN" if np.isnan(flat[wrong[0]]) else "an infinity"
            raise NumericsError(
                f"{call.shown}: node {len(self.store)} is the first with {what} "
                f"(element {wrong[0]} of shape {value.shape}), its parents are {parents}"
            )
