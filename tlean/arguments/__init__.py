"""Checks of arguments that many calls have in common: each returns the argument, or raises an error that names call and mistake."""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any, cast

from ..dtypes import FLOATS
from ..errors import DTypeError, NodeError, OptionError, ShapeError
from .literals import FloatName


def is_reference(x: Any) -> bool:
    """Whether an argument is a reference, which belongs to a program or a tape; the library itself has `ops` as well."""
    return hasattr(x, "ops") and hasattr(x, "dtype")


def is_node(x: Any) -> bool:
    """Whether an argument of an explicit tape means a node: an id, or a reference."""
    return (isinstance(x, Integral) and not isinstance(x, bool)) or is_reference(x)


def no_references(value: Any) -> Any:
    """What is to be read as an array. Raises: NodeError where it is a sequence with references in it, which would lose their gradients."""
    if isinstance(value, list | tuple):
        for x in value:
            if is_reference(x):
                raise NodeError(f"an array or a reference is expected, got a {type(value).__name__} with {x!r}; stack joins them")
            no_references(x)
    return value


def each(who: str, what: str, xs: Any, error: type[Exception] = OptionError) -> Iterator[Any]:
    """The entries of a sequence. Raises: OptionError, or the error given, if it cannot be iterated over."""
    if isinstance(xs, memoryview) and xs.ndim != 1:
        raise error(f"{who}: a sequence of {what} is expected, got a memoryview of {xs.ndim} axes")
    try:
        return iter(xs)
    except TypeError:
        raise error(f"{who}: a sequence of {what} is expected, got {type(xs).__name__}") from None


def shape(who: str, value: Iterable[Any]) -> tuple[int, ...]:
    """A shape as a tuple of ints. Raises: ShapeError."""
    sizes = tuple(each(who, "sizes", value, ShapeError))
    try:
        if isinstance(value, str | bytes | bytearray | dict | set | frozenset):
            raise TypeError
        return tuple(map(operator.index, sizes))
    except TypeError:
        raise ShapeError(f"{who}: a shape must be a sequence of ints, got {value!r}") from None


def label(who: str, value: Any) -> str | None:
    """The name of a node or a parameter. Raises: OptionError."""
    if value is not None and not isinstance(value, str):
        raise OptionError(f"{who}: name must be a text, got {type(value).__name__}")
    return value


def function(who: str, what: str, value: Any) -> Any:
    """Something to call. Raises: OptionError."""
    if not callable(value):
        raise OptionError(f"{who}: {what} must be a function, got {type(value).__name__}")
    return value


def flag(who: str, name: str, value: Any) -> bool:
    """True or False; 0 and 1, and NumPy's Booleans, are taken for them. Raises: OptionError."""
    if type(value) is bool:
        return value
    found = _truth(value)
    if found is None:
        raise OptionError(f"{who}: {name} must be True or False, got {type(value).__name__}")
    return found


def _truth(value: Any) -> bool | None:
    # None for what is no truth value, such as a word.
    if getattr(value, "ndim", 0) == 0:
        try:
            if operator.index(value) in (0, 1):
                return bool(value)
        except TypeError:
            # NumPy's Booleans are no integers.
            if type(value).__name__ in ("bool", "bool_") or str(getattr(value, "dtype", "")) == "bool":
                return bool(value)
    return None


def choice(who: str, name: str, value: Any, names: tuple[str, ...]) -> str:
    """One of some words. Raises: OptionError."""
    if not isinstance(value, str) or value not in names:
        raise OptionError(f"{who}: {name} must be one of {', '.join(names)}, got {value!r}")
    return value


def seed(who: str, value: Any) -> int:
    """A seed. Raises: OptionError unless it is an int of 64 bits."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 1 << 64
    if not -(1 << 63) <= number < 1 << 64:
        raise OptionError(f"{who}: the seed must be an int of 64 bits, got {value!r}")
    return number


def float_dtype(who: str, value: Any) -> FloatName:
    """A float dtype by name. Raises: DTypeError."""
    if not isinstance(value, str) or value not in FLOATS:
        raise DTypeError(f"{who}: dtype must be float32 or float64, got {value!r}")
    return cast("FloatName", value)


def device(who: str, value: Any) -> str:
    """A device by name. Raises: OptionError."""
    if not isinstance(value, str) or not re.fullmatch(r"cpu|cuda(:\d+)?", value):
        raise OptionError(f"{who}: device must be 'cpu', 'cuda' or 'cuda:<number>', got {value!r}")
    return value


def whole(what: str, value: Any, low: int | None = None) -> int:
    """A whole number. Raises: OptionError for anything else, or one below `low`."""
    try:
        found = operator.index(value)
    except TypeError:
        raise OptionError(f"{what} must be an int, got {value!r}") from None
    if low is not None and found < low:
        raise OptionError(f"{what} must be at least {low}, got {found}")
    return found


def truth(what: str, value: Any) -> bool:
    """As `flag`, with a message that has the value. Raises: OptionError."""
    if value is True or value is False:
        return value
    found = _truth(value)
    if found is None:
        raise OptionError(f"{what} must be True or False, got {value!r}")
    return found


def parameters(rule: Any) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """The inputs and the keyword-only options that a rule names, and whether its inputs are any number."""
    # A plain function's are read off its code: `inspect.signature` of every record took a twentieth of the library's import.
    declared: tuple[tuple[str, ...], tuple[str, ...], bool] | None = getattr(rule, "parameters", None)
    if declared is not None:
        return declared
    code = getattr(rule, "__code__", None)
    if code is None or hasattr(rule, "__signature__") or hasattr(rule, "__wrapped__"):
        every = inspect.signature(rule).parameters.values()
        inputs = tuple(p.name for p in every if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY, p.VAR_POSITIONAL))
        return inputs, tuple(p.name for p in every if p.kind is p.KEYWORD_ONLY), any(p.kind is p.VAR_POSITIONAL for p in every)
    names, positional, keywords = code.co_varnames, code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    variadic = bool(code.co_flags & inspect.CO_VARARGS)
    return names[:positional] + ((names[keywords],) if variadic else ()), names[positional:keywords], variadic


def numbers_of_call(who: str, numbers: Any) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """What a rule `kernel_params` returned, as a kernel takes it. Raises: OptionError unless it is integers of 64 bits, and floats."""
    try:
        ints, floats = numbers
        taken = tuple([operator.index(i) for i in ints]), tuple([float(f) for f in floats])
    except (TypeError, ValueError, OverflowError):
        taken = None
    if taken is None or any(not -1 << 63 <= i < 1 << 63 for i in taken[0]):
        raise OptionError(f"{who}: kernel_params must return (integers of 64 bits, floats), got {numbers!r}")
    return taken
