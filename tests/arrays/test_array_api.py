"""The array API standard: every function of its list against NumPy, on arrays and in programs; and code that is written for it."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_api_cases import CASES, Data

import tlean as tl
from tlean import array_api as xp
from tlean.array_api.calls import run


def _names(text: str) -> list[str]:
    return text.split()


#: The names of the standard, 2024.12, chapter by chapter.
STANDARD = frozenset(
    _names("""
e inf nan newaxis pi arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid ones ones_like tril triu
zeros zeros_like astype broadcast_arrays broadcast_to can_cast finfo iinfo isdtype result_type int8 int16 int32 int64 uint8 uint16
uint32 uint64 float32 float64 complex64 complex128 bool abs acos acosh add asin asinh atan atan2 atanh bitwise_and
bitwise_left_shift bitwise_invert bitwise_or bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh divide equal exp
expm1 floor floor_divide greater greater_equal hypot imag isfinite isinf isnan less less_equal log log1p log2 log10 logaddexp
logical_and logical_not logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive pow real reciprocal
remainder round sign signbit sin sinh square sqrt subtract tan tanh trunc take take_along_axis matmul matrix_transpose tensordot
vecdot concat expand_dims flip moveaxis permute_dims repeat reshape roll squeeze stack tile unstack argmax argmin count_nonzero
nonzero searchsorted where unique_all unique_counts unique_inverse unique_values argsort sort cumulative_prod cumulative_sum max
mean min prod std sum var all any diff __array_api_version__ __array_namespace_info__ linalg fft
""")
)
LINALG = frozenset(
    _names("""
cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank matrix_transpose outer pinv qr slogdet
solve svd svdvals tensordot trace vecdot vector_norm
""")
)
FFT = frozenset(
    _names("fft ifft fftn ifftn rfft irfft rfftn irfftn hfft ihfft fftfreq rfftfreq fftshift ifftshift"),
)
#: What is not there, as docs/array_api.md says.
LEFT_OUT = {"int8", "int16", "uint8", "uint16", "uint32", "uint64", "complex64", "complex128"}


def test_the_names_are_the_standards():
    assert set(xp.__all__) == STANDARD - LEFT_OUT
    assert set(xp.linalg.__all__) == LINALG
    assert set(xp.fft.__all__) == FFT
    assert all(hasattr(xp, name) for name in xp.__all__)
    text = (Path(__file__).parents[2] / "docs" / "array_api.md").read_text()
    assert all(f"`{name}`" in text for name in LEFT_OUT)


#: Functions whose values must be known: they have no place in a program.
BY_VALUE = {"nextafter", "nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values"}
#: What is no function of arrays.
PLAIN = {"can_cast", "result_type", "isdtype", "finfo", "iinfo", "from_dlpack"}


def flat(result: Any) -> list[Any]:
    return [y for x in result for y in flat(x)] if isinstance(result, list | tuple) else [result]


def test_every_name_has_a_case():
    named = {name for name, _, _ in CASES}
    assert set(xp.__all__) - {"__array_api_version__", "__array_namespace_info__", "linalg", "fft"} <= named
    assert {f"linalg.{name}" for name in xp.linalg.__all__} <= named


def _program(call: Callable[[Any, Data], Any], seed: int, arrays: list[np.ndarray]) -> Callable[..., Any]:
    """The case as a program of all of its arrays, which it appends."""
    Data(seed, lambda x: arrays.append(x))

    def program(*refs: Any) -> Any:
        given = iter(zip(refs, arrays, strict=True))

        def own(_: Any) -> Any:
            # A program takes integers as int64.
            ref, array = next(given)
            return xp.astype(ref, array.dtype)

        return [run(lambda ops, x: x, x) for x in flat(call(xp, Data(seed, own)))]

    return program


@pytest.mark.parametrize("k", range(len(CASES)), ids=[f"{name}-{k}" for k, (name, _, _) in enumerate(CASES)])
def test_functions_are_numpys(k):
    name, call, of_numpy = CASES[k]
    for seed in range(3):
        with np.errstate(all="ignore"):
            expected = flat((of_numpy or call)(np, Data(seed, lambda x: x)))
        found = flat(call(xp, Data(seed, tl.AnyTensor)))
        compiled: list[Any] = [None] * len(found)
        if name not in BY_VALUE | PLAIN:
            compiled = flat(tl.jit(_program(call, seed, arrays := []))(*arrays))
        assert len(found) == len(expected) == len(compiled)
        for y, e, c in zip(found, expected, compiled, strict=True):
            if not isinstance(e, np.ndarray | np.generic):
                assert y == e
                continue
            y = np.asarray(y)
            assert (y.dtype, y.shape) == (e.dtype, e.shape), name
            np.testing.assert_allclose(y, e, rtol=3e-6 if y.dtype == np.float32 else 1e-13, atol=1e-6 if y.dtype == np.float32 else 1e-14)
            if name in ("copysign", "signbit", "negative", "trunc", "ceil", "round"):
                assert np.array_equal(np.signbit(y), np.signbit(e))
            if c is not None:
                c = np.asarray(c)
                assert (c.dtype, c.shape, c.tobytes()) == (y.dtype, y.shape, y.tobytes()), f"{name} in a program"


def test_what_the_namespace_says_of_itself():
    info = xp.__array_namespace_info__()
    assert xp.__array_api_version__ == "2024.12" and info.capabilities()["max dimensions"] == 64
    assert info.default_device() == "cpu" and info.devices() == ["cpu"]
    assert info.default_dtypes() == {"real floating": xp.float32, "integral": xp.int64, "indexing": xp.int64}
    assert set(info.dtypes(kind="real floating")) == {"float32", "float64"} and set(info.dtypes()) == {
        "bool",
        "int32",
        "int64",
        "float32",
        "float64",
    }
    assert info.dtypes(kind=("bool", "integral")).keys() == {"bool", "int32", "int64"}
    assert xp.asarray(1.5).dtype == xp.zeros(2).dtype == xp.full(2, 0.5).dtype == xp.linspace(0, 1, 3).dtype == "float32"
    x = tl.AnyTensor([1.0, 2.0])
    assert x.__array_namespace__() is xp is x.__array_namespace__(api_version="2023.12") is tl.array_api
    assert tl.Session().input([1.0]).__array_namespace__() is xp
    assert x.device == "cpu" and x.to_device("cpu") is x
    with pytest.raises(tl.OptionError, match="api_version"):
        x.__array_namespace__(api_version="2030.12")
    with pytest.raises(tl.DeviceError, match="to_device"):
        x.to_device("cuda:9")


# Code that was written for the standard ---------------------------------------------------------------------------------------


def standardized(x: Any, /, *, axis: int = -1) -> Any:
    """Rows of mean 0 and deviation 1, constant ones of zeros, as a library would write it."""
    xp = x.__array_namespace__()
    if not xp.isdtype(x.dtype, "real floating"):
        x = xp.astype(x, xp.__array_namespace_info__().default_dtypes(device=x.device)["real floating"])
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    scale = xp.std(x, axis=axis, keepdims=True)
    small = scale <= 10 * xp.finfo(x.dtype).eps * xp.max(xp.abs(x))
    return xp.where(small, xp.zeros_like(centred), centred / xp.where(small, xp.ones_like(scale), scale))


def kernel_loss(x: Any, y: Any) -> Any:
    """A penalised ridge fit's residual under a Gaussian kernel: broadcasting, indexing, linalg and creation functions."""
    xp = x.__array_namespace__()
    z = standardized(x)
    distances = xp.sum((z[:, None, :] - z[None, :, :]) ** 2, axis=-1)
    gram = xp.exp(-0.5 * distances) + 0.1 * xp.eye(x.shape[0], dtype=x.dtype, device=x.device)
    weights = xp.linalg.vector_norm(gram, axis=1)
    order = xp.argsort(weights)
    fit = xp.matmul(gram, y / weights)
    ramp = xp.astype(xp.arange(x.shape[0]), x.dtype) / x.shape[0]
    return xp.mean(xp.square(fit - y) * ramp) + 0.01 * xp.sum(xp.take(weights, order[:2]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_library_of_the_standard(dtype):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)).astype(dtype), rng.normal(size=6).astype(dtype)
    expected = kernel_loss(_Numpy(x), _Numpy(y))
    eager = kernel_loss(tl.AnyTensor(x), tl.AnyTensor(y))
    assert eager.dtype == dtype and abs(float(eager) - float(expected)) < (1e-5 if dtype == "float32" else 1e-12)
    compiled = tl.jit(kernel_loss)(x, y)
    assert np.asarray(compiled).tobytes() == np.asarray(eager).tobytes()
    gradients = [tl.grad(kernel_loss, backend=b)(x, y) for b in ("eager", "compiled")]
    assert len({np.asarray(g).tobytes() for g in gradients}) == 1
    if dtype == "float64":
        h, t = 1e-6, rng.normal(size=x.shape)
        slope = (float(kernel_loss(_Numpy(x + h * t), _Numpy(y))) - float(kernel_loss(_Numpy(x - h * t), _Numpy(y)))) / (2 * h)
        assert abs(np.sum(np.asarray(gradients[0]) * t) - slope) < 1e-7
    whole = standardized(tl.AnyTensor([[1, 2, 3], [4, 4, 4]]))
    np.testing.assert_allclose(np.asarray(whole), [[-1.2247449, 0, 1.2247449], [0, 0, 0]], rtol=1e-6)


class _Numpy(np.ndarray):
    # NumPy's array, which has the standard's namespace itself.
    def __new__(cls, x: Any) -> Any:
        return np.asarray(x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: xp.add(1, 2), tl.DTypeError, "one operand must be an array"),
        (lambda: xp.sin([1.0]), tl.DTypeError, "asarray makes one"),
        (lambda: xp.add(xp.ones(2), 1j), tl.DTypeError, "complex"),
        (lambda: xp.zeros(2, dtype="int8"), tl.DTypeError, "dtype must be one of"),
        (lambda: xp.zeros(2, device="cuda"), tl.DTypeError, "device must be"),
        (lambda: xp.take(xp.ones((2, 2)), xp.asarray([0])), tl.OptionError, "axis must be given"),
        (lambda: xp.isdtype(xp.float32, "floaty"), tl.DTypeError, "kind must be one of"),
        (lambda: xp.cumulative_sum(xp.ones((2, 2))), tl.OptionError, "axis must be given"),
        (lambda: tl.jit(lambda x: xp.unique_values(x))(np.ones(2)), tl.DTypeError, "values must be known"),
        (lambda: tl.jit(lambda x: xp.nonzero(x)[0])(np.ones(2)), tl.DTypeError, "values must be known"),
        (lambda: xp.clip(xp.asarray([1]), 0.5), tl.DTypeError, "must be an int"),
        (lambda: xp.linalg.qr(xp.ones((3, 2)), mode="raw"), tl.OptionError, "mode must be 'reduced'"),
        (lambda: xp.fft.fft(xp.ones(3)), tl.DTypeError, "x must be complex"),
        (lambda: xp.fft.rfft(xp.ones(3, dtype=xp.int64)), tl.DTypeError, "x must be of real floats"),
        (lambda: xp.fft.fftfreq(4, dtype=xp.int64), tl.DTypeError, "dtype must be float32 or float64"),
        (lambda: xp.linalg.inv(xp.zeros((2, 2))), tl.LinAlgError, "invertible"),
        (lambda: xp.linalg.cross(xp.ones(2), xp.ones(2)), tl.ShapeError, "3 elements"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_namespace_is_a_module():
    assert isinstance(xp, types.ModuleType) and xp.linalg.matmul is xp.matmul


def test_the_extension_fft_is_numpys():
    z = np.random.default_rng(0).standard_normal((2, 4, 5, 2)).view("complex128")[..., 0]
    for norm in ("backward", "ortho", "forward"):
        for name in ("fft", "ifft", "irfft", "hfft"):
            found = getattr(xp.fft, name)(tl.fft.as_complex(z), n=6, axis=1, norm=norm)
            np.testing.assert_allclose(np.asarray(found), getattr(np.fft, name)(z, 6, 1, norm), rtol=1e-12, atol=1e-13)
        for name in ("rfft", "ihfft"):
            found = getattr(xp.fft, name)(xp.asarray(z.real), axis=0, norm=norm)
            np.testing.assert_allclose(np.asarray(found), getattr(np.fft, name)(z.real, axis=0, norm=norm), rtol=1e-12, atol=1e-13)
        for name in ("fftn", "ifftn", "irfftn"):
            found = getattr(xp.fft, name)(tl.fft.as_complex(z), s=(4, 6), axes=(1, 2), norm=norm)
            np.testing.assert_allclose(np.asarray(found), getattr(np.fft, name)(z, (4, 6), (1, 2), norm), rtol=1e-12, atol=1e-13)
        found = xp.fft.rfftn(xp.asarray(z.real), norm=norm)
        np.testing.assert_allclose(np.asarray(found), np.fft.rfftn(z.real, norm=norm, axes=(0, 1, 2)), rtol=1e-12, atol=1e-13)
    assert xp.fft.fftfreq(5, d=0.5).dtype == xp.float32 and xp.fft.rfftfreq(5, dtype=xp.float64).dtype == xp.float64
    assert xp.fft.ifftshift(xp.fft.fftshift(xp.arange(5))).tolist() == [0, 1, 2, 3, 4]
    # In a program, with a derivative.
    gradient = tl.jit(tl.grad(lambda x: tl.sum(xp.fft.rfft(x).abs2())))(z.real[0, 0])
    assert gradient.shape == (5,)
