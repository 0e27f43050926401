"""Calls from several threads at once, each of which shares its work among threads: the results are those of one thread alone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean._core.threads import get_num_threads, set_num_threads

CALLERS = 4
CALLS = 6
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _threads():
    before = get_num_threads()
    set_num_threads(3)
    yield
    set_num_threads(before)


def together(work: Callable[[int], Any]) -> list[Any]:
    """What `work(k)` gives in thread k, all of which begin at once."""
    found: list[Any] = [None] * CALLERS
    barrier = threading.Barrier(CALLERS)

    def run(k: int) -> None:
        barrier.wait()
        try:
            found[k] = work(k)
        except BaseException as error:
            found[k] = error

    threads = [threading.Thread(target=run, args=(k,)) for k in range(CALLERS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for value in found:
        if isinstance(value, BaseException):
            raise value
    return found


def network(ops: Any, w: Any, b: Any, v: Any, x: Any) -> Any:
    return ops.mean(ops.square(ops.linear(v, None, ops.tanh(ops.linear(w, b, x)))))


SHAPES = [(96, 64), (96,), (10, 96), (128, 64)]
ARRAYS = [RNG.standard_normal(s).astype("f4") for s in SHAPES]


def test_one_compiled_program():
    program = tl.compile_scalar(network, SHAPES)
    inputs = [[*ARRAYS[:3], ARRAYS[3] * (k + 1)] for k in range(CALLERS)]
    alone = [[t.numpy().tobytes() for t in program.backward(*xs)] for xs in inputs]

    def work(k: int) -> list[list[bytes]]:
        return [[t.numpy().tobytes() for t in program.backward(*inputs[k])] for _ in range(CALLS)]

    for k, found in enumerate(together(work)):
        assert all(grads == alone[k] for grads in found)


def test_programs_that_are_compiled_at_once():
    shared = tl.jit(network)

    def work(k: int) -> bytes:
        return shared(*ARRAYS[:3], ARRAYS[3][: 16 * (k % 2 + 1)]).numpy().tobytes()

    expected = [shared(*ARRAYS[:3], ARRAYS[3][:n]).numpy().tobytes() for n in (16, 32)]
    fresh, shared = shared, tl.jit(network)
    assert together(work) == [expected[k % 2] for k in range(CALLERS)] and fresh is not shared


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_sessions_of_their_own(backend):
    def work(k: int) -> list[bytes]:
        s = tl.Session(backend=backend, seed=k % 2)
        w = s.param(ARRAYS[0])
        for _ in range(CALLS):
            s.reset_tape()
            y = s.dropout(s.relu(s.linear(s.use(w), None, s.input(ARRAYS[3]))), 0.3)
            s.sgd_step_all(0.1, s.backward_scalar_dense_all(s.mean(s.square(y))))
        return [w.get().numpy().tobytes()]

    found = together(work)
    assert found[0] == found[2] == work(0) and found[1] == found[3] == work(1) and found[0] != found[1]


def test_elementwise_sums_and_products_of_long_arrays():
    x = RNG.standard_normal(300_001).astype("f4")
    a = RNG.standard_normal((200, 300)).astype("f4")
    run = tl.compile_out(lambda o, x, a: [o.sum(o.exp(o.neg(o.square(x)))), o.matmul(a, a, False, True), o.softmax(a)], [x.shape, a.shape])
    alone = [t.numpy().tobytes() for t in run.forward(x, a)]
    for found in together(lambda k: [[t.numpy().tobytes() for t in run.forward(x, a)] for _ in range(CALLS)]):
        assert all(values == alone for values in found)


def test_numbers_of_threads_that_change_meanwhile():
    x = RNG.standard_normal((64, 64, 30)).astype("f4")
    alone = tl.softmax(x).numpy().tobytes()

    def work(k: int) -> bool:
        for n in range(CALLS):
            if k == 0:
                set_num_threads(1 + n % 3)
            elif tl.softmax(x).numpy().tobytes() != alone:
                return False
        return True

    assert all(together(work))


def test_compiled_trainers_of_their_own():
    def work(k: int) -> list[bytes]:
        trainer = tl.ScalarTrainer(tl.Options(backend="compiled", seed=k % 2), ARRAYS[:3], [SHAPES[3]], network)
        for n in range(CALLS):
            trainer.adam_step(0.01, 0.9, 0.999, 1e-8, ARRAYS[3] * (1 + k % 2 + n))
        return [p.numpy().tobytes() for p in trainer.get_params()]

    found = together(work)
    assert found[0] == found[2] == work(0) and found[1] == found[3] == work(1) and found[0] != found[1]


def test_models_that_learn_from_loaders_that_prefetch():
    images, labels = RNG.standard_normal((48, 1, 6, 6)).astype("f4"), RNG.integers(0, 3, 48)
    augment = tl.data.augment.Augment(tl.data.augment.shift(1), tl.data.augment.flip())

    def work(k: int) -> list[bytes]:
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, 3)).init(k % 2)
        loader = tl.data.DataLoader((images, labels), 16, shuffle=True, seed=k % 2, transform=augment, prefetch=2)
        tl.fit(model, loader, "cross_entropy", tl.optim.SGD(model.parameters(), lr=0.1), epochs=2, verbose=False)
        return [v.tobytes() for v in model.state_dict().values()]

    found = together(work)
    assert found[0] == found[2] == work(0) and found[1] == found[3] == work(1) and found[0] != found[1]


def test_captured_values_that_change_meanwhile():
    """A call reads or compares what it captures: it gives what held before a change, or after it, never a mixture."""

    class Settings:
        rate, weight = 1.0, np.full(9, 1.0)

    def loss(ops: Any, x: Any) -> Any:
        return ops.sum(ops.scale(ops.mul(x, settings.weight), settings.rate))

    settings, x = Settings(), np.ones(9)
    slope = tl.grad(loss)

    def work(k: int) -> list[float]:
        found = set()
        for n in range(4 * CALLS):
            if k == 0:
                settings.rate = 1.0 + n % 2
                settings.weight = np.full(9, 1.0 + 2 * (n % 3))
            else:
                values = set(slope(x).tolist())
                assert len(values) == 1, values
                found |= values
        return list(found)

    assert {v for found in together(work) for v in found} <= {r * w for r in (1.0, 2.0) for w in (1.0, 3.0, 5.0)}
    settings.rate, settings.weight = 7.0, np.full(9, 11.0)
    assert slope(x).tolist() == [77.0] * 9


def test_arrays_that_end_in_other_threads():
    made: queue.Queue[Any] = queue.Queue(maxsize=3)

    def work(k: int) -> int:
        right = 0
        for n in range(10 * CALLS):
            if k % 2:
                array = made.get(timeout=60)
                right += array.tolist() == [float(array.shape[0])] * array.shape[0]
            else:
                size = 1 + (7 * n + k) % 300
                made.put(tl.scale(np.full(size, 1.0), float(size)), timeout=60)
        return right

    assert together(work) == [0, 10 * CALLS, 0, 10 * CALLS]


@pytest.mark.parametrize("compiled", [False, True])
def test_one_model(compiled):
    model = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.LayerNorm(96), nn.Linear(96, 10)).init(0).eval()
    call = tl.jit(model) if compiled else model.predict
    inputs = [ARRAYS[3] * (k + 1) for k in range(CALLERS)]
    alone = [np.asarray(call(x)).tobytes() for x in inputs]
    for k, found in enumerate(together(lambda k: [np.asarray(call(inputs[k])).tobytes() for _ in range(CALLS)])):
        assert all(values == alone[k] for values in found)
