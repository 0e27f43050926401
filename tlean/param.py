"""A trainable array that outlives tapes, on the host, on a device, or on both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlean._core.array import AnyTensor, as_tensor, shared
from tlean._core.eager.eager import ParamBase
from tlean._core.plan.commit import Commit

from .arguments import float_dtype
from .arguments.literals import FloatName
from .devices import cuda
from .display import escaped
from .errors import DTypeError, OptionError, ShapeError

if TYPE_CHECKING:
    from .cuda.runtime.array import DeviceArray
    from .cuda.runtime.context import Context


class Param(ParamBase):
    """A trainable array that outlives tapes.

    It has one value, which a session on the CPU keeps in the host's memory and one on a device in the device's. A copy is made when it is
    needed where the other is newer; nothing is copied between steps on one device.

    Args:
        value: the initial value (copied): an array of the host or of a device.
        name: for messages and checkpoints.
        requires_grad: False freezes it; None takes the session's default.
        dtype: "float32" or "float64"; by default float64 values stay float64 and all others become float32.

    Raises: DTypeError for a dtype other than float32 and float64, OptionError for a name that is no text.

    Example:
        >>> p = tl.Param([1.0, 2.0], name="w")
        >>> p.set([3.0, 4.0])
        >>> p, p.get().tolist()
        (Param(w: (2,) float32), [3.0, 4.0])
    """

    # `_tensor` is the value on the host and is unset while a device's is newer: reading it then goes through `_read_back`, so that the
    # CPU's path pays for none of this. `_old` is what the host had before. `_mirror` is the value on a device as of version `_mirrored`.
    __slots__ = ("_dtype", "_mirror", "_mirrored", "_old", "_shape")

    _old: AnyTensor | None
    _mirror: DeviceArray | None

    def __init__(self, value: Any, name: str | None = None, requires_grad: bool | None = None, *, dtype: FloatName | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise OptionError(f"Param: a name must be a text, got {name!r}")
        if dtype is None:
            dtype = "float64" if getattr(value, "dtype", None) == "float64" else "float32"
        self._tensor = as_tensor(value, dtype)
        if isinstance(value, AnyTensor):
            self._tensor = as_tensor(value.numpy().copy(), dtype)
        self._shape: tuple[int, ...] = self._tensor.shape
        self._dtype: FloatName = self._tensor.dtype
        self._old = self._mirror = None
        self._version = self._mirrored = 0
        self.name = name
        self.requires_grad = requires_grad

    def _read_back(self) -> AnyTensor:
        made = as_tensor(self._mirror.numpy())  # type: ignore[union-attr]
        self._old = None
        return made

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value; it never changes."""
        return self._shape

    @property
    def dtype(self) -> FloatName:
        """The dtype of the value, "float32" or "float64"; `cast` changes it."""
        return self._dtype

    @property
    def device(self) -> str:
        """Where the value was changed last: "cpu", or "cuda:0" while the host's copy is older."""
        return "cpu" if self._old is None else self._mirror.device  # type: ignore[union-attr]

    def get(self, sync: bool = True) -> AnyTensor:
        """The value now, as a copy: later updates do not change it.

        Args:
            sync: read it back where a device's is newer; False gives the value that the host had last.
        """
        return as_tensor((self._tensor if self._old is None or sync else self._old).numpy())

    def set(self, value: Any) -> None:
        """Replace the value by an array of the host or of a device; copies elsewhere are updated when they are needed.

        Args:
            value: an array of the parameter's shape; it is copied.

        Raises: ShapeError if the shape differs, DTypeError for a dtype that does not cast.
        """
        if hasattr(value, "__cuda_array_interface__"):
            self._set_device(value)
            return
        new = as_tensor(value, self.dtype)
        self._check(new.shape)
        changes = Commit()
        self._assign(changes, as_tensor(new.numpy()) if isinstance(value, AnyTensor) else new)
        changes.now()

    def _assign(self, changes: Commit, value: AnyTensor | DeviceArray) -> None:
        """Note that this array of the parameter's shape and dtype becomes its value; the memory is shared with the array."""
        if isinstance(value, AnyTensor):
            self._assigned(changes)
            changes.set(self, "_tensor", shared(value))
        else:
            changes.set(self, "_mirror", value.shared())
            self._moves(changes)
            changes.set(self, "_version", self._version + 1)

    def _assign_output(self, changes: Commit, number: int, on_device: bool = False) -> None:
        """The same for output `number` of the plan that the changes belong to, which runs on the host or on a device."""
        if on_device:
            changes.output(self, "_mirror", number)
            self._moves(changes)
            changes.set(self, "_version", self._version + 1)
        else:
            self._assigned(changes)
            changes.output(self, "_tensor", number)

    def _assigned(self, changes: Commit) -> None:
        # No device has the value now.
        changes.set(self, "_old", None)
        changes.set(self, "_mirror", None)
        changes.set(self, "_version", self._version + 1)

    def _set_device(self, value: Any) -> None:
        new = cuda().to_device(value)
        self._check_like(new)
        changes = Commit()
        self._assign(changes, new.copy())
        changes.now()

    def cast(self, dtype: FloatName) -> None:
        """Keep the value in this dtype, "float32" or "float64", from now on.

        What an optimiser keeps of the parameter is not cast: its next step raises a DTypeError.

        Args:
            dtype: "float32" or "float64".

        Raises: DTypeError for another dtype.
        """
        dtype = float_dtype("Param.cast", str(dtype))
        changes = Commit()
        self._assign(changes, as_tensor(self._tensor.numpy().astype(dtype), dtype))
        changes.set(self, "_dtype", dtype)
        changes.now()

    def _check_like(self, value: AnyTensor | DeviceArray) -> None:
        """Raises: ShapeError, DTypeError for an array that cannot become the value as it is."""
        self._check(value.shape)
        if value.dtype != self.dtype:
            at = "" if isinstance(value, AnyTensor) else f" on {value.device}"
            raise DTypeError(f"Param.set: {self.name or 'the parameter'} must be {self.dtype}, got {value.dtype}{at}")

    def _check(self, shape: tuple[int, ...]) -> None:
        if tuple(shape) != self.shape:
            raise ShapeError(f"Param.set: {self.name or 'the parameter'} must have shape {self.shape}, got {shape}")

    # The device's copy ------------------------------------------------------------------------------------------------------

    @property
    def _current(self) -> AnyTensor | DeviceArray:
        """The value where it was changed last, on the host or on a device, without a copy."""
        return self._tensor if self._old is None else self._mirror  # type: ignore[return-value]

    def _on_device(self, where: Context) -> DeviceArray:
        """The parameter's own array on a device, copied there if what it has is older. Who keeps it takes `.shared()` of it."""
        if self._mirror is None or self._mirror.context is not where or self._mirrored != self._version:
            made = cuda().to_device(self._tensor.numpy(), where)
            self._mirror, self._mirrored = made, self._version
        return self._mirror

    def _own_on_device(self, where: Context) -> DeviceArray:
        """The parameter's array on a device, held by nothing else: where other objects hold it, a copy takes its place."""
        found = self._on_device(where)
        if not found.alone:
            self._mirror = found = found.copy()
        return found

    def _moves(self, changes: Commit) -> None:
        """Note that `_mirror` holds the value from then on, whose version counts one on (`Commit.count`)."""
        changes.set(self, "_mirrored", self._version + 1)
        if self._old is None:
            changes.set(self, "_old", self._tensor)
            changes.unset(self, "_tensor")

    def release(self) -> None:
        """Give the memory back; the parameter cannot be used afterwards."""
        for copy in (self._old, self._mirror, None if self._old is not None else self._tensor):
            if copy is not None:
                copy.release()
        self._version += 1

    def __reduce__(self) -> Any:
        return _copied, (type(self), self.get(), self.name, self.requires_grad, getattr(self, "__dict__", None))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.get().__array__(dtype, copy)

    def __repr__(self) -> str:
        title = f"{self.name}: " if self.name else ""
        return f"Param({title}{self.shape} {self.dtype}{', frozen' if self.requires_grad is False else ''})"

    def _repr_html_(self) -> str:
        shown: str = self.get()._repr_html_()
        return shown.replace("AnyTensor:", escaped(f"{type(self).__name__} {self.name}:" if self.name else f"{type(self).__name__}:"), 1)


def _copied(kind: type[Param], value: AnyTensor, name: str | None, requires_grad: bool | None, attributes: dict[str, Any] | None) -> Param:
    # Not `kind(…)`: a subclass may take other arguments and have other attributes.
    made = kind.__new__(kind)
    Param.__init__(made, value, name, requires_grad)
    for key, attribute in (attributes or {}).items():
        setattr(made, key, attribute)
    return made
