"""Recurrent layers on a device, whose loops are written out there: values and gradients against those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean import nn

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

X = np.random.default_rng(0).standard_normal((2, 4, 3)).astype("float32")


@pytest.mark.parametrize("backend", ["eager", "compiled"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_sessions(kind, backend):
    layer = getattr(nn, kind)(3, 4, layers=2, bidirectional=True).init(0)
    made = []
    for device in ("cpu", "cuda"):
        s = tl.Session(tl.Options(backend=backend, device=device))
        x = s.input(X)
        y = layer(s, x, lengths=np.array([4, 2]))
        grads = s.backward_scalar_dense_all(s.mean(s.square(y)))
        made.append([np.asarray(a) for a in (y, s.grad(grads, x), *(s._by_param(grads)[p] for p in layer.parameters()))])
    for ours, wanted in zip(made[1], made[0], strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=2e-4, atol=1e-6)


def test_a_trainer():
    losses = []
    for device in ("cpu", "cuda"):
        model = nn.Sequential(nn.GRU(3, 4, last=True), nn.Linear(4, 1)).init(0)
        options = tl.Options(backend="compiled", device=device)
        trainer = tl.ScalarTrainer(options, model.state(), [X.shape, (2, 1)], model.program("mse_loss"))
        losses.append([trainer.step(0.5, X, X[:, 0, :1]).item() for _ in range(4)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-4)
    assert losses[1][-1] < losses[1][0]
