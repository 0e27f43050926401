"""Arrays of ONNX's small dtypes: rounded as ml_dtypes rounds, wrapped as NumPy wraps, unsigned numbers of 64 bits as NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlean as tl

onnx = pytest.importorskip("onnx", reason="the models of these tests are made by its package")
ml_dtypes = pytest.importorskip("ml_dtypes", reason="floats of 8 bits")

_FLOATS = ("float16", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float4_e2m1fn")
_UNSIGNED = ("Div", "Mod", "Max", "Min", "Greater", "LessOrEqual", "Add", "Mul")


def _model(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    from tlean.interop.onnx.reading.api import read

    def number(dtype: str) -> int:
        return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    attributes = {k: number(v) if k == "to" else v for k, v in attributes.items()}
    names = [f"x{k}" for k in range(len(inputs))]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(kind, names, ["y"], **attributes)],
        "g",
        [info(n, number(d), None) for n, d in zip(names, inputs, strict=True)],
        [info("y", number(output), None)],
    )
    return read(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 23)]))


@pytest.mark.parametrize("dtype", _FLOATS)
def test_floats_are_rounded_to_the_nearest_even(dtype: str) -> None:
    """At each number of the dtype, or many of them, halfway to the next, and an ulp of float32 beside both."""
    with np.errstate(all="ignore"):
        bits = np.dtype(dtype).itemsize * 8
        own = np.arange(16 if dtype.startswith("float4") else 1 << bits).astype(f"uint{bits}").view(dtype).astype(np.float32)
        own = np.unique(own[np.isfinite(own)])
        halves = (own[1:].astype(np.float64) + own[:-1]) / 2
        points = np.concatenate([own, halves.astype(np.float32), [np.nan, np.inf, -np.inf, -0.0, 3e38, -3e38]]).astype(np.float32)
        x = np.concatenate([points, np.nextafter(points, np.float32(np.inf)), np.nextafter(points, np.float32(-np.inf))])
        # Numbers that are no normal float32 may be taken for zeros.
        x = x[~((x != 0) & (np.abs(x) < np.finfo(np.float32).tiny))]
        if dtype.startswith("float4"):
            x = x[~np.isnan(x)]
        y = _model("Cast", ["float32"], dtype, to=dtype)(x)
        want = x.astype(dtype)
        if dtype.startswith("float8"):
            want = np.where(np.isnan(x), np.nan, np.clip(x, ml_dtypes.finfo(dtype).min, ml_dtypes.finfo(dtype).max)).astype(dtype)
    assert y.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(y.astype(np.float32), want.astype(np.float32))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "uint32", "uint64"])
def test_whole_numbers_wrap(dtype: str) -> None:
    """Sums, products and casts as NumPy's."""
    info = np.iinfo(dtype)
    rng = np.random.default_rng(3)
    a, b = (rng.integers(info.min, info.max, 64, dtype, endpoint=True) for _ in range(2))
    with np.errstate(all="ignore"):
        for kind, want in (("Add", a + b), ("Sub", a - b), ("Mul", a * b)):
            np.testing.assert_array_equal(_model(kind, [dtype, dtype], dtype)(a, b), want)
        wide = rng.integers(-(2**40), 2**40, 64)
        np.testing.assert_array_equal(_model("Cast", ["int64"], dtype, to=dtype)(wide), wide.astype(dtype))
        np.testing.assert_array_equal(_model("Cast", [dtype], "float32", to="float32")(a), a.astype(np.float32))


@pytest.mark.parametrize("kind", _UNSIGNED)
def test_unsigned_numbers_of_64_bits(kind: str) -> None:
    """Small and large ones mixed, the corners too."""
    rng = np.random.default_rng(5)
    shifts = rng.integers(0, 64, (2, 400)).astype(np.uint64)
    a, b = np.maximum(rng.integers(0, 2**64, (2, 400), np.uint64) >> shifts, np.uint64(1))
    ends = np.array([1, 2, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1], np.uint64)
    pairs = np.array(np.meshgrid(ends, ends)).reshape(2, -1)
    a, b = (np.concatenate(v) for v in ((a, pairs[0]), (b, pairs[1])))
    functions = {
        "Div": np.floor_divide, "Mod": np.remainder, "Max": np.maximum, "Min": np.minimum, "Greater": np.greater,
        "LessOrEqual": np.less_equal, "Add": np.add, "Mul": np.multiply,
    }  # fmt: skip
    want = functions[kind](a, b)
    np.testing.assert_array_equal(np.asarray(_model(kind, ["uint64", "uint64"], str(want.dtype))(a, b)), want)


def test_parameters_are_learned_in_float32(tmp_path: Any) -> None:
    """A weight of float16 is a parameter of float32, whose gradient passes the roundings."""
    from tlean.interop.onnx.reading.api import read

    half = onnx.TensorProto.FLOAT16
    w, x = np.array([[0.5, -1.25], [2.0, 3.0]], np.float16), np.array([[1.0, 2.0]], np.float16)
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["h"]), onnx.helper.make_node("Tanh", ["h"], ["y"])],
        "g",
        [info("x", half, [1, 2])],
        [info("y", half, [1, 2])],
        [onnx.numpy_helper.from_array(w, "w")],
    )
    net = read(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]))
    y = net(x)
    assert (y.dtype, str(dict(net.named_parameters())["w"].dtype)) == (np.float16, "float32")
    np.testing.assert_allclose(y.astype(float), np.tanh((x @ w).astype(float)), rtol=1e-3)
    g = tl.grad(lambda x: tl.sum(net(x)))(x.astype(np.float32))
    slope = 1 - np.tanh((x @ w).astype(float)) ** 2
    np.testing.assert_allclose(np.asarray(g), slope @ w.T.astype(float), rtol=2e-3, atol=1e-3)
