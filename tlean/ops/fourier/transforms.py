"""Discrete Fourier transforms along one axis, as records.

A complex array of shape s is a real one of shape (*s, 2), the real and the imaginary part next to each other: NumPy's memory of complex
numbers. So every dtype is one of floats, a cotangent has its value's shape, and what is linear in complex numbers is linear in real ones.

F, with F[j, k] = exp(−2πi jk/n), is symmetric: its adjoint, as a map of pairs of real numbers, is its conjugate. So the transforms are each
other's derivatives; a norm says where the factor 1/n is, which the adjoint has at the other side.
"""

from __future__ import annotations

from typing import Any

from ...arguments import truth
from ...errors import OptionError, ShapeError
from ...shapes import Shape, normalize_axis, size
from ..registry import defop, linear_jvp, multilinear_jvp, whole
from ..samples import bad, good

#: Norm → the norm of the adjoint.
NORMS = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def need_norm(norm: Any) -> str:
    """A norm by its name; None is "backward". Raises: OptionError."""
    name = "backward" if norm is None else norm
    if not isinstance(name, str) or name not in NORMS:
        raise OptionError(f'norm must be "backward", "ortho" or "forward", not {norm!r}')
    return name


def need_parts(x: Shape) -> Shape:
    """The shape of complex numbers whose parts these are. Raises: ShapeError."""
    if not x or x[-1] != 2:
        raise ShapeError(f"the last axis must hold the real and the imaginary part, but the shape is {x}")
    return x[:-1]


def need_length(n: int) -> int:
    """A length to transform. Raises: ShapeError."""
    if n < 1:
        raise ShapeError(f"a transform is of at least one number, not {n}")
    return n


def factor(n: int, inverse: bool, norm: str) -> float:
    """What the sums of a transform are times."""
    if norm == "ortho":
        return float(n**-0.5)
    return 1.0 / n if inverse == (norm == "backward") else 1.0


def _around(x: Shape, axis: int) -> tuple[int, int]:
    return size(x[:axis]), size(x[axis + 1 :])


# Complex to complex ---------------------------------------------------------------------------------------------------------


def _samples() -> list[Any]:
    calls = [good((3, n, 2), axis=1) for n in (1, 2, 4, 5, 6, 7, 8, 37)]
    calls += [good((5, 2), axis=0, norm="ortho"), good((4, 3, 2), axis=0, norm="forward"), good((2, 12, 3, 2), axis=-2, inverse=True)]
    calls += [good((4, 2), axis=0, inverse=True, norm=n) for n in NORMS]
    calls += [
        good((0, 3, 2), axis=1), good((300, 2), axis=0, smooth=False), good((20, 96, 2), axis=1, smooth=False),
        good((2, 64, 40, 2), axis=1, inverse=True, smooth=False), good((131, 2), axis=0, smooth=False),
    ]  # fmt: skip
    return [
        *calls, bad("ShapeError", (3, 3), axis=0), bad("ShapeError", (2,), axis=0), bad("ShapeError", (0, 2), axis=0),
        bad("OptionError", (3, 2), axis=0, norm="both"), bad("IndexRangeError", (3, 2), axis=1),
    ]  # fmt: skip


@defop("_fft", kernel="fft", samples=_samples, algebraic=False)
class Fft:
    """Sums along an axis: y[k] = factor · Σ x[j] exp(∓2πi jk/n), with + where `inverse`."""

    def options(x, *, axis, inverse=False, norm="backward"):
        s = need_parts(x)
        if not s:
            raise ShapeError("there must be an axis to transform")
        axis = normalize_axis(axis, len(s))
        need_length(s[axis])
        return {"axis": axis, "inverse": truth("inverse", inverse), "norm": need_norm(norm)}

    def shape(x, *, axis, inverse, norm):
        return x

    def kernel_params(x, *, axis, inverse, norm):  # ints = (outer, n, inner, inverse), floats = (factor,)
        outer, inner = _around(x[:-1], axis)
        return (outer, x[axis], inner, inverse), (factor(x[axis], inverse, norm),)

    def vjp(ops, g, y, x, *, axis, inverse, norm):
        return (ops._fft(g, axis=axis, inverse=not inverse, norm=NORMS[norm]),)

    jvp = linear_jvp("_fft")

    def flops(x, *, axis, inverse, norm):
        return 5.0 * size(x) / 2 * x[axis].bit_length()


# Real to complex and back ---------------------------------------------------------------------------------------------------


def _weights(n: int, inverse: bool, norm: str, doubled: bool) -> tuple[float, float]:
    # Factors of the frequencies that are their own negative, and of the others, of which there is one for each two.
    scale = factor(n, inverse, norm)
    return scale, scale * ((1.0 if doubled else 0.5) if inverse else (2.0 if doubled else 1.0))


def _real_samples() -> list[Any]:
    calls = [good((3, n), axis=1) for n in (1, 2, 3, 4, 5, 8, 37)]
    calls += [good((6,), axis=0, norm=n, doubled=True) for n in NORMS] + [good((5, 3), axis=0, norm="ortho", doubled=True)]
    calls += [
        good((2, 6, 3), axis=-2), good((0, 3), axis=1), good((600,), axis=0, smooth=False), good((20, 96), axis=1, smooth=False),
        good((2, 65, 40), axis=1, smooth=False), good((225,), axis=0, smooth=False), good((262,), axis=0, smooth=False),
    ]  # fmt: skip
    return [
        *calls, bad("ShapeError", (), axis=0), bad("ShapeError", (0,), axis=0), bad("OptionError", (3,), axis=0, norm=1),
        bad("IndexRangeError", (3,), axis=1),
    ]  # fmt: skip


@defop("_rfft", kernel="rfft", samples=_real_samples, algebraic=False)
class RealFft:
    """Of real x the frequencies 0 … n//2 along an axis, those that have a negative counterpart twice as large where `doubled`."""

    def options(x, *, axis, norm="backward", doubled=False):
        if not x:
            raise ShapeError("there must be an axis to transform")
        axis = normalize_axis(axis, len(x))
        need_length(x[axis])
        return {"axis": axis, "norm": need_norm(norm), "doubled": truth("doubled", doubled)}

    def shape(x, *, axis, norm, doubled):
        return (*x[:axis], x[axis] // 2 + 1, *x[axis + 1 :], 2)

    def kernel_params(x, *, axis, norm, doubled):  # ints = (outer, n, inner), floats = (factor of 0 and n/2, factor of the others)
        outer, inner = _around(x, axis)
        return (outer, x[axis], inner), _weights(x[axis], False, norm, doubled)

    def vjp(ops, g, y, x, *, axis, norm, doubled):
        return (ops._irfft(g, n=x.shape[axis], axis=axis, norm=NORMS[norm], doubled=doubled),)

    jvp = linear_jvp("_rfft")

    def flops(x, *, axis, norm, doubled):
        return 2.5 * size(x) * x[axis].bit_length()


def _spectrum_samples() -> list[Any]:
    calls = [good((3, n // 2 + 1, 2), n=n, axis=1) for n in (1, 2, 3, 4, 5, 8, 37)]
    calls += [good((4, 2), n=6, axis=0, norm=n, doubled=False) for n in NORMS]
    calls += [good((3, 3, 2), n=5, axis=0, norm="ortho", doubled=False)]
    calls += [
        good((2, 4, 3, 2), n=6, axis=-2), good((0, 3, 2), n=4, axis=1), good((301, 2), n=600, axis=0, smooth=False),
        good((20, 49, 2), n=96, axis=1, smooth=False), good((2, 33, 40, 2), n=65, axis=1, smooth=False),
        good((113, 2), n=225, axis=0, smooth=False),
    ]  # fmt: skip
    return [
        *calls, bad("ShapeError", (3, 3), n=4, axis=0), bad("ShapeError", (3, 2), n=8, axis=0), bad("ShapeError", (1, 2), n=0, axis=0),
        bad("OptionError", (3, 2), n=4, axis=0, norm="both"), bad("IndexRangeError", (3, 2), n=4, axis=1),
    ]  # fmt: skip


@defop("_irfft", kernel="irfft", samples=_spectrum_samples, algebraic=False)
class InverseRealFft:
    """The n real numbers along an axis with the frequencies 0 … n//2; of those with a negative counterpart half where not `doubled`.

    Imaginary parts of the frequencies 0 and n/2 do not count.
    """

    def options(x, *, n, axis, norm="backward", doubled=True):
        s, n = need_parts(x), need_length(whole("n", n))
        if not s:
            raise ShapeError("there must be an axis to transform")
        axis = normalize_axis(axis, len(s))
        if s[axis] != n // 2 + 1:
            raise ShapeError(f"the axis must have the {n // 2 + 1} frequencies of {n} numbers, not {s[axis]}")
        return {"n": n, "axis": axis, "norm": need_norm(norm), "doubled": truth("doubled", doubled)}

    def shape(x, *, n, axis, norm, doubled):
        return (*x[:axis], n, *x[axis + 1 : -1])

    def kernel_params(x, *, n, axis, norm, doubled):  # as of _rfft
        outer, inner = _around(x[:-1], axis)
        return (outer, n, inner), _weights(n, True, norm, doubled)

    def vjp(ops, g, y, x, *, n, axis, norm, doubled):
        return (ops._rfft(g, axis=axis, norm=NORMS[norm], doubled=doubled),)

    jvp = linear_jvp("_irfft")

    def flops(x, *, n, axis, norm, doubled):
        return 2.5 * size(x) * n.bit_length()


# Products -------------------------------------------------------------------------------------------------------------------


@defop("_complex_mul", kernel="complex_mul", samples=lambda: [
    *[good(s, s, conjugate=c) for s in ((3, 2), (2,), (2, 5, 2), (0, 2), (9000, 2)) for c in (False, True)],
    bad("ShapeError", (3,), (3,)), bad("ShapeError", (3, 2), (2,)),
])  # fmt: skip
class ComplexMul:
    """The complex products a b, or a times the conjugate of b."""

    def options(a, b, *, conjugate=False):
        return {"conjugate": truth("conjugate", conjugate)}

    def shape(a, b, *, conjugate):
        need_parts(a)
        if a != b:
            raise ShapeError("a and b must have the same shape")
        return a

    def kernel_params(a, b, *, conjugate):
        return (size(a) // 2, conjugate), ()

    def vjp(ops, g, y, a, b, *, conjugate):
        return ops._complex_mul(g, b, conjugate=not conjugate), ops._complex_mul(
            a if conjugate else g, g if conjugate else a, conjugate=True
        )

    jvp = multilinear_jvp("_complex_mul", (0, 1))
