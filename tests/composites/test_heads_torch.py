"""Attention with a scale, masks of broadcast shapes, additive masks and grouped heads against PyTorch, over calls that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

torch = pytest.importorskip("torch", reason="parity with PyTorch is checked where PyTorch is installed")
F = torch.nn.functional

from support.torch_parity import check_parity  # noqa: E402 - it imports PyTorch


def thin(rng, shape):
    """The shape with some axes of size 1, and perhaps without its first ones."""
    shape = tuple(1 if rng.integers(2) else d for d in shape)
    return shape[int(rng.integers(0, len(shape) - 1)) :]


def draw(seed):
    rng = np.random.default_rng(seed)
    lead = tuple(int(d) for d in rng.integers(1, 4, int(rng.integers(1, 4))))
    n, m, h, w = (int(d) for d in rng.integers(1, 7, 4))
    grouped = bool(rng.integers(2)) and len(lead) > 1
    heads = lead[-1] * int(rng.integers(1, 4)) if grouped else lead[-1]
    q = rng.normal(size=(*lead[:-1], heads, n, h))
    k, v = (rng.normal(size=(*(lead if grouped else tuple(1 if rng.integers(4) == 0 else d for d in lead)), m, f)) for f in (h, w))
    scores = (*lead[:-1], heads, n, m)
    kind = ["none", "bool", "float", "causal"][seed % 4]
    scale = float(rng.normal()) if rng.integers(2) else None
    return rng, q, k, v, scores, kind, scale, grouped


@pytest.mark.parametrize("seed", range(20))
def test_attention(seed):
    rng, q, k, v, scores, kind, scale, grouped = draw(seed)
    arrays = [q, k, v]
    mask = None
    if kind == "bool":
        # PyTorch's rows with every score blocked have no gradient that is a number.
        mask = rng.random(thin(rng, scores)) < 0.7
        mask[..., 0] = True
    if kind == "float":
        arrays.append(rng.normal(size=thin(rng, scores)))
    causal = kind == "causal"

    def ours(ops, *arrays):
        q, k, v, *rest = arrays
        return ops.scaled_dot_product_attention(q, k, v, rest[0] if rest else mask, causal, scale, grouped)

    def theirs(q, k, v, bias=None):
        # Grouped heads written out: PyTorch's own way with them takes few kinds of arrays.
        if grouped:
            k, v = (x.repeat_interleave(q.shape[-3] // x.shape[-3], -3) for x in (k, v))
        attn_mask = torch.tensor(mask) if mask is not None else bias
        if attn_mask is not None:
            attn_mask = attn_mask.expand(scores)
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return F.scaled_dot_product_attention(q, k, v, attn_mask, is_causal=causal, scale=scale)

    check_parity(ours, theirs, arrays)


@pytest.mark.parametrize("shape", [(1, 1, 1, 90), (2, 1, 130, 150), (1, 3, 130, 1), (130, 150)])
def test_a_mask_over_several_tiles(shape):
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, 3, n, 4)) for n in (130, 150, 150))
    if shape[-1] == 90:
        k, v = k[..., :90, :], v[..., :90, :]
    check_parity(
        lambda o, q, k, v, b: o.scaled_dot_product_attention(q, k, v, b, True, 0.7),
        lambda q, k, v, b: F.scaled_dot_product_attention(
            q, k, v, b + torch.where(torch.ones(130, k.shape[-2], dtype=torch.bool).tril(), 0.0, -torch.inf), scale=0.7
        ),
        [q, k, v, rng.normal(size=shape)],
        second=False,
    )


def test_minus_infinity_blocks_as_a_mask_does():
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, 5, 3)) for _ in range(3))
    v[0, 2] = np.nan
    mask = rng.random((5, 5)) < 0.5
    mask[3], mask[:, 2] = False, False

    def loss(mask):
        return lambda ops, q, k, v: ops.sum(ops.sin(ops.scaled_dot_product_attention(q, k, v, mask, scale=0.4)))

    one = tl.value_and_grad(loss(mask), argnums=(0, 1, 2))(q, k, v)
    two = tl.value_and_grad(loss(np.where(mask, 0.0, -np.inf)), argnums=(0, 1, 2))(q, k, v)
    assert float(one[0]) == float(two[0])
    for a, b in zip(one[1], two[1], strict=True):
        assert np.isfinite(np.asarray(a)).all()
        assert np.asarray(a).tolist() == np.asarray(b).tolist()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda o, x: o.scaled_dot_product_attention(x, x, x, np.zeros((3, 3), int)), tl.DTypeError, "mask must hold Booleans, or floats"),
        (
            lambda o, x: o.scaled_dot_product_attention(x, x, x, np.zeros((2, 3))),
            tl.ShapeError,
            "bias must broadcast to the shape of the sc",
        ),
        (lambda o, x: o.scaled_dot_product_attention(x, x, x, np.ones((5, 3), bool)), tl.ShapeError, "mask must broadcast"),
        (lambda o, x: o.scaled_dot_product_attention(x, x, x, scale="wide"), tl.OptionError, "scale must be a number"),
        (lambda o, x: o.scaled_dot_product_attention(x, x, x, scale=float("inf")), tl.OptionError, "scale must be a finite number"),
        (
            lambda o, x: o.scaled_dot_product_attention(x, o.concat([x, x, x]), o.concat([x, x, x]), enable_gqa=True),
            tl.ShapeError,
            "divide",
        ),
        (lambda o, x: o.scaled_dot_product_attention(o.reshape(x, (6, 4)), x, x, enable_gqa=True), tl.ShapeError, "at least three"),
    ],
)
def test_errors(call, error, message):
    m = tl.TapeM(dtype="float64")
    with pytest.raises(error, match=message):
        call(m, m.leaf(np.zeros((2, 3, 4))))
