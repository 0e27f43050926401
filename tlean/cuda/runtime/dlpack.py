"""DLPack on a device: capsules of our arrays, and the memory that others' capsules hold. The structs are those of dlpack.h, as ctypes."""

from __future__ import annotations

import ctypes
import math
from typing import Any, NamedTuple

import numpy as np

from tlean.errors import DeviceError, DTypeError, ShapeError

#: Device types of dlpack.h: memory of a device, and memory that host and device share.
CUDA, MANAGED = 2, 13

_CODES = {"int64": 0, "int32": 0, "float32": 2, "float64": 2, "bool": 6}
_NAMES = {(0, 64): "int64", (0, 32): "int32", (2, 32): "float32", (2, 64): "float64", (6, 8): "bool"}


class Memory(NamedTuple):
    """Dense row-major memory of another owner, alive as long as `owner` is."""

    shape: tuple[int, ...]
    dtype: str
    address: int
    device: int
    owner: Any


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


class _Plain(ctypes.Structure):
    # DLManagedTensor
    _fields_ = (("tensor", _Tensor), ("manager", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class _Versioned(ctypes.Structure):
    # DLManagedTensorVersioned
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


_STRUCTS = {b"dltensor": _Plain, b"dltensor_versioned": _Versioned}
_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
# Separate prototypes: those of `ctypes.pythonapi` are shared.
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(("PyCapsule_New", ctypes.pythonapi))
_valid_at = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_pointer_at = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", ctypes.pythonapi))

#: A capsule that its consumer took is called so; the names live as long as the process.
_USED = {b"dltensor": b"used_dltensor", b"dltensor_versioned": b"used_dltensor_versioned"}
#: Address of a managed tensor -> everything that it keeps alive, until its deleter is called.
exported: dict[int, tuple[Any, ...]] = {}


@_FUNCTION
def _delete(address: int) -> None:
    exported.pop(address, None)


@_FUNCTION
def _destroy(capsule: int) -> None:
    # A consumer renames the capsule and calls the deleter itself.
    for name in _STRUCTS:
        if _valid_at(capsule, name):
            _delete(_pointer_at(capsule, name))


def capsule(array: Any, device: int, versioned: bool) -> Any:
    """A capsule of an array's memory, in the form of DLPack 1.0 or in the older one."""
    name = b"dltensor_versioned" if versioned else b"dltensor"
    n = len(array.shape)
    shape = (ctypes.c_int64 * max(n, 1))(*array.shape)
    step = 1
    steps: list[int] = []
    for size in reversed(array.shape):
        steps.insert(0, step)
        step *= size
    strides = (ctypes.c_int64 * max(n, 1))(*steps)
    managed = _STRUCTS[name]()
    if versioned:
        managed.major, managed.minor = 1, 0
    tensor = managed.tensor
    tensor.data, tensor.device_type, tensor.device_id = array.address or None, CUDA, device
    tensor.ndim, tensor.code, tensor.bits, tensor.lanes = n, _CODES[array.dtype], 8 * np.dtype(array.dtype).itemsize, 1
    tensor.shape = ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64))
    tensor.strides = ctypes.cast(strides, ctypes.POINTER(ctypes.c_int64))
    managed.deleter = ctypes.cast(_delete, ctypes.c_void_p)
    address = ctypes.addressof(managed)
    exported[address] = (managed, shape, strides, array)
    return _new(address, name, ctypes.cast(_destroy, ctypes.c_void_p))


class _Taken:
    """Another library's managed tensor: given back when nothing refers to its memory."""

    def __init__(self, managed: Any) -> None:
        self.managed = managed

    def __del__(self) -> None:
        if self.managed.deleter:
            _FUNCTION(self.managed.deleter)(ctypes.addressof(self.managed))


def is_capsule(x: Any) -> bool:
    """Whether x is a DLPack capsule that has not been taken yet."""
    return type(x).__name__ == "PyCapsule" and any(_valid(x, name) for name in _STRUCTS)


def take(given: Any) -> Memory:
    """The memory of a capsule, which is then taken.

    Raises: DTypeError; ShapeError for memory that is not dense and row-major; DeviceError for memory of another kind of device.
    """
    name = next(name for name in _STRUCTS if _valid(given, name))
    struct = _STRUCTS[name]
    managed = struct.from_address(_pointer(given, name))
    _rename(given, _USED[name])
    owner, tensor = _Taken(managed), managed.tensor
    if tensor.device_type not in (CUDA, MANAGED):
        raise DeviceError(f"to_device: a capsule of CUDA memory, not of DLPack's device type {tensor.device_type}")
    dtype = _NAMES.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    if dtype is None:
        raise DTypeError(f"to_device: an array of {', '.join(_CODES)}, not DLPack's type {tensor.code} of {tensor.bits} bits")
    shape = tuple(tensor.shape[k] for k in range(tensor.ndim))
    if tensor.strides:
        require_dense(shape, tuple(tensor.strides[k] for k in range(tensor.ndim)), 1)
    return Memory(shape, dtype, (tensor.data or 0) + tensor.byte_offset, tensor.device_id, owner)


def require_dense(shape: tuple[int, ...], strides: tuple[int, ...], step: int) -> None:
    """Raises: ShapeError unless these are the strides of dense row-major memory; `step` is an element's."""
    dense = [step * math.prod(shape[k + 1 :]) for k in range(len(shape))]
    if math.prod(shape) and any(s != d for s, d, n in zip(strides, dense, shape, strict=True) if n != 1):
        raise ShapeError(f"to_device: a dense row-major array, not one with strides {strides} for shape {shape}")
