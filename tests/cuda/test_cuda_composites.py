"""Ops that other ops make up, and loops, on a device: values and gradients against those of the CPU."""

from __future__ import annotations

import _thread
import ctypes
import functools
import signal
import threading

import numpy as np
import pytest

import tlean as tl

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

RNG = np.random.default_rng(0)
MASK = RNG.random((2, 1, 7, 9)) < 0.6


def n(*shape):
    return RNG.standard_normal(shape).astype("float32")


#: (program, arrays)
PROGRAMS = {
    "conv_same": (lambda w, b, x: tl.conv(w, b, x, 1, "same", (1, 2)), [n(3, 2, 2, 4), n(3), n(2, 2, 5, 6)]),
    "max_pool_dilated": (lambda x: tl.max_pool(x, (2, 3), 2, (1, 1), dilation=(2, 1), ceil_mode=True), [n(2, 3, 7, 8)]),
    "max_pool_ceil": (lambda x: tl.max_pool(x, (3, 3), 2, 1, 0.0, ceil_mode=True), [n(2, 3, 6, 7)]),
    "max_unpool": (lambda x: tl.max_unpool(*tl.max_pool_with_indices(x, (2, 2)), (2, 2)), [n(2, 4, 6)]),
    "avg_pool_inside": (lambda x: tl.avg_pool(x, (3, 2), 2, 1, True, False), [n(2, 3, 6, 7)]),
    "adaptive_avg_pool": (lambda x: tl.adaptive_avg_pool(x, (3, 4)), [n(2, 7, 6)]),
    "adaptive_max_pool": (lambda x: tl.adaptive_max_pool(x, (3, 4)), [n(2, 7, 6)]),
    "attention_bias": (
        lambda q, k, v, b: tl.scaled_dot_product_attention(q, k, v, b, True, 0.4),
        [n(2, 3, 70, 5), n(2, 3, 80, 5), n(2, 1, 80, 7), n(2, 1, 70, 80)],
    ),
    "attention_row": (
        lambda q, k, v, b: tl.scaled_dot_product_attention(q, k, v, b),
        [n(2, 3, 7, 5), n(2, 3, 9, 5), n(2, 3, 9, 7), n(3, 1, 9)],
    ),
    "attention_groups": (
        lambda q, k, v: tl.scaled_dot_product_attention(q, k, v, MASK, scale=0.3, enable_gqa=True),
        [n(2, 6, 7, 5), n(2, 3, 9, 5), n(2, 3, 9, 7)],
    ),
    "interpolate": (lambda x: tl.interpolate(x, (5, 3), mode="bicubic"), [n(2, 2, 4, 4)]),
    "interpolate_nearest": (lambda x: tl.interpolate(x, None, 1.5), [n(2, 2, 4, 4)]),
    "grid_sample": (lambda x, g: tl.grid_sample(x, g, padding_mode="reflection"), [n(2, 2, 4, 5), n(2, 3, 3, 2)]),
    "pixel_shuffle": (lambda x: tl.pixel_shuffle(x, 2), [n(2, 8, 3, 2)]),
    "fold": (lambda x: tl.fold(x, (4, 5), (2, 2), 1, 1), [n(2, 12, 30)]),
    "local_response_norm": (lambda x: tl.local_response_norm(x, 3, 0.5), [n(2, 4, 3, 2)]),
    "multi_margin_loss": (lambda x: tl.multi_margin_loss(x, np.array([1, 0, 4])), [n(3, 5)]),
    "multilabel_margin_loss": (lambda x: tl.multilabel_margin_loss(x, np.array([[1, 0, -1], [2, -1, 0]])), [n(2, 3)]),
    "ctc_loss": (lambda x: tl.ctc_loss(tl.log_softmax(x), np.array([[1, 2], [2, 2]]), [5, 4], [2, 1]), [n(5, 2, 3)]),
    "fft": (lambda x, k: tl.fft.irfft(tl.fft.rfft(x, axis=0) * tl.fft.rfft(k, axis=0), n=15, axis=0), [n(15, 3), n(15, 3)]),
    "embedding_bag": (lambda t: tl.embedding_bag(t, np.array([1, 0, 3, 1]), np.array([0, 2, 2])), [n(4, 3)]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_composite(name):
    program, arrays = PROGRAMS[name]

    def loss(*xs):
        return tl.sum(tl.sin(program(*xs)))

    places = tuple(range(len(arrays)))
    here = tl.jit(tl.value_and_grad(loss, argnums=places))(*arrays)
    there = tl.jit(tl.value_and_grad(loss, argnums=places), device="cuda")(*arrays)
    np.testing.assert_allclose(float(there[0]), float(here[0]), rtol=1e-5, atol=1e-5)
    for a, b in zip(there[1], here[1], strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=2e-5)


# Loops ------------------------------------------------------------------------------------------------------------------------------

W, H, XS = ((RNG.normal(size=s) * 0.5).astype(np.float32) for s in ((3, 3), (3,), (6, 3)))


def rollout(w, h, xs, **how):
    h, ys = tl.scan(lambda h, x: (tl.tanh(w @ h + x * h), h * x), h, xs, **how)
    return tl.sum(h * h) + tl.sum(tl.sin(ys))


def written(w, h, xs, **how):
    # Parts of a carry, an integer, carries that swap, old values that are stacked.
    def step(c, x):
        a, b, rows, i = c
        return (b, tl.sin(a) + x, rows.at[tl.remainder(i, 3)].set(a @ w), i + 1), (a, i, rows)

    (a, b, rows, _), ys = tl.scan(step, (h, h * 2.0, w, np.int64(0)), xs, **how)
    return tl.sum(a * 2.0 + b) + tl.sum(tl.sin(rows)) + tl.sum(ys[0] * 0.3) + tl.sum(ys[2] * tl.astype(ys[1], "float32")[:, None, None])


def nested(w, h, xs, **how):
    def step(h, x):
        h, ys = tl.scan(lambda h, r: (tl.tanh(h * r + x), tl.sum(h)), h, w)
        return tl.checkpoint(lambda h: tl.sin(h) + h)(h), ys

    h, ys = tl.scan(step, h, xs, **how)
    return tl.sum(h) + tl.sum(ys * ys)


def noisy(w, h, xs, **how):
    h, ys = tl.scan(lambda h, x: (tl.tanh(w @ h + x) + tl.random.normal((3,)), tl.rand_uniform((2,))), h, xs, **how)
    return tl.sum(h) + tl.sum(ys)


LOOPS = [rollout, written, nested, noisy]


@pytest.mark.parametrize("how", [{}, {"reverse": True}, {"checkpoint": 2}, {"checkpoint": 4, "reverse": True}, {"unroll": 3}], ids=str)
@pytest.mark.parametrize("f", LOOPS, ids=lambda f: f.__name__)
def test_loops_are_those_of_the_cpu(f, how):
    shapes = [tl.Spec(a.shape, "float32") for a in (W, H, XS)]
    results = []
    for device in ("cpu", "cuda"):
        program = tl.compile_scalar(functools.partial(f, **how), shapes, seed=3, device=device)
        for _ in range(2 if f is not noisy else 1):
            value, gradients = program.value_and_grad(W, H, XS)
        results.append([np.asarray(r) for r in (value, *gradients)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-5)


def test_an_index_out_of_range_is_reported():
    def pick(h, i):
        return tl.sum(tl.scan(lambda c, k: (c, tl.take(c, k, axis=0)), h, i)[1])

    program = tl.compile_out(lambda ops, h, i: pick(h, i), [tl.Spec((3,), "float32"), tl.Spec((3,), "int64")], device="cuda")
    np.testing.assert_allclose(np.asarray(program.forward(H, np.array([0, 2, 1]))), H.sum(), rtol=1e-6)
    with pytest.raises(tl.IndexRangeError, match="take: an index or label is out of range"):
        np.asarray(program.forward(H, np.array([0, 7, 1])))


# Loops that the host steers, and choices ---------------------------------------------------------------------------------------------


def until(w, h):
    # Forty steps: the store of the way back grows twice.
    h, i = tl.while_loop(lambda c: c[1] < 40, lambda c: (tl.sin(w @ c[0] * 1.2) + c[0] * 0.3, c[1] + 1), (h, 0))
    return tl.sum(h * h) + tl.astype(i, "float32")


def at_most(w, h):
    return tl.sum(tl.while_loop(lambda c: tl.sum(c * c) < 9.0, lambda c: c * 1.3 + tl.sin(w @ c) * 0.1 + 0.05, h, max_steps=9) ** 2)


def swapped(w, h):
    def step(c):
        a, b, i = c
        return b, tl.tanh(w @ a) + b, i + tl.random.normal(()) * 0.0 + 1.0

    a, b, _ = tl.while_loop(lambda c: c[2] < 5.0, step, (h, h * 2.0, 0.0))
    return tl.sum(a * b)


def chosen(w, h):
    def step(c, x):
        k = tl.astype(tl.floor(x * 6.0), "int64")
        c = tl.switch(k, [lambda c: c + x, lambda c: tl.sin(w @ c), lambda c: c * c, lambda c: c], c)
        return tl.cond(x > 0.0, lambda: tl.tanh(c), lambda: c * w[0]), c

    c, ys = tl.scan(step, h, tl.concat([h, h * 2.0]))
    return tl.sum(c) + tl.sum(ys**2)


def deep(w, h):
    # A loop of unknown length in a scan and around one, with a choice inside.
    def step(c, x):
        y = tl.while_loop(
            lambda a: tl.sum(a * a) < 4.0, lambda a: a * 1.5 + x * tl.cond(tl.sum(a) > 1.0, lambda: w[0], lambda: w[1]) * 0.1 + 0.01, c
        )
        return tl.tanh(y * 0.3), y

    def turn(c):
        h, i = c
        h, ys = tl.scan(step, h, w[0])
        return tl.tanh(h) + tl.sum(ys) * 0.1, i + 1

    return tl.sum(tl.while_loop(lambda c: c[1] < 2, turn, (h, 0))[0] ** 2)


STEERED = [until, at_most, swapped, chosen, deep]


def both(f, arrays, tangent):
    """Values and gradients of a program on the CPU and on the device, compiled and on a tape, and tangents."""
    found = []
    for device in ("cpu", "cuda"):
        program = tl.compile_scalar(f, [tl.Spec(a.shape, "float32") for a in arrays], seed=3, device=device)
        value, gradients = program.value_and_grad(*arrays)
        s = tl.Session(device=device, seed=4)
        leaves = [s.leaf(a) for a in arrays]
        y = f(*leaves)
        swept = s.backward_scalar_dense_all(y)
        made = [value, *gradients, y.value, *(swept[leaf] for leaf in leaves)]
        if tangent:
            made.append(program.jvp(arrays, [a * 0.5 for a in arrays])[1])
        found.append([np.asarray(r) for r in made])
    return found


@pytest.mark.parametrize(("f", "apart"), [*((f, False) for f in STEERED), (chosen, True), (deep, True)])
def test_loops_of_unknown_length_and_choices(f, apart, monkeypatch):
    if apart:
        # One branch runs, whatever it costs.
        monkeypatch.setattr("tlean.cuda.steered._LITTLE_WORK", -1.0)
    # Plans of the same loops are kept: these are others.
    w = np.float32(1 + apart) * W
    for a, b in zip(*both(lambda w, h: f(w * np.float32(1 / (1 + apart)), h) * (1.0 + apart), [w, H], f in (swapped, chosen)), strict=True):
        np.testing.assert_allclose(b, a, rtol=3e-5, atol=3e-5)


def test_what_waits_for_the_device():
    """A loop of unknown length for each condition; nothing else, choices among short branches included."""
    library = ctypes.CDLL("libcuda.so.1")
    if not hasattr(library, "emulated_waits"):
        pytest.skip("only the emulation counts waits")
    where = tl.cuda.to_device(H)

    def waits(f):
        program = tl.jit(f, device="cuda")
        program(where)
        tl.cuda.synchronize()
        before = library.emulated_waits()
        program(where)
        return library.emulated_waits() - before

    def stepping(h):
        return tl.scan(lambda c, x: (tl.cond(x > 0.0, lambda: tl.sin(c), lambda: c * x), c), h, h)

    assert waits(stepping) == waits(tl.sin)
    few, more = (waits(lambda h, n=n: tl.while_loop(lambda c: c[1] < n, lambda c: (tl.sin(c[0]), c[1] + 1), (h, 0))) for n in (3, 7))
    assert 2 * few == more > 0


def test_ctrl_c_ends_a_loop_for_ever():
    program = tl.jit(lambda h: tl.while_loop(lambda c: tl.sum(c) < 1e30, tl.sin, h), device="cuda")
    # What runs in the background may ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            program(H)
    finally:
        signal.signal(signal.SIGINT, before)
    timer.join()
    np.testing.assert_allclose(tl.jit(tl.sin, device="cuda")(H).numpy(), np.sin(H), rtol=1e-6)


def test_an_index_out_of_range_ends_a_loop():
    def f(h):
        # What is out of range counts as 0.
        return tl.while_loop(lambda c: c[0] < 1.0, lambda c: (tl.take(h, c[1], axis=0) * 0.0, c[1] + 1), (h[0] * 0.0, 0))[0]

    with pytest.raises(tl.IndexRangeError, match="take: an index or label is out of range"):
        np.asarray(tl.jit(f, device="cuda")(H))


@pytest.mark.parametrize("f", LOOPS, ids=lambda f: f.__name__)
def test_loops_on_a_tape(f):
    results = []
    for device in ("cpu", "cuda"):
        s = tl.Session(device=device, seed=4)
        leaves = [s.leaf(a) for a in (W, H, XS)]
        y = f(*leaves)
        gradients = s.backward_scalar_dense_all(y)
        results.append([y.value.numpy(), *(gradients[leaf].numpy() for leaf in leaves if gradients[leaf] is not None)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-5)


# Matrices ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lead", "size"), [((19,), 3), ((2,), 32), ((3,), 70), ((), 33)])
def test_systems_and_factors(lead, size):
    """By a warp each and block by block; matrices that are refused beside others; many right-hand sides, factors given and not."""
    a = n(*lead, size, size)
    definite = a @ np.swapaxes(a, -1, -2) / size + np.eye(size, dtype="float32")
    regular, b = a + 2 * np.sqrt(size).astype("float32") * np.eye(size, dtype="float32"), n(*lead, size, 40)
    if lead:
        definite[1], regular[1] = -definite[1], 0
    ops = tl.cuda.ops()
    right = [k for k in range(lead[0]) if k != 1] if lead else ...

    def close(found, wanted, refused=True):
        found = found.numpy()
        np.testing.assert_allclose(found[right], wanted[right], rtol=2e-4, atol=2e-4)
        assert not lead or not refused or np.isnan(found[1]).all()

    with np.errstate(all="ignore"):
        wide, sides = regular.astype("float64"), b.astype("float64")
        if lead:
            wide[1] = np.eye(size)
        factor = np.linalg.cholesky(definite[right].astype("float64"))
        close(ops._linalg_cholesky(definite), np.insert(factor, 1, 0, 0) if lead else factor)
        factors = ops._linalg_factors(regular)
        for given in (None, factors):
            for turned in (False, True):
                wanted = np.linalg.solve(np.swapaxes(wide, -1, -2) if turned else wide, sides)
                close(ops._linalg_solve(regular, b, given, transpose=turned), wanted)
            sign, size_of = np.linalg.slogdet(wide)
            close(ops._linalg_sign(regular, given), sign, False)
            close(ops._linalg_logabsdet(regular, given), size_of, False)
        for lower in (False, True):
            for turned in (False, True):
                part = np.tril(wide) if lower else np.triu(wide)
                wanted = np.linalg.solve(np.swapaxes(part, -1, -2) if turned else part, sides)
                close(ops._linalg_solve_triangular(regular, b, lower=lower, transpose=turned), wanted)


def solved(a, b):
    spd = a @ tl.swapaxes(a, -1, -2) + tl.eye(a.shape[-1])
    lower = tl.linalg.cholesky(spd)
    return tl.sum(tl.linalg.solve(spd, b) ** 2) + tl.linalg.slogdet(spd)[1][0] + tl.sum(tl.linalg.solve_triangular(lower, b, lower=True))


@pytest.mark.parametrize("size", [4, 40])
def test_gradients_of_systems(size):
    arrays = [n(2, size, size) / np.float32(np.sqrt(size)), n(2, size, 3)]
    for a, b in zip(*both(solved, arrays, True), strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-3, atol=2e-3)
