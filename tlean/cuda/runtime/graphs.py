"""CUDA graphs: the launches of a run, recorded once and queued by one call from then on.

PyCUDA does not offer graphs, so the driver's library, which it has loaded, is called here. Where it refuses, launches are queued one by
one as before. `TLEAN_CUDA_GRAPHS=0` turns graphs off, for a debugger or profiler that wants to see launches.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

from tlean._core.plan.commit import enclosed, run_calls
from tlean.errors import DeviceError

from .context import Context
from .driver import native

#: Only work of the thread that records is looked at: others may use their streams meanwhile.
_THREAD_LOCAL = 1
_NEEDED = (
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphExecDestroy",
    "cuGraphDestroy",
)


def wanted(where: Context) -> bool:
    """Whether graphs are to be used: the driver has them, they are not turned off, and no launch is to be waited for."""
    return not where.blocking and os.environ.get("TLEAN_CUDA_GRAPHS", "1") != "0" and all(native(name) for name in _NEEDED)


class CapturedGraph:
    """Launches that were recorded, ready to be queued. Made by `capture`.

    It has the driver's handles from the moment that the driver writes them, so whatever ends a recording leaks none.
    """

    recorded: Any
    executable: Any

    def __init__(self, where: Context) -> None:
        self._where = where
        self.recorded, self.executable = ctypes.c_void_p(), ctypes.c_void_p()
        where.own(self)

    @property
    def call(self) -> tuple[Any, ...]:
        """What queues them, as a function of C and its arguments; it answers 0 if the driver did."""
        return native("cuGraphLaunch"), self.executable.value, self._where.stream.handle

    def launch(self) -> bool:
        """Queue them; whether the driver did."""
        function, *arguments = self.call
        return function(*arguments) == 0

    def free(self) -> None:
        """Give the driver's memory back, once the device is done with it."""
        for handle, destroy in ((self.executable, "cuGraphExecDestroy"), (self.recorded, "cuGraphDestroy")):
            value, handle.value = handle.value, None
            if value is not None:
                self._where.retire(functools.partial(native(destroy), value))

    def __del__(self) -> None:
        if hasattr(self, "executable"):
            self.free()


def capture(where: Context, queue: Callable[[], None]) -> CapturedGraph | None:
    """What `queue` queues on the device's stream, recorded and not run; None where the driver cannot. The context is current."""
    if where.recording:
        return None
    stream, graph = where.stream.handle, CapturedGraph(where)
    begin = functools.partial(native("cuStreamBeginCapture_v2"), stream, _THREAD_LOCAL)
    end = functools.partial(native("cuStreamEndCapture"), stream, ctypes.byref(graph.recorded))
    try:
        # One call of C: a stream that went on recording would be of no use.
        status = enclosed(where, "recording", begin, queue, end)
        status = status or native("cuGraphInstantiateWithFlags")(ctypes.byref(graph.executable), graph.recorded, 0)
    except (where.error, DeviceError):
        # The recording is no longer valid. Whatever else went wrong happens again without it.
        return None
    return None if status else graph


class Replay:
    """Runs the same launches over and over: as a graph once they have come twice with the same addresses."""

    def __init__(self, where: Context) -> None:
        self._where = where
        self._key: Any = None
        self._graph: CapturedGraph | None = None
        self._on = wanted(where)

    @property
    def captured(self) -> bool:
        """Whether the latest launches are a graph."""
        return self._graph is not None

    def graph(self, key: Any, calls: Sequence[tuple[Any, tuple[Any, ...]]]) -> CapturedGraph | None:
        """The launches as a graph; None where they are to be queued one by one.

        Args:
            key: equal keys mean the same launches with the same arguments.
            calls: what queues them, as calls of the driver.
        """
        if not self._on:
            return None
        if key != self._key:
            self._graph, self._key = None, key
            return None
        if self._graph is None:
            self._graph = capture(self._where, functools.partial(run_calls, calls))
            self._on = self._graph is not None
        return self._graph

    def refused(self) -> None:
        """The driver does not queue the graph: launches are queued one by one from now on."""
        self._graph, self._on = None, False
