"""How loops run: without memory for a step, beside other threads, until a signal comes; and what they say of an error."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tlean as tl
from tlean._core.arena import simulate_failure, stop_failures

XS = np.random.default_rng(5).normal(size=(4, 3))
W = np.random.default_rng(6).normal(size=(3, 3)) * 0.5
V = np.array([0.3, -0.7, 1.1])


@pytest.fixture
def ctrl_c():
    """Python's handler, which a process that was started in the background lacks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_million_steps_take_no_memory_and_can_be_interrupted(ctrl_c):
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    count = tl.jit(lambda c: tl.scan(lambda c, _: (c * 0.999999 + 1.0, None), c, length=1_000_000)[0])
    count(np.float64(0.0))
    before = resident()
    for _ in range(3):
        made = count(np.float64(0.0)).item()
    assert abs(made - 1e6 * (1 - 0.999999**1_000_000)) < 1.0
    assert resident() - before < 1 << 20
    short = tl.jit(lambda c: tl.scan(lambda c, _: (c * 0.999999 + 1.0, None), c, length=10)[0])
    short(np.float64(0.0))
    assert requests(lambda: count(np.float64(0.0))) == requests(lambda: short(np.float64(0.0)))
    s = tl.Session(tl.Options(dtype="float64"))
    w = s.param(np.float64(0.5))
    for loop in (
        lambda: tl.scan(lambda c, _: (c * 0.999999 + 1.0, None), np.float64(0.0), length=1 << 40),
        lambda: tl.while_loop(lambda c: c >= 0.0, lambda c: c * 0.5, np.float64(1.0)),
        lambda: tl.while_loop(lambda c: c >= 0.0, lambda c: c * 0.5, s.use(w)),
    ):
        sent = []
        kick = threading.Timer(0.2, lambda sent=sent: (sent.append(time.perf_counter()), os.kill(os.getpid(), signal.SIGINT)))
        kick.start()
        with pytest.raises(KeyboardInterrupt) as caught:
            loop()
        # From the signal on: a busy machine is late with the signal itself.
        assert time.perf_counter() - sent[0] < 0.5
        assert "iteration" in caught.value.__notes__[0]
        kick.join()
        assert count(np.float64(0.0)).item() == made
        x = s.use(w)
        assert s.backward_scalar_dense_all(s.square(x))[x].item() == 1.0
        s.reset_tape()


def test_other_threads_run_beside_a_loop_of_unknown_length():
    s = tl.Session(tl.Options(dtype="float64"))
    turns, ended = [], threading.Event()

    def turn():
        while not ended.wait(0.001):
            turns.append(time.perf_counter())

    other = threading.Thread(target=turn)
    other.start()
    begun = time.perf_counter()
    tl.while_loop(lambda c: c < 4e6, lambda c: c + 1.0, s.leaf(np.float64(0.0)))
    last = time.perf_counter()
    ended.set()
    other.join()
    assert sum(begun < t < last for t in turns) > 2


def test_errors_name_the_line_that_recorded_an_op_of_a_body():
    def first(x, i):
        return tl.scan(lambda c, i: (c, tl.take(x, i, axis=0)), 0.0, i)[1]  # the first place

    def second(x, i):
        return tl.scan(lambda c, i: (c, tl.take(x, i, axis=0)), 0.0, i)[1]  # the second place

    rows = Path(__file__).read_text(encoding="utf-8").splitlines()
    for f, comment in ((first, "# the first place"), (second, "# the second place")):
        line = next(k for k, row in enumerate(rows, 1) if row.endswith(comment))
        for run in (f, tl.jit(f), tl.grad(lambda x, i, f=f: tl.sum(f(x, i)))):
            with pytest.raises(
                tl.IndexRangeError, match=rf"scan: iteration 1: (take|scatter_rows): .* \(.*test_running_loops.py:{line}\)$"
            ):
                run(V, np.array([0, 7]))


def requests(run):
    """How often memory is asked for meanwhile."""
    simulate_failure(0)
    try:
        run()
    finally:
        asked = stop_failures()
    return asked


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("checkpoint", [None, "sqrt", "optimal"])
def test_steps_ask_for_no_memory(gradient, checkpoint):
    def step(c, _):
        h, filled = c
        h = tl.tanh(W @ h + tl.random.normal((3,), dtype="float64"))
        return (h, filled.at[1].set(h)), tl.cond(tl.sum(h) > 0.0, lambda: h * 2.0, lambda: h)

    def run(n):
        def value(h):
            (h, filled), ys = tl.scan(step, (h, XS), length=n, checkpoint=checkpoint)
            return tl.sum(h) + tl.sum(filled) + tl.sum(ys)

        program = tl.jit(tl.grad(value) if gradient else value)
        program(V)
        return requests(lambda: program(V))

    assert run(10_000) == run(100) < 20


def test_the_numbers_of_steps_are_counted_not_stored():
    """A loop of 2^40 steps whose body reads the number of its step takes no memory for it."""

    def drawn(c):
        return tl.scan(lambda c, _: (c + tl.random.normal((), dtype="float64"), None), c, length=1 << 40)[0]

    def numbered(c):
        return tl.fori_loop(7, 1 << 40, lambda i, c: c + tl.astype(i, "float64"), c)

    for f in (drawn, numbered):
        program = tl.compile_out(f, [tl.Spec((), "float64")], seed=1)
        assert sum(a.size for a in program.graph.constants.values()) <= 4
    assert tl.fori_loop(3, 7, lambda i, c: c * 10 + i, 0).item() == 3456
    assert tl.fori_loop(0, 0, lambda i, c: c + i, 5).item() == 5
    assert tl.grad(lambda c: tl.fori_loop(-1, 3, lambda i, c: c * (i + 2), c))(2.0).item() == 24.0
