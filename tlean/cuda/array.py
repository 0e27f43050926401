"""Arrays on a device, and their way to and from other libraries without a copy."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError
from .context import Block, Context, context
from .values import Values

DTYPES = ("float32", "float64", "int64", "int32", "bool")


class DeviceArray(Values):
    """A dense row-major array in device memory.

    Attributes:
        shape: the size along each axis.
        dtype: the NumPy name of the dtype.
        address: where it begins; 0 for an array of no elements.
        context: the device.
    """

    __slots__ = ("_owner", "address", "context", "dtype", "shape")

    def __init__(self, where: Context, shape: tuple[int, ...], dtype: str, address: int, owner: Any) -> None:
        self.context = where
        self.shape = tuple(shape)
        self.dtype = dtype
        self.address = address
        self._owner = owner
        if isinstance(owner, Block):
            owner.holders += 1

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of the elements."""
        return self.size * np.dtype(self.dtype).itemsize

    def numpy(self) -> np.ndarray:
        """A copy on the host, once all work queued before is done. Raises: what that work met, such as IndexRangeError."""
        found = np.empty(self.shape, self.dtype)
        if found.nbytes:
            with self.context.current() as driver:
                driver.memcpy_dtoh_async(found, self.address, self.context.stream)
                self.context.stream.synchronize()
            self.context.settle()
        return found

    def reshape(self, shape: tuple[int, ...]) -> DeviceArray:
        """The same memory under another shape of as many elements. Raises: ShapeError."""
        if math.prod(shape) != self.size:
            raise ShapeError(f"reshape: {shape} has as many elements as {self.shape}")
        return DeviceArray(self.context, shape, self.dtype, self.address, self._owner)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        # Version 3 has a stream to wait for. Ours is done before anybody sees the address, so there is none.
        self.context.synchronize()
        return {
            "shape": self.shape,
            "typestr": np.dtype(self.dtype).str,
            "data": (self.address, False),
            "version": 3,
            "strides": None,
            "stream": None,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return (_CUDA, self.context.device)

    def __dlpack__(self, *, stream: Any = None, **_: Any) -> Any:
        """A DLPack capsule. All queued work is done before it is returned, so every stream may use it at once."""
        self.context.synchronize()
        return _capsule(self)

    def __repr__(self) -> str:
        return f"DeviceArray({self.shape}, {self.dtype}, device {self.context.device})"


def empty(shape: tuple[int, ...], dtype: str, where: Context) -> DeviceArray:
    """An array whose elements are whatever the memory holds."""
    block: Block = where.allocate(math.prod(shape) * np.dtype(dtype).itemsize)
    return DeviceArray(where, shape, dtype, block.address, block)


def to_device(x: Any, where: Context | None = None) -> DeviceArray:
    """An array on the device.

    Args:
        x: a DeviceArray (returned as it is), anything with `__cuda_array_interface__` (its memory is used, not copied), or anything that
            NumPy makes an array of (copied; Python floats become float64, integers int64).
        where: the device; the first one by default.

    Raises: DeviceError without a device; DTypeError for other dtypes; ShapeError for device memory that is not dense and row-major.
    """
    if isinstance(x, DeviceArray):
        return x
    where = where or context()
    if hasattr(x, "__cuda_array_interface__"):
        return _adopt(x, where)
    host = np.ascontiguousarray(x) if np.ndim(x) else np.array(x)
    _check(host.dtype.name)
    made = empty(host.shape, host.dtype.name, where)
    if host.nbytes:
        with where.current() as driver:
            driver.memcpy_htod_async(made.address, host, where.stream)
            # The copy may read the host's memory until it is done.
            where.stream.synchronize()
    return made


def _check(dtype: str) -> None:
    if dtype not in DTYPES:
        raise DTypeError(f"to_device: an array of {', '.join(DTYPES)}, not {dtype}")


def _adopt(x: Any, where: Context) -> DeviceArray:
    found = x.__cuda_array_interface__
    dtype = np.dtype(found["typestr"])
    _check(dtype.name)
    shape = tuple(found["shape"])
    dense: list[int] = []
    step = dtype.itemsize
    for n in reversed(shape):
        dense.insert(0, step)
        step *= n
    strides = found.get("strides")
    if strides is not None and math.prod(shape) and any(s != d for s, d, n in zip(strides, dense, shape, strict=True) if n != 1):
        raise ShapeError(f"to_device: a dense row-major array, not one with strides {tuple(strides)} for shape {shape}")
    with where.current() as driver:
        # The owner's work may be on any of its streams.
        driver.Context.synchronize()
    return DeviceArray(where, shape, dtype.name, int(found["data"][0] or 0), x)


# DLPack: dlpack.h, written as ctypes ----------------------------------------------------------------------------------------

_CUDA = 2
_CODES = {"int64": 0, "int32": 0, "float32": 2, "float64": 2, "bool": 6}


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("manager", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


_DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_DESTRUCTOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
#: Address of a managed tensor -> everything that it keeps alive, until its deleter is called.
_exported: dict[int, tuple[Any, ...]] = {}


@_DELETER
def _delete(address: int) -> None:
    _exported.pop(address, None)


@_DESTRUCTOR
def _destroy(capsule: int) -> None:
    # A consumer renames the capsule and calls the deleter itself.
    api = ctypes.pythonapi
    if api.PyCapsule_IsValid(ctypes.c_void_p(capsule), b"dltensor"):
        _delete(api.PyCapsule_GetPointer(ctypes.c_void_p(capsule), b"dltensor"))


ctypes.pythonapi.PyCapsule_New.restype = ctypes.py_object
ctypes.pythonapi.PyCapsule_New.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
ctypes.pythonapi.PyCapsule_GetPointer.restype = ctypes.c_void_p


def _capsule(array: DeviceArray) -> Any:
    n = len(array.shape)
    shape = (ctypes.c_int64 * max(n, 1))(*array.shape)
    managed = _Managed()
    managed.tensor.data = array.address or None
    managed.tensor.device_type, managed.tensor.device_id = array.__dlpack_device__()
    managed.tensor.ndim = n
    managed.tensor.code = _CODES[array.dtype]
    managed.tensor.bits, managed.tensor.lanes = 8 * np.dtype(array.dtype).itemsize, 1
    managed.tensor.shape = ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64))
    managed.deleter = ctypes.cast(_delete, ctypes.c_void_p)
    address = ctypes.addressof(managed)
    _exported[address] = (managed, shape, array)
    return ctypes.pythonapi.PyCapsule_New(address, b"dltensor", ctypes.cast(_destroy, ctypes.c_void_p))
