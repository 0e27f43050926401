"""Creation: in a program what they make belongs to it, outside of one it is an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlean._core.array import AnyTensor
from tlean._core.refs import RefBase
from tlean.dtypes import dtype_option
from tlean.errors import DTypeError, OptionError, ShapeError

from .calls import check_device, default_float, run


def _holds_arrays(obj: Any) -> bool:
    return isinstance(obj, list | tuple) and any(isinstance(x, RefBase | AnyTensor) or _holds_arrays(x) for x in obj)


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Any:
    """An array of what is given: an array or a reference, Python numbers, nested lists of them, or of arrays, or what has a buffer."""
    check_device(device)
    name = dtype_option(dtype)
    if _holds_arrays(obj):
        parts = [asarray(x, dtype=dtype) for x in obj]
        return run(lambda ops, xs: ops.stack(xs, 0), parts)
    if isinstance(obj, RefBase | AnyTensor) or getattr(obj, "device", "cpu") != "cpu":
        return obj if name is None or obj.dtype == name else run(lambda ops, x: ops.astype(x, name), obj)
    if copy is False and not isinstance(obj, np.ndarray):
        raise OptionError(f"asarray: copy=False takes an array, got {type(obj).__name__}")
    try:
        values = np.asarray(obj)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"asarray: lists must be of one length at each depth, got {type(obj).__name__} ({error})") from None
    if name is None and values.dtype == np.float64 and not hasattr(obj, "dtype") and not isinstance(obj, memoryview):
        name = default_float()
    if values.dtype.kind not in "biuf":
        raise DTypeError(f"asarray: real numbers are expected, got {values.dtype}")
    return AnyTensor(values if name is None else values.astype(name))


def from_dlpack(x: Any, /, *, device: Any = None, copy: Any = None) -> Any:
    """An array of what another library holds."""
    check_device(device)
    if isinstance(x, AnyTensor | RefBase):
        return x
    if not hasattr(x, "__dlpack__"):
        raise DTypeError(f"from_dlpack: what has __dlpack__ is expected, got {type(x).__name__}")
    try:
        return AnyTensor(np.from_dlpack(x))
    except BufferError as error:
        raise DTypeError(f"from_dlpack: {error}") from None


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Any:
    """Numbers at equal distances, without the stop."""
    check_device(device)
    return run(lambda ops: ops.arange(start, stop, step, dtype))


def linspace(start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True) -> Any:
    """Numbers at equal distances, a given count of them."""
    check_device(device)
    return run(lambda ops: ops.linspace(start, stop, num, endpoint, dtype))


def eye(n_rows: int, n_cols: Any = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Any:
    """Ones on a diagonal."""
    check_device(device)
    return run(lambda ops: ops.eye(n_rows, n_cols, k, dtype))


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Zeros."""
    check_device(device)
    return run(lambda ops: ops.zeros(shape, dtype))


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Ones."""
    check_device(device)
    return run(lambda ops: ops.ones(shape, dtype))


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Zeros: values never change, so none stay unset."""
    return zeros(shape, dtype=dtype, device=device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """One number everywhere."""
    check_device(device)
    # The default for a float is the namespace's, not the number's.
    return run(lambda ops: ops.full(shape, fill_value, ops.dtype if dtype is None and type(fill_value) is float else dtype))


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Zeros of an array's shape and dtype."""
    check_device(device)
    return run(lambda ops, x: ops.zeros_like(x, dtype), x)


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Ones of an array's shape and dtype."""
    check_device(device)
    return run(lambda ops, x: ops.ones_like(x, dtype), x)


def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Zeros of an array's shape and dtype."""
    return zeros_like(x, dtype=dtype, device=device)


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """One number everywhere, of an array's shape and dtype."""
    check_device(device)
    return run(lambda ops, x: ops.full_like(x, fill_value, dtype), x)


def meshgrid(*arrays: Any, indexing: str = "xy") -> Any:
    """Grids of the coordinates."""
    return list(run(lambda ops, *xs: ops.meshgrid(*xs, indexing=indexing), *arrays))


def tril(x: Any, /, *, k: int = 0) -> Any:
    """The triangle below a diagonal, zeros above."""
    return run(lambda ops, x: ops.tril(x, k), x)


def triu(x: Any, /, *, k: int = 0) -> Any:
    """The triangle above a diagonal, zeros below."""
    return run(lambda ops, x: ops.triu(x, k), x)
