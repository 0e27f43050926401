"""Loops in compiled programs on a device, or on the host emulation, against the same programs on the CPU."""

import functools

import numpy as np
import pytest

import tlean as tl

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

RNG = np.random.default_rng(0)
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


PROGRAMS = [rollout, written, nested, noisy]


@pytest.mark.parametrize("how", [{}, {"reverse": True}, {"checkpoint": 2}, {"checkpoint": 4, "reverse": True}, {"unroll": 3}], ids=str)
@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
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


@pytest.mark.parametrize(
    ("loop", "name"),
    [
        (lambda h: tl.while_loop(lambda c: tl.sum(c) < 9.0, lambda c: c + 1.0, h), "while_loop"),
        (lambda h: tl.cond(tl.sum(h) > 0.0, lambda: h, lambda: h * 2.0), "switch"),
    ],
    ids=["while_loop", "cond"],
)
def test_loops_that_the_host_steers_are_refused_by_name(loop, name):
    with pytest.raises(tl.DeviceError, match=f"{name}: "):
        tl.compile_out(lambda ops, h: tl.sum(loop(h)), [tl.Spec((3,), "float32")], device="cuda").forward(H)
