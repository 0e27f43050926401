"""Calls that tests of single rooms do not reach: references made by hand, custom ops that travel, parameters used by a step."""

import array
import copy
import pickle

import numpy as np
import pytest

import tlean as tl


def double(x):
    return x * 2


def double_back(x, y, g):
    return g * 2


def has_steps(backend, use):
    w = tl.Param(np.ones(3, "f4"))

    def loss(ops, p, x):
        return ops.sum(ops.mul(ops.mul(p, x), ops.use(w) if use else ops.square(p)))

    trainer = tl.ScalarTrainer(tl.Options(backend=backend), [w], [(3,)], loss)
    return [trainer.step(0.1, np.ones(3)).item() for _ in range(3)], w.get().tolist()


@pytest.mark.parametrize("args", [(), (1,), (None, None), (np.ones(2), np.ones(2))])
def test_references_are_not_made_by_hand(args):
    with pytest.raises(tl.NodeError, match="only ops and inputs make references"):
        tl.TensorRef(*args)


def test_indices_belong_to_a_session():
    for kind in (tl.NatRef, tl.NatVecRef):
        with pytest.raises(tl.NodeError, match="belongs to a session, got float"):
            kind(1.5, np.ones(2))


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda op: pickle.loads(pickle.dumps(op))])
def test_custom_ops_are_copied_and_pickled(again):
    op = tl.custom_op(double, double_back, name="double")
    np.asarray(tl.grad(lambda ops, x: ops.sum(op(x)))(np.ones(3)))
    made = again(op)
    assert repr(made) == repr(op)
    np.testing.assert_array_equal(tl.grad(lambda ops, x: ops.sum(made(x)))(np.ones(3)), np.full(3, 2.0))


def test_a_step_uses_its_own_parameter():
    eager, compiled = has_steps("eager", True), has_steps("compiled", True)
    assert eager == compiled
    assert eager[0][1] == pytest.approx(3 * 0.8**2)
    assert has_steps("eager", False) == has_steps("compiled", False)


def test_a_step_reads_a_parameter_of_nobody():
    for backend in ("eager", "compiled"):
        w = tl.Param(np.ones(3, "f4"))
        trainer = tl.ScalarTrainer(tl.Options(backend=backend), [np.ones(3)], [(3,)], lambda ops, p, x, w=w: ops.sum(p * x * ops.use(w)))
        assert trainer.forward(np.ones(3)).item() == 3.0
        w.set(np.full(3, 2.0))
        assert trainer.forward(np.ones(3)).item() == 6.0


@pytest.mark.parametrize("kept", [array.array("d", [2.0]), bytearray(b"\2")])
def test_numbers_in_typed_sequences_are_looked_at(kept):
    double = tl.grad(lambda ops, x: ops.sum(ops.scale(x, float(kept[0]))))
    assert double(np.ones(2)).tolist() == [2.0, 2.0]
    kept[0] = 5
    assert double(np.ones(2)).tolist() == [5.0, 5.0]


def test_a_state_of_another_dtype_names_both_and_cast():
    moved, other = tl.Param(np.ones(2)), tl.Param(np.ones(2, "f4"))
    one, two = tl.optim.Adam([moved]), tl.optim.Adam([other])
    one.step([np.ones(2)])
    two.step([np.ones(2)])
    with pytest.raises(tl.DTypeError, match=r"exp_avg of Param.*float32.* is float64; cast the parameter with cast\('float64'\)"):
        two.load_state_dict(one.state_dict())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_number_beyond_the_dtype_is_no_infinity(tmp_path, dtype):
    path = tmp_path / "a.csv"
    path.write_text("1e400,2\n")
    with pytest.raises(tl.DataError, match="out of the range of " + dtype):
        tl.data.read_csv(path, dtype=dtype)
    path.write_text("-inf,Infinity\n")
    assert tl.data.read_csv(path, dtype=dtype).tolist() == [[-np.inf, np.inf]]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: tl.optim.SGD(3.0), tl.OptionError, "SGD: a sequence of Params"),
        (lambda: tl.optim.SGD([tl.Param(np.ones(2))]).step(3.0), tl.OptionError, "step: a sequence of gradients"),
        (lambda: tl.optim.SGD([tl.Param(np.ones(2))]).apply(np.ones(2)), tl.OptionError, "apply: gradients must be a dict"),
        (lambda: tl.optim.SGD([tl.Param(np.ones(2))], momentum=0.5, nesterov=np.ones(2)), tl.OptionError, "nesterov must be True or False"),
        (lambda: tl.optim.Adam(memoryview(np.ones((2, 2)))), tl.OptionError, "memoryview of 2 axes"),
        (lambda: tl.optim.clip_by_norm(3.0, 1.0), tl.OptionError, "a sequence of gradients"),
        (lambda: tl.max_pool2d_pad(np.ones((1, 1, 4, 4)), (2, 2), padding=None), tl.OptionError, "padding must be an int"),
        (lambda: tl.tree.map(np.ones(2), np.ones(2)), tl.OptionError, "the function must be a function"),
        (lambda: tl.tree.unflatten("*", 3), tl.ShapeError, "a sequence of leaves"),
        (lambda: tl.Options(use_gpu=np.ones(2)), tl.OptionError, "use_gpu must be True or False"),
        (lambda: tl.Options(fast_kernels="no"), tl.OptionError, "fast_kernels must be True or False"),
        (lambda: tl.Tape().const([1.0], name=np.ones(3)), tl.OptionError, "leaf: name must be a text"),
        (lambda: tl.Node([1.0], name=3), tl.OptionError, "Node: name must be a text"),
    ],
)
def test_wrong_arguments_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
