"""The short form of `python -m tests.faults`: steps that fail at a line or for want of memory are taken whole or not at all."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time

import numpy as np
import pytest
from faults.inject import exception_at, lines_of, no_heap_at, no_memory_at, no_scratch_at, requests_of, scratch_requests_of
from faults.subjects import KERNELS, TRAINERS
from faults.survey import new, survey

import tlean as tl

ERRORS = (KeyboardInterrupt, MemoryError)


# Tracing again is tens of thousands of lines a step.
@pytest.mark.usefixtures("without_capture_check")
@pytest.mark.parametrize("name", TRAINERS)
def test_an_exception_at_every_line_of_a_step(name):
    make = TRAINERS[name]
    subject = make()
    subject.step()
    lines = lines_of(subject.step)
    assert len(lines) > 10
    faults = [(f"line {k}: {lines[k]}", lambda k=k: exception_at(k, ERRORS[k % 2])) for k in range(len(lines))]
    count, ended = survey(make, faults, fresh=False)
    assert count == len(lines)
    # A loop over parameters may take another turn once, and so come to an end before line k: seldom.
    assert ended >= 0.9 * count


@pytest.mark.parametrize("name", TRAINERS)
def test_an_exception_while_a_step_is_recorded_and_compiled(name):
    make = TRAINERS[name]
    lines = lines_of(new(make).step)
    first = {}
    for k, line in enumerate(lines):
        first.setdefault(line, k)
    chosen = sorted(first.values())[:: max(1, len(first) // 40)]
    count, ended = survey(make, [(f"line {k}: {lines[k]}", lambda k=k: exception_at(k, ERRORS[k % 2])) for k in chosen], fresh=True)
    assert ended >= 0.9 * count


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", TRAINERS)
def test_no_memory_at_every_request_of_a_step(name, fresh, lasting):
    make = TRAINERS[name]
    if fresh:
        subject = new(make)
    else:
        subject = make()
        subject.step()
    count = requests_of(subject.step)
    chosen = range(0, count, max(1, count // 60))
    found, ended = survey(make, [(f"request {k} of {count}", lambda k=k: no_memory_at(k, lasting)) for k in chosen], fresh)
    assert found == len(chosen)
    # The first of a kind may be kept for good, so that there is one request less.
    assert ended >= 0.8 * found


@pytest.mark.parametrize("name", KERNELS)
def test_no_scratch_memory_at_every_request_of_a_step(name):
    make = KERNELS[name]
    subject = make()
    subject.step()
    count = scratch_requests_of(subject.step)
    assert count > 4
    _, ended = survey(make, [(f"request {k} of {count}", lambda k=k: no_scratch_at(k)) for k in range(count)], fresh=False)
    # A worker that gets none leaves its part to the caller.
    assert ended > 2


def test_a_no_grad_block_ends_without_memory():
    pytest.importorskip("_testcapi", reason="it refuses the memory")
    with tl.no_grad():
        # A thread's first context is made here: CPython 3.11 itself crashes where there is no memory for that.
        pass
    s = tl.Session()
    x = s.input([1.0])
    ended = 0
    for k in range(40):
        try:
            with no_heap_at(k), tl.no_grad():
                pass
        except MemoryError:
            ended += 1
        assert s.square(x).id is not None, f"allocation {k}"
    assert ended


def test_no_heap_memory_at_every_allocation_of_a_clipped_step():
    pytest.importorskip("_testcapi", reason="it refuses the memory")
    faults = [(f"allocation {k}", lambda k=k: no_heap_at(k)) for k in range(1000)]
    _, ended = survey(TRAINERS["trainer, eager, Adam, clipped"], faults, fresh=False)
    assert ended > 500


def big(backend, seconds=0.3):
    """A trainer whose step takes about as long as that, most of it in products."""
    n = 256

    def loss(ops, w, x):
        for _ in range(count):
            x = ops.tanh(ops.matmul(w, x))
        return ops.mean(ops.square(x))

    count = 2
    made = []
    while True:
        t = tl.ScalarTrainer(tl.Options(backend=backend, seed=0), [np.eye(n) * 0.1], [(n, n)], loss)
        opt = tl.optim.Adam(t.params)
        x = np.ones((n, n), "f4")
        t.optim_step(opt, x)
        begun = time.perf_counter()
        t.optim_step(opt, x)
        spent = time.perf_counter() - begun
        made.append(spent)
        if spent > seconds or count > 4000:
            return t, opt, x
        count *= 2


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_ctrl_c_ends_a_long_step_with_nothing_updated(backend):
    t, opt, x = big(backend)
    p = t.params[0]
    before, steps = p.get().numpy().copy(), opt.state.steps[p]
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    # A shell's background job ignores Ctrl-C.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            t.optim_step(opt, x)
            # Had it come to its end, the signal would be raised here, and the step counted.
            time.sleep(10)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, handler)
    assert opt.state.steps[p] == steps
    assert (p.get().numpy() == before).all()
    t.optim_step(opt, x)
    assert opt.state.steps[p] == steps + 1


def test_an_exception_of_a_handler_is_the_step_s():
    class Enough(Exception):
        pass

    def stop(number, frame):
        raise Enough

    t, opt, x = big("compiled")
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Enough):
            t.optim_step(opt, x)
            time.sleep(10)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert opt.state.steps[t.params[0]] == 2


@pytest.mark.parametrize("columns", [1, 4095, 4096, 4097, 9000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_outer_product_s_update_has_the_bits_of_the_product_and_the_step(columns, dtype):
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(3, columns)), rng.normal(size=columns)
    found = []
    for backend in ("eager", "compiled"):
        t = tl.ScalarTrainer(
            tl.Options(backend=backend, dtype=dtype, seed=0),
            [w],
            [(columns,)],
            lambda ops, w, x: ops.mean(ops.square(ops.linear(w, None, x))),
        )
        for _ in range(3):
            t.adam_step(0.1, 0.9, 0.999, 1e-8, x)
        found.append(t.get_params()[0].numpy().tobytes())
    assert found[0] == found[1]


def test_steps_keep_no_memory():
    from tlean._core.arena import memory_stats

    for name, make in TRAINERS.items():
        subject = make()
        for _ in range(3):
            subject.step()
        gc.collect()
        before = memory_stats()
        for _ in range(200):
            subject.step()
        gc.collect()
        after = memory_stats()
        assert after["live"] == before["live"], name
