"""The device: its primary context, one stream, a memory pool with counts, and the kernels that are loaded there.

The primary context is shared with every other library in the process. It is made current around each call and never left so, and at exit
everything goes in order: memory, kernels, stream, context.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..errors import DeviceError
from .compile import compile_family
from .kernels.plan import Family

_INSTALL = "pip install 'tlean[cuda]' builds PyCUDA; it needs the CUDA toolkit and the driver's libcuda"


@functools.cache
def driver() -> Any:
    """The module `pycuda.driver`, initialised. Raises: DeviceError that says which of PyCUDA, the driver and a device is missing."""
    try:
        import pycuda
    except ImportError:
        raise DeviceError(f"CUDA: PyCUDA is not installed; {_INSTALL}") from None
    del pycuda
    try:
        import pycuda.driver as found
    except ImportError as error:
        raise DeviceError(f"CUDA: the NVIDIA driver's library cannot be loaded ({error}); install the NVIDIA driver") from None
    try:
        found.init()
        count = found.Device.count()
    except found.Error as error:
        raise DeviceError(f"CUDA: the driver finds no device ({error}); a CUDA device must be present and visible") from None
    if count == 0:
        raise DeviceError("CUDA: the driver finds no device; a CUDA device must be present and visible (see CUDA_VISIBLE_DEVICES)")
    return found


def _limit_from_environment() -> int | None:
    text = os.environ.get("TLEAN_CUDA_MEMORY_LIMIT", "").strip()
    if not text:
        return None
    if not text.isdigit():
        raise DeviceError(f"CUDA: TLEAN_CUDA_MEMORY_LIMIT is a number of bytes, not {text!r}")
    return int(text)


class Block:
    """Device memory from a context's pool, given back when nothing refers to it.

    Attributes:
        address: an int; 0 for a block of no bytes.
        size: bytes.
        holders: how many arrays have this memory.
    """

    __slots__ = ("__weakref__", "_allocation", "_context", "address", "holders", "size")

    def __init__(self, context: Context, size: int) -> None:
        self._context = context
        self.size = size
        self.holders = 0
        self._allocation = context.pool.allocate(size) if size else None
        self.address = int(self._allocation) if self._allocation is not None else 0
        context.count(size)

    def free(self) -> None:
        """Give the memory back now."""
        allocation, self._allocation = self._allocation, None
        if allocation is not None:
            # Work on the memory was queued on the only stream there is, and so is all work on whatever takes its place.
            with self._context.current():
                allocation.free()
            self._context.count(-self.size)
            self.address = 0

    def __del__(self) -> None:
        if getattr(self, "_allocation", None) is not None:
            self.free()


class Context:
    """One device. Made by `context`, once for each device.

    Attributes:
        device: the number of the device.
        arch: its architecture, such as `sm_90`.
        stream: the stream that all work is queued on.
    """

    def __init__(self, device: int) -> None:
        self._driver = driver()
        if not 0 <= device < self._driver.Device.count():
            raise DeviceError(f"CUDA: there is no device {device}; this machine has {self._driver.Device.count()}")
        self.device = device
        handle = self._driver.Device(device)
        self.name = handle.name()
        self.arch = "sm_{}{}".format(*handle.compute_capability())
        self._primary = handle.retain_primary_context()
        self._modules: dict[str, Any] = {}
        self._functions: dict[tuple[str, str], Any] = {}
        self._owned: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.RLock()
        self._depth = 0
        self._live = self._peak = 0
        self.limit = _limit_from_environment()
        self._watched: list[Callable[[], None]] = []
        with self.current():
            from pycuda.tools import DeviceMemoryPool

            self.stream = self._driver.Stream()
            self.pool = DeviceMemoryPool()
        atexit.register(self.close)

    @property
    def error(self) -> type[Exception]:
        """What the driver's calls raise."""
        return self._driver.Error

    def current(self) -> Context:
        """Make the context current for a block of code, one thread at a time; gives the module `pycuda.driver`."""
        return self

    def __enter__(self) -> Any:
        self._lock.acquire()
        # The lock is this thread's, so a depth above 0 means that the context is current here.
        if self._depth == 0:
            try:
                self._primary.push()
            except BaseException:
                self._lock.release()
                raise
        self._depth += 1
        return self._driver

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        try:
            if self._depth == 0:
                self._primary.pop()
        finally:
            self._lock.release()

    def allocate(self, size: int) -> Block:
        """A block of device memory. Raises: DeviceError where the device has none left, or where the limit is reached."""
        with self.current():
            if self.limit is not None and size + self.pool.managed_bytes > self.limit:
                # What the pool keeps counts too; without it there may be room.
                self.stream.synchronize()
                self.pool.free_held()
                if size + self._live > self.limit:
                    raise self._out_of_memory(size, f"the limit of {self.limit} bytes leaves none")
            try:
                block = Block(self, size)
            except self._driver.MemoryError:
                raise self._out_of_memory(size, "the device has none left") from None
        self.own(block)
        return block

    def own(self, thing: Any) -> None:
        """Call `thing.free()` before the device is let go, if the thing is still there then."""
        self._owned.add(thing)

    def count(self, change: int) -> None:
        """Note that this many bytes came to life, or were given back."""
        self._live += change
        self._peak = max(self._peak, self._live)

    def _out_of_memory(self, size: int, why: str) -> DeviceError:
        found = self.memory_stats()
        figures = ", ".join(f"{found[k]} {k}" for k in ("live", "peak", "cached"))
        return DeviceError(
            f"CUDA: out of memory: {size} bytes asked for, and {why} ({figures}); use smaller batches, or let arrays go that are not needed"
        )

    def memory_stats(self) -> dict[str, int | None]:
        """Bytes in use by arrays (`live`), the most that ever were (`peak`), what the pool keeps for reuse (`cached`), and the `limit`."""
        cached = self.pool.managed_bytes - self.pool.active_bytes
        return {"live": self._live, "peak": self._peak, "cached": cached, "limit": self.limit}

    def empty_cache(self) -> None:
        """Give the pool's unused memory back to the driver."""
        with self.current():
            self.stream.synchronize()
            self.pool.free_held()

    def synchronize(self) -> None:
        """Wait until all queued work is done. Raises: what that work met, such as IndexRangeError."""
        with self.current():
            self.stream.synchronize()
        self.settle()

    def watch(self, check: Callable[[], None]) -> None:
        """Call this once, when the host next waits for the device: it raises what queued work met there."""
        with self._lock:
            self._watched.append(check)

    def settle(self) -> None:
        """Call what waits for the queued work to be done. Raises: what they raise, the first of them."""
        while self._watched:
            with self._lock:
                check = self._watched.pop(0) if self._watched else None
            if check is not None:
                check()

    def load(self, families: Iterable[Family]) -> None:
        """Have the kernels of these families here: what is missing is compiled, several families at a time, and loaded.

        Raises: DeviceError where the compiler is missing or refuses a source.
        """
        missing = list({f.name: f for f in families if f.name not in self._modules}.values())
        if not missing:
            return
        # Outside the lock: the compiler takes seconds, and others may use the device meanwhile.
        with ThreadPoolExecutor(min(len(missing), os.cpu_count() or 1)) as pool:
            cubins = list(pool.map(lambda f: compile_family(f, self.arch), missing))
        with self.current() as driver:
            for family, cubin in zip(missing, cubins, strict=True):
                if family.name not in self._modules:
                    self._modules[family.name] = driver.module_from_buffer(cubin)

    def function(self, family: Family, name: str, signature: str) -> Any:
        """A kernel of a family, loaded and prepared; the family is compiled at the first call for one."""
        key = (family.name, name)
        if key not in self._functions:
            self.load([family])
            with self.current():
                found = self._modules[family.name].get_function(name)
                found.prepare(signature)
            self._functions[key] = found
        return self._functions[key]

    def close(self) -> None:
        """Let everything go: memory, kernels, stream, context. Called at exit."""
        atexit.unregister(self.close)
        with self.current():
            self.stream.synchronize()
            for thing in list(self._owned):
                thing.free()
            self.pool.stop_holding()
            self._functions.clear()
            self._modules.clear()
            del self.stream
        self._primary.detach()


_contexts: dict[int, Context] = {}
_making = threading.Lock()


def context(device: int = 0) -> Context:
    """The context of a device, made at the first call. Raises: DeviceError."""
    with _making:
        if device not in _contexts:
            _contexts[device] = Context(device)
        return _contexts[device]


def existing() -> Iterator[Context]:
    """The contexts made so far."""
    return itertools.chain(list(_contexts.values()))
