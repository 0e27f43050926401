"""Operators that are read as many ops: as onnxruntime computes them, equal eagerly and compiled, with gradients; and hostile files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl

onnx = pytest.importorskip("onnx", reason="the models of these tests are made by its package")

_RNG = np.random.default_rng(11)


def _data(*shape: int) -> np.ndarray:
    return _RNG.normal(size=shape).astype(np.float32)


def _model(nodes: list[Any], arrays: dict[str, np.ndarray], outputs: list[str], constants: dict[str, Any], opset: int = 20) -> Any:
    helper = onnx.helper
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in arrays.items()],
        [info(n, onnx.TensorProto.FLOAT, None) for n in outputs],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("f", 1)], ir_version=9)


def _one(kind: str, arrays: dict[str, np.ndarray], constants: dict[str, Any], inputs: str, **attributes: Any) -> Any:
    # A model of one operator; `inputs` are names, "_" where one is absent.
    names = ["" if n == "_" else n for n in inputs.split()]
    outputs = {"LSTM": ["y", "yh", "yc"], "GRU": ["y", "yh"], "RNN": ["y", "yh"]}.get(kind, ["y"])
    return _model([onnx.helper.make_node(kind, names, outputs, **attributes)], arrays, outputs, constants)


_IMAGE, _TALL = _data(1, 2, 5, 6), np.array([1, 1, 1.7, 0.6], np.float32)
_STEPS, _LENGTHS = _data(4, 3, 2), np.array([4, 1, 3], np.int32)


def _gates(n: int, ways: int, size: int = 3) -> dict[str, np.ndarray]:
    return {"x": _STEPS, "w": _data(ways, n * size, 2), "r": _data(ways, n * size, size), "b": _data(ways, 2 * n * size)}


_CASES: dict[str, tuple[str, dict[str, np.ndarray], dict[str, Any], str, dict[str, Any]]] = {
    "resize cubic": ("Resize", {"x": _IMAGE}, {"s": _TALL}, "x _ s", {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}),
    "resize smaller": ("Resize", {"x": _IMAGE}, {"s": np.array([1, 2, 3, 4])}, "x _ _ s", {"mode": "linear", "antialias": 1}),
    "resize region": (
        "Resize", {"x": _IMAGE}, {"r": np.array([0, 0, 0.2, -0.1, 1, 1, 0.8, 1.2], np.float32), "s": np.array([1, 2, 4, 5])}, "x r _ s",
        {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0},
    ),
    "grid": ("GridSample", {"x": _IMAGE, "g": 0.8 * _data(1, 3, 4, 2)}, {}, "x g", {"mode": "linear", "padding_mode": "reflection"}),
    "roi": (
        "RoiAlign", {"x": _IMAGE, "r": np.array([[0.3, 0.2, 4.1, 3.3], [1.2, 1.1, 4.7, 2.9]], np.float32)}, {"i": np.array([0, 0])},
        "x r i", {"output_height": 2, "output_width": 3, "sampling_ratio": 2},
    ),
    "lstm": (
        "LSTM", _gates(4, 2) | {"n": _LENGTHS, "h": _data(2, 3, 3), "c": _data(2, 3, 3), "p": _data(2, 9)}, {}, "x w r b n h c p",
        {"hidden_size": 3, "direction": "bidirectional", "clip": 0.9},
    ),
    "lstm fused": ("LSTM", _gates(4, 1), {}, "x w r b", {"hidden_size": 3, "direction": "reverse"}),
    "gru": ("GRU", _gates(3, 1) | {"n": _LENGTHS}, {}, "x w r b n", {"hidden_size": 3, "direction": "reverse"}),
    "gru fused": ("GRU", _gates(3, 2), {}, "x w r b", {"hidden_size": 3, "direction": "bidirectional", "linear_before_reset": 1}),
    "rnn": (
        "RNN", _gates(1, 1) | {"n": _LENGTHS}, {}, "x w r b n",
        {"hidden_size": 3, "activations": ["ScaledTanh"], "activation_alpha": [1.5], "activation_beta": [0.5]},
    ),
    "dft": ("DFT", {"x": _data(2, 5, 1)}, {"n": np.int64(7), "a": np.int64(1)}, "x n a", {"onesided": 1}),
    "stft": ("STFT", {"x": _data(1, 9, 1), "w": _data(4)}, {"s": np.int64(2)}, "x s w", {}),
    "deform": (
        "DeformConv", {"x": _IMAGE, "w": _data(2, 2, 2, 2), "o": 0.3 + 0.1 * _data(1, 8, 4, 5), "b": _data(2), "m": _data(1, 4, 4, 5)}, {},
        "x w o b m", {"kernel_shape": [2, 2]},
    ),
    "quantised": ("DequantizeLinear", {"x": np.arange(6, dtype=np.uint8).reshape(2, 3), "s": _data(3)}, {}, "x s", {"axis": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", _CASES)
def test_operators_are_those_of_onnxruntime(name: str) -> None:
    """Values to 1e-4 (where it has the operator), eager and compiled bits, and the slope along a line."""
    from tlean.interop.onnx.reading.api import read
    from tlean.interop.onnx.reading.small import widened

    kind, arrays, constants, inputs, attributes = _CASES[name]
    model = _one(kind, arrays, constants, inputs, **attributes)
    net = read(model)
    made = net(*arrays.values())
    results = [np.asarray(v) for v in (made if isinstance(made, tuple) else (made,))]
    runtime = pytest.importorskip("onnxruntime", reason="what the values are compared with")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for ours, theirs in zip(results, session.run(None, arrays), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    learned = [n for n, a in arrays.items() if a.dtype == np.float32]

    def loss(ops: Any, *xs: Any) -> Any:
        values = {n: ops.const(widened(a)) if n in learned else ops._own_constant(widened(a)) for n, a in arrays.items()}
        made = net(ops, *(values | dict(zip(learned, xs, strict=True))).values())
        parts = [ops.sum(ops.sin(v)) for v in (made if isinstance(made, tuple) else (made,))]
        return sum(parts[1:], parts[0])

    xs = [arrays[n] for n in learned]
    found = [tl.vjp(loss, *xs, backend=backend) for backend in ("eager", "compiled")]
    grads = [tuple(map(np.asarray, pull(np.ones((), np.float32)))) for _, pull in found]
    assert np.asarray(found[0][0]).tobytes() == np.asarray(found[1][0]).tobytes()
    assert [g.tobytes() for g in grads[0]] == [g.tobytes() for g in grads[1]]
    ways = [np.random.default_rng(2).normal(size=x.shape) for x in xs]
    ends = [
        float(np.asarray(tl.jit(loss)(*((x + e * w).astype(np.float32) for x, w in zip(xs, ways, strict=True))))) for e in (2e-3, -2e-3)
    ]
    slope = sum(float((g * w).sum()) for g, w in zip(grads[1], ways, strict=True))
    np.testing.assert_allclose((ends[0] - ends[1]) / 4e-3, slope, rtol=0.03, atol=0.03)


def _function(name: str, *calls: str) -> Any:
    helper = onnx.helper
    steps = [f"t{k}" for k in range(len(calls))]
    nodes = [helper.make_node(f, [a], [b], domain="f") for f, a, b in zip(calls, ["a", *steps], [*steps[1:], "b"], strict=False)]
    return helper.make_function("f", name, ["a"], ["b"], nodes, [helper.make_opsetid("f", 1)])


_HUGE: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "zeros": ("ConstantOfShape", "s", {"s": np.array([2**20, 2**20])}, {}),
    "copies": ("Expand", "x s", {"s": np.array([2**20, 2**20, 2, 3])}, {}),
    "numbers": ("Range", "a b d", {"a": np.int64(0), "b": np.int64(2**62), "d": np.int64(1)}, {}),
    "classes": ("OneHot", "i d v", {"i": np.array([1]), "d": np.int64(2**45), "v": np.array([0, 1], np.float32)}, {}),
    "cells": ("Resize", "x _ _ s", {"s": np.array([2**30, 2**30])}, {}),
    "parts": ("Split", "x", {}, {"num_outputs": 2**40}),
    "window": ("MaxPool", "z", {"z": _IMAGE}, {"kernel_shape": [2**20, 2**20], "pads": [2**20] * 4, "dilations": [2, 2]}),
    "frequencies": ("DFT", "z n", {"z": _data(1, 3, 1), "n": np.int64(2**40)}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", _HUGE)
def test_sizes_beyond_reason_are_refused(name: str) -> None:
    """A small file that would need all memory there is, or hours."""
    from tlean.interop.onnx.reading.api import read

    kind, inputs, constants, attributes = _HUGE[name]
    with pytest.raises((tl.DataError, tl.ShapeError), match="at most"):
        read(_one(kind, {"x": _data(2, 3)}, constants, inputs, **attributes))(_data(2, 3))


def test_damaged_models_are_errors(tmp_path: Path) -> None:
    """Circles of nodes and of functions, exponentially many calls, values that nothing makes, missing inputs, files cut short."""
    from tlean.interop.onnx.reading.api import read

    helper, x = onnx.helper, {"x": _data(2, 3)}
    circle = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["x", "a"], ["b"])]
    with pytest.raises(tl.DataError, match="reads 'b', which nothing makes"):
        read(_model(circle, x, ["a"], {}))(x["x"])
    with pytest.raises(tl.DataError, match="cannot be read"):
        read(_model([helper.make_node("Tile", ["x"], ["a"])], x, ["a"], {}))(x["x"])
    for functions, text in (
        ([_function("F", "F")], "calls itself"),
        ([_function("F0", "G"), *(_function(f"F{k}", f"F{k - 1}", f"F{k - 1}") for k in range(1, 50))], "more than"),
        ([_function("F0", "G"), *(_function(f"F{k}", f"F{k - 1}") for k in range(1, 200))], "deep"),
    ):
        model = _model([helper.make_node(functions[-1].name, ["x"], ["y"], domain="f")], x, ["y"], {})
        model.functions.extend(functions)
        with pytest.raises(tl.DataError, match=text):
            read(model)
    path = tmp_path / "f.onnx"
    tl.onnx.export(lambda x: tl.gelu(x), path, tl.Spec((3,)))
    content = path.read_bytes()
    for end in range(0, len(content), 97):
        path.write_bytes(content[:end])
        with pytest.raises(tl.DataError):
            tl.onnx.load(path)
