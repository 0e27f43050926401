"""What a device array shares with an `AnyTensor`: reading it back, and who else holds its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tlean.errors import DeviceError, NodeError, ShapeError

from .context import Block, Context

if TYPE_CHECKING:
    from .array import DeviceArray


class Values:
    """The methods of an array that do not need to know where its memory comes from."""

    __slots__ = ()

    if TYPE_CHECKING:
        shape: tuple[int, ...]
        dtype: str
        address: int
        context: Any
        known: Any
        _owner: Any

        def numpy(self) -> np.ndarray: ...

        def copy(self) -> DeviceArray: ...

    def __del__(self) -> None:
        owner = getattr(self, "_owner", None)
        if isinstance(owner, Block):
            owner.holders -= 1

    def __getattr__(self, name: str) -> Any:
        # Only `release` takes the address away.
        if name == "address":
            raise NodeError("this array was released")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def device(self) -> str:
        """Where the array is: "cuda:0"."""
        return f"cuda:{self.context.device}"

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def alone(self) -> bool:
        """Whether no other array has this memory, so that new values may be written to it."""
        return isinstance(self._owner, Block) and self._owner.holders == 1

    def shared(self: Any) -> DeviceArray:
        """Another array of the same memory: releasing one leaves the other."""
        return self.reshape(self.shape)

    def owned(self: Any) -> DeviceArray:
        """An array to change in place: this one if nothing else has its memory, else a copy."""
        return self if self.alone else self.copy()

    def item(self) -> Any:
        """The only element, as a Python number, read back. Raises: ShapeError if there are more."""
        found = self.numpy()
        if found.size != 1:
            raise ShapeError(f"item: one element is needed, got shape {self.shape}")
        return found.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers, read back."""
        return self.numpy().tolist()

    def cast(self, shape: Any) -> Any:
        """The same array, checked to have this shape. Raises: ShapeError if it has another."""
        if tuple(shape) != self.shape:
            raise ShapeError(f"cast: the array must have shape {tuple(shape)}, got {self.shape}")
        return self

    def release(self) -> None:
        """Give the memory back now; later reads raise NodeError. A second call does nothing."""
        owner, self._owner, self.known = self._owner, None, None
        if isinstance(owner, Block):
            owner.holders -= 1
        if owner is not None:
            del self.address

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.numpy().astype(dtype or self.dtype, copy=False)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("an array with no axes has no length")
        return self.shape[0]


def require_here(x: DeviceArray, where: Context) -> DeviceArray:
    """The array itself. Raises: DeviceError if it is on another device."""
    if x.context is not where:
        raise DeviceError(
            f"arrays must be on the device that computes, cuda:{where.device}, but one is on {x.device}; copy it there first: "
            f"tl.cuda.to_device(x, {where.device})"
        )
    return x
