"""Results are arrays: operators, methods and NumPy's functions of an `AnyTensor`, computed by the ops of a program without a tape.

What is no op of the array language is an error that says what to use, as it is in a program: `np.f(x.numpy())` is NumPy's own answer.
Questions about values, which have no gradient, are answered by NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor, install_operators
from tlean._core.refs import RefBase
from tlean.errors import DTypeError, IndexRangeError, MissingOpError, OptionError, ShapeError, TleanError
from tlean.indexing import At, Entries
from tlean.interpreters.eager import EagerOps, TensorRef, without_tape

from . import notebooks, numpy_calls
from .methods import METHODS

#: The operators that are ops.
_OPERATORS = {f"__{r}{name}__" for name in ("add", "sub", "mul", "truediv", "matmul", "pow", "mod", "floordiv") for r in ("", "r")}
_OPERATORS |= {"__neg__", "__pos__", "__abs__"}
#: Universal functions that are operators of NumPy's.
_SYMBOLS: set[Any] = {np.floor_divide, np.remainder, np.power, np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert}
_COMPARISONS = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}
#: Of integers and Booleans these give integers: NumPy computes them. All others compute in floats.
_EXACT = _OPERATORS - {"__truediv__", "__rtruediv__"} | METHODS.keys() - {"mean", "var", "std", "astype"} | {"T", "mT", "trace"}
#: Methods that no op is.
_OF_NUMPY = {"itemsize", "nbytes", "nonzero", "tobytes"}
#: NumPy's functions that make an array to write to.
_MAKERS = {np.copy, np.zeros_like, np.ones_like, np.full_like}


def _flat(values: Any) -> Iterator[Any]:
    for x in values:
        if isinstance(x, list | tuple):
            yield from _flat(x)
        else:
            yield x


def _float_dtype(operands: Any) -> str | None:
    # What ops compute in: the widest float array; without one, float32 where there is a plain float, and else nothing: integers.
    weak = None
    for x in _flat(operands):
        if isinstance(x, AnyTensor | np.ndarray):
            if x.dtype == "float64":
                return "float64"
            if x.dtype in ("float32", "float16"):
                weak = "float32"
        elif isinstance(x, float | np.floating):
            weak = weak or "float32"
    return weak


def _lifted(ops: EagerOps, values: Any) -> Any:
    # The same with references in place of arrays of the library.
    return [
        ops.add_leaf(x, False) if isinstance(x, AnyTensor) else type(x)(_lifted(ops, x)) if type(x) in (list, tuple) else x for x in values
    ]


def _plain(values: Any, dtype: str | None = None) -> Any:
    # The same with arrays of NumPy, of that dtype if one is named, in place of arrays; NumPy's numbers are Python's.
    result = []
    for x in values:
        if isinstance(x, AnyTensor | np.ndarray):
            result.append(np.asarray(x) if dtype is None else np.asarray(x, dtype))
        elif type(x) in (list, tuple):
            result.append(type(x)(_plain(x, dtype)))
        else:
            result.append(x.item() if isinstance(x, np.generic) else x)
    return result


def _array(result: Any) -> Any:
    # What an op or NumPy made, as an array of the library.
    if isinstance(result, TensorRef):
        return result.value
    if isinstance(result, list | tuple):
        return type(result)(_array(x) for x in result)
    return AnyTensor(result) if isinstance(result, np.ndarray | np.generic) else result


def _by_ops(call: Callable[..., Any], args: Any, options: dict[str, Any], dtype: str | None) -> Any:
    ops = EagerOps(dtype or "float32")

    def run() -> Any:
        return _array(call(*_lifted(ops, args), **dict(zip(options, _lifted(ops, options.values()), strict=True))))

    return without_tape(run)


def _by_numpy(what: str, call: Callable[..., Any], args: Any, options: dict[str, Any], dtype: str | None) -> Any:
    # NumPy's errors as those of the library.
    try:
        with np.errstate(all="ignore"):
            return call(*_plain(args, dtype), **dict(zip(options, _plain(options.values()), strict=True)))
    except TleanError:
        raise
    except TypeError as error:
        raise DTypeError(f"{what}: {error}") from None
    except IndexError as error:
        raise IndexRangeError(f"{what}: {error}") from None
    except ValueError as error:
        raise ShapeError(f"{what}: {error}") from None


def _has_operators(x: Any) -> bool:
    # Whether NumPy's arrays leave operators to the other side.
    return getattr(type(x), "__array_ufunc__", x) is None and x is not None


def operate(name: str, x: AnyTensor, *others: Any) -> Any:
    """An operator with an array at one side.

    Args:
        name: such as "__add__".
        x: the array.
        others: what is at the other side.

    Returns: an array; NotImplemented beside a reference, whose own operator it is, and beside what leaves NumPy's arrays aside.
    """
    if any(isinstance(y, RefBase) or (hasattr(y, "device") and y.device != "cpu") or _has_operators(y) for y in others):
        return NotImplemented
    if name in _COMPARISONS:
        return _array(_by_numpy(name.strip("_"), getattr(np.ndarray, name), (x, *others), {}, None))
    dtype = _float_dtype((x, *others))
    if name in _OPERATORS and not (dtype is None and name in _EXACT):
        return _by_ops(getattr(TensorRef, name), (x, *others), {}, dtype)
    return _array(_by_numpy(name.strip("_"), getattr(np.ndarray, name), (x, *others), {}, dtype))


class _Method:
    # An op or a method of NumPy's with its array.
    __slots__ = ("name", "x")

    def __init__(self, x: AnyTensor, name: str) -> None:
        self.x = x
        self.name = name

    def __call__(self, *args: Any, **options: Any) -> Any:
        x, name = self.x, self.name
        operands = (x, *args, *options.values())
        for y in _flat(operands):
            if isinstance(y, RefBase):
                return getattr(y.ops, name)(x, *args, **options)
        dtype = _float_dtype((x, *(y for y in args if not isinstance(y, float))))
        if dtype is None and name in _EXACT:
            return _array(_by_numpy(name, getattr(np.ndarray, name), (x, *args), options, None))
        return _by_ops(lambda ref, *rest, **named: getattr(ref, name)(*rest, **named), (x, *args), options, dtype)

    def __repr__(self) -> str:
        return f"<{self.name} of {self.x!r}>"


class _Entries(Entries):
    # The entries of an array.
    __slots__ = ()

    def get(self, mode: str = "raise") -> Any:
        return self._of_reference(lambda entries, _: entries.get(mode), None)

    def _updated(self, v: Any, what: str, mode: str) -> Any:
        return self._of_reference(lambda entries, value: getattr(entries, what)(value, mode), v)

    def _of_reference(self, call: Callable[[Entries, Any], Any], v: Any) -> Any:
        x, key = self._x, self._key
        for y in _flat((key, v)):
            if isinstance(y, RefBase):
                return call(y.ops.leaf(x).at[key], v)
        ops = EagerOps(_float_dtype((x,)) or "float32")
        key, v = _plain((key, v))
        return without_tape(lambda: _array(call(ops.add_leaf(x, False).at[key], v)))


class _At(At):
    # `x.at` of an array.
    __slots__ = ()

    def __getitem__(self, key: Any) -> Entries:
        return _Entries(self._x, key)


def attribute(x: AnyTensor, name: str) -> Any:
    """An attribute that an array has as references do: an op, or a method of NumPy's.

    Args:
        x: the array.
        name: of the attribute; "" for the names of all of them.

    Raises: AttributeError.
    """
    if not name:
        return {"T", "at", "flat", "imag", "mT", "real", *METHODS, *numpy_calls.OPS, *_OF_NUMPY}
    if name == "_repr_html_":
        return partial(notebooks.html, x)
    if name == "at":
        return _At(x)
    if name in ("real", "flat"):
        return x if name == "real" else x.ravel()
    if name == "imag":
        return x * 0 if x.dtype.kind != "f" else x.zeros_like()
    if name in ("T", "mT"):
        if _float_dtype((x,)) is None:
            return _array(_by_numpy(name, lambda a: getattr(a, name), (x,), {}, None))
        return _by_ops(lambda ref: getattr(ref, name), (x,), {}, x.dtype)
    if name in _OF_NUMPY:
        return getattr(x.numpy(), name)
    if name in METHODS or name in numpy_calls.OPS:
        return _Method(x, name)
    raise MissingOpError(f"AnyTensor has no attribute {name!r}; x.numpy() is an array of NumPy's")


def ufunc(function: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What a universal function of NumPy's does with an array among its inputs.

    Args:
        function: the ufunc.
        method: "__call__", "reduce" and so on.
        inputs: its inputs.
        options: its keyword arguments.
    """
    if any(isinstance(x, RefBase) for x in inputs):
        return numpy_calls.ufunc(function, method, inputs, options)
    out = options.get("out") or ()
    if any(isinstance(x, AnyTensor) for x in out):
        raise OptionError(f"np.{function.__name__}: values of an AnyTensor never change, got one as out")
    known = numpy_calls.is_op(function, method) and not (options.keys() - {"axis", "keepdims"})
    dtype = _float_dtype(inputs)
    if known and (numpy_calls.is_inexact(function) or (dtype is not None and not numpy_calls.is_of_integers(function))):
        return _by_ops(lambda *args, **named: numpy_calls.ufunc(function, method, args, named), inputs, options, dtype)
    plainly = function in _SYMBOLS or numpy_calls.is_question(function) or (method == "at" and isinstance(inputs[0], np.ndarray))
    if not (numpy_calls.is_op(function, method) or plainly or out):
        raise numpy_calls.unsupported(function, method, next(x for x in inputs if isinstance(x, AnyTensor)))
    call = function if method == "__call__" else getattr(function, method)
    result = _by_numpy(f"np.{function.__name__}", call, inputs, options, None)
    return _array(result) if known else result


def function(called: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What another function of NumPy's does with an array among its arguments.

    Args:
        called: the function.
        args: its arguments.
        options: its keyword arguments.
    """
    if any(isinstance(x, RefBase) for x in _flat((*args, *options.values()))):
        return numpy_calls.function(called, args, options)
    known = called in numpy_calls.FUNCTIONS and called not in _MAKERS
    # A condition and what is padded with have no part in the dtype.
    operands = args[1:] if called is np.where else args[:1] if called is np.pad else args
    dtype = _float_dtype((*operands, *(v for k, v in options.items() if k != "constant_values")))
    if known and dtype is not None:
        return _by_ops(numpy_calls.FUNCTIONS[called], args, options, dtype)
    if not (known or called in _MAKERS or called.__name__ in _OF_NUMPY or numpy_calls.is_question(called)):
        raise numpy_calls.unsupported(called, "", next(x for x in _flat((*args, *options.values())) if isinstance(x, AnyTensor)))
    result = _by_numpy(f"np.{called.__name__}", called, args, options, None)
    return _array(result) if known else result


install_operators(operate, attribute, ufunc, function)
