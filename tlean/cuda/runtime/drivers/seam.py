"""What is asked of the package that reaches the driver. Nothing else of the library knows which one it is.

Calls that are noted to be made later (copies, launches, waits) are functions of C, so that no signal's handler comes between two of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Stream(Protocol):
    """A queue of work."""

    #: Wait for what is queued: a function of C.
    synchronize: Callable[[], Any]

    @property
    def handle(self) -> Any:
        """The driver's number for it."""

    def is_done(self) -> bool:
        """Whether nothing is left to do. Raises: the driver's error for work that failed."""


class Event(Protocol):
    """A place in a stream's queue."""

    def record(self, stream: Any) -> Any:
        """Put it behind what a stream has queued; gives the event."""

    def query(self) -> bool:
        """Whether it was passed."""

    def synchronize(self) -> Any:
        """Wait until it was passed."""

    def time_till(self, later: Any) -> float:
        """The milliseconds to a later event, both timed."""


class Allocation(Protocol):
    """Memory of a device: an int is its address."""

    def __int__(self) -> int: ...

    def free(self) -> None:
        """Give it back; the context is current."""


class Pool(Protocol):
    """Memory of a context, kept for the next who needs as much."""

    managed_bytes: int
    active_bytes: int

    def allocate(self, size: int) -> Allocation:
        """Memory of so many bytes at least. Raises: the driver's MemoryError."""

    def free_held(self) -> None:
        """Give what is not in use back to the driver."""

    def stop_holding(self) -> None:
        """The same, from now on at once."""


class Primary(Protocol):
    """A device's context that all libraries share."""

    #: Functions of C: make it current, and no longer.
    push: Callable[[], Any]
    pop: Callable[[], Any]

    def detach(self) -> None:
        """Let it go."""


class Device(Protocol):
    """A device.

    Attributes:
        name: what its maker calls it.
        arch: its architecture, such as `sm_90`.
    """

    name: str
    arch: str

    def attribute(self, name: str) -> int:
        """One of its numbers, by the end of its name in cuda.h: "WARP_SIZE"."""

    def retain(self) -> Primary:
        """Its context."""


class Module(Protocol):
    """Kernels that were loaded."""

    def function(self, name: str) -> Callable[..., Any]:
        """A function of C that queues a kernel: (grid, block, packed arguments, bytes of shared memory, stream)."""


class Driver(Protocol):
    """A package, initialised.

    Attributes:
        Error: what its calls raise.
        MemoryError: what they raise where a device has no memory left.
        memcpy_htod_async: (address, array of the host, stream).
        memcpy_dtoh_async: (array of the host, address, stream).
        memcpy_dtod_async: (address, address to read, bytes, stream).
        memset_d32_async: (address, word, how many, stream).
        synchronize: wait for all work of the current context.
    """

    Error: type[Exception]
    MemoryError: type[Exception]
    memcpy_htod_async: Callable[..., Any]
    memcpy_dtoh_async: Callable[..., Any]
    memcpy_dtod_async: Callable[..., Any]
    memset_d32_async: Callable[..., Any]
    synchronize: Callable[[], Any]

    def init(self) -> Any:
        """Start the driver. Raises: Error where it finds no device."""

    def count(self) -> int:
        """How many devices there are."""

    def version(self) -> int:
        """The driver's version: 12040 is 12.4."""

    def device(self, number: int) -> Device:
        """A device."""

    def stream(self) -> Stream:
        """A stream that neither waits for the default one nor holds it up."""

    def event(self, timed: bool = False) -> Event:
        """An event."""

    def pool(self) -> Pool:
        """A pool of the current context's memory."""

    def mem_alloc(self, size: int) -> Allocation:
        """Memory from the driver itself."""

    def page_locked(self, size: int) -> Any:
        """An array of bytes of the host that the driver copies from late."""

    def load(self, cubin: bytes) -> Module:
        """Kernels of compiled code."""
