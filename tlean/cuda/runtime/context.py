"""The device: its primary context, one stream, a memory pool with counts, and the kernels that are loaded there.

The primary context is shared with every other library in the process. It is made current around each call and never left so, and at exit
everything goes in order: memory, kernels, stream, context.

The stream is a non-blocking one: other libraries' work on the default stream neither waits for it nor is waited for, and a graph may be
recorded on it while they work. What memory passes between libraries is therefore ordered here, by events: `Block.readers` and `retire`.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import itertools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tlean._core.plan.commit import Section, run_calls
from tlean.errors import DeviceError, TleanError
from tlean.locks import Lock

from ..kernels.plan import Family
from .driver import captures, order
from .drivers.choice import opened
from .drivers.seam import Driver
from .nvcc import compile_family, require_driver
from .uploads import Uploads

_FORKED = (
    "CUDA: this process was forked from one that uses the device, and cannot use it; start processes by multiprocessing's 'spawn', or fork "
    "before the first use of a device"
)


@functools.cache
def driver() -> Driver:
    """The package that reaches the driver, initialised. Raises: DeviceError that says which of it, the driver and a device is missing."""
    if _forked:
        raise DeviceError(_FORKED)
    return opened()


def _limit_from_environment() -> int | None:
    text = os.environ.get("TLEAN_CUDA_MEMORY_LIMIT", "").strip()
    if not text:
        return None
    if not text.isdigit():
        raise DeviceError(f"CUDA: TLEAN_CUDA_MEMORY_LIMIT must be a number of bytes, not {text!r}")
    return int(text)


def _keep_for_ever(things: Iterable[Any]) -> None:
    # The objects of a device that is lost: their ends would call the driver, which answers each with a warning.
    for thing in things:
        if thing is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


class Block:
    """Device memory from a context's pool, given back when nothing refers to it.

    Attributes:
        address: an int; 0 for a block of no bytes.
        size: bytes.
        holders: how many arrays have this memory.
        readers: other libraries' streams whose work on the memory may not be done: what takes its place waits for them.
    """

    __slots__ = ("__weakref__", "_allocation", "_context", "address", "holders", "readers", "size")

    def __init__(self, context: Context, size: int) -> None:
        self._context = context
        self.size: int = size
        self.holders: int = 0
        self.readers: set[int] = set()
        self._allocation = context.pool.allocate(size) if size else None
        self.address: int = int(self._allocation) if self._allocation is not None else 0
        context.count(size)

    def free(self) -> None:
        """Give the memory back now."""
        allocation, self._allocation = self._allocation, None
        if allocation is None:
            return
        self.address = 0
        self._context.count(-self.size)
        if self.readers:
            self._context.retire(allocation.free, allocation, self.readers)
        elif self._context.lost:
            _keep_for_ever([allocation])
        else:
            # Work on the memory was queued on the only stream there is, and so is all work on whatever takes its place.
            with self._context.current():
                allocation.free()

    def __del__(self) -> None:
        if getattr(self, "_allocation", None) is not None:
            self.free()


class Context(Section):
    """One device. Made by `context`, once for each device.

    Attributes:
        device: the number of the device.
        arch: its architecture, such as `sm_90`.
        stream: the stream that all work is queued on.
        uploads: the way of host arrays there.
        lost: why the device cannot be used any more; empty while it can.
        blocking: whether the host waits after each launch (`TLEAN_CUDA_BLOCKING=1`), so that a fault is met by the op that made it.
        recording: whether the stream records a graph now.
        watched: (thread, check) of work that was queued: `settle` calls the check, which raises what the work met.
    """

    lock: Lock
    module: Any
    push: Any
    pop: Any
    lost: str
    depth: int

    def __init__(self, device: int) -> None:
        self._driver = driver()
        if not 0 <= device < self._driver.count():
            raise DeviceError(f"CUDA: there is no device {device}; this machine has {self._driver.count()}")
        self.device = device
        handle = self._driver.device(device)
        self.name: Any = handle.name
        self.arch: str = handle.arch
        self._primary = handle.retain()
        self._modules: dict[str, Any] = {}
        self._functions: dict[tuple[str, str], Any] = {}
        self._owned: weakref.WeakSet[Any] = weakref.WeakSet()
        self.lock = Lock()
        self.module, self.push, self.pop = self._driver, self._primary.push, self._primary.pop
        self._live = self._peak = 0
        self.lost = ""
        self.recording = False
        self.blocking: bool = os.environ.get("TLEAN_CUDA_BLOCKING", "0") not in ("", "0")
        self.limit: int | None = _limit_from_environment()
        self.watched: list[tuple[int, Callable[[], None]]] = []
        #: What waits for other libraries' work or for ours: (what to do then, what it keeps, streams to wait for, an event of ours).
        self._retired: deque[tuple[Any, ...]] = deque()
        self.stream: Any = None
        with self.current():
            self.stream = self._driver.stream()
            self.pool: Any = self._driver.pool()
        self.uploads: Uploads = Uploads(self)
        atexit.register(self.close)

    @property
    def error(self) -> type[Exception]:
        """What the driver's calls raise."""
        return self._driver.Error

    def current(self) -> Context:
        """Make the context current for a block of code, one thread at a time; gives the `seam.Driver`."""
        return self

    def unusable(self, error: Exception | None) -> DeviceError:
        """What to raise where the context cannot be entered: it is lost, or the driver says this."""
        return self._of_no_op(self.lost if error is None else f"CUDA: device {self.device} cannot be used: {error}")

    def fault(self, error: Exception) -> DeviceError:
        """What to raise for an error of the driver, which may be the end of the device. The context is current."""
        text = f"CUDA: the driver of device {self.device} reports: {error}"
        try:
            # While it records, the stream answers no question.
            if self.stream is not None and not self.recording:
                self.stream.is_done()
        except self._driver.Error:
            # A fault of queued work spoils the whole context: the driver answers every later call with it.
            how = "" if self.blocking else "; it comes from work that was queued before: set TLEAN_CUDA_BLOCKING=1 to find the op"
            text = self.lost = f"{text}{how}. The device cannot be used any more in this process"
        return self._of_no_op(text) if self.lost and not self.blocking else DeviceError(text)

    @staticmethod
    def _of_no_op(text: str) -> DeviceError:
        # The op that happens to meet it has nothing to do with it, and does not put its name before it.
        error = DeviceError(text)
        error.completed = True
        return error

    def check_launch(self) -> None:
        """Wait for what was queued last, unless it was recorded. The context is current. Raises: DeviceError."""
        if not self.recording:
            try:
                self.stream.synchronize()
            except self._driver.Error as error:
                raise self.fault(error) from error

    def allocate(self, size: int) -> Block:
        """A block of device memory. Raises: DeviceError where the device has none left, or where the limit is reached."""
        with self.current():
            self.reap()
            if self.limit is not None and size + self.pool.managed_bytes > self.limit:
                # What the pool keeps counts too; without it there may be room.
                self.stream.synchronize()
                self.pool.free_held()
                if size + self._live > self.limit:
                    raise self._out_of_memory(size, f"the limit of {self.limit} bytes leaves none")
            block = self._block(size)
        self.own(block)
        return block

    def _block(self, size: int) -> Block:
        try:
            return Block(self, size)
        except self._driver.MemoryError:
            raise self._out_of_memory(size, "the device has none left") from None

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
            self.reap()
            self.pool.free_held()

    def read(self, host: Any, address: int) -> None:
        """Fill a host array from the device, once all work queued before is done. The context is current."""
        # One call: a copy that is queued but not waited for would write to memory that may be gone by then.
        run_calls([(self._driver.memcpy_dtoh_async, (host, address, self.stream)), (self.stream.synchronize, ())])

    def synchronize(self) -> None:
        """Wait until all queued work is done. Raises: what that work met, such as IndexRangeError."""
        with self.current():
            self.stream.synchronize()
            self.reap()
        self.settle()

    # What comes later ---------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Call what waits for this thread's queued work to be done, or for that of threads that have ended.

        Raises: what they raise, the first of them; the rest is what came of it.
        """
        if not self.watched:
            return
        others = {t.ident for t in threading.enumerate()} - {threading.get_ident()}
        with self.lock:
            mine = [check for thread, check in self.watched if thread not in others]
            self.watched = [entry for entry in self.watched if entry[0] in others]
        met: list[Exception] = []
        for check in mine:
            try:
                check()
            except TleanError as error:
                met.append(error)
        if met:
            raise met[0]

    def retire(self, action: Callable[[], None] | None, keep: Any = None, readers: Iterable[int] = ()) -> None:
        """Do this once work on the device can no longer be touched by it. May be called anywhere, by the garbage collector too.

        Args:
            action: touches the driver or another library; None where letting go of `keep` is all.
            keep: what lives until then.
            readers: other libraries' streams that our stream waits for before; without any, our own work queued so far is waited for.
        """
        self._retired.append((action, keep, tuple(readers), None))
        # The holder of the lock, this thread while it records a graph included, does it later.
        if not self.lost and not self.recording:
            self.if_free(self._reap_quietly)

    def _reap_quietly(self) -> None:
        # A fault of queued work is told to the next call: here, maybe in the garbage collector, it would be lost.
        with contextlib.suppress(DeviceError, self._driver.Error), self.current():
            self.reap()

    def reap(self) -> None:
        """Do what was retired and is due. The context is current."""
        if not self._retired or self.recording:
            return
        entries, self._retired = self._retired, deque()
        stuck, event = False, None
        try:
            busy = not self.stream.is_done()
            while entries:
                action, keep, readers, passed = entries[0]
                later = readers and any(captures(r) for r in readers)
                if not readers and busy and (stuck or passed is None or not passed.query()):
                    # Our work is done in order: nothing that was retired after this is due either.
                    later = stuck = True
                    if passed is None:
                        passed = event = event or self._driver.event().record(self.stream)
                if readers and not later:
                    self._follow(readers)
                entries.popleft()
                if later:
                    self._retired.append((action, keep, readers, passed))
                elif action is not None:
                    action()
        finally:
            self._retired.extend(entries)

    def _follow(self, readers: Iterable[int]) -> None:
        try:
            for reader in readers:
                order(reader, int(self.stream.handle))
        except DeviceError:
            # A stream that was destroyed: what it had to do is among all there is to do.
            self._driver.synchronize()

    # Kernels --------------------------------------------------------------------------------------------------------------------

    def load(self, families: Iterable[Family]) -> None:
        """Have the kernels of these families here: what is missing is compiled, several families at a time, and loaded.

        Raises: DeviceError where the compiler is missing or refuses a source.
        """
        missing = list({f.name: f for f in families if f.name not in self._modules}.values())
        if not missing:
            return
        require_driver(self._driver.version())
        # Outside the lock: the compiler takes seconds, and others may use the device meanwhile.
        with ThreadPoolExecutor(min(len(missing), os.cpu_count() or 1)) as pool:
            cubins = list(pool.map(lambda f: compile_family(f, self.arch), missing))
        with self.current() as driver:
            for family, cubin in zip(missing, cubins, strict=True):
                if family.name not in self._modules:
                    self._modules[family.name] = driver.load(cubin)

    def function(self, family: Family, name: str) -> Any:
        """What queues a kernel of a family, see `seam.Module`; the family is compiled at the first call for one. Raises: as `load`."""
        key = (family.name, name)
        if key not in self._functions:
            self.load([family])
            with self.current():
                self._functions[key] = self._modules[family.name].function(name)
        return self._functions[key]

    def close(self) -> None:
        """Let everything go: memory, kernels, stream, context. Called at exit."""
        atexit.unregister(self.close)
        if self.lost:
            self._abandon()
            return
        try:
            with self.current():
                self.stream.synchronize()
                self.reap()
                for thing in list(self._owned):
                    thing.free()
                self._retired.clear()
                self.uploads.close()
                self.pool.stop_holding()
                self._functions.clear()
                self._modules.clear()
                self.stream = None
                self.lost = "CUDA: the device was let go, because the process ends"
        except DeviceError:
            # Work without a waiting caller has failed, and no caller is left to be told.
            self._abandon()
            return
        self._primary.detach()

    def _abandon(self) -> None:
        # The driver frees what a process had when that ends.
        blocks = [getattr(x, "_allocation", None) for x in list(self._owned)]
        retired = [x for entry in self._retired for x in (*entry[:2], entry[3])]
        _keep_for_ever([self._primary, self.pool, self.stream, *self._functions.values(), *self._modules.values()])
        _keep_for_ever([*blocks, *retired, *self.uploads.held])

    def forked(self) -> None:
        """In a child: the parent's device is not the child's, and the holder of the lock is not there to let it go."""
        self.lock, self.depth, self.lost = Lock(), 0, _FORKED
        atexit.unregister(self.close)
        self._abandon()


_contexts: dict[int, Context] = {}
_making = Lock()
_forked = False


def _after_fork() -> None:
    global _forked
    if driver.cache_info().currsize:
        # The driver cannot be initialised a second time.
        _forked = True
        driver.cache_clear()
    for found in _contexts.values():
        found.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def context(device: int = 0) -> Context:
    """The context of a device, made at the first call. Raises: DeviceError."""
    with _making:
        if device not in _contexts:
            _contexts[device] = Context(device)
        return _contexts[device]


def existing() -> Iterator[Context]:
    """The contexts made so far."""
    return itertools.chain(list(_contexts.values()))
