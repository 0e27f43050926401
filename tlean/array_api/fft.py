"""The standard's extension `fft`. What is complex is a `tl.fft.ComplexArray`: the namespace has no complex dtypes."""

from __future__ import annotations

from typing import Any

import tlean.fft as of
from tlean.dtypes import FLOATS, dtype_option
from tlean.errors import DTypeError

from ..arguments.literals import Norm
from .calls import check_device, default_float, required

__all__ = [
    "fft", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifftn", "ifftshift", "ihfft", "irfft", "irfftn", "rfft", "rfftfreq", "rfftn",
]  # fmt: skip


def _complex(x: Any) -> Any:
    # A complex array: the standard takes no other, and neither integers nor Booleans.
    if isinstance(x, of.ComplexArray) or getattr(getattr(x, "dtype", None), "kind", "") == "c":
        return of.as_complex(x)
    raise DTypeError(f"fft: x must be complex, got {getattr(required(x), 'dtype', None)}; tl.fft.as_complex makes it so")


def _real(x: Any) -> Any:
    if str(required(x).dtype) not in FLOATS:
        raise DTypeError(f"fft: x must be of real floats, got {x.dtype}")
    return x


def fft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Any:
    """The discrete Fourier transform of a complex array."""
    return of.fft(_complex(x), n, axis, norm)


def ifft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Any:
    """The inverse of `fft`."""
    return of.ifft(_complex(x), n, axis, norm)


def fftn(x: Any, /, *, s: Any = None, axes: Any = None, norm: Norm = "backward") -> Any:
    """`fft` along several axes."""
    return of.fftn(_complex(x), s, axes, norm)


def ifftn(x: Any, /, *, s: Any = None, axes: Any = None, norm: Norm = "backward") -> Any:
    """The inverse of `fftn`."""
    return of.ifftn(_complex(x), s, axes, norm)


def rfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Any:
    """The frequencies 0 … n//2 of the transform of a real array."""
    return of.rfft(_real(x), n, axis, norm)


def irfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Any:
    """The inverse of `rfft`."""
    return of.irfft(_complex(x), n, axis, norm)


def rfftn(x: Any, /, *, s: Any = None, axes: Any = None, norm: Norm = "backward") -> Any:
    """`rfft` along the last of several axes, `fft` along the others."""
    return of.rfftn(_real(x), s, axes, norm)


def irfftn(x: Any, /, *, s: Any = None, axes: Any = None, norm: Norm = "backward") -> Any:
    """The inverse of `rfftn`."""
    return of.irfftn(_complex(x), s, axes, norm)


#: The inverse of a norm.
_TURNED: dict[Norm, Norm] = {"backward": "forward", "forward": "backward"}


def hfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Any:
    """The transform, real, of an array with x(−t) = conj x(t), of which the first half is given."""
    return of.irfft(_complex(x).conj(), n, axis, _TURNED.get(norm, norm))


def ihfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Any:
    """The inverse of `hfft`."""
    return of.rfft(_real(x), n, axis, _TURNED.get(norm, norm)).conj()


def _frequencies(name: str, n: int, d: float, dtype: Any, device: Any) -> Any:
    check_device(device)
    kind = default_float() if dtype is None else dtype_option(dtype)
    if kind not in FLOATS:
        raise DTypeError(f"{name}: dtype must be float32 or float64, got {dtype!r}")
    return getattr(of, name)(n, d, dtype=kind)


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of `fft`."""
    return _frequencies("fftfreq", n, d, dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of `rfft`."""
    return _frequencies("rfftfreq", n, d, dtype, device)


def fftshift(x: Any, /, *, axes: Any = None) -> Any:
    """The frequency 0 into the middle, of a real or a complex array."""
    return of.fftshift(x, axes)


def ifftshift(x: Any, /, *, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return of.ifftshift(x, axes)
