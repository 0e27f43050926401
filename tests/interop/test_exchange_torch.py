"""Arrays and programs to and from PyTorch: the same memory where that was asked for, gradients of any order."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

torch = pytest.importorskip("torch", reason="needs PyTorch")


def test_arrays_share_memory_where_asked():
    t = torch.arange(64, dtype=torch.float32)
    x = tl.from_dlpack(t, copy=False)
    assert x.numpy().ctypes.data == t.data_ptr()
    assert tl.to_torch(x, copy=False).data_ptr() == t.data_ptr()
    copy = tl.from_torch(t)
    t[0] = 7
    assert (x.tolist()[0], copy.tolist()[0]) == (7, 0)
    # A library that requests no version of the capsule, and one that does.
    capsule = tl.to_dlpack(x).__dlpack__()
    assert torch.utils.dlpack.from_dlpack(capsule).data_ptr() == torch.from_dlpack(tl.to_dlpack(x)).data_ptr() == t.data_ptr()
    with pytest.raises(tl.OptionError, match="must be contiguous"):
        tl.from_dlpack(t[::2], copy=False)
    assert tl.from_dlpack(t[::2]).tolist() == t[::2].tolist()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64", "int32", "int64", "bool", "int8"])
def test_every_dtype(dtype):
    t = torch.tensor([0, 1, 1]).to(getattr(torch, dtype))
    x = tl.from_torch(t.requires_grad_() if t.is_floating_point() else t)
    assert x.tolist() == [0, 1, 1]
    assert tl.to_torch(x).tolist() == [0, 1, 1]


def test_a_program_in_pytorch_has_gradients_of_any_order():
    def program(x, w, k):
        h = tl.tanh(x @ w)
        return {"y": tl.sum(h * h) + h[0, 0] ** 3, "n": k * 2, "h": h}

    def direct(x, w):
        h = torch.tanh(x @ w)
        return (h * h).sum() + h[0, 0] ** 3, h

    f = tl.to_torch_function(program)
    rng = np.random.default_rng(0)
    x, w = (torch.tensor(rng.normal(size=s), requires_grad=True) for s in ((4, 3), (3, 2)))
    out = f(x, w, torch.tensor(3))
    assert out["n"].item() == 6
    assert not out["n"].requires_grad
    for loss in (lambda y, h: y + h.sum(), lambda y, h: h.sin().sum()):
        out = f(x, w, torch.tensor(3))
        first = torch.autograd.grad(loss(out["y"], out["h"]), (x, w), create_graph=True)
        same = torch.autograd.grad(loss(*direct(x, w)), (x, w), create_graph=True)
        torch.testing.assert_close(first, same, rtol=1e-12, atol=1e-12)
        second = torch.autograd.grad((first[0] * first[0]).sum() + first[1].sum(), (x, w))
        again = torch.autograd.grad((same[0] * same[0]).sum() + same[1].sum(), (x, w))
        torch.testing.assert_close(second, again, rtol=1e-11, atol=1e-11)
    assert torch.autograd.gradcheck(lambda x: f(x, w.detach(), torch.tensor(1))["h"], (x,))


def test_a_program_in_pytorch_takes_keywords_trees_and_numbers():
    def program(net, x, power, *, mode="sum", scale=1.0, shift=None):
        h = x @ net["w"] + (0 if shift is None else shift)
        h = h * scale * power
        return tl.sum(h * h) if mode == "sum" else tl.mean(h * h)

    def direct(net, x, power, mode="sum", scale=1.0, shift=None):
        h = (x @ net["w"] + (0 if shift is None else shift)) * scale * power
        return (h * h).sum() if mode == "sum" else (h * h).mean()

    f = tl.to_torch_function(program)
    x, w, b = (torch.tensor(np.random.default_rng(0).normal(size=s), requires_grad=True) for s in ((4, 3), (3, 2), (2,)))
    calls = [(2, {}), (3, {}), (2, {"mode": "mean"}), (0.5, {"scale": 2.0, "shift": b}), (1, {"shift": b, "mode": "mean"})]
    for power, options in calls * 2:
        wanted = (x, w, *([b] if "shift" in options else []))
        ours, theirs = (torch.autograd.grad(g({"w": w}, x, power, **options), wanted, create_graph=True) for g in (f, direct))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        second = (torch.autograd.grad(sum((g * g).sum() for g in first), wanted) for first in (ours, theirs))
        torch.testing.assert_close(*second, rtol=1e-11, atol=1e-11)
    # A number is no other program: there is one that pulls back for each combination of the rest.
    assert len(f._pulled) == 4
    with pytest.raises(tl.DTypeError, match=r"argument shift must be a torch\.Tensor of the CPU, or a number, got ndarray"):
        f({"w": w}, x, 2, shift=np.ones(2))
    with pytest.raises(tl.DTypeError, match=r"argument 0 must be a torch\.Tensor of the CPU, or a number, got AnyTensor"):
        f({"w": tl.AnyTensor([1.0])}, x, 2)


def test_state_dicts_go_both_ways():
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    ours = tl.nn.Sequential(tl.nn.Linear(4, 3), tl.nn.BatchNorm(3)).init(0)
    theirs.load_state_dict(tl.to_torch(ours.state_dict()))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    same = theirs.eval()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours.predict(x), same, rtol=1e-5, atol=1e-6)
    other = tl.nn.Sequential(tl.nn.Linear(4, 3), tl.nn.BatchNorm(3)).init(1)
    other.load_state_dict({k: v for k, v in theirs.state_dict().items() if "batches" not in k})
    np.testing.assert_array_equal(other.predict(x), ours.predict(x))


def test_errors():
    f = tl.to_torch_function(lambda x: x * 2)
    with pytest.raises(tl.DTypeError, match="argument 0 must be"):
        f(np.ones(3))
    with pytest.raises(tl.OptionError, match="a program must be a function"):
        tl.to_torch_function(3)
    with pytest.raises(tl.DTypeError, match="__dlpack__ is needed"):
        tl.from_dlpack([1.0])


@pytest.mark.parametrize("x", [torch.eye(2).to_sparse(), torch.ones(2, device="meta")])
def test_tensors_without_dense_values_are_refused(x):
    with pytest.raises(tl.DTypeError, match="a dense tensor with values"):
        tl.from_torch(x)
