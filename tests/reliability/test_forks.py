"""A process that forks while its other threads hold locks: the child computes, and hangs nowhere."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean import locks
from tlean.programs.executable import Stream

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


def in_child(check: Callable[[], Any]) -> int:
    """Fork; returns how the child ended: 0 if `check()` was true there, SIGALRM if it hung."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        code = 1
        try:
            code = 0 if check() else 2
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


class Held:
    """Another thread that holds these locks."""

    def __init__(self, *held: locks.Lock) -> None:
        self.ready, self.done = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.hold, args=held)

    def hold(self, *held: locks.Lock) -> None:
        for lock in held:
            lock.acquire()
        self.ready.set()
        self.done.wait(60)
        for lock in held:
            lock.release()

    def __enter__(self) -> None:
        self.thread.start()
        self.ready.wait(60)

    def __exit__(self, *error: object) -> None:
        self.done.set()
        self.thread.join()


def test_every_lock_of_the_library_is_free_in_a_child() -> None:
    program = tl.compile_scalar(lambda ops, x: ops.sum(ops.dropout(ops.tanh(x), 0.5)), [(8,)])
    with Held(*locks._locks):
        assert in_child(lambda: program.value_and_grad(np.ones(8))[0].shape == ()) == 0
    assert program.forward(np.ones(8)).shape == ()


def test_the_library_has_no_other_locks() -> None:
    # A lock of `threading` is taken for ever in the child of a process that forks at the wrong moment.
    words = ("threading.Lock", "threading.RLock", "Condition(", "Semaphore(", "cached_property\n")
    sources = [p for p in Path(tl.__file__).parent.rglob("*.p*") if p.suffix in (".py", ".pyx", ".pxi") and p.name != "locks.py"]
    assert len(sources) > 100
    assert not [p.name for p in sources if any(word in p.read_text(encoding="utf-8") for word in words)]


def test_a_thread_that_forks_keeps_what_it_holds() -> None:
    lock, free = locks.Lock(), locks.Lock()

    def check() -> bool:
        taken = []
        other = threading.Thread(target=lambda: (free.acquire(), lock.acquire(), taken.append(True)), daemon=True)
        other.start()
        other.join(0.2)
        waited = not taken
        lock.release()
        other.join(10)
        return waited and taken == [True]

    with lock:
        assert in_child(check) == 0
    with lock, lock:
        pass


def test_copies_have_locks_of_their_own() -> None:
    stream = Stream(3)
    stream.take(2)
    for again in (copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):
        assert again._lock is not stream._lock
        assert [t.item() for t in again.take(2)] == [t.item() for t in Stream(3).take(4)[2:]]


def test_a_loader_that_reads_ahead_goes_on_in_a_child() -> None:
    data = np.arange(40.0).reshape(20, 2)
    batches = iter(tl.data.DataLoader((data,), 4, prefetch=3, shuffle=True, seed=2))
    expected = [b.tolist() for (b,) in tl.data.DataLoader((data,), 4, shuffle=True, seed=2)]
    first = next(batches)[0].tolist()

    def check() -> bool:
        rest = [b.tolist() for (b,) in batches]
        again = [b.tolist() for (b,) in tl.data.DataLoader((data,), 4, prefetch=2, shuffle=True, seed=2)]
        return [first, *rest] == expected == again

    assert in_child(check) == 0
    assert [first, *(b.tolist() for (b,) in batches)] == expected


def test_a_loader_left_in_a_child_ends_there() -> None:
    batches = iter(tl.data.DataLoader((np.zeros((20, 2)),), 4, prefetch=3))
    next(batches)

    def check() -> bool:
        batches.close()  # type: ignore[attr-defined]
        return True

    assert in_child(check) == 0
    assert len(list(batches)) == 4
