"""Nothing a user does crashes the interpreter, changes an array that other code holds, or leaves memory behind."""

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tlean as tl
from tlean._core.arena import empty_cache, memory_stats
from tlean._core.array import shared, writable
from tlean._core.eager.eager import recording


def test_array_made_without_init_is_a_released_one():
    t = tl.AnyTensor.__new__(tl.AnyTensor)
    assert t.shape == () and "released" in repr(t)
    with pytest.raises(tl.NodeError, match="released"):
        t.numpy()


def test_released_value_of_no_grad_raises_where_it_is_used():
    s = tl.Session()
    with tl.no_grad():
        y = s.relu(s.input(np.ones(4)))
        s.get_value(y).release()
        with pytest.raises(tl.NodeError, match="released"):
            s.relu(y)
        with pytest.raises(tl.NodeError, match="released"):
            s.add(y, y)
        with pytest.raises(tl.NodeError, match="released"):
            s.reduce_sum(y, 0)


# Tracing again would read the array that was released.
@pytest.mark.usefixtures("without_capture_check")
def test_plans_keep_their_constants():
    c = tl.AnyTensor(np.arange(50000.0))
    f = tl.jit(lambda ops, x: ops.add(x, ops.const(c)))
    before = f(np.zeros(50000)).numpy()
    c.release()
    empty_cache()
    assert np.array_equal(f(np.zeros(50000)).numpy(), before)


def test_forks_of_forks_are_found_and_freed_without_recursion():
    start, x = tl.Tape().leaf(np.ones(2))
    tape, depth = start, 50000
    for _ in range(depth):
        tape.relu(x)
        tape, y = tape.square(x)
    assert tape.size == depth + 1
    assert tape.require_value(depth // 3, (2,)).tolist() == [1.0, 1.0]
    assert tape.backward(y, np.ones(2))[x].tolist() == [2.0, 2.0]
    del tape
    assert start.size == 1


def test_deep_tape_without_recursion():
    s = tl.Session()
    x = y = s.input(np.ones(2))
    for _ in range(100000):
        y = s.scale(y, 1.0)
    assert s.backward_scalar(s.sum(y))[x.id].tolist() == [1.0, 1.0]


def test_a_tape_of_a_tapem_does_not_append_to_it():
    m = tl.TapeM()
    x = m.leaf([1.0, 2.0])
    branch, _ = m.tape.relu(x)
    y = m.square(x)
    assert y.id == 1 and len(m.tape) == 2 and branch.size == 2
    assert branch.get_node(1).name == "relu" and m.tape.get_node(1).name == "square"


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_steps_never_change_an_array_that_somebody_holds(backend):
    s = tl.Session(tl.Options(backend=backend))
    p = s.param(np.ones(3))
    ref = s.use(p)
    value = s.get_value(ref)
    view = value.numpy()
    state = tl.AdamState()
    grads = s.backward_scalar_dense_all(s.sum(s.square(ref)))
    s.adam_step_all(state, 0.1, 0.9, 0.999, 1e-8, grads)
    assert p.get().numpy()[0] < 1.0
    assert view.tolist() == value.tolist() == ref.value.tolist() == [1.0, 1.0, 1.0]
    with tl.no_grad():
        held = s.use(p).value
    kept = held.tolist()
    s.reset_tape()
    s.sgd_step_all(0.5, s.backward_scalar_dense_all(s.sum(s.use(p))))
    assert held.tolist() == kept != p.get().tolist()
    held.release()
    assert p.get().shape == (3,)


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_trainer_results_stay_as_they_were(backend):
    trainer = tl.ScalarTrainer(tl.Options(backend=backend), [np.ones(3)], [(3,)], lambda ops, w, x: (ops.sum(ops.mul(w, x)), w))
    s = tl.Session()
    read = s.get_value(s.use(trainer.params[0]))
    trainer.step(0.5, np.ones(3))
    first = trainer.aux
    trainer.step(0.5, np.ones(3))
    assert first.tolist() == read.tolist() == [1.0, 1.0, 1.0]
    assert trainer.aux.tolist() == [0.5, 0.5, 0.5] and trainer.get_params()[0].tolist() == [0.0, 0.0, 0.0]


def test_shared_memory_is_not_written():
    t = tl.AnyTensor(np.arange(3.0))
    assert writable(t) is t
    other = shared(t)
    assert writable(t) is not t and writable(other) is not other
    t.release()
    assert other.tolist() == [0.0, 1.0, 2.0]


def test_no_grad_nests_with_itself_and_across_threads():
    block = tl.no_grad()
    with block:
        with block:
            assert not recording()
        assert not recording()
        seen = []
        thread = threading.Thread(target=lambda: seen.append(recording()))
        thread.start()
        thread.join()
        assert seen == [True]
    assert recording()


def test_a_generator_under_no_grad_leaves_others_recording():
    def values():
        with tl.no_grad():
            yield recording()

    running = values()
    assert next(running) is False
    running.close()
    assert recording()


def test_a_call_back_that_resets_the_tape():
    s = tl.Session()

    def forward(x):
        if x.any():
            s.reset_tape()
        return x * 2

    op = tl.custom_op(forward, lambda x, y, g: g * 2, shape=lambda x: x)
    h = s.square(s.input(np.ones(1000)))
    with pytest.raises(tl.NodeError, match="reset while"):
        op(h)

    def backward(x, y, g):
        s.reset_tape()
        for _ in range(50):
            s.input(np.full(1000, 7.0))
        return g * 2

    x = s.input(np.ones(1000))
    y = s.sum(tl.custom_op(lambda x: x * 2, backward)(s.square(x)))
    g = s.sweep(y.id, tl.AnyTensor(1.0, "float32"))
    assert np.all(g[0].numpy() == 4.0)


def test_failures_of_call_backs_belong_to_their_thread():
    wrong = []

    def work(k):
        def backward(x, y, g):
            raise KeyError(k)

        op = tl.custom_op(lambda x: x, backward)
        for _ in range(100):
            s = tl.Session()
            loss = s.sum(op(s.input(np.ones(30000))))
            try:
                s.backward_scalar(loss)
            except KeyError as error:
                if error.args != (k,):
                    wrong.append(error)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_threads_fork_one_tape_while_it_is_swept():
    rng = np.random.default_rng(0)
    tape, w = tl.Tape().leaf(rng.normal(size=(120, 120)))
    tape, y = tape.matmul(w, w)
    tape, y = tape.matmul(y, w)
    tape, loss = tape.sum(y)
    expected = tape.backward_scalar(loss)[w].numpy()
    wrong = []

    def grow():
        for _ in range(150):
            mine, i = tape.square(y)
            for _ in range(4):
                mine, i = mine.relu(i)
            if i != tape.size + 4 or mine.size != tape.size + 5:
                wrong.append((i, mine.size))

    def sweep():
        for _ in range(60):
            if not np.array_equal(tape.backward_scalar(loss)[w].numpy(), expected):
                wrong.append("sweep")

    threads = [threading.Thread(target=f) for f in (grow, sweep, grow)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer keeps what is freed: memory grows")
def test_threads_that_end_leave_no_memory():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    a = np.random.default_rng(0).normal(size=(300, 300))

    def work():
        s = tl.Session()
        s.matmul(s.input(a), s.input(a))

    def run(count):
        for _ in range(count):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()

    try:
        run(20)
        before = resident()
    except FileNotFoundError:
        pytest.skip("the system does not tell how much memory a process has")
    run(100)
    assert resident() - before < 20 << 20


def test_errors_and_steps_leave_no_memory():
    s = tl.Session()
    w = s.param(np.ones((8, 8)))

    def raises(x, y, g):
        raise RuntimeError("no")

    failing = tl.custom_op(lambda x: x, raises)

    def once():
        s.reset_tape()
        x = s.input(np.ones((3, 8)))
        y = s.linear(s.use(w), None, x)
        with pytest.raises(tl.ShapeError):
            s.add(y, s.input(np.ones(2)))
        with pytest.raises(tl.IndexRangeError):
            s.cross_entropy(y, [1, 2, 99])
        with pytest.raises(RuntimeError, match="no"):
            s.backward_scalar(s.sum(failing(y)))
        s.sgd_step_all(0.0, s.backward_scalar_dense_all(s.sum(s.square(y))))

    for _ in range(20):
        once()
    gc.collect()
    s.reset_tape()
    live = memory_stats()["live"]
    for _ in range(300):
        once()
    s.reset_tape()
    gc.collect()
    assert memory_stats()["live"] == live


def test_integers_that_do_not_fit_raise():
    with pytest.raises(tl.DTypeError, match="int32"):
        tl.AnyTensor(np.array([1 << 40]), "int32")
    with pytest.raises(tl.DTypeError):
        tl.AnyTensor([1 << 70], "int64")
    assert tl.AnyTensor(np.array([5], np.uint64), "int32").tolist() == [5]


def test_dlpack_copy_and_device():
    t = tl.AnyTensor(np.arange(6.0).reshape(2, 3))
    made = np.from_dlpack(t, copy=False)
    assert np.shares_memory(made, t.numpy()) and not made.flags.writeable

    class Copied:
        def __dlpack__(self, **options):
            return t.__dlpack__(copy=True)

        def __dlpack_device__(self):
            return t.__dlpack_device__()

    assert not np.shares_memory(np.from_dlpack(Copied()), t.numpy())
    with pytest.raises(BufferError, match="CPU"):
        t.__dlpack__(dl_device=(2, 0))


def test_a_step_that_fails_changes_nothing():
    class Failed(Exception):
        pass

    for backend in ("eager", "compiled"):
        calls = []

        def backward(x, y, g, calls=calls):
            calls.append(g)
            if len(calls) == 2:
                raise Failed
            return g

        op = tl.custom_op(lambda x: x * 1.0, backward)

        def loss(ops, a, b, c, x, op=op):
            # The rule of `op` runs after the gradients of b and c are known.
            return ops.mean(ops.square(ops.matmul(ops.matmul(op(ops.matmul(x, a)), b), c)))

        weights = [np.random.default_rng(k).normal(size=(16, 16)) for k in range(3)]
        trainer = tl.ScalarTrainer(tl.Options(backend=backend), weights, [(4, 16)], loss)
        trainer.adam_step(0.1, 0.9, 0.99, 1e-8, np.ones((4, 16)))
        before = trainer.get_params()
        with pytest.raises(Failed):
            trainer.adam_step(0.1, 0.9, 0.99, 1e-8, np.ones((4, 16)))
        for old, new in zip(before, trainer.get_params(), strict=True):
            assert np.array_equal(old.numpy(), new.numpy())


@pytest.mark.parametrize(
    ("op", "args", "options"),
    [
        ("reshape", [(2, 3)], {"shape": "six"}),
        ("reduce_sum", [(2, 3)], {"axis": 1.5}),
        ("reduce_max", [(2, 3)], {"axis": object()}),
        ("softmax", [(2, 3)], {"axis": b"x"}),
        ("layer_norm", [(2, 3)], {"eps": "small"}),
        ("conv2d", [(1, 1, 2, 2), None, (1, 4, 4)], {"stride": 1.0}),
        ("max_pool2d", [(1, 4, 4)], {"kernel": 1e308}),
        ("smooth_max_pool2d", [(1, 4, 4)], {"kernel": 2, "beta": (1, 0)}),
        ("swap_adjacent_at_depth", [(2, 3)], {"depth": float("nan")}),
        ("slice_range0", [(5,)], {"start": 0, "length": (1,)}),
        ("broadcast_to", [(3,)], {"shape": 10**30}),
        ("scale", [(3,)], {"c": "x"}),
        ("clamp", [(3,)], {"lo": "0", "hi": 1.0}),
        ("leaky_relu", [(3,)], {"slope": 10**400}),
    ],
)
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_options_of_another_kind_name_the_op(backend, op, args, options):
    s = tl.Session(tl.Options(backend=backend))
    refs = [None if a is None else s.input(np.ones(a)) for a in args]
    with pytest.raises((tl.OptionError, tl.ShapeError), match=op):
        getattr(s, op)(*refs, **options)
    assert s.input(0.0).id == sum(r is not None for r in refs)


def test_strides_that_no_position_fits_raise():
    s = tl.Session()
    x = s.input(np.ones((1, 5, 7)))
    for name in ("max_pool2d_pad", "avg_pool2d_pad"):
        with pytest.raises(tl.ShapeError, match="2\\^31"):
            getattr(s, name)(x, 2, stride=1 << 62)
    with pytest.raises(tl.ShapeError, match="2\\^31"):
        s.smooth_max_pool2d(x, 2, 1.0, stride=1 << 62)
    assert s.smooth_max_pool2d(x, 2, 1.0, stride=1000).shape == (1, 1, 1)


@pytest.mark.parametrize("value", [(1 + 2j), "text", object(), np.array([None, 1]), np.array(["a"])])
def test_arguments_that_are_no_arrays_name_op_and_argument(value):
    s = tl.Session()
    a = s.input(np.ones(2))
    with pytest.raises(tl.DTypeError, match="add: b: "):
        s.add(a, value)
    with pytest.raises(tl.DTypeError, match="matmul: a: "):
        s.matmul(value, a)
    assert s.input(0.0).id == 1


def test_wrong_options_and_nodes_raise_named_errors():
    for options in ({"num_threads": 1 << 40}, {"num_threads": "x"}, {"seed": "1"}, {"seed": 1.5}, {"seed": 1 << 70}):
        with pytest.raises(tl.OptionError, match=next(iter(options))):
            tl.Options(**options)
    with pytest.raises(tl.OptionError, match="Options"):
        tl.Session("eager")
    with pytest.raises(tl.OptionError, match="Options"):
        tl.ScalarTrainer("eager", [1.0], [], lambda ops, p: p)
    with pytest.raises(tl.OptionError, match="seed"):
        tl.Session().init_rng("x")
    with pytest.raises(tl.NodeError, match="Node is expected"):
        tl.Tape().add_node(3.0)


@pytest.mark.parametrize("told", ["0", "-3", "abc", "9" * 30, "1.5", " 2 ", "²"])
def test_any_thread_count_of_the_environment_imports(told):
    code = "import tlean as tl; print(1 <= tl.get_num_threads() <= 256)"
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TLEAN_NUM_THREADS": told}, capture_output=True, text=True)
    assert run.stdout == "True\n", run.stderr


def test_any_number_of_threads_is_taken():
    before = tl.get_num_threads()
    try:
        for n in (1 << 20, 1 << 70):
            tl.set_num_threads(n)
            assert tl.get_num_threads() == 256
    finally:
        tl.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_computes_the_same():
    code = """
import os, threading
import numpy as np, tlean as tl
a = np.random.default_rng(0).normal(size=(300, 300))
def work():
    s = tl.Session()
    x = s.input(a)
    return s.sum(s.matmul(x, x)).item()
tl.set_num_threads(2)
expected, stop = work(), []
def busy():
    while not stop:
        work()
thread = threading.Thread(target=busy)
thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        tl.set_num_threads(2)
        os._exit(0 if work() == expected else 3)
    assert os.waitpid(child, 0)[1] == 0
stop.append(1)
thread.join()
threading.Thread(target=lambda: [work() for _ in range(10**9)], daemon=True).start()
print("left while a thread works")
"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0 and "left while" in run.stdout, run.stderr


def test_the_same_seed_gives_the_same_bits_in_every_process():
    code = """
import hashlib
import numpy as np, tlean as tl
h = hashlib.sha256()
for backend in ("eager", "compiled"):
    s = tl.Session(backend=backend, seed=3)
    w, state = s.param(np.full((50, 40), 0.1)), tl.AdamState()
    for _ in range(3):
        s.reset_tape()
        y = s.dropout(s.linear(s.use(w), None, s.input(np.arange(400.0).reshape(10, 40) / 400)), 0.3)
        s.adam_step_all(state, 1e-2, 0.9, 0.999, 1e-8, s.backward_scalar_dense_all(s.mean(s.square(y))))
    h.update(w.get().numpy().tobytes())
print(h.hexdigest())
"""
    found = set()
    for hash_seed, threads in (("1", "1"), ("77", "2")):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "TLEAN_NUM_THREADS": threads}
        found.add(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1
