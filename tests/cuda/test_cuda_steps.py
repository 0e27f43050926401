"""A device's training steps are taken whole or not at all: numbers that are not finite, exceptions at every line. On a device, or on the
emulation that `.ci/cuda` builds."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import threading

import numpy as np
import pytest
from faults.inject import exception_at, forget, lines_of
from faults.subjects import Session, Trainer
from faults.survey import survey

import tlean as tl

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

from tlean._core.plan.commit import run_calls
from tlean.cuda.runtime import graphs
from tlean.cuda.step import first_not_finite

ERRORS = (KeyboardInterrupt, MemoryError)
SUBJECTS = {
    **{
        f"trainer, {b}, {o}{', clipped' if c else ''}{'' if f else ', unchecked'}": (
            lambda b=b, o=o, c=c, f=f: Trainer(b, o, c, device="cuda", finite=f)
        )
        for b in ("eager", "compiled")
        for o, c, f in (("SGD", None, True), ("Adam", 0.1, True), ("momentum", None, False))
    },
    **{f"session, {b}, Adam": lambda b=b: Session(b, "Adam", device="cuda") for b in ("eager", "compiled")},
}
#: Lines that a step ends with, and so many of them and of all others that are tried; TLEAN_EVERY_LINE=1 tries all.
ENDS = ("/train/", "session/cuda.py", "session/compiled.py", "param.py", "cuda/step.py", "updates.py", "cuda/plan.py", "graphs.py")
MOST = (24, 8) if not os.environ.get("TLEAN_EVERY_LINE") else (1 << 30, 1 << 30)


def chosen(lines):
    """Places in a step: each of the library's lines where it comes first and where it comes last, thinned out."""
    places = {}
    for k, line in enumerate(lines):
        places.setdefault(line, [k, k])[1] = k
    found = sorted({k for both in places.values() for k in both})
    ends = [k for k in found if any(name in lines[k][0] for name in ENDS)]
    others = sorted({*found}.difference(ends))
    return sorted(k for some, most in zip((ends, others), MOST, strict=True) for k in some[:: -(-len(some) // most)])


def free():
    """Whether another thread can use the device."""
    where, taken = tl.cuda.ops().context, []
    thread = threading.Thread(target=lambda: taken.append(where.lock.acquire(blocking=False)) or (taken[0] and where.lock.release()))
    thread.start()
    thread.join()
    return taken[0] and where.depth == 0


@pytest.mark.parametrize("name", SUBJECTS)
def test_an_exception_at_every_line_of_a_step(name):
    # As in a new process: what other tests left in the caches makes the first steps longer than later ones.
    forget()
    make = SUBJECTS[name]
    subject = make()
    for _ in range(3):
        subject.step()
    counts = [lines_of(subject.step)]
    for k in range(4):
        # Steps after an interrupted one may be shorter: they find other blocks of memory free.
        with contextlib.suppress(KeyboardInterrupt), exception_at(100 * k, KeyboardInterrupt, blocks=False):
            subject.step()
        counts += [lines_of(subject.step) for _ in range(2)]
    lines = min(counts, key=len)
    faults = [(f"line {k}: {lines[k]}", lambda k=k: exception_at(k, ERRORS[k % 2], blocks=False)) for k in chosen(lines)]
    count, ended = survey(make, faults, fresh=False)
    assert count > 20 and ended >= 0.8 * count
    assert free()


def step(trainer, opt, x, clip_norm=None):
    return trainer.optim_step(opt, x, clip_norm=clip_norm, check_finite=True)


def trainer(backend, loss=None):
    """A trainer of three parameters whose loss is what its input makes it."""

    def plain(ops, w, b, unused, x):
        return ops.mean(ops.square(ops.linear(w, b, x)))

    params = [np.ones((3, 4), "float32"), np.zeros(3, "float32"), np.ones(2, "float32")]
    t = tl.ScalarTrainer(tl.Options(device="cuda", backend=backend, seed=0), params, [(5, 4)], loss or plain)
    return t, tl.optim.Adam(t.params, lr=0.1)


def state(t, opt):
    arrays = [*t.get_params(), *(m for p in t.params for m in opt.state.moments.get(p, ()))]
    counts = [(p._version, opt.state.steps.get(p)) for p in t.params]
    return [a.numpy().tobytes() for a in arrays], counts, t.stream_state


X = np.random.default_rng(0).standard_normal((9, 5, 4)).astype("float32")


@pytest.mark.parametrize("graphs", ["0", "1"])
@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_a_loss_that_is_not_finite_moves_nothing(backend, value, clip_norm, graphs, monkeypatch):
    monkeypatch.setenv("TLEAN_CUDA_GRAPHS", graphs)
    t, opt = trainer(backend)
    undisturbed, other = trainer(backend)
    bad = X[0].copy()
    bad[1, 2] = value
    for k, x in enumerate(X):
        step(undisturbed, other, x, clip_norm)
        if k in (0, 3, 6):
            before = state(t, opt)
            with pytest.raises(tl.NumericsError, match=f"the loss became {value}; nothing was updated"):
                step(t, opt, bad, clip_norm)
            # The first step makes the moments, which no count names yet.
            assert state(t, opt)[0][: len(before[0])] == before[0] and state(t, opt)[1:] == before[1:]
        step(t, opt, x, clip_norm)
    if backend == "compiled":
        (plan,) = (trace.run for trace in t._steps._made.values())
        assert plan.plan._replay.captured == (graphs == "1")
    assert state(t, opt)[0] == state(undisturbed, other)[0]
    assert [n for _, n in state(t, opt)[1]] == [9, 9, None]


@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_gradients_that_are_not_finite_move_nothing(backend, clip_norm):
    def loss(ops, w, b, unused, x):
        # Where exp overflows the loss is 0, and its derivative 0 times infinity.
        return ops.add(ops.sum(ops.square(b)), ops.sum(ops.relu(ops.scale(ops.exp(ops.linear(w, None, x)), -1.0))))

    t, opt = trainer(backend, loss)
    step(t, opt, X[0], clip_norm)
    before = state(t, opt)
    what = "a gradient" if clip_norm is None else "the norm of the gradients"
    with pytest.raises(tl.NumericsError, match=f"{what} became (nan|inf|-inf); nothing was updated"):
        step(t, opt, np.full((5, 4), 100.0, "float32"), clip_norm)
    assert state(t, opt) == before
    assert np.isfinite(step(t, opt, X[0], clip_norm).item())


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_an_index_out_of_range_moves_nothing(backend):
    t = tl.ScalarTrainer(
        tl.Options(device="cuda", backend=backend),
        [np.ones((3, 4), "float32")],
        [(5, 4), tl.Spec((5,), "int64")],
        lambda ops, w, x, y: ops.cross_entropy(ops.linear(w, None, x), y),
    )
    opt = tl.optim.Adam(t.params)
    for labels in ([0, 1, 2, 0, 1], [0, 1, 2, 0, 1], [2, 2, 1, 1, 0]):
        t.optim_step(opt, X[0], labels, check_finite=True)
    before = state(t, opt)
    with pytest.raises(tl.IndexRangeError, match="out of range"):
        t.optim_step(opt, X[0], [0, 1, 3, 0, 1], check_finite=True)
    assert state(t, opt) == before
    t.optim_step(opt, X[0], [0, 1, 2, 0, 1], check_finite=True)
    assert state(t, opt)[1] != before[1]


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_fit_ends_with_the_parameters_of_the_last_good_step(backend):
    def fitted(x):
        model = tl.nn.Sequential(tl.nn.Linear(4, 3), tl.nn.BatchNorm(3), tl.nn.Linear(3, 2)).init(0)
        opt = tl.optim.Adam(model.parameters(), lr=0.1)
        labels = np.arange(len(x)) % 2
        loader = tl.data.DataLoader((x, labels), batch_size=5, shuffle=False)
        try:
            tl.fit(model, loader, "cross_entropy", opt, options=tl.Options(backend=backend, device="cuda"))
        except tl.NumericsError as error:
            assert "the loss became nan at step 4" in str(error)
        return [p.get().numpy().tobytes() for p in (*model.parameters(), *model.buffers())], [
            opt.state.steps[p] for p in model.parameters()
        ]

    good = X[:3].reshape(15, 4)
    bad = np.concatenate([good, np.full((5, 4), np.nan, "float32"), good])
    assert fitted(bad) == fitted(good)


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_a_step_that_looks_waits_once_for_its_look_and_its_loss(backend):
    library = ctypes.CDLL("libcuda.so.1")
    if not hasattr(library, "emulated_waits"):
        pytest.skip("the emulation counts how often the host waits")
    t, opt = trainer(backend)
    for x in X[:4]:
        found = step(t, opt, x)
    before = library.emulated_waits()
    found.copy().item()
    read, before = library.emulated_waits() - before, library.emulated_waits()
    losses = []
    for x in X[4:]:
        found = step(t, opt, x)
        losses.append(found.item())
    assert library.emulated_waits() - before == read * len(losses)
    again = found.copy()
    assert again.known is None and again.numpy().tobytes() == found.numpy().tobytes()
    assert losses[-1] == found.item() == again.item()
    assert found.__cuda_array_interface__ and found.known is None and found.item() == again.item()


def test_the_first_number_that_is_not_finite():
    arrays = [np.full(n, 3e38, "float32") for n in (1, 5, 0, 300_000, *range(1, 20))]
    arrays[0] = np.full((), 2.5, "float32")

    def found():
        there = [tl.cuda.to_device(a) for a in arrays]
        got = first_not_finite(there)
        assert there[0].known is not None and there[0].item() == 2.5 and there[0].numpy().shape == ()
        return got

    assert found() is None
    for k, at, value in ((22, 18, np.inf), (12, 3, -np.inf), (11, 0, np.nan), (3, 299_999, np.inf), (1, 4, np.nan)):
        arrays[k][at] = value
        number, got = found()
        assert number == k and str(got) == str(float(value))


def test_an_exception_while_a_graph_is_recorded_leaks_no_handle():
    library, where = ctypes.CDLL("libcuda.so.1"), tl.cuda.ops().context
    if not hasattr(library, "emulated_graphs"):
        pytest.skip("the emulation counts graphs")
    a = tl.cuda.to_device(X[0])

    def record():
        with where.current():
            calls = [(where.module.memcpy_dtod_async, (a.address, a.address, a.nbytes, where.stream))]
            return graphs.capture(where, lambda: run_calls(calls))

    def alive():
        gc.collect()
        tl.cuda.synchronize()
        return library.emulated_graphs()

    before = alive()
    graph = record()
    assert graph.launch() and alive() > before
    del graph
    lines = lines_of(record)
    assert alive() == before
    for k in range(len(lines)):
        with contextlib.suppress(*ERRORS), exception_at(k, ERRORS[k % 2], blocks=False):
            record()
        assert alive() == before and not where.recording, lines[k]


def test_an_exception_loses_no_report_of_an_index_out_of_range():
    ops = tl.cuda.ops()
    z, good, bad = (tl.cuda.to_device(x) for x in (np.ones((2, 3), "float32"), np.array([0, 1]), np.array([0, 9])))

    def elsewhere():
        thread = threading.Thread(target=ops.cross_entropy, args=(z, good))
        thread.start()
        thread.join()

    elsewhere()
    lines = lines_of(lambda: ops.cross_entropy(z, good))
    places = [k for k, (file, _) in enumerate(lines) if file.endswith("flags.py")]
    assert places
    for k in places:
        elsewhere()
        with contextlib.suppress(*ERRORS), exception_at(k, ERRORS[k % 2], blocks=False):
            ops.cross_entropy(z, bad)
        result = ops.cross_entropy(z, bad)
        with pytest.raises(tl.IndexRangeError, match="out of range"):
            result.numpy()
        assert np.isfinite(ops.cross_entropy(z, good).item())


def test_a_driver_that_does_not_queue_a_graph(monkeypatch):
    t, opt = trainer("compiled")
    undisturbed, other = trainer("compiled")

    for k, x in enumerate(X):
        step(undisturbed, other, x)
        with monkeypatch.context() as patch:
            if k == 5:
                patch.setattr(graphs.CapturedGraph, "call", property(lambda graph: (int, 1)))
            step(t, opt, x)
    (plan,) = (trace.run for trace in t._steps._made.values())
    assert not plan.plan._replay.captured
    assert state(t, opt) == state(undisturbed, other)
