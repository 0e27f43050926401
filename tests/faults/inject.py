"""Faults on demand: an exception at one line of the library's Python, no memory at one request."""

from __future__ import annotations

import gc
import linecache
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import tlean
from tlean._core import arena, threads
from tlean._core.eager.eager import forget_instances
from tlean.caching import Cache

#: The library's own files: lines elsewhere are not counted.
PACKAGE = str(Path(tlean.__file__).parent)

Trace = Callable[[FrameType, str, Any], Any]


def _ends(frame: FrameType | None) -> bool:
    # Within a destructor Python ignores an exception: no caller gets it.
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def _tracing(seen: Callable[[str, int], None]) -> Trace:
    def inside(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            seen(frame.f_code.co_filename, frame.f_lineno)
        return inside

    def entered(frame: FrameType, event: str, argument: Any) -> Any:
        return inside if frame.f_code.co_filename.startswith(PACKAGE) and not _ends(frame) else None

    return entered


def lines_of(run: Callable[[], Any]) -> list[tuple[str, int]]:
    """Every line of the library that a call reaches, in order, again and again where it comes again."""
    found: list[tuple[str, int]] = []
    before = sys.gettrace()
    sys.settrace(_tracing(lambda file, line: found.append((file, line))))
    try:
        run()
    finally:
        sys.settrace(before)
    return found


@contextmanager
def exception_at(number: int, error: type[BaseException], blocks: bool = True) -> Iterator[None]:
    """Raise `error` at line `number` of those that `lines_of` counts, from 0 on, once.

    Without `blocks` not at the line of a `with`, but at the next: it comes again before the block is left, where no signal's handler can
    run, and the block would never be left. Nor at that of a `try`, which does nothing, and counts as no part yet of a block that it begins.
    """
    count = 0
    before = sys.gettrace()

    def seen(file: str, line: int) -> None:
        nonlocal count
        count += 1
        if count > number and (blocks or not linecache.getline(file, line).lstrip().startswith(("with ", "try:"))):
            sys.settrace(None)
            raise error(f"injected at {Path(file).name}:{line}")

    sys.settrace(_tracing(seen))
    try:
        yield
    finally:
        sys.settrace(before)


def forget() -> None:
    """Empty the caches of the process: the next step makes again what a process makes once, instances, derivatives and their plans."""
    for name, module in list(sys.modules.items()):
        if name.startswith("tlean"):
            for value in vars(module).values():
                if isinstance(value, Cache):
                    value.clear()
    forget_instances()


def requests_of(run: Callable[[], Any]) -> int:
    """How often a call requests an array's memory."""
    arena.simulate_failure(0)
    try:
        run()
    finally:
        count = arena.stop_failures()
    return count


@contextmanager
def no_memory_at(number: int, lasting: bool = False) -> Iterator[None]:
    """Refuse request `number` for an array's memory, from 0 on; with `lasting` all after it too."""
    arena.simulate_failure(number + 1, lasting)
    try:
        yield
    finally:
        arena.stop_failures()


@contextmanager
def no_heap_at(number: int) -> Iterator[None]:
    """Refuse allocation `number` of Python's own heap, from 0 on. It needs CPython's `_testcapi`."""
    import _testcapi

    # Python's collector reports to its callbacks, which other tests have set, and what it is refused is no caller's.
    collects = gc.isenabled()
    gc.disable()
    _testcapi.set_nomemory(number, number + 1)
    try:
        yield
    finally:
        try:
            _testcapi.remove_mem_hooks()
        except MemoryError:
            # It was this call's own turn; there is no second.
            _testcapi.remove_mem_hooks()
        if collects:
            gc.enable()


def scratch_requests_of(run: Callable[[], Any]) -> int:
    """How often the kernels of a call ask for more scratch memory, begun with none."""
    threads.simulate_scratch_failure(1 << 30)
    try:
        run()
    finally:
        count: int = threads.simulate_scratch_failure(0)
    return count


@contextmanager
def no_scratch_at(number: int) -> Iterator[None]:
    """Refuse request `number` of a kernel for more scratch memory, from 0 on, and all after it."""
    threads.simulate_scratch_failure(number + 1)
    try:
        yield
    finally:
        threads.simulate_scratch_failure(0)
