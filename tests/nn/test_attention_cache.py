"""Attention with a cache of keys and values: token by token as all at once, in loops too."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean import nn

X = np.random.default_rng(0).normal(size=(2, 6, 8))


@pytest.fixture
def attention() -> nn.MultiHeadAttention:
    return nn.MultiHeadAttention(8, 2).to("float64").init(0)


def whole(attention: nn.MultiHeadAttention) -> np.ndarray:
    s = tl.Session(dtype="float64")
    return np.asarray(attention(s, s.const(X), mask=np.tril(np.ones((6, 6), bool))))


@pytest.mark.parametrize("parts", [[1] * 6, [4, 1, 1], [6], [2, 3]])
def test_parts_of_any_length(attention: nn.MultiHeadAttention, parts: list[int]) -> None:
    s, wanted, at = tl.Session(dtype="float64"), whole(attention), 0
    cache = attention.cache(s, 2, 7)
    for count in parts:
        y, cache = attention(s, s.const(X[:, at : at + count]), cache=cache, position=at)
        np.testing.assert_allclose(np.asarray(y), wanted[:, at : at + count], rtol=1e-10)
        at += count
    assert not np.asarray(cache[0])[:, :, at:].any()


class Stepwise(nn.Module):
    """The same layer, one token at a time: the cache is a carry."""

    def __init__(self, attention: nn.MultiHeadAttention) -> None:
        self.attention = attention

    def forward(self, ops, x):
        def step(ops, cache, now):
            i, row = now
            y, cache = self.attention(ops, ops.reshape(row, (2, 1, 8)), cache=cache, position=i)
            return cache, ops.reshape(y, (2, 8))

        ys = tl.scan(step, self.attention.cache(ops, 2, 6), (np.arange(6), ops.permute(x, (1, 0, 2))))[1]
        return ops.permute(ys, (1, 0, 2))


class AtOnce(Stepwise):
    def forward(self, ops, x):
        return self.attention(ops, x, np.tril(np.ones((6, 6), bool)))


def test_in_a_loop_with_its_gradient(attention: nn.MultiHeadAttention) -> None:
    made = []
    for kind in (Stepwise, AtOnce):
        model = kind(attention)
        values = {name: 1.5 * value for name, value in model.state_dict().items()}

        def loss(ops, values, x, model=model):
            y = model.apply(ops, values, x)
            return ops.sum(ops.square(y)), y

        (_, y), (gw, gx) = tl.value_and_grad(loss, argnums=(0, 1), has_aux=True)(values, X)
        made.append([np.asarray(a) for a in (y, gx, *(gw[name] for name in values))])
    for a, b in zip(*made, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, s: a(s, s.const(X), mask=np.ones((6, 6), bool), cache=a.cache(s, 2, 6)), "leave mask and context out"),
        (lambda a, s: a(s, s.const(X), cache=a.cache(s, 3, 6)), r"a cache must be a pair of \(N, 2, n or more, 4\), got \[\(3, 2, 6, 4\)"),
        (lambda a, s: a(s, s.const(X), cache=a.cache(s, 2, 5)), "n or more"),
        (lambda a, s: a(s, s.const(X[0]), cache=a.cache(s, 2, 6)), r"x must be \(N, n, 8\)"),
        (lambda a, s: a(s, s.const(X), cache=a.cache(s, 2, 8), position=3), "not inside|out of range"),
    ],
)
def test_mistakes(attention: nn.MultiHeadAttention, call, message: str) -> None:
    with pytest.raises(tl.TleanError, match=message):
        call(attention, tl.Session(dtype="float64"))


def test_caches_contexts_and_masks_of_another_form():
    attention = nn.MultiHeadAttention(8, heads=2).init(0)
    s = tl.Session()
    x = np.random.default_rng(0).normal(size=(2, 3, 8)).astype("float32")
    for cache in (5, (), ([1], [2]), attention.cache(s, 2, 5)[0], attention.cache(s, 2, 2)):
        with pytest.raises(tl.ShapeError, match=r"a cache must be a pair of \(N, 2, n or more, 4\)"):
            attention(s, x, cache=cache)
    for context in (np.ones(8), x[0], x[:1], x[..., :7]):
        with pytest.raises(tl.ShapeError, match="a context must be"):
            attention(s, x, context=context)
    scores = np.random.default_rng(1).normal(size=(3, 3))
    np.testing.assert_array_equal(attention(s, x, mask=scores.tolist()).numpy(), attention(s, x, mask=scores).numpy())
    with pytest.raises(tl.OptionError, match="must be left out where a program runs"):
        tl.grad(lambda x: tl.sum(attention(tl, x)))(x)
