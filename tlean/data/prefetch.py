"""Items that a thread in the background makes a few ahead of their reader, in the same order."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any


class _Reader:
    # It goes with the generator's frame.
    __slots__ = ("__weakref__",)


def ahead(make: Callable[[int], Any], numbers: Sequence[int], count: int) -> Iterator[Any]:
    """`make(k)` for each of the numbers in their order, up to `count` of them made before they are asked for.

    What `make` raises is raised to the reader after the items before it. A reader that stops early ends the thread. A process
    that is forked meanwhile has no such thread: there the items are made when they are asked for.
    """
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(count)
    stop = threading.Event()
    # An interruption may end this generator before anything here is done: then its reader is gone, and the thread sees that.
    reader = _Reader()
    there = weakref.ref(reader)
    process = os.getpid()

    def put(item: Any, error: BaseException | None = None) -> None:
        while not stop.is_set() and there() is not None:
            try:
                ready.put((item, error), timeout=0.05)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for k in numbers:
                put(make(k))
                if stop.is_set() or there() is None:
                    return
        except BaseException as error:
            put(None, error)

    thread = threading.Thread(target=work, name="tlean prefetch", daemon=True)
    try:
        thread.start()
        for k in numbers:
            # After a fork the queue's lock may be held for ever: it is not touched.
            if os.getpid() != process:
                yield make(k)
                continue
            item, error = ready.get()
            if error is not None:
                raise error
            yield item
    finally:
        if os.getpid() == process:
            stop.set()
            if thread.ident is not None:
                thread.join()
