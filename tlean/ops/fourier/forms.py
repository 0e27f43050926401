"""Public forms of Fourier transforms: NumPy's arguments, any number of axes, frequencies and their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...arguments import truth
from ...caching import Cache
from ...dtypes import dtype_option
from ...errors import OptionError, ShapeError, completing
from ...shapes import Shape, broadcast_shapes, normalize_axes, normalize_axis, stretching
from ..arranging.axes import is_sequence, named_axes
from ..registry import array, composite, whole
from .transforms import need_length, need_norm, need_parts


def _fitted(ops: Any, x: Any, axis: int, n: int) -> Any:
    # The first n entries along an axis, with zeros after the last where there are fewer.
    have = x.shape[axis]
    if have > n:
        starts = (0,) * len(x.shape)
        return ops.slice(x, starts, tuple(n if k == axis else d for k, d in enumerate(x.shape)))
    if have < n:
        return ops.pad(x, tuple((0, n - have if k == axis else 0) for k in range(len(x.shape))))
    return x


def _axes(s: Any, axes: Any, shape: Shape) -> tuple[Shape, Shape]:
    # The axes that are transformed, each once, and their lengths.
    if s is not None and not is_sequence(s):
        raise OptionError(f"s must be a sequence of ints, not {s!r}")
    if axes is None:
        many = len(shape) if s is None else len(tuple(s))
        if many > len(shape):
            raise ShapeError(f"s must name at most {len(shape)} lengths")
        chosen = tuple(range(len(shape) - many, len(shape)))
    else:
        if not is_sequence(axes):
            raise OptionError(f"axes must be a sequence of ints, not {axes!r}")
        chosen = named_axes(axes, len(shape))
    lengths = tuple(shape[a] for a in chosen) if s is None else tuple(whole("s", n) for n in s)
    if len(lengths) != len(chosen):
        raise OptionError(f"s must have one length for each of the {len(chosen)} axes")
    if not chosen:
        raise OptionError("axes must name at least one")
    return chosen, tuple(need_length(n) for n in lengths)


#: What a transform along one axis is, by the shape, the arguments and their types (1.0 is no length).
_KNOWN = Cache(256)


def _one(op: str, x: Any, n: Any, axis: Any, norm: Any, parts: bool) -> tuple[int, int, str]:
    # The axis of one transform, its length, and the norm. Raises: OptionError, ShapeError with the whole call.
    def build() -> tuple[int, int, str]:
        with completing(op, x=x, n=n, axis=axis, norm=norm):
            shape = need_parts(tuple(x.shape)) if parts else tuple(x.shape)
            name, number = need_norm(norm), normalize_axis(axis, len(shape))
            return number, need_length(shape[number] if n is None else whole("n", n)), name

    return _KNOWN.make((op, x.shape, n, type(n), axis, type(axis), norm), build)  # type: ignore[no-any-return]


def _along(ops: Any, op: str, x: Any, n: Any, axis: int, norm: Any, inverse: bool, name: str | None) -> Any:
    # One complex transform.
    x = array(ops, x, f"{op}: x")
    axis, n, norm = _one(op, x, n, axis, norm, True)
    x = _fitted(ops, x, axis, n)
    return ops.apply("_fft", (x,), {"axis": axis, "inverse": inverse, "norm": norm}, name)


def _over(ops: Any, op: str, x: Any, s: Any, axes: Any, norm: Any, inverse: bool, name: str | None) -> Any:
    # Complex transforms along several axes.
    x = array(ops, x, f"{op}: x")
    with completing(op, x=x, s=s, axes=axes, norm=norm):
        chosen, lengths = _axes(s, axes, need_parts(tuple(x.shape)))
        norm = need_norm(norm)
    for k in reversed(range(len(chosen))):
        x = _fitted(ops, x, chosen[k], lengths[k])
        x = ops.apply("_fft", (x,), {"axis": chosen[k], "inverse": inverse, "norm": norm}, None if k else name)
    return x


def _over_real(ops: Any, op: str, x: Any, s: Any, axes: Any, norm: Any, name: str | None) -> Any:
    # The last axis from real numbers, the others complex.
    x = array(ops, x, f"{op}: x")
    with completing(op, x=x, s=s, axes=axes, norm=norm):
        chosen, lengths = _axes(s, axes, tuple(x.shape))
        norm = need_norm(norm)
    x = _fitted(ops, x, chosen[-1], lengths[-1])
    x = ops.apply("_rfft", (x,), {"axis": chosen[-1], "norm": norm, "doubled": False}, name if len(chosen) == 1 else None)
    return x if len(chosen) == 1 else _over(ops, op, x, lengths[:-1], chosen[:-1], norm, False, name)


def _over_spectrum(ops: Any, op: str, x: Any, s: Any, axes: Any, norm: Any, name: str | None) -> Any:
    # The same back.
    x = array(ops, x, f"{op}: x")
    with completing(op, x=x, s=s, axes=axes, norm=norm):
        chosen, lengths = _axes(s, axes, need_parts(tuple(x.shape)))
        norm = need_norm(norm)
    if s is None:
        last = 2 * (x.shape[chosen[-1]] - 1)
        with completing(op, x=x, s=s, axes=axes, norm=norm):
            lengths = (*lengths[:-1], need_length(last))
    if len(chosen) > 1:
        x = _over(ops, op, x, lengths[:-1], chosen[:-1], norm, True, None)
    n = lengths[-1]
    x = _fitted(ops, x, chosen[-1], n // 2 + 1)
    return ops.apply("_irfft", (x,), {"n": n, "axis": chosen[-1], "norm": norm, "doubled": True}, name)


# One axis -------------------------------------------------------------------------------------------------------------------


@composite
def fft_fft(ops: Any, x: Any, n: Any = None, axis: int = -1, norm: Any = "backward", *, name: str | None = None) -> Any:
    """The discrete Fourier transform."""
    return _along(ops, "fft_fft", x, n, axis, norm, False, name)


@composite
def fft_ifft(ops: Any, x: Any, n: Any = None, axis: int = -1, norm: Any = "backward", *, name: str | None = None) -> Any:
    """Its inverse."""
    return _along(ops, "fft_ifft", x, n, axis, norm, True, name)


@composite
def fft_rfft(ops: Any, x: Any, n: Any = None, axis: int = -1, norm: Any = "backward", *, name: str | None = None) -> Any:
    """The transform of real numbers."""
    x = array(ops, x, "fft_rfft: x")
    axis, n, norm = _one("fft_rfft", x, n, axis, norm, False)
    return ops.apply("_rfft", (_fitted(ops, x, axis, n),), {"axis": axis, "norm": norm, "doubled": False}, name)


@composite
def fft_irfft(ops: Any, x: Any, n: Any = None, axis: int = -1, norm: Any = "backward", *, name: str | None = None) -> Any:
    """Its inverse."""
    return _over_spectrum(ops, "fft_irfft", x, None if n is None else (n,), (axis,), norm, name)


# Several axes ---------------------------------------------------------------------------------------------------------------


@composite
def fft_fftn(ops: Any, x: Any, s: Any = None, axes: Any = None, norm: Any = "backward", *, name: str | None = None) -> Any:
    """The transform along several axes."""
    return _over(ops, "fft_fftn", x, s, axes, norm, False, name)


@composite
def fft_ifftn(ops: Any, x: Any, s: Any = None, axes: Any = None, norm: Any = "backward", *, name: str | None = None) -> Any:
    """Its inverse."""
    return _over(ops, "fft_ifftn", x, s, axes, norm, True, name)


@composite
def fft_rfftn(ops: Any, x: Any, s: Any = None, axes: Any = None, norm: Any = "backward", *, name: str | None = None) -> Any:
    """The transform of real numbers along several axes."""
    return _over_real(ops, "fft_rfftn", x, s, axes, norm, name)


@composite
def fft_irfftn(ops: Any, x: Any, s: Any = None, axes: Any = None, norm: Any = "backward", *, name: str | None = None) -> Any:
    """Its inverse."""
    return _over_spectrum(ops, "fft_irfftn", x, s, axes, norm, name)


@composite
def fft_fft2(ops: Any, x: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = "backward", *, name: str | None = None) -> Any:
    """The transform along two axes."""
    return _over(ops, "fft_fft2", x, s, axes, norm, False, name)


@composite
def fft_ifft2(ops: Any, x: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = "backward", *, name: str | None = None) -> Any:
    """Its inverse."""
    return _over(ops, "fft_ifft2", x, s, axes, norm, True, name)


@composite
def fft_rfft2(ops: Any, x: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = "backward", *, name: str | None = None) -> Any:
    """The transform of real numbers along two axes."""
    return _over_real(ops, "fft_rfft2", x, s, axes, norm, name)


@composite
def fft_irfft2(ops: Any, x: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = "backward", *, name: str | None = None) -> Any:
    """Its inverse."""
    return _over_spectrum(ops, "fft_irfft2", x, s, axes, norm, name)


# Complex products -----------------------------------------------------------------------------------------------------------


@composite
def fft_mul(ops: Any, a: Any, b: Any, conjugate: bool = False, *, name: str | None = None) -> Any:
    """Products of complex numbers."""
    a, b = array(ops, a, "fft_mul: a"), array(ops, b, "fft_mul: b")
    with completing("fft_mul", a=a, b=b):
        for x in (a, b):
            need_parts(tuple(x.shape))
        # The last axis is of two in either.
        shape = broadcast_shapes(("a", "b"), (tuple(a.shape), tuple(b.shape)))
    a, b = (x if tuple(x.shape) == shape else ops.broadcast_to(x, shape) for x in (a, b))
    return ops.apply("_complex_mul", (a, b), {"conjugate": truth("fft_mul: conjugate", conjugate)}, name)


# Frequencies ----------------------------------------------------------------------------------------------------------------


def _frequencies(ops: Any, op: str, n: Any, d: Any, dtype: Any, real: bool) -> Any:
    with completing(op, n=n, d=d):
        n = need_length(whole("n", n))
        if isinstance(d, bool) or not isinstance(d, int | float) or not d:
            raise OptionError("d must be a plain number, not 0")
    kind = dtype_option(dtype)
    middle = n // 2 + 1 if real else (n + 1) // 2
    first = ops.arange(0, middle, dtype=kind or ops.dtype)
    whole_numbers = first if real else ops.concat([first, ops.arange(-(n // 2), 0, dtype=kind or ops.dtype)], axis=0)
    return ops.div(whole_numbers, n * float(d))


@composite
@stretching
def fft_fftfreq(ops: Any, n: Any, d: Any = 1.0, dtype: Any = None, *, name: str | None = None) -> Any:
    """The frequencies of a transform."""
    y = _frequencies(ops, "fft_fftfreq", n, d, dtype, False)
    return y if name is None else ops.reshape(y, tuple(y.shape), name=name)


@composite
@stretching
def fft_rfftfreq(ops: Any, n: Any, d: Any = 1.0, dtype: Any = None, *, name: str | None = None) -> Any:
    """The frequencies of a transform of real numbers."""
    y = _frequencies(ops, "fft_rfftfreq", n, d, dtype, True)
    return y if name is None else ops.reshape(y, tuple(y.shape), name=name)


def _shifted(ops: Any, op: str, x: Any, axes: Any, back: bool, name: str | None) -> Any:
    x = array(ops, x, f"{op}: x")
    with completing(op, x=x, axes=axes):
        chosen: Sequence[int] = normalize_axes(axes, len(x.shape))
    shifts = tuple(-(x.shape[a] // 2) if back else x.shape[a] // 2 for a in chosen)
    return ops.roll(x, shifts, axis=tuple(chosen), name=name) if chosen else ops.reshape(x, tuple(x.shape), name=name)


@composite
def fft_fftshift(ops: Any, x: Any, axes: Any = None, *, name: str | None = None) -> Any:
    """The frequency 0 into the middle."""
    return _shifted(ops, "fft_fftshift", x, axes, False, name)


@composite
def fft_ifftshift(ops: Any, x: Any, axes: Any = None, *, name: str | None = None) -> Any:
    """The middle to the front."""
    return _shifted(ops, "fft_ifftshift", x, axes, True, name)
