"""`Session`: parameters, inputs, indices, every form of the gradients, optimiser steps, randomness; eager and compiled alike."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from session_backends import CPU, DB, DW, RESIDUAL, B, W, X, Y, near, options, record, session

import tlean as tl
from tlean._core import arena

# Making and options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", CPU)
def test_options_and_keywords(backend):
    s = tl.Session(backend=backend, dtype="float64", seed=7)
    assert s.options == tl.Options(backend=backend, dtype="float64", seed=7)
    assert tl.Session(tl.Options(dtype="float64"), backend=backend).options.backend == backend
    assert backend in repr(s) and "float64" in repr(s)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"backend": "lazy"}, tl.OptionError),
        ({"device": "tpu"}, tl.OptionError),
        ({"dtype": "float16"}, tl.OptionError),
        ({"use_gpu": False, "device": "cuda"}, tl.OptionError),
        ({"fast_gpu_matmul_precision": "fp8"}, tl.OptionError),
        ({"num_threads": 0}, tl.OptionError),
        ({"device": "cuda", "dtype": "float64"}, tl.DTypeError),
    ],
)
def test_bad_options(changes, error):
    with pytest.raises(error):
        tl.Options(**changes)


def test_options_are_frozen_and_replaced():
    o = tl.Options()
    with pytest.raises(AttributeError):
        o.seed = 3
    assert o.replace(seed=3).seed == 3 and o.seed is None
    assert tl.Options(use_gpu=True).device == "cuda" and tl.Options(use_gpu=True).replace(device="cpu").device == "cpu"


# Leaves -----------------------------------------------------------------------------------------------------------------------


def test_one_step(s):
    w, b = s.param(W, name="w"), s.param(B)
    loss = record(s, w, b)
    near(s.get_value(loss), np.mean(RESIDUAL**2))
    s.sgd_step_all(0.1, s.backward_scalar_dense_all(loss))
    near(w.get(), W - 0.1 * DW)
    near(b.get(), B - 0.1 * DB)


def test_inputs_are_cast_and_copied(backend):
    s = session(backend)
    source = np.array([1.0, 2.0])
    x = s.input(source, name="x")
    source[:] = 7
    assert x.dtype == "float32" and x.shape == (2,) and s.get_value(x).tolist() == [1, 2]
    refs = s.input_all([[1, 2], 3.0, np.float32(4)])
    assert [r.shape for r in refs] == [(2,), (), ()] and s.get_value(refs[0]).dtype == "float32"
    with pytest.raises(tl.DTypeError):
        s.input([1j])
    with pytest.raises(tl.DTypeError):
        s.param(["a"])


def test_requires_grad_flags(backend):
    s = session(backend, dtype="float64")
    frozen, live = s.param(2.0, requires_grad=False), s.param(3.0)
    x, fixed = s.input(5.0), s.input(7.0, requires_grad=False)
    c = s.const(1.0)
    f, v = s.use(frozen), s.use(live)
    out = f * v * x * fixed * c
    assert [r.requires_grad for r in (f, v, x, fixed, c, out)] == [False, True, True, False, False, True]
    grads = s.backward_scalar(out)
    assert f.id not in grads and fixed.id not in grads and c.id not in grads
    near(grads[v.id], 70)
    near(grads[x.id], 42)
    s.sgd_step_all(1.0, s.backward_scalar_dense_all(out))
    assert frozen.get().item() == 2.0 and live.get().item() == -67.0


def test_requires_grad_by_default(backend):
    s = session(backend, requires_grad_by_default=False)
    p = s.param(2.0)
    assert not s.use(p).requires_grad and not s.input(1.0).requires_grad
    assert s.input(1.0, requires_grad=True).requires_grad and s.use(s.param(1.0, requires_grad=True)).requires_grad
    assert not s.use(tl.Param(1.0)).requires_grad and s.use(tl.Param(1.0, requires_grad=True)).requires_grad


def test_params():
    p = tl.Param(W, name="w")
    assert (p.shape, p.dtype, p.name, p.requires_grad) == ((3, 2), "float64", "w", None)
    before = p.get()
    p.set(W + 1)
    near(before, W)
    near(p.get(), W + 1)
    near(p.get(sync=False), W + 1)
    for bad, error in ((np.zeros((2, 3)), tl.ShapeError), (1.0, tl.ShapeError), (np.zeros((3, 2), complex), tl.DTypeError)):
        with pytest.raises(error):
            p.set(bad)
    near(p.get(), W + 1)
    assert "w" in repr(p) and "(3, 2)" in repr(p) and "frozen" in repr(tl.Param(1.0, requires_grad=False))
    assert tl.Param([1, 2]).dtype == "float32" and tl.Param(1.0, dtype="float64").dtype == "float64"
    p.release()
    p.release()
    with pytest.raises(tl.NodeError):
        p.get()


def test_a_param_does_not_share_memory_with_what_it_was_made_of(s):
    source = tl.AnyTensor(W)
    p = s.param(source)
    s.sgd_step_all(1.0, s.backward_scalar_dense_all(s.sum(s.use(p))))
    near(source, W)
    near(p.get(), W - 1)
    q = s.param(W)
    q.set(source)
    s.reset_tape()
    s.sgd_step_all(1.0, s.backward_scalar_dense_all(s.sum(s.use(q))))
    near(source, W)


def test_a_param_used_twice(s):
    p = s.param([2.0, 3.0])
    a, b = s.use_all([p, p])
    assert a.id != b.id
    loss = s.sum(a * a * b)
    grads = s.backward_scalar_dense_all(loss)
    near(s.grad(grads, a), 2 * np.array([4.0, 9.0]))
    near(s.grad(grads, b), [4, 9])
    near(s.backward_params(loss)[p], 3 * np.array([4.0, 9.0]))
    s.sgd_step_all(0.5, grads)
    near(p.get(), np.array([2.0, 3.0]) - 0.5 * 3 * np.array([4.0, 9.0]))


def test_a_param_of_another_dtype(s):
    other = "float32" if s.dtype == "float64" else "float64"
    with pytest.raises(tl.DTypeError, match=rf"{s.dtype}.*{other}"):
        s.use(tl.Param(1.0, dtype=other))
    with pytest.raises(tl.NodeError, match="Param"):
        s.use(np.ones(2))


def test_two_sessions_share_a_param(backend):
    p = tl.Param(2.0, dtype=options(backend, dtype="float64").dtype)
    a, b = session(backend, dtype="float64"), session(backend, dtype="float64")
    a.sgd_step_all(1.0, a.backward_scalar_dense_all(a.square(a.use(p))))
    assert p.get().item() == -2.0
    b.sgd_step_all(1.0, b.backward_scalar_dense_all(b.square(b.use(p))))
    assert p.get().item() == 2.0


# Stale and foreign ------------------------------------------------------------------------------------------------------------


def test_backward_after_an_update_raises(s):
    w, b = s.param(W), s.param(B)
    loss = record(s, w, b)
    grads = s.backward_scalar_dense_all(loss)
    s.sgd_step_all(0.1, grads)
    for call in (s.backward_scalar_dense_all, s.backward_scalar, s.backward_params, lambda x: s.backward_dense_all(x, 1.0)):
        with pytest.raises(tl.NodeError, match="updated"):
            call(loss)
    record(s, w, b)
    loss = record(s, w, b)
    w.set(W)
    with pytest.raises(tl.NodeError, match="updated"):
        s.backward_scalar(loss)


def test_reset_tape_invalidates_references(s):
    x = s.input([1.0, 2.0])
    y = s.square(x)
    s.reset_tape()
    for call in (
        lambda: s.relu(y),
        lambda: s.get_value(y),
        lambda: s.backward_dense_all(y, [1.0, 1.0]),
        lambda: y + 1,
        lambda: s.grad({}, y),
    ):
        with pytest.raises(tl.NodeError, match="reset_tape"):
            call()
    again = s.input([3.0])
    near(s.get_value(again * 2), [6])


def test_gradients_from_before_reset_tape(s):
    w = s.param([1.0])
    grads = s.backward_scalar_dense_all(s.sum(s.use(w)))
    s.reset_tape()
    s.use(w)
    with pytest.raises(tl.NodeError, match="reset_tape"):
        s.sgd_step_all(0.1, grads)
    near(w.get(), [1.0])


def test_references_of_another_session(s, backend):
    other = session(backend, dtype="float64")
    x, y = s.input([1.0]), other.input([1.0])
    for call in (lambda: s.add(x, y), lambda: s.get_value(y), lambda: s.backward_dense_all(y, [1.0]), lambda: x * y):
        with pytest.raises(tl.NodeError, match="another"):
            call()


def test_release(s, backend):
    live = arena.memory_stats if backend in CPU else tl.cuda.memory_stats
    x = s.input(np.ones((256, 256)))
    s.get_value(s.square(x))
    del x
    gc.collect()
    before = live()["live"]
    s.release()
    s.release()
    gc.collect()
    # A compiled session keeps its plans' scratch; the leaf's array is gone from both.
    assert before - live()["live"] >= 256 * 256 * np.dtype(s.options.dtype).itemsize
    near(s.get_value(s.input([1.0]) + 1), [2.0])


def test_an_error_leaves_the_session_as_it_was(s):
    w = s.param(W)
    ref = s.use(w)
    with pytest.raises(tl.ShapeError, match="linear"):
        s.linear(ref, None, [1.0, 2.0, 3.0])
    with pytest.raises(tl.OptionError):
        s.dropout(ref, 2.0)
    y = s.sum(ref)
    assert y.id == 1
    s.sgd_step_all(0.5, s.backward_scalar_dense_all(y))
    near(w.get(), W - 0.5)


# Gradients ------------------------------------------------------------------------------------------------------------------------


def test_every_form_of_the_gradients(s):
    w, b = s.param(W), s.param(B)
    rw, rb, x = s.use(w), s.use(b), s.input(X)
    y = s.linear(rw, rb, x)
    loss = s.mse_loss(y, s.const(Y))
    unread = s.exp(x)
    dense = s.backward_scalar_dense_all(loss)
    assert len(dense) == unread.id + 1 and [g.shape for g in dense] == [(3, 2), (3,), (2,), (3,), (3,), (), (2,)]
    near(dense[rw.id], DW)
    near(dense[-1], [0, 0])
    near(dense[1:3][1], W.T @ DB)
    near(s.grad(dense, rb), DB)
    for g, expected in zip(s.grads(dense, [x, y, unread]), [W.T @ DB, DB, np.zeros(2)], strict=True):
        near(g, expected)
    sparse = s.backward_scalar(loss)
    assert unread.id not in sparse and s.grad(sparse, unread) is None
    near(s.grad(sparse, rw), DW)
    near(s.grads(sparse, [rb])[0], DB)
    by_param = s.backward_params(loss)
    assert set(by_param) == {w, b}
    near(by_param[w], DW)
    seeded = s.backward_dense_all(y, [1.0, 0.0, -1.0])
    near(s.grad(seeded, rb), [1, 0, -1])
    with pytest.raises(IndexError):
        dense[len(dense)]


def test_a_parameter_that_the_loss_does_not_reach(s):
    w, unused = s.param([1.0]), s.param([5.0])
    s.use(unused)
    loss = s.sum(s.use(w) * 2.0)
    s.sgd_step_all(0.5, s.backward_scalar_dense_all(loss))
    near(w.get(), [0.0])
    near(unused.get(), [5.0])


def test_errors_of_backward(s):
    y = s.square(s.input([1.0, 2.0]))
    with pytest.raises(tl.ShapeError, match="scalar"):
        s.backward_scalar_dense_all(y)
    with pytest.raises(tl.ShapeError, match="scalar"):
        s.backward_params(y)
    with pytest.raises(tl.ShapeError):
        s.backward_dense_all(y, 1.0)
    with pytest.raises(tl.NodeError):
        s.backward_dense_all(3, 1.0)
    with tl.no_grad():
        z = s.sum(y)
    with pytest.raises(tl.NodeError, match="no_grad"):
        s.backward_scalar(z)


@pytest.mark.parametrize("backend", CPU)
def test_cuda_names_ask_for_a_cuda_session(backend):
    s = session(backend)
    w = s.param([1.0])
    loss = s.sum(s.use(w))
    state = tl.AdamState()
    for call in (
        lambda: s.backward_dense_all_cuda(loss, 1.0),
        lambda: s.backward_scalar_dense_all_cuda(loss),
        lambda: s.sgd_step_all_cuda(0.1, {}),
        lambda: s.adam_step_all_cuda(state, 0.1, 0.9, 0.999, 1e-8, {}),
        lambda: s.adamw_step_all_cuda(state, 0.1, 0.01, 0.9, 0.999, 1e-8, {}),
    ):
        with pytest.raises(tl.DeviceError, match="cuda"):
            call()


# Steps ------------------------------------------------------------------------------------------------------------------------------


def gradients(p):
    """Of Σ sin(p)·p²: the same formula as below, by hand."""
    return np.cos(p) * p**2 + 2 * p * np.sin(p)


@pytest.mark.parametrize("rule", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("form", ["dense", "sparse", "params"])
def test_steps_against_a_formula(s, rule, form):
    values = [np.linspace(-2, 2, 7), np.array([[0.3, -1.2]])]
    params = [s.param(v, name=f"p{k}") for k, v in enumerate(values)]
    state, lr, beta1, beta2, eps, decay = tl.AdamState(), 0.05, 0.9, 0.99, 1e-7, 0.1
    mean, square = [np.zeros_like(v) for v in values], [np.zeros_like(v) for v in values]
    for step in range(1, 6):
        s.reset_tape()
        terms = [s.sum(s.sin(r) * s.square(r)) for r in s.use_all(params)]
        loss = terms[0] + terms[1]
        grads = {"dense": s.backward_scalar_dense_all, "sparse": s.backward_scalar, "params": s.backward_params}[form](loss)
        if rule == "sgd":
            s.sgd_step_all(lr, grads)
        elif rule == "adam":
            s.adam_step_all(state, lr, beta1, beta2, eps, grads)
        else:
            s.adamw_step_all(state, lr, decay, beta1, beta2, eps, grads)
        for k, v in enumerate(values):
            g = gradients(v)
            if rule == "sgd":
                values[k] = v - lr * g
                continue
            mean[k] = beta1 * mean[k] + (1 - beta1) * g
            square[k] = beta2 * square[k] + (1 - beta2) * g * g
            m, q = mean[k] / (1 - beta1**step), square[k] / (1 - beta2**step)
            kept = v * (1 - lr * decay) if rule == "adamw" else v
            values[k] = kept - lr * m / (np.sqrt(q) + eps)
    for p, v in zip(params, values, strict=True):
        near(p.get(), v, rtol=1e-9)


def test_errors_of_steps_change_nothing(s):
    w = s.param([1.0, 2.0])
    loss = s.sum(s.square(s.use(w)))
    grads, state = s.backward_scalar_dense_all(loss), tl.AdamState()
    for call, error in (
        (lambda: s.sgd_step_all("fast", grads), tl.OptionError),
        (lambda: s.sgd_step_all(float("nan"), grads), tl.OptionError),
        (lambda: s.sgd_step_all(0.1, {w: np.ones(3)}), tl.ShapeError),
        (lambda: s.adam_step_all(state, 0.1, 1.0, 0.999, 1e-8, grads), tl.OptionError),
        (lambda: s.adam_step_all(state, 0.1, 0.9, -0.1, 1e-8, grads), tl.OptionError),
        (lambda: s.adam_step_all(None, 0.1, 0.9, 0.999, 1e-8, grads), tl.OptionError),
        (lambda: s.adamw_step_all(state, 0.1, -1.0, 0.9, 0.999, 1e-8, grads), tl.OptionError),
        (lambda: s.adam_step_all(state, 0.1, 0.9, 0.999, 1e-8, {w: np.ones((2, 2))}), tl.ShapeError),
    ):
        with pytest.raises(error):
            call()
    near(w.get(), [1, 2])
    s.sgd_step_all(0.25, grads)
    near(w.get(), [0.5, 1.0])


def test_both_backends_give_the_same_bits():
    found = []
    for backend in CPU:
        s = session(backend, seed=5)
        rng = np.random.default_rng(0)
        params = [s.param(rng.normal(size=shape)) for shape in ((16, 8), (16,), (3, 16))]
        state = tl.AdamState()
        for _ in range(4):
            s.reset_tape()
            w, b, v = s.use_all(params)
            h = s.dropout(s.gelu(s.linear(w, b, s.input(rng.normal(size=(5, 8))))), 0.25)
            loss = s.cross_entropy(s.linear(v, None, h), rng.integers(0, 3, 5))
            s.adamw_step_all(state, 1e-2, 1e-2, 0.9, 0.999, 1e-8, s.backward_scalar_dense_all(loss))
        found.append([p.get().numpy().tobytes() for p in params])
    assert found[0] == found[1]
