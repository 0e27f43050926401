"""Arrays on a device, and their way to and from other libraries without a copy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tlean._core.array import as_tensor
from tlean.dtypes import SIZES
from tlean.errors import DeviceError, DTypeError, ShapeError

from ..calls.packing import launch_once
from ..kernels.elementwise import FAMILY as ELEMENTWISE
from ..kernels.elementwise import accumulation
from . import dlpack
from .context import Block, Context, context
from .driver import DEFAULT_STREAM, NO_STREAM, device_of, order
from .values import Values, require_here


class DeviceArray(Values):
    """A dense row-major array in device memory.

    Attributes:
        shape: the size along each axis.
        dtype: the NumPy name of the dtype.
        address: where it begins; 0 for an array of no elements.
        context: the device.
    """

    #: `known` is the value where a step has read it back already, so that reading it does not wait again.
    __slots__ = ("_owner", "address", "context", "dtype", "known", "shape")

    known: np.ndarray | None

    def __init__(self, where: Context, shape: tuple[int, ...], dtype: str, address: int, owner: Any) -> None:
        self.context: Any = where
        self.shape: tuple[int, ...] = tuple(shape)
        self.dtype: str = dtype
        self.address: int = address
        self._owner = owner
        self.known = None
        if isinstance(owner, Block):
            owner.holders += 1

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of the elements."""
        return self.size * SIZES[self.dtype]

    def add(self, other: DeviceArray) -> DeviceArray:
        """self + other as a new array: how contributions to one node are summed. Raises: ShapeError, DTypeError, DeviceError."""
        if other.dtype != self.dtype or self.dtype != "float32":
            raise DTypeError(f"add: the arrays must be float32, got {self.dtype} and {other.dtype}")
        total = self.copy()
        accumulate(total, other)
        return total

    def numpy(self) -> np.ndarray:
        """A copy on the host, once all work queued before is done. Raises: what that work met, such as IndexRangeError."""
        if self.known is not None:
            return self.known.copy()
        found = np.empty(self.shape, self.dtype)
        if found.nbytes:
            with self.context.current():
                self.context.read(found, self.address)
            self.context.settle()
        return found

    def reshape(self, shape: tuple[int, ...]) -> DeviceArray:
        """The same memory under another shape of as many elements. Raises: ShapeError."""
        if math.prod(shape) != self.size:
            raise ShapeError(f"reshape: {shape} has as many elements as {self.shape}")
        return DeviceArray(self.context, shape, self.dtype, self.address, self._owner)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        # Version 3: a reader of the memory waits for the stream first. The interface does not say on which stream that is.
        self._read_on(DEFAULT_STREAM)
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
                thread's, -1 requests no waiting.
            max_version: (1, 0) or later requests the versioned form.
            dl_device: where the consumer wants it; this device, or DLPack's host for a copy there.
            copy: True for separate memory, False for never.

        Raises: BufferError for another device or a copy that `copy` forbids; DeviceError for what is no stream.
        """
        if dl_device is not None and tuple(dl_device) != self.__dlpack_device__():
            if dl_device[0] != 1 or copy is False:
                raise BufferError(f"__dlpack__: the array is on device {self.__dlpack_device__()}, not {tuple(dl_device)}")
            return self.numpy().__dlpack__(max_version=max_version)
        if stream is not None and (isinstance(stream, bool) or stream == 0 or stream < NO_STREAM):
            raise BufferError(f"__dlpack__: a stream's address, or 1, 2 or -1, not {stream!r}")
        given = self.copy() if copy else self
        # The default stream follows the calling thread's and every other that does not say otherwise.
        given._read_on(DEFAULT_STREAM if stream is None or stream in (NO_STREAM, 2) else int(stream))
        if stream != NO_STREAM:
            with self.context.current():
                order(int(self.context.stream.handle), DEFAULT_STREAM if stream is None else int(stream))
        return dlpack.capsule(given, self.context.device, max_version is not None and max_version[0] >= 1)

    def _read_on(self, stream: int) -> None:
        # What takes the memory's place waits for this stream. Code that has the address may write there.
        self.known = None
        if isinstance(self._owner, Block):
            self._owner.readers.add(stream)

    def copy(self) -> DeviceArray:
        """The same values in separate memory."""
        made = empty(self.shape, self.dtype, self.context)
        if self.nbytes:
            with self.context.current() as driver:
                driver.memcpy_dtod_async(made.address, self.address, self.nbytes, self.context.stream)
        return made

    def __repr__(self) -> str:
        return f"DeviceArray({self.shape}, {self.dtype}, device {self.context.device})"


def empty(shape: tuple[int, ...], dtype: str, where: Context) -> DeviceArray:
    """An array whose elements are whatever the memory holds."""
    block: Block = where.allocate(math.prod(shape) * SIZES[dtype])
    return DeviceArray(where, shape, dtype, block.address, block)


class Foreign:
    """The owner of another library's memory, which may take it back once our queued work is done."""

    __slots__ = ("_owner", "_where")

    def __init__(self, where: Context, owner: Any) -> None:
        self._where = where
        self._owner = owner

    def __del__(self) -> None:
        self._where.retire(None, self._owner)


def to_device(x: Any, where: Context | None = None) -> DeviceArray:
    """An array on the device.

    Args:
        x: a DeviceArray (returned as it is, or copied from another device); anything with `__dlpack__` on a CUDA device or
            `__cuda_array_interface__`, or a capsule of the former (its memory is used, not copied, and lives as long as the result);
            anything that NumPy makes an array of (copied; Python floats become float64, integers int64).
        where: the device; by default the one that the memory is on, and for the host's the first one.

    Raises: DeviceError without a device, or for another library's memory of another device; DTypeError for other dtypes; ShapeError for
        device memory that is not dense and row-major.
    """
    if isinstance(x, DeviceArray):
        if where is None or x.context is where:
            return x
        x = x.numpy()
    if dlpack.is_capsule(x):
        found = dlpack.take(x)
        where = _same_device(found.device, where)
        # The interface does not say on which stream its memory is written.
        with where.current() as driver:
            driver.synchronize()
        return DeviceArray(where, found.shape, found.dtype, found.address, Foreign(where, found.owner))
    if _exports(x):
        return _import(x, where)
    if hasattr(x, "__cuda_array_interface__"):
        return _adopt(x, where)
    host = np.ascontiguousarray(x) if np.ndim(x) else np.array(x)
    _check(host.dtype.name)
    where = where or context()
    made = empty(host.shape, host.dtype.name, where)
    if host.nbytes:
        with where.current() as driver:
            where.uploads.copy(made.address, host, driver)
    return made


def device_array(x: Any, dtype: str | None, where: Context) -> DeviceArray:
    """An array on a device that nothing else writes to: what is on the host or of another library is copied, ours is as it is.

    Raises: DTypeError for a dtype that does not cast, and for an array of a device that is not `dtype` already; ShapeError.
    """
    if isinstance(x, DeviceArray):
        x = to_device(x, where)
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
    if dtype not in SIZES:
        raise DTypeError(f"to_device: an array of {', '.join(SIZES)}, not {dtype}")


def _same_device(device: int, where: Context | None) -> Context:
    if where is not None and device != where.device:
        raise DeviceError(
            f"to_device: the memory is on device {device}, not {where.device}; copy it there with the library that it belongs to"
        )
    return where or context(device)


def _import(x: Any, where: Context | None) -> DeviceArray:
    where = _same_device(x.__dlpack_device__()[1], where)
    try:
        given = _ask(x, int(where.stream.handle))
    except (BufferError, RuntimeError):
        # An older library, whose DLPack lacks a dtype.
        if not hasattr(x, "__cuda_array_interface__"):
            raise
        return _adopt(x, where)
    found = dlpack.take(given)
    _same_device(found.device, where)
    return DeviceArray(where, found.shape, found.dtype, found.address, Foreign(where, found.owner))


def _ask(x: Any, stream: int) -> Any:
    try:
        return x.__dlpack__(stream=stream, max_version=(1, 0))
    except TypeError:
        # From before DLPack 1.0.
        return x.__dlpack__(stream=stream)


def _adopt(x: Any, where: Context | None) -> DeviceArray:
    found = x.__cuda_array_interface__
    dtype = np.dtype(found["typestr"])
    _check(dtype.name)
    shape, address = tuple(found["shape"]), int(found["data"][0] or 0)
    if found.get("strides") is not None:
        dlpack.require_dense(shape, tuple(found["strides"]), dtype.itemsize)
    # Only the driver knows the device.
    with (where or context()).current():
        device = device_of(address) if address else None
    where = _same_device(device, where) if device is not None else where or context()
    with where.current() as driver:
        if found.get("version", 0) < 3:
            # The owner's work may be on any of its streams.
            driver.synchronize()
        elif found.get("stream") is not None:
            order(int(found["stream"]), int(where.stream.handle))
    return DeviceArray(where, shape, dtype.name, address, Foreign(where, x))


def accumulate(into: DeviceArray, contribution: DeviceArray) -> None:
    """into += contribution, element by element. Raises: ShapeError; DeviceError for arrays of two devices."""
    if into.shape != contribution.shape:
        raise ShapeError(f"accumulate: a contribution of shape {into.shape}, not {contribution.shape}")
    where = into.context
    launch_once(where, ELEMENTWISE, accumulation(into.size, into.address, require_here(contribution, where).address))
