"""Complex arrays, as a real array with a last axis of the two parts."""

from __future__ import annotations

import operator
from typing import Any, ClassVar

import numpy as np

import tlean.functions as f

from .. import tree
from .._core.array import AnyTensor, as_tensor
from ..arguments import is_reference
from ..errors import DTypeError, ShapeError

_COMPLEX: dict[str, np.dtype] = {"float32": np.dtype("complex64"), "float64": np.dtype("complex128")}
_CONJUGATE = np.array([1.0, -1.0])


class ComplexArray:
    """A complex array of shape s: a real one of shape (*s, 2), with the real and the imaginary part next to each other.

    It is a tree with one leaf, so programs take and return it, and `grad` of a real function of it is one too, by JAX's convention:
    ∂f/∂x − i ∂f/∂y. Its conjugate, which is PyTorch's gradient, points where f grows fastest. Real numbers and arrays, complex ones of
    NumPy's and of Python's mix with it in arithmetic.

    Args:
        parts: an array or a reference with a last axis of two, of float32 or float64.

    Raises: ShapeError unless the last axis is of two; DTypeError for another dtype.

    Example:
        >>> z = tl.fft.ComplexArray(np.array([[3.0, 4.0], [0.0, 1.0]]))
        >>> abs(z).tolist(), (z * z).numpy().tolist()
        ([5.0, 1.0], [(-7+24j), (-1+0j)])
    """

    __slots__ = ("parts",)
    # NumPy's arrays leave arithmetic with it to its own methods.
    __array_ufunc__ = None
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __init__(self, parts: Any) -> None:
        parts = parts if is_reference(parts) or isinstance(parts, AnyTensor) else as_tensor(np.asarray(parts))
        if str(parts.dtype) not in _COMPLEX:
            raise DTypeError(f"ComplexArray: the parts must be float32 or float64, got {parts.dtype}")
        if not parts.shape or parts.shape[-1] != 2:
            raise ShapeError(f"ComplexArray: the last axis must hold the real and the imaginary part, got shape {tuple(parts.shape)}")
        self.parts: Any = parts

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape without the axis of parts."""
        return tuple(self.parts.shape[:-1])

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.parts.shape) - 1

    @property
    def dtype(self) -> np.dtype:
        """complex64 or complex128."""
        return _COMPLEX[str(self.parts.dtype)]

    @property
    def real(self) -> Any:
        """The real part."""
        return self.parts[..., 0]

    @property
    def imag(self) -> Any:
        """The imaginary part."""
        return self.parts[..., 1]

    def conj(self) -> ComplexArray:
        """The conjugates."""
        return ComplexArray(f.mul(self.parts, _CONJUGATE.astype(str(self.parts.dtype))))

    def abs2(self) -> Any:
        """The squares of the absolute values, without a root."""
        return f.reduce_sum(f.square(self.parts), axis=-1)

    def __abs__(self) -> Any:
        return f.norm(self.parts, axis=-1)

    def angle(self) -> Any:
        """The angles, in −π … π."""
        return f.atan2(self.imag, self.real)

    def exp(self) -> ComplexArray:
        """The exponentials."""
        size, angle = f.exp(self.real), self.imag
        return from_parts(f.mul(size, f.cos(angle)), f.mul(size, f.sin(angle)))

    def sum(self, axis: Any = None, keepdims: bool = False) -> ComplexArray:
        """Sums over axes; None is all."""
        axes = tuple(range(self.ndim)) if axis is None else tuple(operator.index(a) % max(self.ndim, 1) for a in _each(axis))
        return ComplexArray(f.reduce_sum(self.parts, axis=axes, keepdims=keepdims) if axes else self.parts)

    def reshape(self, *shape: Any) -> ComplexArray:
        """The numbers in another shape, which may have one −1."""
        wanted = shape[0] if len(shape) == 1 and not hasattr(shape[0], "__index__") else shape
        return ComplexArray(f.reshape(self.parts, (*wanted, 2)))

    def __getitem__(self, key: Any) -> ComplexArray:
        keys = key if isinstance(key, tuple) else (key,)
        return ComplexArray(self.parts[(*keys, slice(None)) if any(k is Ellipsis for k in keys) else keys])

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("a complex number has no length")
        return int(self.parts.shape[0])

    def __bool__(self) -> bool:
        return bool(self.__complex__())

    def __complex__(self) -> complex:
        return complex(self.numpy().item())

    def numpy(self) -> np.ndarray:
        """As a NumPy array of complex numbers. Raises: ShapeError for a value that a running program has not computed yet."""
        if is_reference(self.parts):
            parts = np.asarray(self.parts.numpy() if hasattr(self.parts, "numpy") else self.parts)
        else:
            parts = np.asarray(self.parts)
        return np.ascontiguousarray(parts).view(self.dtype)[..., 0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self.numpy()
        return values if dtype is None else values.astype(dtype)

    def __repr__(self) -> str:
        return f"ComplexArray({self.parts!r})"

    # Arithmetic ---------------------------------------------------------------------------------------------------------

    def _sum(self, other: Any, sign: float) -> Any:
        # self + sign · other.
        z = _operand(other, self)
        if z is None:
            return NotImplemented
        if not isinstance(z, ComplexArray):
            z = from_parts(z, f.zeros_like(z)) if hasattr(z, "shape") else ComplexArray(np.array([z, 0.0], dtype=str(self.parts.dtype)))
        return ComplexArray(f.add(self.parts, z.parts) if sign > 0 else f.sub(self.parts, z.parts))

    def __add__(self, other: Any) -> Any:
        return self._sum(other, 1.0)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._sum(other, -1.0)

    def __rsub__(self, other: Any) -> Any:
        return (-self)._sum(other, 1.0)

    def __neg__(self) -> ComplexArray:
        return ComplexArray(f.neg(self.parts))

    def __pos__(self) -> ComplexArray:
        return self

    def __mul__(self, other: Any) -> Any:
        z = _operand(other, self)
        if z is None:
            return NotImplemented
        if isinstance(z, ComplexArray):
            return ComplexArray(f.fft_mul(self.parts, z.parts))
        return ComplexArray(f.mul(self.parts, _for_parts(z)))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        z = _operand(other, self)
        if z is None:
            return NotImplemented
        if isinstance(z, ComplexArray):
            return ComplexArray(f.div(f.fft_mul(self.parts, z.parts, conjugate=True), _for_parts(z.abs2())))
        return ComplexArray(f.div(self.parts, _for_parts(z)))

    def __rtruediv__(self, other: Any) -> Any:
        z = _operand(other, self)
        return NotImplemented if z is None else self.conj() * z / self.abs2()

    def __matmul__(self, other: Any) -> Any:
        z = _operand(other, self)
        if z is None or not hasattr(z, "shape"):
            return NotImplemented
        a, b = self.real, self.imag
        if not isinstance(z, ComplexArray):
            return from_parts(f.matmul(a, z), f.matmul(b, z))
        c, d = z.real, z.imag
        return from_parts(f.sub(f.matmul(a, c), f.matmul(b, d)), f.add(f.matmul(a, d), f.matmul(b, c)))

    def __rmatmul__(self, other: Any) -> Any:
        z = _operand(other, self)
        if z is None or not hasattr(z, "shape"):
            return NotImplemented
        if isinstance(z, ComplexArray):
            return z @ self
        return from_parts(f.matmul(z, self.real), f.matmul(z, self.imag))

    def __eq__(self, other: Any) -> Any:
        z = _operand(other, self)
        if z is None:
            return NotImplemented
        z = as_complex(z)
        return f.all(f.equal(self.parts, z.parts), axis=-1)

    def __ne__(self, other: Any) -> Any:
        same = self.__eq__(other)
        return same if same is NotImplemented else f.logical_not(same)


tree.register(ComplexArray, lambda z: ((z.parts,), None), lambda _, children: _joined(children[0]))


def _conjugate(z: ComplexArray) -> ComplexArray:
    # None where there is no derivative, another tree in a Jacobian of complex numbers by complex numbers.
    return z.conj() if hasattr(z.parts, "dtype") and not isinstance(z.parts, ComplexArray) else z


tree.register_dual(ComplexArray, _conjugate)


def _joined(parts: Any) -> ComplexArray:
    # Without checks: a tree may hold anything, such as an axis or a shape.
    z = object.__new__(ComplexArray)
    z.parts = parts
    return z


def _each(axis: Any) -> tuple[Any, ...]:
    return (axis,) if hasattr(axis, "__index__") else tuple(axis)


def _for_parts(x: Any) -> Any:
    # Real factors of complex numbers.
    return f.expand_dims(x, -1) if hasattr(x, "shape") else x


def _operand(x: Any, beside: ComplexArray) -> Any:
    # A real number or array as it is, a complex one as a ComplexArray; None for something else.
    if isinstance(x, ComplexArray) or is_reference(x) or isinstance(x, AnyTensor):
        return x
    if isinstance(x, bool | int | float):
        return float(x)
    if isinstance(x, complex):
        return ComplexArray(np.array([x.real, x.imag], dtype=str(beside.parts.dtype)))
    if isinstance(x, np.ndarray | np.generic):
        return as_complex(x) if x.dtype.kind == "c" else x
    return None


def from_parts(real: Any, imag: Any) -> ComplexArray:
    """The complex array with these parts.

    Args:
        real, imag: arrays or references of one shape, or that broadcast.

    Returns: a `ComplexArray`.

    Example:
        >>> tl.fft.from_parts([1.0, 2.0], [0.0, -1.0]).numpy().tolist()
        [(1+0j), (2-1j)]
    """
    if tuple(getattr(real, "shape", ())) != tuple(getattr(imag, "shape", ())):
        real, imag = (f.add(x, f.zeros_like(y)) for x, y in ((real, imag), (imag, real)))
    return ComplexArray(f.stack([real, imag], axis=-1))


def as_complex(x: Any) -> ComplexArray:
    """An array as a complex one: NumPy's complex numbers, a real array or reference, whose imaginary part is 0, or a `ComplexArray`.

    Args:
        x: the array.

    Returns: a `ComplexArray`: complex128 for complex128 and float64, else complex64.
    Raises: DTypeError for what is no array of numbers.

    Example:
        >>> tl.fft.as_complex(np.array([1j, 2.0])).imag.tolist()
        [1.0, 0.0]
    """
    if isinstance(x, ComplexArray):
        return x
    if not is_reference(x) and not isinstance(x, AnyTensor):
        listed, x = not hasattr(x, "dtype"), np.asarray(x)
        if listed and x.dtype.kind in "fc":
            # Python's numbers have no dtype.
            x = x.astype("complex64" if x.dtype.kind == "c" else "float32")
        if x.dtype.kind == "c":
            kind = np.dtype("complex64" if x.dtype == np.complex64 else "complex128")
            values = np.ascontiguousarray(x, dtype=kind).reshape(x.shape)
            return ComplexArray(values[..., np.newaxis].view("float32" if kind == np.complex64 else "float64"))
        if x.dtype.kind not in "fiub":
            raise DTypeError(f"tl.fft: an array must be one of numbers, got dtype {x.dtype}")
    # Integers become floats, as everywhere.
    x = x if str(x.dtype) in _COMPLEX else f.div(x, 1)
    return from_parts(x, f.zeros_like(x))
