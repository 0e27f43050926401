"""Steps of training as ONNX files: gradients of pools, normalisations, attention and the cross-entropy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl

onnx = pytest.importorskip("onnx", reason="files of ONNX are read and written by its package")

_RNG = np.random.default_rng(4)


def _normal(*shape: int, about: float = 0.0) -> np.ndarray:
    return (about + 0.3 * _RNG.normal(size=shape)).astype(np.float32)


def _cnn(w1: Any, b1: Any, gamma: Any, beta: Any, w2: Any, w3: Any, b3: Any, x: Any, y: Any) -> Any:
    h = tl.relu(tl.batchnorm_channel_first(tl.conv2d(w1, b1, x, 1, 1), gamma, beta))
    h = tl.gelu(tl.conv(w2, None, tl.max_pool(h, (3, 3), 2, 1), groups=2))
    return tl.cross_entropy(tl.linear(w3, b3, tl.reshape(tl.avg_pool2d(h, 2), (x.shape[0], -1))), y, label_smoothing=0.1)


def _transformer(table: Any, g1: Any, c1: Any, q: Any, k: Any, v: Any, out: Any, g2: Any, c2: Any, w1: Any, w2: Any, i: Any, y: Any) -> Any:
    x = tl.take(table, i, axis=0)
    h = tl.layer_norm(x, g1, c1)

    def heads(w: Any) -> Any:
        return tl.permute(tl.reshape(tl.linear(w, None, h), (*i.shape, 2, 4)), (0, 2, 1, 3))

    a = tl.scaled_dot_product_attention(heads(q), heads(k), heads(v), causal=True)
    x = x + tl.linear(out, None, tl.reshape(tl.permute(a, (0, 2, 1, 3)), (*i.shape, 8)))
    x = x + tl.linear(w2, None, tl.gelu(tl.linear(w1, None, tl.layer_norm(x, g2, c2))))
    return tl.cross_entropy(tl.linear(table, None, x), y)


_CASES: dict[str, tuple[Any, list[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "cnn": (
        _cnn,
        [_normal(4, 1, 3, 3), _normal(4), _normal(4, about=1), _normal(4), _normal(6, 2, 2, 2), _normal(5, 24), _normal(5)],
        (_normal(3, 1, 9, 9), np.array([0, 4, 2])),
    ),
    "transformer": (
        _transformer,
        [
            *(_normal(7, 8), _normal(8, about=1), _normal(8), *(_normal(8, 8) for _ in range(4)), _normal(8, about=1), _normal(8)),
            *(_normal(12, 8), _normal(8, 12)),
        ],
        (_RNG.integers(0, 7, (3, 5)), _RNG.integers(0, 7, (3, 5))),
    ),
}


@pytest.mark.parametrize("opset", [17, 23])
@pytest.mark.parametrize("name", _CASES)
def test_a_step_of_training(name: str, opset: int, tmp_path: Path) -> None:
    """onnxruntime's loss and weights after a step are the plan's to 1e-5, for any batch; what is read again is equal to the bit."""
    runtime = pytest.importorskip("onnxruntime", reason="another program that runs the files")
    f, weights, data = _CASES[name]
    count = len(weights)

    def step(*args: Any) -> Any:
        loss, gradients = tl.value_and_grad(f, argnums=tuple(range(count)))(*args)
        return (loss, *(p - 0.1 * g for p, g in zip(args, gradients, strict=False)))

    path = tmp_path / "f.onnx"
    made = tl.onnx.export(step, path, *weights, *data, opset=opset, dynamic_batch=[f"x{count}", f"x{count + 1}"])
    assert made.fixed is None
    session, back = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]), tl.onnx.load(path)
    for batch in (data, tuple(np.concatenate([x, x[:1]]) for x in data)):
        args = [*weights, *batch]
        want = [np.asarray(v) for v in tl.jit(step)(*args)]
        assert any(abs(a - b).max() > 1e-3 for a, b in zip(want[1:], weights, strict=True))
        read = [np.asarray(v) for v in back(*args)]
        for a, b, c in zip(want, session.run(None, dict(zip(made.inputs, args, strict=True))), read, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
            assert (a.dtype, a.shape, a.tobytes()) == (c.dtype, c.shape, c.tobytes())


def test_a_step_that_is_read_is_differentiated(tmp_path: Path) -> None:
    """What an op keeps for its gradient exists in plans; on a tape its function's body computes it."""
    f, weights, data = _CASES["transformer"]
    path = tmp_path / "f.onnx"
    slope = tl.grad(lambda table: f(table, *weights[1:], *data))
    tl.onnx.export(slope, path, weights[0], dynamic_batch=False)
    back = tl.onnx.load(path)
    wanted, found = (tl.grad(lambda w, g=g: tl.sum(tl.sin(g(w))), backend="eager")(weights[0]) for g in (slope, back))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_gradients_in_loops(tmp_path: Path) -> None:
    """What an op keeps is of the arrays around the body that reads it."""
    runtime = pytest.importorskip("onnxruntime", reason="another program that runs the files")

    def f(x: Any) -> Any:
        y = tl.layer_norm(x, None, None)
        y = tl.cond(tl.sum(x) > 0.2, lambda: tl.layer_norm(x * 2.0, None, None) + y, lambda: tl.cumprod(y, axis=0))
        total, rows = tl.scan(lambda c, v: (tl.layer_norm(c + v * y, None, None), tl.max_pool(tl.reshape(c, (1, 4)), (2,))), y, x)
        return tl.sum(tl.sin(tl.while_loop(lambda c: tl.sum(c * c) < 30.0, lambda c: c * 1.3 + total, total, max_steps=9))) + tl.sum(rows)

    path, slope = tmp_path / "f.onnx", tl.value_and_grad(f)
    for shift in (1.0, -1.0):
        x = _normal(4, about=shift)
        made = tl.onnx.export(slope, path, x)
        want = [np.asarray(v) for v in tl.jit(slope)(x)]
        theirs = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, dict(zip(made.inputs, [x], strict=True)))
        for a, b, c in zip(want, theirs, tl.onnx.load(path)(x), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4)
            assert a.tobytes() == np.asarray(c).tobytes()
