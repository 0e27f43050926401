"""A call against PyTorch's in float64: value, VJP, JVP and a second derivative, eager and compiled with the same bits."""

from __future__ import annotations

import numpy as np
import torch

import tlean as tl


def _bits(x):
    x = np.asarray(x)
    return x.shape, x.dtype, x.tobytes()


def check_parity(ours, theirs, arrays, rtol=1e-10, atol=1e-12, second=True, forward=True):
    """`ours(ops, *arrays)` against `theirs(*tensors)`, in all arrays' derivatives.

    Args:
        ours: a program with one result.
        theirs: the same on tensors.
        arrays: float64.
        rtol, atol: what may differ.
        second: whether to compare the derivative of the VJP as well.
        forward: whether PyTorch has the JVP; if not, ours is compared with the VJP.
    """
    rng = np.random.default_rng(1)
    arrays = [np.asarray(a, dtype=np.float64) for a in arrays]
    tangents = [rng.standard_normal(a.shape) for a in arrays]

    m = tl.TapeM(dtype="float64")
    refs = [m.leaf(a) for a in arrays]
    y = ours(m, *refs)
    g = rng.standard_normal(y.shape)
    taped = m.backward(y, g)
    value, pull = tl.vjp(ours, *arrays)
    grads = pull(g)
    assert _bits(value) == _bits(y.numpy())
    for ref, grad in zip(refs, grads, strict=True):
        assert _bits(grad) == _bits(np.zeros(ref.shape) if taped.get(ref.id) is None else taped[ref.id].numpy())

    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = theirs(*tensors)
    assert tuple(expected.shape) == tuple(y.shape)
    same = {"rtol": rtol, "atol": atol}
    np.testing.assert_allclose(np.asarray(value), expected.detach().numpy(), **same)
    seed = torch.tensor(g, requires_grad=True)
    wanted = torch.autograd.grad(expected, tensors, seed, create_graph=forward, allow_unused=True)
    for a, grad, w in zip(arrays, grads, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(grad), np.zeros(a.shape) if w is None else w.detach().numpy(), **same)

    _, tangent = tl.jvp(ours, tuple(arrays), tuple(tangents))
    if not forward:
        # <g, J t> = <J' g, t>
        along = sum(float((w * torch.tensor(t)).sum()) for w, t in zip(wanted, tangents, strict=True) if w is not None)
        np.testing.assert_allclose(float((np.asarray(tangent) * g).sum()), along, rtol=1e-9, atol=1e-10)
        return
    # The VJP is linear in its seed: its derivative by it is the JVP.
    along = sum((w * torch.tensor(t)).sum() for w, t in zip(wanted, tangents, strict=True) if w is not None)
    (forward,) = torch.autograd.grad(along, seed, create_graph=True)
    np.testing.assert_allclose(np.asarray(tangent), forward.detach().numpy(), **same)
    if not second:
        return
    twice = torch.autograd.grad(along, tensors, allow_unused=True) if along.requires_grad else [None] * len(arrays)

    def derivative(ops, *xs):
        parts = tl.vjp(ours, *xs)[1](g)
        return sum(ops.sum(ops.mul(p, ops.const(t))) for p, t in zip(parts, tangents, strict=True))

    _, found = tl.value_and_grad(derivative, argnums=tuple(range(len(arrays))))(*arrays)
    for a, f, w in zip(arrays, found, twice, strict=True):
        np.testing.assert_allclose(np.asarray(f), np.zeros(a.shape) if w is None else w.numpy(), rtol=1e-9, atol=1e-9)
