"""`tl.fft` against NumPy, and programs that go through a spectrum."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

F = tl.fft
rng = np.random.default_rng(0)
Z = rng.standard_normal((3, 8, 5)) + 1j * rng.standard_normal((3, 8, 5))
ALONG = ({}, {"axis": 1}, {"n": 3}, {"n": 9, "axis": 1, "norm": "ortho"}, {"n": 7, "norm": "forward"})
OVER = ({}, {"axes": (0, 1)}, {"s": (3, 4), "axes": (2, 0)}, {"s": (9, 9), "axes": (-2, -1), "norm": "ortho"})


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", *(f"{i}{r}fft{d}" for i in ("", "i") for r in ("", "r") for d in "2n")])
def test_transforms_are_those_of_numpy(name):
    x = Z.real if name.startswith("rfft") else Z
    for options in OVER if name[-1] in "2n" else ALONG:
        expected = getattr(np.fft, name)(x, **options)
        y = getattr(F, name)(x, **options)
        assert y.dtype == expected.dtype
        np.testing.assert_allclose(np.asarray(y), expected, rtol=1e-12, atol=1e-13)


def test_frequencies_and_their_order():
    for n in (1, 4, 5):
        np.testing.assert_allclose(F.fftfreq(n, 0.5, dtype="float64").numpy(), np.fft.fftfreq(n, 0.5))
        np.testing.assert_allclose(F.rfftfreq(n).numpy(), np.fft.rfftfreq(n).astype("float32"))
    for axes in (None, 1, (0, -1)):
        for name in ("fftshift", "ifftshift"):
            np.testing.assert_array_equal(np.asarray(getattr(F, name)(Z, axes)), getattr(np.fft, name)(Z, axes))
            np.testing.assert_array_equal(getattr(F, name)(Z.real, axes).numpy(), getattr(np.fft, name)(Z.real, axes))


def test_complex_arithmetic_is_that_of_numpy():
    a, b, r = F.as_complex(Z), F.as_complex(Z[::-1].copy()), tl.exp(Z.real)
    pairs = [
        (a * b / (a + 2.0) - 1j * b, Z * Z[::-1] / (Z + 2.0) - 1j * Z[::-1]),
        (2 / a + b / 2j - (1 - a), 2 / Z + Z[::-1] / 2j - (1 - Z)),
        (r * a - a / r, np.exp(Z.real) * Z - Z / np.exp(Z.real)),
        (Z * a + Z.real * a - Z.imag + a, Z * Z + Z.real * Z - Z.imag + Z),
        (a @ b.reshape(3, 5, 8), Z @ Z[::-1].reshape(3, 5, 8)),
        (Z.real.reshape(3, 5, 8) @ a, Z.real.reshape(3, 5, 8) @ Z),
        (a[0, ..., 1] + a.conj()[1:, :, 2].sum(axis=0), Z[0, ..., 1] + Z.conj()[1:, :, 2].sum(axis=0)),
        (a.exp() + a.sum(), np.exp(Z) + Z.sum()),
    ]
    for y, expected in pairs:
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(abs(a).numpy(), abs(Z))
    np.testing.assert_allclose(a.angle().numpy(), np.angle(Z))
    assert (a == Z).numpy().all() and (a != b).numpy().any()
    assert complex(a[0, 0, 0]) == Z[0, 0, 0] and F.as_complex(Z.astype("complex64")).dtype == "complex64"
    with pytest.raises(TypeError):
        float(a[0, 0, 0])


def test_dtypes_are_those_of_other_ops():
    for x, kind in (
        ([1.0, 2j], "complex64"),
        (np.arange(3), "complex64"),
        (np.ones(3, "float32"), "complex64"),
        (np.ones(3), "complex128"),
    ):
        y = F.fft(x)
        assert y.dtype == kind
        np.testing.assert_allclose(y.numpy(), np.fft.fft(x), rtol=1e-6)
    assert F.rfft(np.arange(4)).dtype == "complex64" and F.fft(np.array([True, False])).real.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (tl.DTypeError, lambda: F.rfft(Z)),
        (tl.DTypeError, lambda: tl.sin(F.as_complex(Z))),
        (tl.DTypeError, lambda: F.ComplexArray(np.array([1, 2]))),
        (tl.ShapeError, lambda: F.ComplexArray(np.ones(3))),
        (tl.ShapeError, lambda: F.fft(np.ones(3), n=0)),
        (tl.ShapeError, lambda: F.irfft(np.ones(1))),
        (tl.OptionError, lambda: F.fft(np.ones(3), norm="both")),
        (tl.OptionError, lambda: F.fftn(np.ones((3, 3)), s=(2, 2), axes=(0,))),
        (tl.IndexRangeError, lambda: F.fft(np.ones(3), axis=1)),
    ],
)
def test_wrong_calls(error, call):
    with pytest.raises(error):
        call()


def spectral(x):
    """Through a derivative, a filter and absolute values; odd and even lengths."""
    k = F.rfftfreq(x.shape[-1], dtype=x.dtype)
    s = F.rfft(tl.sin(x)) * (2j * np.pi)
    s = s * k / (1.0 + k * k)
    return tl.sum(F.irfft(s, n=x.shape[-1] - 1) ** 2) + tl.sum(abs(F.fft(x, norm="ortho") + 1.0))


@pytest.mark.parametrize("n", [12, 13])
def test_programs_through_a_spectrum(n):
    x, v = rng.standard_normal((2, n))
    gradient = tl.grad(spectral)
    h = 1e-5
    slope = (float(spectral(x + h * v)) - float(spectral(x - h * v))) / (2 * h)
    assert abs(slope - gradient(x).numpy() @ v) < 1e-7 * abs(slope)
    curve = (gradient(x + h * v).numpy() - gradient(x - h * v).numpy()) / (2 * h)
    hessian = tl.hessian(spectral)(x).numpy()
    np.testing.assert_allclose(hessian @ v, curve, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(tl.jvp(gradient, (x,), (v,))[1].numpy(), hessian @ v, rtol=1e-10, atol=1e-12)
    compiled = tl.jit(tl.value_and_grad(spectral))(x)
    assert float(compiled[0]) == float(spectral(x)) and compiled[1].numpy().tobytes() == gradient(x).numpy().tobytes()
    xs = rng.standard_normal((5, n))
    each = np.stack([gradient(r).numpy() for r in xs])
    np.testing.assert_allclose(tl.vmap(gradient)(xs).numpy(), each, rtol=1e-12, atol=1e-13)


def test_complex_arrays_are_arguments_and_results_of_programs():
    z = F.as_complex(Z)
    y = tl.jit(lambda z: F.fft(z * z))(z)
    assert isinstance(y, F.ComplexArray)
    np.testing.assert_allclose(y.numpy(), np.fft.fft(Z * Z), rtol=1e-12, atol=1e-12)
    # The gradient of Σ |F z|² is the conjugate of 2n z.
    gradient = tl.grad(lambda z: tl.sum(F.fft(z).abs2()))(z)
    np.testing.assert_allclose(gradient.numpy(), 2 * 5 * Z.conj(), rtol=1e-12)
    lanes = tl.vmap(lambda z: F.ifft(z, axis=0).sum())(z)
    np.testing.assert_allclose(lanes.numpy(), np.fft.ifft(Z, axis=1).sum(axis=(1, 2)), rtol=1e-12)


def test_cotangents_of_complex_numbers_are_those_of_jax():
    # ∂f/∂x − i ∂f/∂y; of a holomorphic function h the pull-back is the product with h′, without a conjugate.
    a, z = Z[0, 0], Z[1, 2]
    cases = [
        (lambda z: tl.sum((a * z).real), a),
        (lambda z: tl.sum((a * z).imag), -1j * a),
        (lambda z: tl.sum(z.abs2()), 2 * z.conj()),
        (lambda z: tl.sum(abs(z)), z.conj() / abs(z)),
        (lambda z: tl.sum((z * z).exp().real), 2 * z * np.exp(z * z)),
        (lambda z: tl.sum(F.fft(z).real * np.arange(5.0)), np.fft.fft(np.arange(5.0))),
    ]
    for f, expected in cases:
        for way in (tl.grad, tl.jacrev, tl.jacfwd, lambda f: tl.jit(tl.grad(f)), lambda f: lambda z: tl.value_and_grad(f)(z)[1]):
            np.testing.assert_allclose(way(f)(F.as_complex(z)).numpy(), expected, rtol=1e-12, atol=1e-13)
    tree = tl.grad(lambda p: tl.sum((p["z"] * p["x"]).imag))({"z": F.as_complex(z), "x": z.real.copy()})
    np.testing.assert_allclose(tree["z"].numpy(), -1j * z.real)
    np.testing.assert_allclose(tree["x"].numpy(), z.imag)
    _, pull = tl.vjp(lambda z: z * z * z, F.as_complex(z))
    np.testing.assert_allclose(pull(F.as_complex(a))[0].numpy(), 3 * z * z * a, rtol=1e-12)
    own = tl.custom_vjp(lambda z: z * z)
    own.defvjp(lambda z: (z * z, z), lambda z, g: (2.0 * z * g,))
    np.testing.assert_allclose(tl.grad(lambda z: tl.sum((a * own(z)).real))(F.as_complex(z)).numpy(), 2 * a * z, rtol=1e-12)
    lanes = tl.vmap(tl.grad(lambda z: tl.sum(z.abs2())))(F.as_complex(Z[0]))
    np.testing.assert_allclose(lanes.numpy(), 2 * Z[0].conj(), rtol=1e-12)
