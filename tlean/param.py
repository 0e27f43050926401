"""A trainable array that outlives tapes."""

from __future__ import annotations

from typing import Any

from tlean._core.array import AnyTensor, as_tensor

from .errors import ShapeError


class Param:
    """A trainable array that outlives tapes.

    Args:
        value: the initial value (copied).
        name: for messages and checkpoints.
        requires_grad: False freezes it; None takes the session's default.
        dtype: "float32" or "float64"; by default float64 values stay float64 and all others become float32.
    """

    __slots__ = ("_tensor", "_version", "name", "requires_grad")

    def __init__(self, value: Any, name: str | None = None, requires_grad: bool | None = None, *, dtype: str | None = None) -> None:
        if dtype is None:
            dtype = "float64" if getattr(value, "dtype", None) == "float64" else "float32"
        self._tensor = as_tensor(value, dtype)
        if isinstance(value, AnyTensor):
            self._tensor = as_tensor(value.numpy().copy(), dtype)
        self._version = 0
        self.name = name
        self.requires_grad = requires_grad

    @property
    def shape(self) -> tuple[int, ...]:
        return self._tensor.shape

    @property
    def dtype(self) -> str:
        return self._tensor.dtype

    def get(self, sync: bool = True) -> AnyTensor:
        """The value now, as an array of its own: later updates do not change it."""
        return as_tensor(self._tensor.numpy())

    def set(self, value: Any) -> None:
        """Replace the value. Raises: ShapeError if the shape differs, DTypeError for a dtype that does not cast."""
        new = as_tensor(value, self.dtype)
        if new.shape != self.shape:
            raise ShapeError(f"Param.set: {self.name or 'the parameter'} has shape {self.shape}, got {new.shape}")
        self._tensor = as_tensor(new.numpy()) if isinstance(value, AnyTensor) else new
        self._version += 1

    def release(self) -> None:
        """Give the memory back; the parameter cannot be used afterwards."""
        self._tensor.release()
        self._version += 1

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.get().__array__(dtype, copy)

    def __repr__(self) -> str:
        title = f"{self.name}: " if self.name else ""
        return f"Param({title}{self.shape} {self.dtype}{', frozen' if self.requires_grad is False else ''})"
