"""What comes in as an array: the right numbers, or an error of tlean's that says what is wrong; never something else."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import tlean as tl


class Liar(np.ndarray):
    """An array that is wrong about itself."""

    shape = property(lambda self: (1000, 1000))
    dtype = property(lambda self: np.dtype("float64"))
    size = property(lambda self: 10**6)


class Broken:
    """An object that fails to become an array."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array today")


RIGHT = {
    "a subclass that lies": (np.ones(2, "f4").view(Liar), [1.0, 1.0], "float32"),
    "half precision": (np.array([0.5, 2.0], "f2"), [0.5, 2.0], "float32"),
    "the other byte order": (np.array([1.0, 2.0], ">f8"), [1.0, 2.0], "float64"),
    "negative strides": (np.arange(4.0)[::-2], [3.0, 1.0], "float64"),
    "strides of zero": (np.broadcast_to(np.float32(3.0), (2, 2)), [[3.0, 3.0], [3.0, 3.0]], "float32"),
    "an unaligned array": (np.frombuffer(b"x" + np.array([1.0, 2.0]).tobytes(), "u1")[1:].view("f8"), [1.0, 2.0], "float64"),
    "narrow integers": (np.array([-3, 4], "i1"), [-3, 4], "int64"),
    "unsigned integers": (np.array([7], "u8"), [7], "int64"),
    "a masked array without a masked element": (np.ma.array([1.0, 2.0], mask=[False, False]), [1.0, 2.0], "float64"),
    "a memoryview": (memoryview(np.array([1.0, 2.0])), [1.0, 2.0], "float64"),
    "a matrix": (np.arange(4.0).reshape(2, 2).view(np.matrix), [[0.0, 1.0], [2.0, 3.0]], "float64"),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("case", RIGHT)
def test_right_numbers(case):
    value, numbers, dtype = RIGHT[case]
    t = tl.AnyTensor(value)
    assert (t.tolist(), t.dtype) == (numbers, dtype)


WRONG = {
    "complex": (np.ones(2, "c16"), tl.DTypeError),
    "text": ("text", tl.DTypeError),
    "objects": ([object()], tl.DTypeError),
    "times": (np.zeros(2, "M8[s]"), tl.DTypeError),
    "records": (np.zeros(2, [("a", "f8")]), tl.DTypeError),
    "a dict": ({1: 2}, tl.DTypeError),
    "ragged lists": ([[1.0], [1.0, 2.0]], tl.ShapeError),
    "masked elements": (np.ma.array([1.0, 2.0], mask=[False, True]), tl.DTypeError),
    "a broken object": (Broken(), tl.DTypeError),
    "too many axes": (np.ones((1,) * 20), tl.ShapeError),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(case):
    value, error = WRONG[case]
    with pytest.raises(error):
        tl.AnyTensor(value)
    # To jit a list is a tree: an op that is given it finds references in it.
    with pytest.raises((error, tl.NodeError)):
        tl.jit(lambda ops, x: ops.neg(x))(value)
    with pytest.raises(error):
        tl.Session().input(value)


def test_integers_beyond_64_bits_with_a_sign():
    x = np.array([2**63 + 1], "u8")
    with pytest.raises(tl.DTypeError, match="do not fit int64"):
        tl.AnyTensor(x)
    assert tl.Session(dtype="float64").input(x).numpy().tolist() == [float(2**63 + 1)]


def test_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="NumPy's bfloat16 comes from ml_dtypes")
    t = tl.AnyTensor(np.array([1.5, -2.0], ml_dtypes.bfloat16))
    assert (t.tolist(), t.dtype) == ([1.5, -2.0], "float32")


def test_jax_takes_arrays():
    jax = pytest.importorskip("jax", reason="JAX takes arrays where it is installed")
    t = tl.AnyTensor(np.array([1.0, 2.0], "f4"))
    assert jax.numpy.asarray(t).tolist() == jax.numpy.array(t).tolist() == [1.0, 2.0]


def test_half_precision_is_widened_alike_everywhere():
    x = np.ones(3, "f2")
    made = [tl.relu(x), tl.jit(lambda ops, x: ops.relu(x))(x), tl.AnyTensor(x), tl.grad(lambda ops, x: ops.sum(ops.square(x)))(x)]
    assert {t.dtype for t in made} == {"float32"}


@pytest.mark.parametrize("dtype", ["float16", "complex64", "no such thing", [], None.__class__, 3.5])
def test_dtypes_that_do_not_exist(dtype):
    with pytest.raises(tl.DTypeError, match="is none of"):
        tl.AnyTensor([1.0], dtype)


def test_methods_with_other_arguments():
    t = tl.AnyTensor([1.0, 2.0])
    for call in (lambda: t.cast(3), lambda: t.cast((3,)), lambda: t.cast(None)):
        with pytest.raises(tl.ShapeError, match="cast"):
            call()
    assert tl.AnyTensor([1.0]).cast(1).shape == (1,)
    with pytest.raises(tl.DTypeError, match="must be an AnyTensor, got list"):
        t.add([1.0, 2.0])
    with pytest.raises(ValueError, match="takes a copy"):
        t.__array__(np.float32, copy=False)


def test_released_arrays():
    t = tl.AnyTensor([1.0, 2.0])
    view, exported = t.numpy(), memoryview(t)
    t.release()
    t.release()
    assert view.tolist() == list(exported) == [1.0, 2.0]
    other = tl.AnyTensor([1.0, 2.0])
    uses = [t.numpy, t.item, t.tolist, t.__dlpack__, lambda: t.add(other), lambda: other.add(t), lambda: t == other, lambda: t[0]]
    uses += [lambda: pickle.dumps(t), lambda: copy.deepcopy(t), lambda: tl.AnyTensor(t), lambda: tl.relu(t), lambda: memoryview(t)]
    for use in uses:
        with pytest.raises(tl.NodeError, match="released"):
            use()
    assert "released" in repr(t)


def test_copies_and_pickles():
    for value in (np.arange(6.0).reshape(2, 3), np.array([True, False]), np.zeros((0, 3), "f4"), np.int64(3)):
        t = tl.AnyTensor(value)
        for made in (pickle.loads(pickle.dumps(t)), copy.copy(t), copy.deepcopy(t)):
            assert (made.shape, made.dtype, made.tolist()) == (t.shape, t.dtype, t.tolist())


def test_arrays_released_while_programs_run():
    run = tl.compile_out(lambda ops, x: ops.sum(ops.square(x)), [(2048,)])
    wrong = []

    def work():
        for _ in range(200):
            x = tl.AnyTensor(np.ones(2048, "f4"))
            other = threading.Thread(target=x.release)
            other.start()
            try:
                if run.forward(x).item() != 2048.0:
                    wrong.append("another value")
            except tl.NodeError:
                pass
            other.join()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


class Tensor:
    """A tensor of another library: one that records a gradient gives NumPy no numbers before it is detached."""

    def __init__(self, values, requires_grad=True):
        self.values, self.requires_grad = np.asarray(values, "f4"), requires_grad
        self.dtype, self.shape = self.values.dtype, self.values.shape

    def detach(self):
        return Tensor(self.values, False)

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        if self.requires_grad:
            raise RuntimeError("this tensor records a gradient")
        return self.values


def double_all(ops, x):
    return ops.scale(x, 2.0)


DOORS = {
    "compile_out": lambda x: tl.compile_out(double_all, [(2,)]).forward(x),
    "compile_scalar": lambda x: tl.compile_scalar(lambda ops, x: ops.sum(x), [(2,)]).value_and_grad(x)[1][0],
    "jvp of compile_out": lambda x: tl.compile_out(double_all, [(2,)]).jvp([x], [x])[1],
    "vjp_with_seed": lambda x: tl.compile_out(double_all, [(2,)]).vjp_with_seed([x], x)[0],
    "jit": lambda x: tl.jit(double_all)(x),
    "pull": lambda x: tl.vjp(double_all, np.ones(2, "f4"))[1](x)[0],
    "trainer": lambda x: tl.ScalarTrainer(tl.Options(), [np.ones(2)], [(2,)], lambda ops, w, x: ops.sum(ops.mul(w, x))).backward(x)[0],
    "session": lambda x: tl.Session().input(x),
    "Param": lambda x: tl.Param(x).get(),
    "Dataset": lambda x: tl.data.Dataset(x).arrays[0],
    "predict": lambda x: tl.nn.ReLU().predict(x),
    "custom_op": lambda x: tl.custom_op(lambda a: x, lambda a, y, g: x)(np.ones(2)),
    "its backward": lambda x: tl.grad(lambda ops, a: ops.sum(tl.custom_op(lambda a: a, lambda a, y, g: x)(a)))(np.ones(2)),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_reads_alike(door):
    """A tensor that records a gradient gives its numbers; what gives none, and a masked element, are tlean's errors."""
    found = np.asarray(DOORS[door](Tensor([3.0, 4.0])))
    assert (found.astype("f8") % [3, 4] == 0).all() or (found == 1.0).all()
    for wrong in (Broken(), np.ma.array([1.0, 2.0], mask=[True, False])):
        with pytest.raises(tl.DTypeError):
            DOORS[door](wrong)


def test_a_reference_of_a_recorded_program_is_no_array():
    inner = tl.compile_out(double_all, [(2,)])
    for door in (inner.forward, tl.AnyTensor, tl.Param):
        with pytest.raises(tl.NodeError, match=r"reference of a program, .*\(2,\).*no value while the program is recorded"):
            tl.jit(lambda ops, x, door=door: ops.const(door(x)))(np.ones(2))


def test_a_cotangent_has_its_values_dtype():
    for backend in ("compiled", "eager"):
        _, pull = tl.vjp(lambda ops, x: ops.square(x), np.ones(2, "f4"), backend=backend)
        assert pull(np.ones(2))[0].dtype == "float32"
        _, pull = tl.vjp(lambda ops, x: ops.square(x), np.ones(2), backend=backend)
        assert pull(np.ones(2, "f4"))[0].dtype == "float64"
