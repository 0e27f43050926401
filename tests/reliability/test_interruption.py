"""Whatever stops a session or a tape, at whatever line: it is before the call or after it, and goes on with the bits of one left alone."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from faults.inject import forget

import tlean as tl

PACKAGE = str(Path(tl.__file__).parent)
#: Files of other rooms: what they promise after an interruption is their tests'.
ELSEWHERE = tuple(str(Path(PACKAGE, room)) for room in ("optim", "train"))
#: A program is compiled apart from all that lasts: of these thousands of lines every so-manieth is tried. TLEAN_EVERY_LINE=1 tries all.
COMPILER = tuple(str(Path(PACKAGE, room)) for room in ("compiler", "interpreters", "programs", "reference"))
STRIDE = 1 if os.environ.get("TLEAN_EVERY_LINE") else 97


def lines_of(call, at=None, error=None):
    """Run a call; returns the lines of the library that it reached, (file, number). With `at`, `error` is raised before that one."""
    reached = []

    def local(frame, event, argument):
        if event == "line":
            reached.append((frame.f_code.co_filename, frame.f_lineno))
            if len(reached) - 1 == at:
                sys.settrace(None)
                raise error
        return local

    def trace(frame, event, argument):
        name = frame.f_code.co_filename
        return local if name.startswith(PACKAGE) and not name.startswith(ELSEWHERE) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return reached


def stops(build):
    """For every line that a call reaches, a new program that was stopped there: (the line's number, how the program goes on)."""
    program, step = build()
    forget()
    tried, met = [], Counter()
    for at, line in enumerate(lines_of(step)):
        met[line] += 1
        # The first two times of a line; of the compiler's, as said above.
        if at % STRIDE == 0 or (met[line] <= 2 and not line[0].startswith(COMPILER)):
            tried.append(at)
    assert len(tried) > 20
    for at in tried:
        program, step = build()
        forget()
        error = (KeyboardInterrupt, MemoryError)[at % 2]("stopped here")
        try:
            lines_of(step, at, error)
        except (KeyboardInterrupt, MemoryError) as found:
            assert found is error
        yield at, program


def session(backend, optimizer):
    s = tl.Session(tl.Options(backend=backend, seed=3))
    rng = np.random.default_rng(0)
    w, b, x = s.param(rng.normal(size=(4, 6))), s.param(np.zeros(4)), rng.normal(size=(3, 6))
    state = tl.AdamState()

    def step():
        s.reset_tape()
        h = s.tanh(s.linear(s.use(w), s.use(b), s.input(x)))
        loss = s.cross_entropy(h, [0, 3, 1])
        if optimizer == "read":
            loss.item()
            s.backward_scalar(loss)
        if optimizer == "adam":
            s.adamw_step_all(state, 0.1, 0.1, 0.9, 0.999, 1e-8, s.backward_scalar_dense_all(loss))
        elif optimizer == "sgd":
            s.sgd_step_all(0.1, s.backward_scalar_dense_all(loss))
        return np.concatenate([w.get().numpy().ravel(), b.get().numpy().ravel(), [loss.item()]]).tobytes()

    return step, step


@pytest.mark.parametrize("optimizer", ["read", "sgd", "adam"])
def test_a_compiled_step_is_taken_whole_or_not_at_all(optimizer):
    step, _ = session("compiled", optimizer)
    undisturbed = [step() for _ in range(3)]
    for at, again in stops(lambda: session("compiled", optimizer)):
        # Either the step that was stopped counts, or it does not.
        assert [again(), again()] in (undisturbed[:2], undisturbed[1:]), f"stopped at line {at}"


def test_a_stopped_step_can_be_gone_on_with():
    # No reset: the same step records further ops and reads its values.
    def build():
        s = tl.Session(backend="compiled")
        x = s.input([1.0, 2.0])

        def ops():
            y = s.mul(s.exp(x), [3.0, 4.0])
            s.backward_scalar(s.sum(y))

        def rest():
            z = s.sum(s.square(x) * 2.0)
            return z.item(), s.backward_scalar(z)[x.id].tolist()

        return rest, ops

    for at, rest in stops(build):
        assert rest() == (10.0, [4.0, 8.0]), f"stopped at line {at}"


def test_an_eager_step_that_was_stopped_leaves_the_session_usable():
    step, _ = session("eager", "read")
    expected = step()
    for at, again in stops(lambda: session("eager", "read")):
        assert again() == expected, f"stopped at line {at}"


def explicit():
    tape, x = tl.Tape().leaf([1.0, 2.0])

    def grow():
        longer, y = tape.exp(x)
        longer, z = longer.add_node(tl.Node([2.0, 4.0], (y,), lambda g: [(y, g)]))
        longer, s = longer.sum(z)
        return longer.backward_scalar(s)[x].tolist(), len(longer), len(tape)

    return grow, grow


def threaded():
    m = tl.TapeM()
    x = m.leaf([1.0, 2.0])

    def grow():
        y = (x * x + 2.0).sum()
        return m.backward_scalar(y)[x.id].tolist(), m.value(y).item()

    return grow, grow


@pytest.mark.parametrize("build", [explicit, threaded])
def test_tapes(build):
    grow, _ = build()
    expected = grow()
    for at, again in stops(build):
        assert again() == expected, f"stopped at line {at}"


def test_the_memory_of_stopped_calls_is_given_back():
    s = tl.Session(backend="compiled")
    for size in range(2, 60):
        s.reset_tape()
        x = s.input(np.ones(size))
        for _ in range(3):
            with pytest.raises(tl.ShapeError):
                s.add(x, np.ones(size + 1))
        s.square(x)
    s.reset_tape()
    calls = [s._calls.start]
    for call in calls:
        calls += call.next.values()
    # Two calls of each of the programs that are kept, and nothing of the ops that failed.
    assert len(calls) == 1 + 2 * len(s._calls.programs)
