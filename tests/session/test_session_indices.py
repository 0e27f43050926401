"""Sessions: indices, random numbers, no_grad and check_numerics."""

from __future__ import annotations

import numpy as np
import pytest
from session_backends import W, Y, near, options, session

import tlean as tl

# Indices ------------------------------------------------------------------------------------------------------------------------


def test_natural_indices(s):
    x = s.input(W)
    i, v = s.input_nat(2), s.input_nat_vec([0, 2, 2, 9])
    assert s.get_nat(i) == 2 and s.get_nat_vec(v) == [0, 2, 2, 9]
    row = s.gather_row_ref(x, i)
    rows = s.gather_rows_ref(x, v)
    near(s.get_value(row), W[2])
    near(s.get_value(rows), [*W[[0, 2, 2]], [0, 0]])
    s.set_nat(i, 1)
    s.set_nat_vec(v, [1, 1, 1, 1])
    # Captured where the op was recorded; later ops see the new value.
    later = s.gather_row_ref(x, i)
    near(s.get_value(row), W[2])
    near(s.get_value(later), W[1])
    near(s.get_value(s.gather_scalar_ref(s.input(Y), i)), Y[1])
    near(s.get_value(s.gather_vec_ref(s.input(Y), v)), [Y[1]] * 4)
    grads = s.backward_dense_all(rows, np.arange(8.0).reshape(4, 2))
    near(s.grad(grads, x), [[0, 1], [0, 0], [6, 8]])


def test_errors_of_natural_indices(s, backend):
    i, v = s.input_nat(1), s.input_nat_vec([1, 2])
    for call, error in (
        (lambda: s.set_nat_vec(v, [1, 2, 3]), tl.ShapeError),
        (lambda: s.set_nat(i, [1, 2]), tl.ShapeError),
        (lambda: s.set_nat(i, -1), tl.OptionError),
        (lambda: s.input_nat(-3), tl.OptionError),
        (lambda: s.input_nat(1.5), tl.DTypeError),
        (lambda: s.input_nat([1]), tl.ShapeError),
        (lambda: s.input_nat_vec(3), tl.ShapeError),
        (lambda: session(backend).get_nat(i), tl.NodeError),
    ):
        with pytest.raises(error):
            call()
    assert s.get_nat(i) == 1 and s.get_nat_vec(v) == [1, 2]
    s.reset_tape()
    x = s.input(Y)
    for call in (lambda: s.get_nat(i), lambda: s.set_nat(i, 0), lambda: s.gather_scalar_ref(x, i), lambda: s.get_nat_vec(v)):
        with pytest.raises(tl.NodeError):
            call()
    assert "1" in repr(i)


# Randomness ---------------------------------------------------------------------------------------------------------------------------


def test_the_stream_comes_from_the_seed(backend):
    def draw(s):
        return s.get_value(s.rand_uniform((5,))).numpy()

    a, b, c = session(backend, seed=3), session(backend, seed=3), session(backend, seed=4)
    first, second = draw(a), draw(a)
    assert np.array_equal(first, draw(b)) and not np.array_equal(first, second) and not np.array_equal(first, draw(c))
    a.init_rng(3)
    assert np.array_equal(draw(a), first)
    a.init_rng(4)
    c.init_rng(4)
    assert np.array_equal(draw(a), draw(c))
    # reset_tape goes on with the stream: a mask is new every step.
    b.reset_tape()
    assert np.array_equal(draw(b), second)


def test_split_rng(backend):
    a, b = session(backend, seed=3), session(backend, seed=3)
    assert np.array_equal(a.split_rng().uniform((4,)), b.split_rng().uniform((4,)))
    assert not np.array_equal(a.split_rng().uniform((4,)), tl.Rng(3).uniform((4,)))


def test_dropout_and_masks(s):
    x = s.input(np.ones(2000))
    y = s.get_value(s.dropout(x, 0.25)).numpy()
    assert set(np.unique(y)) == {0.0, y.dtype.type(1 / 0.75)} and abs(y.mean() - 1) < 0.1
    near(s.get_value(s.dropout(x, 0.25, train=False)), np.ones(2000))
    mask = s.bernoulli_mask(s.const(0.5), (1000,))
    assert set(np.unique(s.get_value(mask).numpy())) == {0.0, 1.0}


# no_grad and check_numerics -----------------------------------------------------------------------------------------------------------


def test_no_grad(s):
    w = s.param([2.0])
    with tl.no_grad():
        y = s.square(s.use(w))
        assert y.id is None
        near(s.get_value(y), [4])
    z = s.sum(s.use(w) * y)
    grads = s.backward_scalar_dense_all(z)
    s.sgd_step_all(1.0, grads)
    near(w.get(), [-2.0])


def test_check_numerics_names_the_first_op(backend):
    s = session(backend, check_numerics=True)
    x = s.input([1.0, 0.0, -1.0])
    good = s.square(x)

    def bad():
        y = s.log(good)
        return s.get_value(s.exp(y))

    with pytest.raises(
        tl.NumericsError, match=r"log: node 2 is the first with an infinity \(element 1 of shape \(3,\)\), its parents are \(1,\)"
    ):
        bad()


def test_check_numerics_tells_nan_from_infinity(backend):
    for op, x, kind in (("sqrt", [-1.0], "NaN"), ("inv", [0.0], "infinity"), ("exp", [1000.0], "infinity")):
        s = session(backend, check_numerics=True)
        with pytest.raises(tl.NumericsError, match=f"{op}.*{kind}"):
            s.get_value(getattr(s, op)(s.input(x)))
    assert issubclass(tl.NumericsError, ArithmeticError)


def test_check_numerics_leaves_the_tape_as_it_was():
    s = tl.Session(check_numerics=True)
    x = s.input([0.0])
    with pytest.raises(tl.NumericsError):
        s.log(x)
    assert s.exp(x).id == 1
    # Without it IEEE arithmetic goes on.
    free = tl.Session()
    assert free.get_value(free.log(free.input([0.0]))).tolist() == [float("-inf")]


def test_check_numerics_lets_leaves_and_finite_values_pass(backend):
    s = session(backend, check_numerics=True)
    x = s.input([1e38, np.inf])
    assert s.get_value(s.where(s.const([1.0, 0.0]), x, s.const([2.0, 3.0]))).tolist() == [pytest.approx(1e38), 3.0]
    w = s.param([1.0])
    s.reset_tape()
    s.sgd_step_all(0.1, s.backward_scalar_dense_all(s.sum(s.square(s.use(w)))))
    near(w.get(), [0.8], rtol=1e-6)


def test_check_numerics_in_a_step_that_reads_nothing(backend):
    s = session(backend, check_numerics=True)
    w = s.param([2.0, 0.0])
    with pytest.raises(tl.NumericsError, match="inv: node 1 is the first"):
        s.sgd_step_all(0.1, s.backward_scalar_dense_all(s.sum(s.inv(s.use(w)))))
    near(w.get(), [2, 0])


def test_check_numerics_of_a_trainer(backend):
    trainer = tl.ScalarTrainer(
        options(backend, check_numerics=True), [[1.0, 4.0]], [(2,)], lambda ops, w, x: ops.sum(ops.sqrt(ops.mul(w, x)))
    )
    assert trainer.step(0.1, [1.0, 1.0]).item() == 3.0
    before = trainer.get_params()[0].tolist()
    with pytest.raises(tl.NumericsError, match=r"sqrt: node 3 .* NaN"):
        trainer.step(0.1, [1.0, -1.0])
    with pytest.raises(tl.NumericsError, match="sqrt"):
        trainer.forward([1.0, -1.0])
    assert trainer.get_params()[0].tolist() == before
