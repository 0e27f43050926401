"""Discrete Fourier transforms with NumPy's arguments, on real and on complex arrays.

What is complex comes as a `ComplexArray`, in programs as well. Functions of real arrays that end in one, by way of a spectrum, are programs
like any other: compiled, differentiated in both modes to any order, batched. The ops `fft_<name>` do the same with the two parts of complex
numbers as a last axis.
"""

from __future__ import annotations

from typing import Any

import tlean.functions as f

from ..arguments.literals import Norm
from ..errors import DTypeError
from ..functions import fft_fftfreq as fftfreq
from ..functions import fft_rfftfreq as rfftfreq
from .values import ComplexArray, as_complex, from_parts

__all__ = [
    "ComplexArray",
    "as_complex",
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "from_parts",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]


def _is_complex(x: Any) -> bool:
    return isinstance(x, ComplexArray) or getattr(getattr(x, "dtype", None), "kind", "") == "c"


def _real(x: Any, name: str) -> Any:
    if _is_complex(x):
        raise DTypeError(f"tl.fft.{name}: x must be real, got a complex array; tl.fft.{name[1:]} takes one")
    return x


def fft(x: Any, n: int | None = None, axis: int = -1, norm: Norm | None = "backward") -> ComplexArray:
    """The discrete Fourier transform along an axis: y[k] = Σ x[j] exp(−2πi jk/n).

    Args:
        x: a real or complex array, or a reference.
        n: use so many entries along the axis, or zeros after the last; None is as many as there are.
        axis: the axis.
        norm: `"backward"`: the inverse has the factor 1/n; `"forward"`: this one has; `"ortho"`: both have 1/√n.

    Returns: a `ComplexArray` with n entries along the axis.

    Example:
        >>> tl.fft.fft([1.0, 0.0, -1.0, 0.0]).numpy().tolist()
        [0j, (2+0j), 0j, (2+0j)]
    """
    return ComplexArray(f.fft_fft(as_complex(x).parts, n, axis, norm))


def ifft(x: Any, n: int | None = None, axis: int = -1, norm: Norm | None = "backward") -> ComplexArray:
    """The inverse of `fft`: y[j] = 1/n · Σ x[k] exp(2πi jk/n).

    Args:
        x, n, axis, norm: as of `fft`.

    Returns: a `ComplexArray` with n entries along the axis.

    Example:
        >>> tl.fft.ifft(tl.fft.fft([1.0, 2.0])).real.tolist()
        [1.0, 2.0]
    """
    return ComplexArray(f.fft_ifft(as_complex(x).parts, n, axis, norm))


def rfft(x: Any, n: int | None = None, axis: int = -1, norm: Norm | None = "backward") -> ComplexArray:
    """Of `fft` of a real array the frequencies 0 … n//2; the others are their conjugates. Half the work of `fft`.

    Args:
        x: a real array, or a reference.
        n, axis, norm: as of `fft`.

    Returns: a `ComplexArray` with n//2 + 1 entries along the axis.
    Raises: DTypeError for a complex x.

    Example:
        >>> tl.fft.rfft([1.0, 0.0, -1.0, 0.0]).real.tolist()
        [0.0, 2.0, 0.0]
    """
    return ComplexArray(f.fft_rfft(_real(x, "rfft"), n, axis, norm))


def irfft(x: Any, n: int | None = None, axis: int = -1, norm: Norm | None = "backward") -> Any:
    """The inverse of `rfft`: the n real numbers with a spectrum.

    Args:
        x: a spectrum of m entries along the axis.
        n: how many numbers; None is 2 (m − 1).
        axis, norm: as of `fft`.

    Returns: a real array.

    Example:
        >>> tl.fft.irfft(tl.fft.rfft([1.0, 2.0, 3.0]), n=3).tolist()
        [1.0, 2.0, 3.0]
    """
    return f.fft_irfft(as_complex(x).parts, n, axis, norm)


def fftn(x: Any, s: Any = None, axes: Any = None, norm: Norm | None = "backward") -> ComplexArray:
    """`fft` along several axes.

    Args:
        x: a real or complex array, or a reference.
        s: the lengths along the axes, as n of `fft`.
        axes: each once; None is all, or the last ones where s is given.
        norm: as of `fft`, along each axis.

    Returns: a `ComplexArray`.
    """
    return ComplexArray(f.fft_fftn(as_complex(x).parts, s, axes, norm))


def ifftn(x: Any, s: Any = None, axes: Any = None, norm: Norm | None = "backward") -> ComplexArray:
    """The inverse of `fftn`.

    Args:
        x, s, axes, norm: as of `fftn`.

    Returns: a `ComplexArray`.
    """
    return ComplexArray(f.fft_ifftn(as_complex(x).parts, s, axes, norm))


def rfftn(x: Any, s: Any = None, axes: Any = None, norm: Norm | None = "backward") -> ComplexArray:
    """`rfft` along the last of several axes, `fft` along the others.

    Args:
        x: a real array, or a reference.
        s, axes, norm: as of `fftn`.

    Returns: a `ComplexArray` with n//2 + 1 entries along the last of the axes.
    Raises: DTypeError for a complex x.
    """
    return ComplexArray(f.fft_rfftn(_real(x, "rfftn"), s, axes, norm))


def irfftn(x: Any, s: Any = None, axes: Any = None, norm: Norm | None = "backward") -> Any:
    """The inverse of `rfftn`.

    Args:
        x: a spectrum.
        s: the lengths of the result along the axes; without it the last is 2 (m − 1) for m entries.
        axes, norm: as of `fftn`.

    Returns: a real array.
    """
    return f.fft_irfftn(as_complex(x).parts, s, axes, norm)


def fft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: Norm | None = "backward") -> ComplexArray:
    """`fftn` along the last two axes.

    Args:
        x, s, axes, norm: as of `fftn`.

    Returns: a `ComplexArray`.
    """
    return ComplexArray(f.fft_fft2(as_complex(x).parts, s, axes, norm))


def ifft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: Norm | None = "backward") -> ComplexArray:
    """`ifftn` along the last two axes.

    Args:
        x, s, axes, norm: as of `fftn`.

    Returns: a `ComplexArray`.
    """
    return ComplexArray(f.fft_ifft2(as_complex(x).parts, s, axes, norm))


def rfft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: Norm | None = "backward") -> ComplexArray:
    """`rfftn` along the last two axes.

    Args:
        x, s, axes, norm: as of `rfftn`.

    Returns: a `ComplexArray`.
    Raises: DTypeError for a complex x.
    """
    return ComplexArray(f.fft_rfft2(_real(x, "rfft2"), s, axes, norm))


def irfft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: Norm | None = "backward") -> Any:
    """`irfftn` along the last two axes.

    Args:
        x, s, axes, norm: as of `irfftn`.

    Returns: a real array.
    """
    return f.fft_irfft2(as_complex(x).parts, s, axes, norm)


def _moved(x: Any, axes: Any, shift: Any) -> Any:
    if not _is_complex(x):
        return shift(x, axes)
    x = as_complex(x)
    chosen = range(x.ndim) if axes is None else [a % x.ndim for a in ((axes,) if hasattr(axes, "__index__") else axes)]
    return ComplexArray(shift(x.parts, tuple(chosen)))


def fftshift(x: Any, axes: Any = None) -> Any:
    """The frequency 0 into the middle: entries moved by n//2 along axes.

    Args:
        x: a real array, a reference or a `ComplexArray`.
        axes: None is all.

    Returns: as x.
    """
    return _moved(x, axes, f.fft_fftshift)


def ifftshift(x: Any, axes: Any = None) -> Any:
    """The inverse of `fftshift`.

    Args:
        x, axes: as of `fftshift`.

    Returns: as x.
    """
    return _moved(x, axes, f.fft_ifftshift)
