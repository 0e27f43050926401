"""Layers against PyTorch's: values and gradients of inputs and parameters, with the same weights under the same names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean import nn

torch = pytest.importorskip("torch", reason="compares with PyTorch, where it is installed")
T = torch.nn


# (layer, PyTorch's, input shape)
PAIRS = [
    (nn.Linear(5, 3), T.Linear(5, 3), (4, 5)),
    (nn.Conv1d(2, 4, 3, padding=1, dilation=2), T.Conv1d(2, 4, 3, padding=1, dilation=2), (2, 2, 9)),
    (nn.Conv2d(4, 6, (3, 2), stride=2, groups=2), T.Conv2d(4, 6, (3, 2), stride=2, groups=2), (2, 4, 7, 6)),
    (nn.Conv3d(2, 3, 2, bias=False), T.Conv3d(2, 3, 2, bias=False), (1, 2, 4, 4, 4)),
    (nn.ConvTranspose1d(2, 3, 3, stride=2), T.ConvTranspose1d(2, 3, 3, stride=2), (2, 2, 5)),
    (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), T.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), (2, 4, 4, 5)),
    (nn.ConvTranspose3d(2, 2, 2, 2), T.ConvTranspose3d(2, 2, 2, 2), (1, 2, 3, 3, 3)),
    (nn.MaxPool1d(3, 2, 1), T.MaxPool1d(3, 2, 1), (2, 2, 9)),
    (nn.MaxPool2d(3, 2, 1), T.MaxPool2d(3, 2, 1), (2, 2, 9, 8)),
    (nn.MaxPool3d(2), T.MaxPool3d(2), (2, 2, 4, 4, 5)),
    (nn.AvgPool1d(3, 2, 1), T.AvgPool1d(3, 2, 1), (2, 2, 9)),
    (nn.AvgPool2d(2), T.AvgPool2d(2), (2, 2, 5, 6)),
    (nn.AvgPool3d(2), T.AvgPool3d(2), (2, 2, 4, 4, 5)),
    (nn.LayerNorm(6), T.LayerNorm(6), (3, 6)),
    (nn.BatchNorm(3), T.BatchNorm1d(3), (6, 3)),
    (nn.BatchNorm(3), T.BatchNorm1d(3), (4, 3, 5)),
    (nn.BatchNorm(3, momentum=0.3), T.BatchNorm2d(3, momentum=0.3), (4, 3, 5, 2)),
    (nn.BatchNorm(2), T.BatchNorm3d(2), (2, 2, 3, 3, 2)),
    (nn.RNN(3, 4), T.RNN(3, 4, batch_first=True), (2, 5, 3)),
    (nn.GRU(3, 4), T.GRU(3, 4, batch_first=True), (2, 5, 3)),
    (nn.LSTM(3, 4), T.LSTM(3, 4, batch_first=True), (2, 5, 3)),
    (nn.ReLU(), T.ReLU(), (9,)),
    (nn.LeakyReLU(0.1), T.LeakyReLU(0.1), (9,)),
    (nn.ELU(0.5), T.ELU(0.5), (9,)),
    (nn.GELU("none"), T.GELU(), (9,)),
    (nn.GELU(), T.GELU(approximate="tanh"), (9,)),
    (nn.SiLU(), T.SiLU(), (9,)),
    (nn.Softplus(), T.Softplus(), (9,)),
    (nn.Softplus(2.5, 1.0), T.Softplus(2.5, 1.0), (9,)),
    (nn.LogSoftmax(), T.LogSoftmax(-1), (2, 5)),
    (nn.Softmax(1), T.Softmax(1), (2, 5)),
    (nn.Flatten(), T.Flatten(), (2, 3, 4)),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("ours", "theirs", "shape"), PAIRS, ids=lambda v: type(v).__name__ if hasattr(v, "train") else None)
def test_parity(ours: nn.Module, theirs: Any, shape: tuple[int, ...], training: bool) -> None:
    theirs.double().train(training).zero_grad()
    ours.to("float64").train(training)
    rng = np.random.default_rng(1)
    inside = theirs.state_dict()
    for name in ours.named_state():
        value = rng.uniform(0.2, 1, tuple(inside[name].shape)) * rng.choice([-1, 1] if "var" not in name else [1])
        inside[name].copy_(torch.from_numpy(np.asarray(value)))
    ours.load_state_dict({name: inside[name].numpy() for name in ours.named_state()})
    x = rng.normal(size=shape)

    xt = torch.from_numpy(x).requires_grad_()
    yt = theirs(xt)
    yt = yt[0] if isinstance(yt, tuple) else yt
    weights = np.cos(np.arange(yt.numel())).reshape(tuple(yt.shape))
    (yt * torch.from_numpy(weights)).sum().backward()

    s = tl.Session(dtype="float64")
    ref = s.input(x)
    y = ours(s, ref)
    grads = s.backward_dense_all(y, weights)
    np.testing.assert_allclose(y.value.numpy(), yt.detach().numpy(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(s.grad(grads, ref).numpy(), xt.grad.numpy(), rtol=1e-8, atol=1e-10)
    wanted = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    found = s._by_param(grads)
    for name, p in ours.named_parameters().items():
        np.testing.assert_allclose(found[p].numpy(), wanted[name], rtol=1e-8, atol=1e-10)
    after = theirs.state_dict()
    for name, b in ours.named_buffers().items():
        np.testing.assert_allclose(np.asarray(b), after[name].numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (nn.init.gain("tanh"), torch.nn.init.calculate_gain("tanh")),
        (nn.init.gain("relu"), torch.nn.init.calculate_gain("relu")),
        (nn.init.gain("leaky_relu", 0.3), torch.nn.init.calculate_gain("leaky_relu", 0.3)),
    ],
)
def test_gains(ours: float, theirs: float) -> None:
    assert ours == pytest.approx(theirs)


def test_default_first_values_have_pytorch_s_spread() -> None:
    torch.manual_seed(0)
    for ours, theirs in (
        (nn.Linear(50, 400), T.Linear(50, 400)),
        (nn.Conv2d(20, 100, 3), T.Conv2d(20, 100, 3)),
        (nn.GRU(8, 64), T.GRU(8, 64)),
    ):
        for name, p in ours.init(0).named_parameters().items():
            value, other = np.asarray(p), theirs.state_dict()[name].numpy()
            assert abs(value.max() / other.max() - 1) < 0.15 and abs(value.std() / other.std() - 1) < 0.15
