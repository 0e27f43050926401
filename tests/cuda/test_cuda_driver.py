"""What holds whatever the driver's timing: on the emulated driver, whose streams are queues that are done late, whose memory belongs to a
context, and which reads page-locked memory when a copy comes to its turn (`.ci/cuda`)."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tlean as tl
from tlean.cuda.runtime import graphs as capture
from tlean.cuda.runtime import nvcc as build

if not tl.cuda.is_available() or not hasattr(ctypes.CDLL("libcuda.so.1"), "emulated_waits"):
    reason = "needs the emulated driver; `bash .ci/cuda` builds it and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

sys.path.insert(0, str(Path(__file__).parents[1] / "cuda_emulation"))
from cuda_other_library import BLOCKING, NON_BLOCKING, Stream, Tensor, emulated
from device_memory import PoisonedMemory

SUPPORT = Path(__file__).parents[1] / "support"
RNG = np.random.default_rng(0)
SHAPES = ((16, 12), (16,), (5, 16), (5,))
ADAM = (0.01, 0.9, 0.999, 1e-8)


def loss(ops, w1, b1, w2, b2, x, y):
    hidden = ops.dropout(ops.relu(ops.linear(w1, b1, x)), 0.1)
    return ops.cross_entropy(ops.linear(w2, b2, hidden) * 2.0, y)


def trainer(seed=0, backend="eager"):
    rng = np.random.default_rng(seed)
    params = [rng.standard_normal(s).astype("float32") / 3 for s in SHAPES]
    return tl.ScalarTrainer(tl.Options(device="cuda", backend=backend, seed=0), params, [(8, 12), tl.Spec((8,), "int64")], loss)


def trained(seed, steps=5, backend="eager"):
    """The parameters of a model after some steps on its own data."""
    t, rng = trainer(seed, backend), np.random.default_rng(seed)
    for _ in range(steps):
        t.adam_step(*ADAM, rng.standard_normal((8, 12)).astype("float32"), rng.integers(0, 5, 8))
    return np.concatenate([p.numpy().ravel() for p in t.get_params()])


def in_child(text, **env):
    """A fresh interpreter on the same emulation: (exit status, what it printed, what it complained about)."""
    command = [sys.executable, "-c", text]
    path = os.pathsep.join((str(SUPPORT), os.environ.get("PYTHONPATH", "")))
    found = subprocess.run(command, env={**os.environ, "PYTHONPATH": path, **env}, capture_output=True, text=True, timeout=120, check=False)
    return found.returncode, found.stdout, found.stderr


# Threads --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_threads_that_train_models_of_one_size(backend):
    alone = [trained(seed, backend=backend) for seed in range(4)]
    found = [None] * 4

    def run(seed):
        found[seed] = trained(seed, backend=backend)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for mine, expected in zip(found, alone, strict=True):
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_an_index_out_of_range_is_told_to_the_thread_that_queued_it(backend):
    if backend == "eager":
        ops = tl.cuda.ops()
        picked = ops.gather_row
    else:
        picked = tl.compile_out(lambda ops, x, i: ops.gather_row(x, i), [(5, 3), tl.Spec((), "int64")], device="cuda")
    x, told, queued, read = np.ones((5, 3), "float32"), [], threading.Event(), threading.Event()

    def run():
        made = picked(x, np.array(7))
        queued.set()
        read.wait(60)
        try:
            made.numpy()
        except tl.IndexRangeError as error:
            told.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    queued.wait(60)
    # The same call and a read, in a thread that did nothing wrong.
    np.testing.assert_array_equal(picked(x, np.array(2)).numpy(), np.ones(3))
    tl.cuda.synchronize()
    read.set()
    thread.join()
    assert len(told) == 1 and "gather_row" in told[0]


def test_what_a_thread_that_ended_met_is_told_to_the_next():
    thread = threading.Thread(target=lambda: tl.cuda.ops().gather_row(np.ones((5, 3), "float32"), np.array(7)))
    thread.start()
    thread.join()
    with pytest.raises(tl.IndexRangeError, match="gather_row"):
        tl.cuda.synchronize()
    tl.cuda.synchronize()


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_nothing_is_read_after_it_was_given_back(backend, monkeypatch):
    """The bits of a training run are the same where the pool fills what it gets back."""
    expected = trained(0, backend=backend)
    where = tl.cuda.ops().context
    monkeypatch.setattr(where, "pool", PoisonedMemory(where))
    np.testing.assert_array_equal(trained(0, backend=backend), expected)
    gc.collect()
    tl.cuda.synchronize()


# Waiting --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", ["host", "device"])
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_a_step_does_not_wait_for_the_device(backend, inputs):
    t = trainer(backend=backend)
    x, y = RNG.standard_normal((8, 12)).astype("float32"), RNG.integers(0, 5, 8)
    if inputs == "device":
        x, y = tl.cuda.to_device(x), tl.cuda.to_device(y)
    for _ in range(3):
        made = t.adam_step(*ADAM, x, y)
    before = emulated("waits"), emulated("pageable_copies")
    for _ in range(3):
        made = t.adam_step(*ADAM, x, y)
    assert (emulated("waits"), emulated("pageable_copies")) == before
    assert np.isfinite(made.item())
    assert emulated("waits") > before[0], "a read waits"


@pytest.mark.parametrize("n", [0, 1, 3, 16, 17, 100, 3 << 20])
def test_uploads_of_every_size(n):
    for dtype in ("float32", "float64", "int64", "int32", "bool"):
        x = (RNG.standard_normal(n) > 0 if dtype == "bool" else RNG.integers(-100, 100, n)).astype(dtype)
        found = [tl.cuda.to_device(x) for _ in range(3)]
        kept = x.copy()
        x[...] = 0
        for f in found:
            np.testing.assert_array_equal(f.numpy(), kept)


def taken_by_a_trainer(n):
    t = tl.ScalarTrainer(
        tl.Options(device="cuda", backend="compiled"), [np.ones((), "float32")], [(n,)], lambda ops, w, x: ops.sum(ops.scale(x, 1 / n)) * w
    )
    return t.forward


def taken_by_a_plan(n):
    # Without the copy that a program makes of what it is given.
    plan = tl.compile_out(lambda ops, x: ops.scale(x, 1.0), [(n,)], device="cuda").plan
    return lambda x: plan.run([x], [((n,), "float32")])[0]


CALLS = {
    "plan": taken_by_a_plan,
    "to_device": lambda n: tl.cuda.to_device,
    "program": lambda n: tl.compile_out(lambda ops, x: ops.scale(x, 1.0), [(n,)], device="cuda"),
    "trainer": taken_by_a_trainer,
    "session": lambda n: tl.Session(device="cuda").array,
    "parameter": lambda n: lambda x: tl.Param(x)._on_device(tl.cuda.ops().context),
}


@pytest.mark.parametrize("n", [4, 4096])
@pytest.mark.parametrize("kind", ["pageable", "pinned"])
@pytest.mark.parametrize("call", CALLS)
def test_a_host_array_may_change_once_the_call_returns(call, kind, n):
    with tl.cuda.ops().context.current() as driver:
        x = driver.page_locked(4 * n).view(np.float32) if kind == "pinned" else np.empty(n, np.float32)
    made, run = [], CALLS[call](n)
    for k in range(4):
        x[...] = k
        made.append(run(x))
    for k in range(4):
        np.testing.assert_array_equal(made[k].numpy(), np.full(made[k].shape, k, np.float32))


# Other libraries ------------------------------------------------------------------------------------------------------------------


def test_a_graph_is_recorded_while_others_use_the_default_stream():
    where, other = tl.cuda.ops().context, Stream(None)
    theirs, failed = Tensor(other, 1.0), []
    a, b = tl.cuda.to_device(np.ones(1024, "float32")), tl.cuda.to_device(np.zeros(1024, "float32"))

    def work():
        try:
            other.fill(theirs.address, 3.0, 1024)
        except RuntimeError as error:
            failed.append(error)

    def queue():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        driver.memcpy_dtod_async(b.address, a.address, a.nbytes, where.stream)

    with where.current() as driver:
        graph = capture.capture(where, queue)
        assert graph is not None and not failed
        assert graph.launch()
    assert b.numpy().sum() == 1024 and theirs.numpy().sum() == 3 * 1024


@pytest.mark.parametrize("flags", [NON_BLOCKING, BLOCKING, None])
def test_memory_of_others_is_given_back_when_our_work_is_done(flags):
    other, session = Stream(flags), tl.Session(device="cuda")
    given = Tensor(other, 5.0)
    mine = session.array(given)
    del given
    gc.collect()
    # Whatever the other library does next.
    other.synchronize()
    np.testing.assert_array_equal(mine.numpy(), np.full(1024, 5.0))


def test_a_compiled_program_reads_memory_of_others_before_it_is_given_back():
    other = Stream(NON_BLOCKING)
    f = tl.compile_out(lambda ops, x: ops.scale(x, 2.0), [(100_000,)], device="cuda")
    given = Tensor(other, 5.0, 100_000)
    made = f(given)
    del given
    gc.collect()
    other.synchronize()
    np.testing.assert_array_equal(made.numpy(), np.full(100_000, 10.0))


@pytest.mark.parametrize("flags", [NON_BLOCKING, BLOCKING, None])
def test_memory_that_others_read_is_used_again_when_their_work_is_done(flags):
    other = Stream(flags)
    theirs = Tensor(other, 0.0)
    mine = tl.cuda.to_device(np.full(1024, 5.0, "float32"))
    capsule = mine.__dlpack__(stream=other.number)
    address = mine.address
    other.copy(theirs.address, address, 4096)
    del capsule, mine
    gc.collect()
    again = tl.cuda.to_device(np.full(1024, 7.0, "float32"))
    assert again.address == address, "the pool hands the memory out again"
    assert again.numpy().sum() == 7 * 1024
    np.testing.assert_array_equal(theirs.numpy(), np.full(1024, 5.0))


def test_memory_that_a_stream_reads_which_is_gone():
    other = Stream(NON_BLOCKING)
    mine = tl.cuda.to_device(np.full(1024, 5.0, "float32"))
    capsule = mine.__dlpack__(stream=other.number)
    with other:
        from cuda_other_library import call

        call("cuStreamDestroy_v2", other.handle)
    del capsule, mine
    gc.collect()
    assert tl.cuda.to_device(np.full(1024, 7.0, "float32")).numpy().sum() == 7 * 1024


def test_memory_that_a_recording_stream_reads_waits_for_the_end_of_the_recording():
    from cuda_other_library import call

    other, graph = Stream(NON_BLOCKING), ctypes.c_void_p()
    mine = tl.cuda.to_device(np.full(1024, 5.0, "float32"))
    capsule, address = mine.__dlpack__(stream=other.number), mine.address
    with other:
        call("cuStreamBeginCapture_v2", other.handle, 2)
    del capsule, mine
    gc.collect()
    other_array = tl.cuda.to_device(np.full(1024, 7.0, "float32"))
    assert other_array.address != address
    with other:
        call("cuStreamEndCapture", other.handle, ctypes.byref(graph))
        assert graph.value, "the other library's recording is whole"
        call("cuGraphDestroy", graph)
    assert tl.cuda.to_device(np.full(1024, 8.0, "float32")).address == address


# Devices --------------------------------------------------------------------------------------------------------------------------

TWO_DEVICES = """
import numpy as np, tlean as tl
from tlean.cuda.runtime.array import accumulate
from tlean.cuda.step import step_all_at
from cuda_other_library import NON_BLOCKING, Stream, Tensor
x = np.arange(4, dtype="float32")
a, b = tl.cuda.to_device(x), tl.cuda.to_device(x, device=1)
assert (a.device, b.device) == ("cuda:0", "cuda:1")
f = tl.compile_out(lambda ops, x: ops.scale(x, 2.0), [(4,)], device="cuda:0")
calls = {
    "ops": lambda: tl.cuda.ops(0).add(a, b),
    "add": lambda: a.add(b),
    "accumulate": lambda: accumulate(a, b),
    "step": lambda: step_all_at(a.context, "_sgd_step", (0.1, 1.0, 0.0), [a], [b], [()]),
    "program": lambda: f(b),
    "pointer": lambda: tl.cuda.to_device(Tensor(Stream(NON_BLOCKING, 1), 1.0), device=0),
}
for name, call in calls.items():
    try:
        call()
        print(name, "took it")
    except tl.DeviceError as error:
        assert "device" in str(error), error
assert tl.cuda.to_device(a, device=1).device == "cuda:1" and tl.cuda.to_device(a, device=1).numpy().tolist() == x.tolist()
assert tl.cuda.to_device(Tensor(Stream(NON_BLOCKING, 1), 2.0, 4), device=1).numpy().tolist() == [2.0] * 4
assert tl.cuda.ops(1).add(b, b).numpy().tolist() == (2 * x).tolist()
p = tl.Param(np.zeros(4, "float32"))
p.set(b)
assert p.device == "cuda:1" and p.get().numpy().tolist() == x.tolist()
p.set(Tensor(Stream(NON_BLOCKING, 1), 3.0, 4))
assert p.device == "cuda:1" and p.get().numpy().tolist() == [3.0] * 4
# Where a value is only taken in it is copied.
assert tl.Session(device="cuda").input(b).numpy().tolist() == x.tolist()
# Work of one device at a time: nothing of the above went astray.
assert f(a).numpy().tolist() == (2 * x).tolist()
print("done")
"""


def test_arrays_of_two_devices_do_not_mix():
    status, printed, complaints = in_child(TWO_DEVICES, TLEAN_EMULATED_DEVICES="2")
    assert (status, printed, complaints) == (0, "done\n", "")


# Errors of the driver -------------------------------------------------------------------------------------------------------------

FAULT = """
import ctypes, sys, numpy as np, tlean as tl
x = tl.cuda.to_device(np.ones(1000, "float32"))
session = tl.Session(device="cuda")
f = tl.compile_out(lambda ops, x: ops.sum(ops.tanh(x)), [(1000,)], device="cuda")
f(x).item(), tl.cuda.ops().exp(x).numpy()
ctypes.CDLL("libcuda.so.1").emulated_fail({k}, 700)
def work():
    for _ in range(4):
        {work}
for attempt in range(2):
    try:
        work()
        tl.cuda.synchronize()
        print("no error")
    except tl.DeviceError as error:
        print(error)
"""


@pytest.mark.parametrize("k", [0, 2])
@pytest.mark.parametrize("work", ["tl.cuda.ops().exp(x)", "f(x)"])
def test_a_fault_of_the_device_is_a_device_error(work, k):
    status, printed, complaints = in_child(FAULT.format(k=k, work=work))
    first, again = printed.splitlines()
    assert status == 0 and complaints == "", "the end of the process is quiet"
    assert "illegal memory access" in first and "TLEAN_CUDA_BLOCKING=1" in first and "cannot be used any more" in first
    assert again == first


@pytest.mark.parametrize(("work", "op"), [("tl.cuda.ops().exp(x)", "exp"), ("f(x)", "sum")])
def test_blocking_finds_the_op(work, op):
    status, printed, complaints = in_child(FAULT.format(k=1, work=work), TLEAN_CUDA_BLOCKING="1")
    first, again = printed.splitlines()
    assert status == 0 and complaints == ""
    assert op in first.partition(":")[0] and "illegal memory access" in first
    assert "cannot be used any more" in again


def test_a_fault_that_nobody_waits_for_leaves_the_end_quiet():
    text = FAULT.partition("def work")[0].format(k=0) + "y = tl.cuda.ops().exp(x)\n"
    assert in_child(text) == (0, "", "")


def test_the_end_of_a_process_is_quiet_whatever_it_still_has():
    text = """
import numpy as np, tlean as tl
from cuda_other_library import Stream, Tensor
theirs = tl.cuda.to_device(Tensor(Stream(), 1.0))
mine = tl.cuda.to_device(np.ones(1000, "float32"))
given = mine.__dlpack__()
f = tl.compile_out(lambda ops, x: ops.sum(ops.tanh(x)), [(1000,)], device="cuda")
kept = [f(mine) for _ in range(4)], tl.cuda.ops().exp(theirs)
"""
    assert in_child(text) == (0, "", "")


def test_kernels_that_the_driver_does_not_load(monkeypatch):
    from tlean.cuda.kernels.plan import Family
    from tlean.cuda.runtime import context

    monkeypatch.setattr(context, "compile_family", lambda family, arch: b"\x7fELF" + bytes(100))
    with pytest.raises(tl.DeviceError, match="the driver of device 0 reports"):
        tl.cuda.ops().context.load([Family("unheard of", "", {})])
    assert tl.cuda.to_device(np.ones(3)).numpy().sum() == 3


def test_a_driver_older_than_the_compiler(monkeypatch):
    monkeypatch.setattr(build, "compiler_version", lambda: "Cuda compilation tools, release 13.0, V13.0.88")
    build.require_driver(13000)
    build.require_driver(13020)
    with pytest.raises(tl.DeviceError, match=r"it is for CUDA 12\.4 and ('.*'|NVRTC) is of 13\.0; update the NVIDIA driver"):
        build.require_driver(12040)


def test_timed_events_and_numbers_of_a_device():
    where = tl.cuda.ops().context
    with where.current() as driver:
        first, last = (driver.event(timed=True).record(where.stream) for _ in range(2))
        last.synchronize()
        assert first.query() and last.query() and where.stream.is_done() and 0 <= first.time_till(last) < 1e5
        device = driver.device(where.device)
    major, minor, lanes = map(device.attribute, ("COMPUTE_CAPABILITY_MAJOR", "COMPUTE_CAPABILITY_MINOR", "WARP_SIZE"))
    assert device.arch == where.arch == f"sm_{major}{minor}" and lanes == 32


FORK = """
import os, sys, threading, numpy as np, tlean as tl
x = tl.cuda.to_device(np.ones(1000, "float32"))
f = tl.compile_out(lambda ops, x: ops.sum(ops.tanh(x)), [(1000,)], device="cuda")
for _ in range(3): f(x)
held, let_go = threading.Event(), threading.Event()
def hold():
    with tl.cuda.ops().context.current():
        held.set()
        let_go.wait(60)
thread = threading.Thread(target=hold)
thread.start()
held.wait(60)
pid = os.fork()
if pid == 0:
    for call in (lambda: f(x), x.numpy, lambda: tl.cuda.to_device(1.0), tl.cuda.synchronize, lambda: tl.cuda.ops(1)):
        try:
            call()
            print("no error")
        except tl.DeviceError as error:
            print("forked" in str(error), "spawn" in str(error))
    del x, f
    sys.exit(0)
let_go.set()
thread.join()
_, status = os.waitpid(pid, 0)
print(status, float(f(x).item()) > 0)
"""


def test_a_forked_child_is_told():
    status, printed, complaints = in_child(FORK)
    assert (status, complaints) == (0, "")
    assert printed.splitlines() == [*["True True"] * 5, "0 True"]


# Graphs ---------------------------------------------------------------------------------------------------------------------------


def test_a_graph_that_ends_while_another_is_recorded():
    where = tl.cuda.ops().context
    a, b = tl.cuda.to_device(np.ones(4, "float32")), tl.cuda.to_device(np.zeros(4, "float32"))
    graphs = emulated("graphs")

    def queue():
        held.clear()
        gc.collect()
        driver.memcpy_dtod_async(b.address, a.address, 16, where.stream)

    with where.current() as driver:
        held = [capture.capture(where, lambda: driver.memcpy_dtod_async(b.address, a.address, 16, where.stream))]
        held[0].launch()
        made = capture.capture(where, queue)
        assert made is not None
        assert made.launch()
    assert b.numpy().sum() == 4
    del made
    gc.collect()
    tl.cuda.synchronize()
    assert emulated("graphs") == graphs, "what was recorded is given back"


def test_an_exception_while_recording_leaves_nothing():
    where, graphs = tl.cuda.ops().context, emulated("graphs")
    with where.current(), pytest.raises(ZeroDivisionError):
        capture.capture(where, lambda: 1 // 0)
    assert emulated("graphs") == graphs
    assert tl.cuda.to_device(np.ones(3)).numpy().sum() == 3
