"""The attention kernels of every instruction set that this machine runs, against the formula in NumPy float64."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_calls import FLOATS, Call, run_op, usable_instruction_sets

from tlean._core import threads

ISAS = usable_instruction_sets("attention")
both = pytest.mark.parametrize(("isa", "suffix"), [(i, s) for i in ISAS for s in FLOATS])


def allowed_pairs(q, k, mask, causal):
    allowed = np.ones((*q.shape[:-1], k.shape[-2]), bool)
    if mask is not None:
        allowed &= mask
    return np.tril(allowed) if causal else allowed


def attention(q, k, v, mask=None, causal=False):
    """(y, weights, log-sum-exp) by the formula."""
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    scores = np.where(allowed_pairs(q, k, mask, causal), scores, -np.inf)
    top = np.max(scores, axis=-1, keepdims=True)
    e = np.exp(scores - np.where(np.isfinite(top), top, 0.0))
    total = e.sum(-1, keepdims=True)
    p = np.divide(e, total, out=np.zeros_like(e), where=total > 0)
    with np.errstate(divide="ignore"):
        return p @ v, p, (np.log(total) + np.where(np.isfinite(top), top, -np.inf))[..., 0]


def gradients(g, q, k, v, mask, causal):
    _, p, _ = attention(q, k, v, mask, causal)
    dp = g @ np.swapaxes(v, -1, -2)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return ds @ k, np.swapaxes(ds, -1, -2) @ q, np.swapaxes(p, -1, -2) @ g


def close(got, want, suffix):
    tolerance = 2e-5 if suffix == "f32" else 1e-12
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(1.0, float(np.abs(want[np.isfinite(want)]).max(initial=0))))


def drawn(shapes, suffix, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype(FLOATS[suffix]) for s in shapes]


CASES = [
    # lead, n, m, h, w, causal, mask: None, "shared" or "own"
    ((), 1, 1, 1, 1, False, None),
    ((2,), 5, 7, 3, 4, False, "shared"),
    ((2, 2), 17, 33, 16, 32, False, "own"),
    ((3,), 64, 64, 32, 32, True, None),
    ((1,), 130, 300, 20, 9, True, "own"),
    ((9,), 40, 150, 8, 16, True, "shared"),
    ((1,), 300, 600, 17, 33, False, None),
    ((2,), 600, 300, 16, 16, True, None),
]


@both
@pytest.mark.parametrize("case", CASES)
def test_forward_and_gradients(isa, suffix, case):
    lead, n, m, h, w, causal, kind = case
    q, k, v, g = drawn([(*lead, n, h), (*lead, m, h), (*lead, m, w), (*lead, n, w)], suffix)
    mask = None
    if kind:
        mask = np.random.default_rng(1).random((n, m) if kind == "shared" else (*lead, n, m)) < 0.5
        mask[..., n // 2, :] = False
    wide = [x.astype(np.float64) for x in (q, k, v)]
    call = Call(isa, "attention", "scaled_dot_product_attention", suffix, (q, k, v, mask), causal=causal)
    assert call() == 0
    y, _, lse = attention(*wide, mask, causal)
    close(call.outs[0], y, suffix)
    close(call.outs[1], lse, suffix)
    back = Call(isa, "attention", "_sdpa_grad", suffix, (g, *call.outs, q, k, v, mask), causal=causal)
    assert back() == 0
    for got, want in zip(back.outs, gradients(g.astype(np.float64), *wide, mask, causal), strict=True):
        close(got, want, suffix)
    for alone in range(3):
        one = Call(isa, "attention", "_sdpa_grad", suffix, (g, *call.outs, q, k, v, mask), tuple({0, 1, 2} - {alone}), causal=causal)
        assert one() == 0
        np.testing.assert_array_equal(one.outs[alone], back.outs[alone])


@both
def test_what_is_blocked_has_no_influence_not_even_as_nan(isa, suffix):
    q, k, v, g = drawn([(2, 70, 5), (2, 90, 5), (2, 90, 3), (2, 70, 3)], suffix)
    mask = np.ones((70, 90), bool)
    mask[:, 40:43] = False
    mask[20] = False
    clean = Call(isa, "attention", "scaled_dot_product_attention", suffix, (q, k, v, mask))
    assert clean() == 0
    grads = Call(isa, "attention", "_sdpa_grad", suffix, (g, *clean.outs, q, k, v, mask))
    assert grads() == 0
    bad_q, bad_k, bad_v = q.copy(), k.copy(), v.copy()
    bad_q[:, 20], bad_k[:, 41], bad_v[:, 42] = np.nan, np.nan, np.inf
    found = Call(isa, "attention", "scaled_dot_product_attention", suffix, (bad_q, bad_k, bad_v, mask))
    assert found() == 0
    close(found.outs[0], clean.outs[0], suffix)
    assert (found.outs[0][:, 20] == 0).all()
    back = Call(isa, "attention", "_sdpa_grad", suffix, (g, *found.outs, bad_q, bad_k, bad_v, mask))
    assert back() == 0
    for got, want in zip(back.outs, grads.outs, strict=True):
        close(got, want, suffix)
    assert (back.outs[0][:, 20] == 0).all()
    assert (back.outs[1][:, 40:43] == 0).all()
    assert (back.outs[2][:, 40:43] == 0).all()


@both
def test_later_keys_have_no_influence_under_causal(isa, suffix):
    q, k, v = drawn([(40, 4), (40, 4), (40, 2)], suffix)
    clean = run_op(isa, "attention", "scaled_dot_product_attention", suffix, q, k, v, None, causal=True)
    k[25:], v[25:] = np.nan, np.nan
    found = run_op(isa, "attention", "scaled_dot_product_attention", suffix, q, k, v, None, causal=True)
    close(found[:25], clean[:25], suffix)
    assert np.isnan(found[25:]).all()


@both
def test_nan_propagates_where_it_is_attended_to(isa, suffix):
    q, k, v = drawn([(30, 4), (300, 4), (300, 2)], suffix)
    k[280] = np.nan
    assert np.isnan(run_op(isa, "attention", "scaled_dot_product_attention", suffix, q, k, v, None)).all()
    k[:] = np.nan
    assert np.isnan(run_op(isa, "attention", "scaled_dot_product_attention", suffix, q, k, v, None)).all()


@both
def test_large_scores_do_not_overflow(isa, suffix):
    q, k, v = drawn([(20, 4), (300, 4), (300, 2)], suffix)
    y, _, _ = attention(*(x.astype(np.float64) for x in (q * FLOATS[suffix](1e3), k, v)))
    got = run_op(isa, "attention", "scaled_dot_product_attention", suffix, q * FLOATS[suffix](1e3), k, v, None)
    np.testing.assert_allclose(got, y, atol=5e-3 if suffix == "f32" else 1e-9)


@both
def test_results_do_not_depend_on_the_thread_count(isa, suffix):
    before = threads.get_num_threads()
    try:
        for lead, causal in [((1,), False), ((1,), True), ((10,), False)]:
            q, k, v, g = drawn([(*lead, 520, 16), (*lead, 520, 16), (*lead, 520, 16), (*lead, 520, 16)], suffix)
            found = []
            for count in (1, 2, 3):
                threads.set_num_threads(count)
                call = Call(isa, "attention", "scaled_dot_product_attention", suffix, (q, k, v, None), causal=causal)
                assert call() == 0
                back = Call(isa, "attention", "_sdpa_grad", suffix, (g, *call.outs, q, k, v, None), causal=causal)
                assert back() == 0
                found.append([*call.outs, *back.outs])
            for other in found[1:]:
                for a, b in zip(found[0], other, strict=True):
                    np.testing.assert_array_equal(a, b)
    finally:
        threads.set_num_threads(before)


GENERAL = [
    # lead, n, m, h, w, causal, scale, shapes of mask and bias
    ((2,), 5, 7, 3, 4, False, 0.3, None, (1, 5, 7)),
    ((2, 3), 17, 33, 16, 32, False, -0.7, (2, 1, 1, 33), (1, 3, 17, 33)),
    ((3, 2), 130, 300, 20, 9, True, 0.2, None, (3, 1, 1, 300)),
    ((2,), 300, 130, 8, 16, True, 1.5, (1, 300, 130), (2, 300, 130)),
    ((4,), 40, 150, 8, 16, False, 0.5, (4, 40, 150), None),
]


@both
@pytest.mark.parametrize("case", GENERAL)
def test_scale_and_bias(isa, suffix, case):
    lead, n, m, h, w, causal, scale, mask, bias = case
    q, k, v, g = drawn([(*lead, n, h), (*lead, m, h), (*lead, m, w), (*lead, n, w)], suffix)
    rng = np.random.default_rng(1)
    mask = None if mask is None else rng.random(mask) < 0.6
    if bias is not None:
        bias = rng.standard_normal(bias).astype(FLOATS[suffix])
        bias[..., rng.random(bias.shape[-1]) < 0.2] = -np.inf
    options = {"causal": causal, "scale": scale}
    call = Call(isa, "attention", "_attention", suffix, (q, k, v, mask, bias), **options)
    assert call() == 0
    q64, k64, v64, g64 = (x.astype(np.float64) for x in (q, k, v, g))
    allowed = allowed_pairs(q, k, mask, causal)
    scores = q64 @ np.swapaxes(k64, -1, -2) * scale + (0 if bias is None else bias.astype(np.float64))
    scores = np.where(allowed, scores, -np.inf)
    top = np.max(scores, axis=-1, keepdims=True)
    e = np.exp(scores - np.where(np.isfinite(top), top, 0.0))
    p = np.divide(e, e.sum(-1, keepdims=True), out=np.zeros_like(e), where=e.sum(-1, keepdims=True) > 0)
    close(call.outs[0], p @ v64, suffix)
    back = Call(isa, "attention", "_attention_grad", suffix, (g, *call.outs, q, k, v, mask, bias), **options)
    assert back() == 0
    dp = g64 @ np.swapaxes(v64, -1, -2)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True))
    for got, want in zip(back.outs, (ds @ k64 * scale, np.swapaxes(ds, -1, -2) @ q64 * scale, np.swapaxes(p, -1, -2) @ g64), strict=True):
        close(got, want, suffix)
    if bias is None:
        return
    axes = tuple(a for a, d in enumerate(bias.shape) if d == 1)
    found = run_op(isa, "attention", "_attention_bias_grad", suffix, g, *call.outs, q, k, v, mask, bias, **options)
    close(found, ds.sum(axes, keepdims=True), suffix)
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(3)
        again = run_op(isa, "attention", "_attention_bias_grad", suffix, g, *call.outs, q, k, v, mask, bias, **options)
    finally:
        threads.set_num_threads(before)
    assert again.tobytes() == found.tobytes()
