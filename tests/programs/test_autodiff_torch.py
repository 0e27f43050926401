"""Second derivatives of three models against `torch.func`, in float64; PyTorch is needed in development only."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

torch = pytest.importorskip("torch", reason="parity with PyTorch is checked where PyTorch is installed")
F = torch.nn.functional
RNG = np.random.default_rng(0)
TOLERANCE = 1e-9
# What PyTorch says to itself while it sets up forward mode; the category changed between its versions.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit")


def mlp(ops, w1, b1, w2, b2, x, y):
    return ops.cross_entropy(ops.linear(w2, b2, ops.tanh(ops.linear(w1, b1, x))), y)


def mlp_torch(w1, b1, w2, b2, x, y):
    return F.cross_entropy(F.linear(torch.tanh(F.linear(x, w1, b1)), w2, b2), y)


def cnn(ops, w1, b1, w2, b2, x, y):
    h = ops.avg_pool2d(ops.silu(ops.conv2d(w1, b1, x, padding=1)), 2)
    return ops.mse_loss(ops.linear(w2, b2, ops.reshape(h, (x.shape[0], -1))), y)


def cnn_torch(w1, b1, w2, b2, x, y):
    h = F.avg_pool2d(F.silu(F.conv2d(x, w1, b1, padding=1)), 2)
    return F.mse_loss(F.linear(h.flatten(1), w2, b2), y)


def attention(ops, wq, wk, wv, wo, x, y):
    h = ops.add(x, ops.multi_head_attention(wq, wk, wv, wo, ops.layer_norm(x), 2))
    return ops.mse_loss(ops.gelu(h), y)


def attention_torch(wq, wk, wv, wo, x, y):
    z = F.layer_norm(x, (x.shape[-1],))
    q, k, v = ((z @ w).reshape(len(x), 2, -1).transpose(0, 1) for w in (wq, wk, wv))
    # Spelled out: PyTorch's fused attention has no second derivative.
    a = torch.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, -1) @ v
    return F.mse_loss(F.gelu(x + a.transpose(0, 1).reshape(len(x), -1) @ wo, approximate="tanh"), y)


MODELS = {
    "mlp": (mlp, mlp_torch, [(5, 6), (5,), (3, 5), (3,)], [(4, 6)], np.array([0, 2, 1, 1])),
    "cnn": (cnn, cnn_torch, [(2, 1, 3, 3), (2,), (2, 8), (2,)], [(3, 1, 4, 4)], RNG.standard_normal((3, 2))),
    "attention": (attention, attention_torch, [(4, 4)] * 4, [(5, 4)], RNG.standard_normal((5, 4))),
}


@pytest.fixture(params=list(MODELS))
def model(request):
    ours, theirs, shapes, inputs, target = MODELS[request.param]
    rng = np.random.default_rng(1)
    params = [rng.standard_normal(s) * 0.7 for s in shapes]
    data = [*(rng.standard_normal(s) for s in inputs), target]
    return ours, theirs, params, data


def tensors(arrays):
    return tuple(torch.from_numpy(np.asarray(a)) for a in arrays)


def same(found, expected):
    np.testing.assert_allclose(np.asarray(found), expected.numpy(), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("backend", ["compiled", "eager"])
def test_hvp(model, backend):
    ours, theirs, params, data = model
    v = [np.random.default_rng(2).standard_normal(p.shape) for p in params]
    given = tensors(data)
    gradient = torch.func.grad(lambda *p: theirs(*p, *given), argnums=tuple(range(len(params))))
    # Reverse over reverse: PyTorch's forward mode does not pass through every op here. The Hessian is symmetric.
    expected = torch.func.vjp(gradient, *tensors(params))[1](tensors(v))
    for found, e in zip(tl.hvp_params(ours, params, data, v, backend=backend), expected, strict=True):
        same(found, e)


def test_hessian(model):
    ours, theirs, params, data = model
    given = tensors(data)
    for k in range(len(params)):
        expected = torch.func.hessian(lambda *p: theirs(*p, *given), argnums=k)(*tensors(params))
        same(tl.hessian(ours, argnums=k)(*params, *data), expected)


def test_jacobians_of_the_gradient(model):
    ours, theirs, params, data = model
    given = tensors(data)
    expected = torch.func.jacrev(torch.func.grad(lambda *p: theirs(*p, *given)))(*tensors(params))
    same(tl.jacrev(tl.grad(ours))(*params, *data), expected)
    same(tl.jacfwd(tl.grad(ours))(*params, *data), expected)
