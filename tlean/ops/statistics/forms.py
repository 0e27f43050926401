"""Further forms of calls: `sum(x, axis=0)` beside `sum(x)`, `max(x, axis=0)` beside `max(a, b)`.

A form has the name of a record and the parameters of its entry in the protocol. Where a call has no more than the record takes, it is the
record's, as the condition says; all else goes through the form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...arguments import truth
from ...errors import OptionError, completing
from ...shapes import normalize_axes, reduced, size
from ..reduce import reversing
from ..registry import array


class Form(NamedTuple):
    """A form and the condition, in Python and Cython, for calls that are the record's."""

    plain: str
    function: Callable[..., Any]


#: Defaults that free functions have and methods of `ops` have not: name -> argument -> default.
FREE_DEFAULTS: dict[str, dict[str, Any]] = {"argmax": {"axis": None}, "argmin": {"axis": None}}
#: The forms by the names of their records.
FORMS: dict[str, Form] = {}


def form(plain: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the form of the record that has the function's name.

    Args:
        plain: which calls are the record's, as an expression of the parameters.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        FORMS[function.__name__] = Form(plain, function)
        return function

    return declare


def is_axis(value: Any) -> bool:
    """Whether a second argument names axes: None, an int, or a tuple."""
    return value is None or isinstance(value, tuple | int)


_WHOLE = "axis is None and keepdims is False"
_PAIR = f"{_WHOLE} and not is_axis(b)"


@form(_WHOLE)
def sum(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, name: str | None = None) -> Any:
    """The sum over axes."""
    return ops.reduce_sum(x, axis, keepdims, name=name)


@form(_WHOLE)
def mean(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, name: str | None = None) -> Any:
    """The mean over axes."""
    return ops.reduce_mean(x, axis, keepdims, name=name)


def _axis_of(op: str, b: Any, axis: Any) -> Any:
    # The axis, which may be given in the place of the second array.
    if not is_axis(b):
        raise OptionError(f"{op}: axis must be left out where there are two arrays, got axis={axis!r}")
    if b is not None and axis is not None:
        raise OptionError(f"{op}: one axis or one tuple of axes must be named, got {b!r} and axis={axis!r}")
    return axis if b is None else b


@form(_PAIR)
def max(ops: Any, a: Any, b: Any = None, axis: Any = None, keepdims: bool = False, name: str | None = None) -> Any:
    """The maximum over axes."""
    return ops.reduce_max(a, _axis_of("max", b, axis), keepdims, name=name)


@form(_PAIR)
def min(ops: Any, a: Any, b: Any = None, axis: Any = None, keepdims: bool = False, name: str | None = None) -> Any:
    """The minimum over axes: the maximum in the order that is reversed."""
    reverse = reversing(ops, a)
    return reverse(ops.reduce_max(reverse(a), _axis_of("min", b, axis), keepdims), name=name)


@form("keepdims is False and type(axis) is int")
def logsumexp(ops: Any, x: Any, axis: Any = -1, keepdims: bool = False, name: str | None = None) -> Any:
    """log Σ eˣ over axes, as one axis: a run of them that is −∞ throughout has no derivative."""
    x = array(ops, x, "logsumexp: x")
    shape = tuple(x.shape)
    with completing("logsumexp", x=x, axis=axis, keepdims=keepdims):
        axes, kept = normalize_axes(axis, len(shape)), truth("keepdims", keepdims)
    if not axes:
        return ops.reshape(x, shape, name=name)
    low, high = axes[0], axes[-1] + 1
    if high - low > len(axes):
        x = ops.permute(x, (*(k for k in range(len(shape)) if k not in axes), *axes))
        low, high = len(shape) - len(axes), len(shape)
    sizes = tuple(x.shape)
    y = ops.logsumexp(ops.reshape(x, (*sizes[:low], size(sizes[low:high]), *sizes[high:])), low)
    return ops.reshape(y, reduced(shape, axes, kept), name=name)
