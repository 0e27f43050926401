"""Layers without `ops`: in `forward`, and in plain functions."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean import nn

X, Y = np.arange(12.0, dtype="f4").reshape(4, 3), np.arange(4.0, dtype="f4").reshape(4, 1)


class WithOps(nn.Module):
    def __init__(self):
        self.first, self.norm, self.drop, self.last = nn.Linear(3, 4), nn.BatchNorm(4), nn.Dropout(0.5), nn.Linear(4, 1)
        self.scale = self.parameter((4,), nn.init.uniform(0.5, 2.0))

    def forward(self, ops, x):
        y = self.drop(ops, ops.relu(self.norm(ops, self.first(ops, x))))
        slope = ops.mul(ops.scale(y, 2.0), ops.broadcast_to(self.scale, tuple(y.shape)))
        return self.last(ops, ops.add(slope, ops.rand_uniform(tuple(y.shape))))


class Plain(WithOps):
    def forward(self, x):
        y = self.drop(tl.relu(self.norm(self.first(x))))
        # A derivative inside: the parameter is still the one that the trainer moves.
        slope = tl.grad(lambda z: tl.sum(tl.mul(tl.square(z), tl.broadcast_to(self.scale, tuple(y.shape)))))(y)
        return self.last(tl.add(slope, tl.rand_uniform(tuple(y.shape))))


class Mixed(WithOps):
    def forward(self, ops, x):
        y = self.drop(ops.relu(self.norm(self.first(x))))
        slope = tl.mul(ops.scale(y, 2.0), tl.broadcast_to(self.scale, tuple(y.shape)))
        return self.last(slope + tl.rand_uniform(tuple(y.shape)))


def trained(kind, backend):
    model = nn.Sequential(kind(), nn.Function(lambda x: tl.neg(x))).init(0)
    options = tl.Options(backend=backend, seed=1)
    tl.fit(model, (X, Y), "mse_loss", tl.optim.SGD, epochs=2, batch_size=2, verbose=False, options=options)
    return [p.get().tolist() for p in model.state()]


@pytest.mark.parametrize("backend", ["eager", "compiled"])
@pytest.mark.parametrize("kind", [Plain, Mixed])
def test_the_same_bits(kind, backend):
    made = trained(kind, backend)
    assert made == trained(WithOps, "compiled")
    start = nn.Sequential(kind(), nn.Function(lambda x: x)).init(0).named_state()["0.scale"].get().tolist()
    assert start not in made


@pytest.mark.parametrize("kind", [WithOps, Plain, Mixed])
def test_models_in_plain_functions(kind):
    model = kind().init(0).eval()
    state = [p.get() for p in model.state()]
    expected = tl.grad(lambda ops, ps: ops.sum(model.apply(ops, ps, ops.const(X))), seed=4)(state)
    made = tl.grad(lambda ps, x: tl.sum(model.apply(ps, x)), seed=4)(state, X)
    assert [g.tolist() for g in made] == [g.tolist() for g in expected] and np.abs(made[-1]).min() > 0
    seeded = [tl.jit(f, seed=2)(X).tolist() for f in (model, lambda x: model(x), lambda ops, x: model(ops, x), lambda ops, x: model(x))]
    assert seeded[1:] == seeded[:1] * 3
    session = tl.Session(seed=2)
    assert model(session.input(X)).value.tolist() == seeded[0]
    assert tl.jit(lambda: model(X), seed=2)().tolist() == seeded[0]


def test_mistakes():
    model = Plain().init(0)
    for call in (lambda: model(X), lambda: model.apply([], X), lambda: model.bind([])):
        with pytest.raises(tl.OptionError, match=r"Plain: the first argument must be a backend or session, got (ndarray|list)"):
            call()
    with pytest.raises(tl.OptionError, match="running statistics do not move inside a transformed or compiled program"):
        tl.jit(lambda x: model(x))(X)
