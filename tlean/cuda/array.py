"""Arrays on a device, and their way to and from other libraries without a copy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tlean._core.array import as_tensor

from ..errors import DeviceError, DTypeError, ShapeError
from . import dlpack
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
        # Version 3: whoever reads the memory waits for the stream first.
        return {
            "shape": self.shape,
            "typestr": np.dtype(self.dtype).str,
            "data": (self.address, False),
            "version": 3,
            "strides": None,
            "stream": int(self.context.stream.handle),
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return (dlpack.CUDA, self.context.device)

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A DLPack capsule of this memory.

        Args:
            stream: the consumer's; its later work waits for the work queued here. None is the default stream, 1 that too, 2 the calling
                thread's, -1 asks for no waiting.
            max_version: (1, 0) or later asks for the versioned form.
            dl_device: where the consumer wants it; this device, or DLPack's host for a copy there.
            copy: True for memory of its own, False for never.

        Raises: BufferError for another device or a copy that `copy` forbids; DeviceError for what is no stream.
        """
        if dl_device is not None and tuple(dl_device) != self.__dlpack_device__():
            if dl_device[0] != 1 or copy is False:
                raise BufferError(f"__dlpack__: the array is on device {self.__dlpack_device__()}, not {tuple(dl_device)}")
            return self.numpy().__dlpack__(max_version=max_version)
        if stream is not None and (isinstance(stream, bool) or stream == 0 or stream < dlpack.NO_STREAM):
            raise BufferError(f"__dlpack__: a stream's address, or 1, 2 or -1, not {stream!r}")
        given = self.copy() if copy else self
        if stream != dlpack.NO_STREAM:
            with self.context.current():
                dlpack.order(int(self.context.stream.handle), dlpack.DEFAULT_STREAM if stream is None else int(stream))
        return dlpack.capsule(given, self.context.device, max_version is not None and max_version[0] >= 1)

    def copy(self) -> DeviceArray:
        """The same values in memory of their own."""
        made = empty(self.shape, self.dtype, self.context)
        if self.nbytes:
            with self.context.current() as driver:
                driver.memcpy_dtod_async(made.address, self.address, self.nbytes, self.context.stream)
        return made

    def __repr__(self) -> str:
        return f"DeviceArray({self.shape}, {self.dtype}, device {self.context.device})"


def empty(shape: tuple[int, ...], dtype: str, where: Context) -> DeviceArray:
    """An array whose elements are whatever the memory holds."""
    block: Block = where.allocate(math.prod(shape) * np.dtype(dtype).itemsize)
    return DeviceArray(where, shape, dtype, block.address, block)


def to_device(x: Any, where: Context | None = None) -> DeviceArray:
    """An array on the device.

    Args:
        x: a DeviceArray (returned as it is); anything with `__cuda_array_interface__` or, on a CUDA device, `__dlpack__`, or a capsule of
            that (its memory is used, not copied, and lives as long as the result); anything that NumPy makes an array of (copied; Python
            floats become float64, integers int64).
        where: the device; the first one by default.

    Raises: DeviceError without a device, or for memory of another one; DTypeError for other dtypes; ShapeError for device memory that is
        not dense and row-major.
    """
    if isinstance(x, DeviceArray):
        return x
    where = where or context()
    if hasattr(x, "__cuda_array_interface__"):
        return _adopt(x, where)
    if dlpack.is_capsule(x):
        # Nobody says on which stream its memory is written.
        with where.current() as driver:
            driver.Context.synchronize()
        return _own(dlpack.take(x), where)
    if _exports(x):
        return _own(dlpack.take(_ask(x, int(where.stream.handle))), where)
    host = np.ascontiguousarray(x) if np.ndim(x) else np.array(x)
    _check(host.dtype.name)
    made = empty(host.shape, host.dtype.name, where)
    if host.nbytes:
        with where.current() as driver:
            driver.memcpy_htod_async(made.address, host, where.stream)
            # The copy may read the host's memory until it is done.
            where.stream.synchronize()
    return made


def device_array(x: Any, dtype: str | None, where: Context) -> DeviceArray:
    """An array on a device that nobody else writes to: what is on the host or of another library is copied, ours is as it is.

    Raises: DTypeError for a dtype that does not cast, and for an array of a device that is not `dtype` already; ShapeError.
    """
    if isinstance(x, DeviceArray) and x.context is not where:
        x = x.numpy()
    ours = isinstance(x, DeviceArray)
    if ours or hasattr(x, "__cuda_array_interface__") or _exports(x):
        found = x if ours else to_device(x, where).copy()
        if dtype is not None and found.dtype != dtype:
            raise DTypeError(
                f"an array of dtype {found.dtype} on {found.device} is not taken where {dtype} is expected; make it {dtype} first"
            )
        return found
    return to_device(as_tensor(x, dtype, copy=False).numpy(), where)


def _exports(x: Any) -> bool:
    # Whether it is an array of a CUDA device that DLPack hands over.
    return hasattr(x, "__dlpack_device__") and x.__dlpack_device__()[0] in (dlpack.CUDA, dlpack.MANAGED)


def _check(dtype: str) -> None:
    if dtype not in DTYPES:
        raise DTypeError(f"to_device: an array of {', '.join(DTYPES)}, not {dtype}")


def _own(found: dlpack.Memory, where: Context) -> DeviceArray:
    if found.device != where.device:
        raise DeviceError(f"to_device: the memory is on device {found.device}, not {where.device}")
    return DeviceArray(where, found.shape, found.dtype, found.address, found.owner)


def _ask(x: Any, stream: int) -> Any:
    try:
        return x.__dlpack__(stream=stream, max_version=(1, 0))
    except TypeError:
        # From before DLPack 1.0.
        return x.__dlpack__(stream=stream)


def _adopt(x: Any, where: Context) -> DeviceArray:
    found = x.__cuda_array_interface__
    dtype = np.dtype(found["typestr"])
    _check(dtype.name)
    shape = tuple(found["shape"])
    if found.get("strides") is not None:
        dlpack.require_dense(shape, tuple(found["strides"]), dtype.itemsize)
    with where.current() as driver:
        if found.get("version", 0) < 3:
            # The owner's work may be on any of its streams.
            driver.Context.synchronize()
        elif found.get("stream") is not None:
            dlpack.order(int(found["stream"]), int(where.stream.handle))
    return DeviceArray(where, shape, dtype.name, int(found["data"][0] or 0), x)
