"""How a function of the namespace runs: on references it records ops into their program, on arrays it computes them without a tape.

Operands keep their dtype, and a Python number takes that of the array beside it, as the standard says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor
from tlean._core.refs import RefBase
from tlean.dispatch import Values, backend_of
from tlean.dtypes import INTEGERS
from tlean.errors import DTypeError, NodeError, OptionError
from tlean.interpreters.eager import without_tape


def run(call: Callable[..., Any], *arrays: Any) -> Any:
    """What `call(ops, *references)` makes: references where an operand is one or a program runs, else arrays.

    Args:
        call: a function over the methods of a backend.
        arrays: its operands, arrays, references or None.
    """
    ops = backend_of(*arrays)
    if not isinstance(ops, Values):
        return call(ops, *(_lifted(ops, x) for x in arrays))
    inner = ops._ops
    return without_tape(lambda: _array(call(inner, *(_lifted(inner, x) for x in arrays))))


def _lifted(ops: Any, x: Any) -> Any:
    if x is None or isinstance(x, RefBase):
        return x
    if isinstance(x, list | tuple):
        return [_lifted(ops, y) for y in x]
    return ops._own_constant(required(x))


def required(x: Any) -> Any:
    """An operand, if it is an array. Raises: DTypeError."""
    if not isinstance(getattr(x, "shape", None), tuple) or not hasattr(x, "dtype"):
        raise DTypeError(f"an array is required, got {type(x).__name__}; asarray makes one")
    return x


def listed(arrays: Any) -> list[Any]:
    """Operands that are given as a sequence. Raises: DTypeError."""
    if not isinstance(arrays, list | tuple):
        raise DTypeError(f"a list or tuple of arrays is required, got {type(arrays).__name__}")
    return [required(x) for x in arrays]


def _array(result: Any) -> Any:
    if isinstance(result, list | tuple):
        return type(result)(_array(x) for x in result)
    return result.value if isinstance(result, RefBase) and hasattr(type(result), "value") else result


def is_number(x: Any) -> bool:
    """Whether an operand is a Python number, which has no dtype."""
    return isinstance(x, bool | int | float) and not isinstance(x, np.generic)


def beside(ops: Any, x: Any, number: Any) -> Any:
    """A Python number as a reference of the dtype that it has beside x: x's, or the program's float dtype for a float beside integers.

    Raises: DTypeError for a complex number.
    """
    if isinstance(number, complex):
        raise DTypeError("complex numbers are not supported")
    own = str(x.dtype)
    dtype = own
    if isinstance(number, float) and own in INTEGERS:
        dtype = ops.dtype
    elif own == "bool" and not isinstance(number, bool):
        dtype = "int64"
    return ops._full(shape=(), value=number, dtype=dtype)


def pair(call: Callable[..., Any], x1: Any, x2: Any) -> Any:
    """What `call(ops, a, b)` makes of two operands, of which one may be a Python number.

    Raises: DTypeError for two numbers.
    """
    if is_number(x1) and is_number(x2):
        raise DTypeError(f"one operand must be an array, got {x1!r} and {x2!r}")
    if is_number(x1):
        return run(lambda ops, b: call(ops, beside(ops, b, x1), b), required(x2))
    if is_number(x2):
        return run(lambda ops, a: call(ops, a, beside(ops, a, x2)), required(x1))
    return run(call, required(x1), required(x2))


def by_value(name: str, call: Callable[..., Any], *arrays: Any) -> Any:
    """What NumPy makes of values that are known now: of functions whose result's shape depends on them, or that no op is.

    Args:
        name: of the function, for the error.
        call: on NumPy's arrays.
        arrays: its operands.

    Raises: DTypeError for a value of a program that is recorded or differentiated.
    """
    try:
        plain = [x if is_number(x) else np.asarray(required(x)) for x in arrays]
    except NodeError as error:
        raise DTypeError(f"{name}: values must be known, and those of a program that is recorded are not ({error})") from None
    try:
        with np.errstate(all="ignore"):
            result = call(*plain)
    except (TypeError, ValueError, OverflowError) as error:
        raise OptionError(f"{name}: {error}") from None
    return tuple(AnyTensor(np.asarray(y)) for y in result) if isinstance(result, tuple) else AnyTensor(np.asarray(result))


def is_whole(x: Any) -> bool:
    """Whether an array holds integers or Booleans."""
    return str(getattr(x, "dtype", "float32")) in INTEGERS


def default_float() -> str:
    """The float dtype of the running program, or of results outside of one."""
    ops = backend_of()
    return str(ops._ops.dtype if isinstance(ops, Values) else ops.dtype)


def check_device(device: Any) -> None:
    """Refuse another device than the one that arrays of the namespace are on. Raises: DTypeError."""
    if device is not None and not (isinstance(device, str) and device == "cpu"):
        raise DTypeError(f"device must be 'cpu' or None, got {device!r}; a program runs on another with device=")
