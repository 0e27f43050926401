"""Items that a thread in the background keeps a few ahead of their reader, in the same order."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

_END = object()


def ahead(make: Callable[[int], Any], numbers: range, count: int) -> Iterator[Any]:
    """`make(k)` for each number in order, up to `count` of them made before they are asked for.

    What `make` raises is raised to the reader after the items before it. A reader that stops early ends the thread. A forked child has no
    such thread: there what is left is made when it is asked for.
    """
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(count)
    stop = threading.Event()

    def put(item: Any, error: BaseException | None = None) -> None:
        while not stop.is_set():
            try:
                ready.put((item, error), timeout=0.05)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for k in numbers:
                put(make(k))
                if stop.is_set():
                    return
        except BaseException as error:
            put(_END, error)

    thread = threading.Thread(target=work, name="tlean prefetch", daemon=True)
    home = os.getpid()
    thread.start()
    try:
        for k in numbers:
            if os.getpid() != home:
                # The queue's locks may be held by threads that are not here.
                yield make(k)
                continue
            item, error = ready.get()
            if error is not None:
                raise error
            yield item
    finally:
        if os.getpid() == home:
            stop.set()
            thread.join()
