"""NumPy's functions of references: `np.sin(x)`, `np.sum(x, axis=0)`, `np.concatenate([x, y])` record the op that they name."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor
from tlean._core.refs import RefBase
from tlean.dtypes import INTEGERS
from tlean.errors import DTypeError, IndexRangeError, OptionError, ShapeError, TleanError
from tlean.indexing.key import value_now
from tlean.ops import all_ops, composites
from tlean.ops.registry import aliases

from . import methods, numpy_functions, numpy_parts, numpy_series, numpy_statistics
from .methods import METHODS, refuse
from .numpy_functions import UFUNCS, lifted, newer, newer_linalg, ops_of, references

#: NumPy's functions of one array that are an op.
_UNARY = {np.reciprocal: "inv", np.absolute: "abs", np.fabs: "abs", np.negative: "neg", np.rint: "round"}
_UNARY |= {getattr(np, name): name for name in ("exp", "expm1", "log", "log1p", "sqrt", "square", "sin", "cos", "tanh", "sign")}
_UNARY |= {getattr(np, name): name for name in ("isnan", "isinf", "isfinite", "logical_not")}
_UNARY |= {getattr(np, name): name for name in ("floor", "ceil", "trunc", "tan", "sinh", "cosh", "exp2", "log2", "log10", "cbrt")}
_UNARY |= {getattr(np, f"arc{name}"): f"a{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}
#: Of these, the ones that leave whole numbers whole.
_WHOLE = {np.absolute, np.negative, np.sign, np.square, np.floor, np.ceil, np.trunc}
#: Those that are an operator.
_OPERATORS: dict[Any, str] = {
    np.add: "add",
    np.subtract: "sub",
    np.multiply: "mul",
    np.divide: "truediv",
    np.power: "pow",
    np.matmul: "matmul",
}
_OPERATORS |= {np.bitwise_and: "and", np.bitwise_or: "or", np.bitwise_xor: "xor"}
#: Comparisons: the operator, and the one with the sides exchanged.
_COMPARISONS = {np.greater: ("gt", "lt"), np.greater_equal: ("ge", "le"), np.less: ("lt", "gt"), np.less_equal: ("le", "ge")}
_COMPARISONS |= {np.equal: ("eq", "eq"), np.not_equal: ("ne", "ne")}
_PAIRS = {np.maximum: "max", np.minimum: "min", np.arctan2: "atan2", np.float_power: "power"}
_PAIRS |= {getattr(np, name): name for name in ("hypot", "logaddexp", "fmod", "remainder", "floor_divide", "copysign", "gcd", "lcm")}
#: Operators that are ops of integers alone.
_OF_INTEGERS: dict[Any, str] = {np.left_shift: "lshift", np.right_shift: "rshift"}
_OPERATORS |= _OF_INTEGERS
_LOGIC = {np.logical_and: "logical_and", np.logical_or: "logical_or", np.logical_xor: "logical_xor"}
_REDUCED: dict[Any, str] = {
    (np.add, "reduce"): "sum",
    (np.maximum, "reduce"): "max",
    (np.minimum, "reduce"): "min",
    (np.add, "accumulate"): "cumsum",
}
_REDUCED |= {(np.logical_or, "reduce"): "any", (np.logical_and, "reduce"): "all"}
_REDUCED |= {(np.multiply, "reduce"): "prod", (np.multiply, "accumulate"): "cumprod", (np.maximum, "accumulate"): "cummax"}
_REDUCED[np.minimum, "accumulate"] = "cummin"
_REDUCED |= {(np.logaddexp, "accumulate"): "cumlogsumexp"}
#: Questions about values, which have no gradient: answered by NumPy where there are values.
_QUESTIONS: set[Any] = {np.allclose, np.array_equal, np.array_equiv}
_QUESTIONS |= {np.array2string, np.array_str, np.array_repr, np.save, np.savetxt, np.savez, np.can_cast, np.shares_memory}
_QUESTIONS |= {np.may_share_memory, np.argwhere, np.nonzero, np.flatnonzero}
_QUESTIONS |= {np.histogram, np.unique, np.copyto, np.bincount, np.argpartition}
_QUESTIONS |= {
    np.unravel_index,
    np.intersect1d,
    np.union1d,
    np.setdiff1d,
    np.iscomplex,
    np.isreal,
    np.histogram_bin_edges,
    np.ravel_multi_index,
}
#: The functions of `np.fft` that `tl.fft` has, by name: to look at the module would import it.
_TRANSFORMS = (
    "fft", "ifft", "rfft", "irfft", "rfftn", "irfftn", "rfft2", "irfft2", "fft2", "ifft2", "fftn", "ifftn",
    "fftshift", "ifftshift", "fftfreq", "rfftfreq",
)  # fmt: skip
#: What to write for a function that no op is.
_INSTEAD = {
    "fill_diagonal": "x.at[i, i].set(v) with i = np.arange(n)",
    "put": "x.at[i].set(v)",
    "put_along_axis": "ops.put_along_axis, which returns the changed array",
    "place": "where(mask, v, x)",
    "putmask": "where(mask, v, x)",
    "copyto": "where(mask, v, x)",
    **{name: f"tl.fft.{name}" for name in _TRANSFORMS},
}

#: Every op's name.
OPS = frozenset({*(r.name for r in all_ops(internal=False)), *aliases(), *composites()})


def is_op(function: Any, method: str) -> bool:
    """Whether a universal function is an op of a program."""
    if method not in ("__call__", "outer"):
        return (function, "reduce" if method == "reduceat" else method) in _REDUCED
    if method == "outer" and function.nin != 2:
        return False
    return any(
        function in known
        for known in (_UNARY, _OPERATORS, _COMPARISONS, _PAIRS, _LOGIC, UFUNCS, numpy_parts.UFUNCS, {np.positive, np.invert})
    )


def is_inexact(function: Any) -> bool:
    """Whether a function that is an op has floats for integers."""
    return (
        function is np.divide
        or (function in _UNARY and function not in _WHOLE)
        or function in numpy_functions.INEXACT | numpy_parts.INEXACT
    )


def is_of_integers(function: Any) -> bool:
    """Whether a function that is an op takes integers alone."""
    return function in _OF_INTEGERS or function in (np.invert, np.gcd, np.lcm)


def is_question(function: Any) -> bool:
    """Whether NumPy answers a function where there are values: a comparison, or a question that has no gradient."""
    return function in _QUESTIONS or function in _COMPARISONS


def unsupported(function: Any, method: str, x: Any) -> DTypeError:
    """The error of a function of NumPy's that no op is, which says what to use.

    Args:
        function: of NumPy's.
        method: of a universal function, such as "outer"; "" for none.
        x: the array or reference that it was called with.
    """
    name = function.__name__
    hint = _INSTEAD.get(name)
    whole = f"{getattr(function, '__module__', None) or 'numpy'}.{name}".replace("numpy.", "np.", 1)
    whole += f".{method}" if method not in ("", "__call__") else ""
    if hint is None:
        has_value = not isinstance(x, RefBase) or hasattr(type(x), "value")
        hint = "the ops that there are, tl.Ops" + (f", or {whole}(x.numpy()) for the value alone" if has_value else "")
    shown = repr(x) if isinstance(x, RefBase) else f"an array of shape {tuple(x.shape)} {x.dtype}"
    return DTypeError(f"{whole}: the function must be an op of the program, got {shown}; use {hint}")


def _values(values: Any) -> Any:
    return type(values)(np.asarray(x) if isinstance(x, RefBase) else _values(x) if isinstance(x, list | tuple) else x for x in values)


def _answer(question: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    # NumPy's own, with its errors as those of the library.
    try:
        return question(*_values(args), **options)
    except TleanError:
        raise
    except (TypeError, IndexError, ValueError) as error:
        kind = DTypeError if isinstance(error, TypeError) else IndexRangeError if isinstance(error, IndexError) else ShapeError
        raise kind(f"np.{question.__name__}: {error}") from None


def ufunc(function: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What a universal function of NumPy's does with references among its inputs.

    Args:
        function: the ufunc.
        method: "__call__", "reduce" and so on.
        inputs: its inputs.
        options: its keyword arguments.

    Raises: DTypeError, a TypeError, that names what to use where no op is this function.
    """
    name = function.__name__
    refs = list(references((*inputs, *(options.get("out") or ()), options.get("where"))))
    if options.get("out") is not None:
        raise OptionError(
            f"np.{name}: out must be left out: a program writes to no array, so a = a + x instead of a += x, got out with {refs[0]!r}"
        )
    if (function, method) in _REDUCED:
        op = _REDUCED[function, method]
        if isinstance(inputs[0], np.ndarray | AnyTensor):
            # Of an array of NumPy's alone the condition is a reference.
            inputs = (ops_of(options.values())._own_constant(inputs[0]), *inputs[1:])
        return METHODS.get(op, partial(_running, op))(*inputs, **{"axis": 0, **options})
    if method == "outer" and is_op(function, method):
        refuse(f"np.{name}.outer", options)
        return numpy_functions.outer(function, *inputs)
    if method == "reduceat" and is_op(function, method):
        return numpy_parts.reduced_at(function, lifted(refs[0].ops, inputs[0]), *inputs[1:], **options)
    if method != "__call__":
        raise unsupported(function, method, refs[0])
    if function in _QUESTIONS:
        return _answer(function, inputs, options)
    # NumPy's other options are how it computes: types and casts, of which a program has its own rules.
    refuse(f"np.{name}", {k: v for k, v in options.items() if k not in ("casting", "subok")})
    if function is np.positive:
        return refs[0]
    if function is np.invert:
        return ~refs[0]  # type: ignore[operator]
    if function in _UNARY:
        return getattr(refs[0].ops, _UNARY[function])(refs[0])
    if function in _LOGIC:
        return getattr(refs[0].ops, _LOGIC[function])(*inputs)
    if function in _OPERATORS:
        operator = _OPERATORS[function]
        a, b = inputs
        return getattr(type(a), f"__{operator}__")(a, b) if isinstance(a, RefBase) else getattr(type(b), f"__r{operator}__")(b, a)
    if function in _COMPARISONS:
        a, b = inputs
        here, exchanged = (f"__{name}__" for name in _COMPARISONS[function])
        return getattr(type(a), here)(a, b) if isinstance(a, RefBase) else getattr(type(b), exchanged)(b, a)
    if function in _PAIRS:
        a, b = (methods.like(refs[0], x) for x in inputs)
        if function is np.float_power and a.dtype in INTEGERS:
            a = ops_of((a, b)).scale(a, 1.0)
        return getattr(refs[0].ops, _PAIRS[function])(a, b)
    known = UFUNCS.get(function) or numpy_parts.UFUNCS.get(function)
    if known is not None:
        return known(*inputs)
    raise unsupported(function, method, refs[0])


def function(called: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What another function of NumPy's does with references among its arguments.

    Args:
        called: the function.
        args: its arguments.
        options: its keyword arguments.

    Raises: DTypeError, a TypeError, that names what to use where no op is this function.
    """
    known = FUNCTIONS.get(called)
    if known is not None:
        if args and isinstance(args[0], np.ndarray | AnyTensor):
            # What the ops are asked for is a reference.
            ops = ops_of((*args[1:], *options.values()))
            args = (ops._own_constant(args[0]), *args[1:])
        return known(*args, **options)
    x = next(references((*args, *options.values())))
    if called is np.copyto and args and isinstance(args[0], RefBase):
        raise unsupported(called, "", x)
    if called in numpy_parts.RECORDED and any(value_now(r) is None for r in references((*args, *options.values()))):
        return numpy_parts.RECORDED[called](*args, **options)
    if called in _QUESTIONS:
        return _answer(called, args, dict(zip(options, _values(tuple(options.values())), strict=True)))
    raise unsupported(called, "", x)


def _of_matrices(name: str, count: int = 1) -> Callable[..., Any]:
    # A function of NumPy's matrices that is the op of its name, of so many arguments.
    def run(*args: Any, **options: Any) -> Any:
        if options or len(args) > count:
            raise OptionError(f"np.linalg.{name}: options must be left out, got {[*args[count:], *options]}; see tl.linalg.{name}")
        return getattr(ops_of(args), f"linalg_{name}")(*args)

    return run


def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if not compute_uv:
        return a.ops.linalg_svdvals(a)
    if full_matrices and a.shape[-1] != a.shape[-2]:
        raise OptionError(f"np.linalg.svd: full_matrices must be False where a is not square, got shape {tuple(a.shape)}")
    return a.ops.linalg_svd(a)


# Functions that are ops, or made of them --------------------------------------------------------------------------------


def _running(op: str, x: Any, axis: Any, **unused: Any) -> Any:
    # An op along an axis that is no method of NumPy's arrays.
    refuse(f"np.{op}", unused)
    return getattr(x.ops, op)(x, axis)


def _of_axes(name: str) -> Callable[..., Any]:
    # NumPy's function of a method: its second argument is the axis, and the positional ones after it are never given.
    method = METHODS[name]

    def run(a: Any, axis: Any = None, *, keepdims: Any = False, **options: Any) -> Any:
        options.update({"keepdims": True} if keepdims is True else {})
        return method(a, **{"axis": axis, **options})

    return run


def _concatenate(arrays: Any, axis: Any = 0, **unused: Any) -> Any:
    refuse("np.concatenate", {k: v for k, v in unused.items() if k != "casting"})
    ops = ops_of(arrays)
    return ops.concat([ops.flatten(x) for x in arrays], 0) if axis is None else ops.concat(list(arrays), axis)


def _stack(arrays: Any, axis: int = 0, **unused: Any) -> Any:
    refuse("np.stack", {k: v for k, v in unused.items() if k != "casting"})
    return ops_of(arrays).stack(list(arrays), axis)


def _named(op: str, **names: str) -> Callable[..., Any]:
    # NumPy's function that is an op, with its names of arguments as the op has them.
    def run(*args: Any, **options: Any) -> Any:
        refuse(f"np.{op}", {k: options.pop(k) for k in ("out", "dtype") if k in options})
        options = {names.get(k, k): v for k, v in options.items()}
        return getattr(ops_of((*args, *options.values())), op)(*args, **options)

    return run


def _meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    return ops_of(xi).meshgrid(*xi, indexing=indexing, sparse=sparse)


def _inner(a: Any, b: Any) -> Any:
    return methods.dot_along(a, b, -1)


def _at_least(x: Any, ndim: int) -> Any:
    shape = methods.shape_of(x)
    return methods.reshape(x, (1,) * (ndim - len(shape)) + shape) if isinstance(x, RefBase) and len(shape) < ndim else x


def _vstack(tup: Any, **unused: Any) -> Any:
    return _concatenate([_at_least(x, 2) if isinstance(x, RefBase) else np.atleast_2d(x) for x in tup], 0, **unused)


def _hstack(tup: Any, **unused: Any) -> Any:
    xs = [_at_least(x, 1) if isinstance(x, RefBase) else np.atleast_1d(x) for x in tup]
    return _concatenate(xs, 0 if len(methods.shape_of(xs[0])) == 1 else 1, **unused)


def _einsum(subscripts: Any, *operands: Any, **unused: Any) -> Any:
    refuse("np.einsum", {k: v for k, v in unused.items() if k != "optimize"})
    return ops_of(operands).einsum(subscripts, *operands)


def _where(condition: Any, *branches: Any) -> Any:
    if not branches:
        return np.nonzero(condition)
    if len(branches) != 2:
        raise OptionError(f"np.where: a condition and two arrays are needed, got {1 + len(branches)} arguments")
    x = next(references((condition, *branches)))
    like = next((b for b in branches if isinstance(b, RefBase)), x)
    return x.ops.where(condition, *(methods.beside(like, b) for b in branches))


def _isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    x = next(references((a, b)))
    return x.ops.isclose(methods.beside(x, a), methods.beside(x, b), rtol, atol, equal_nan)


def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue) -> Any:
    ends = (None if e is np._NoValue else e for e in (prepend, append))
    return ops_of((a, prepend, append)).diff(a, n, axis, *ends)


def _pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: float = 0.0) -> Any:
    widths = np.broadcast_to(np.asarray(pad_width), (len(array.shape), 2)).tolist()
    if mode in ("reflect", "symmetric", "edge", "wrap"):
        return array.ops.pad_by(array, widths, mode)
    if mode != "constant" or not isinstance(constant_values, int | float | np.number):
        raise OptionError(f"np.pad: mode must be that of pad_by, or 'constant' with one plain number, got {mode!r} and {constant_values!r}")
    return array.ops.pad(array, widths, float(constant_values))


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    # Of a matrix, an order names a norm of the matrix.
    matrix = len(x.shape) == 2 if axis is None else isinstance(axis, tuple) and len(axis) == 2
    if matrix and len(x.shape) == 2 and ord not in (None, "fro") and axis in (None, (0, 1), (-2, -1)):
        norm = x.ops.linalg_matrix_norm(x, ord)
        return x.ops.reshape(norm, (1, 1)) if keepdims else norm
    if ord is not None and (matrix or (axis is None and len(x.shape) != 1)) and not (matrix and ord == "fro"):
        raise OptionError(f"np.linalg.norm: the norm must be one of a vector or of one matrix, got ord={ord!r}, axis={axis!r}")
    return x.ops.norm(x, 2 if ord is None else ord, axis, bool(keepdims))


def _sort(name: str) -> Callable[..., Any]:
    def run(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
        # Every kind and every answer to `stable` is met by a stable sort.
        refuse(f"np.{name}", {"order": order})
        return getattr(a.ops, name)(a, axis)

    return run


def _searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    if sorter is not None:
        raise OptionError(f"np.searchsorted: sorter must be left at its default, got {sorter!r}; see take")
    return ops_of((a, v)).searchsorted(a, v, side)


def _quantile(scale: float) -> Callable[..., Any]:
    def run(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: Any = False,
        **unused: Any,
    ) -> Any:
        refuse("np.quantile", {"out": out, **{k: v for k, v in unused.items() if k != "weights" or v is not None}})
        return a.ops.quantile(a, np.asarray(q, np.float64) / scale, axis, keepdims is True, method)

    return run


def _median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    refuse("np.median", {"out": out})
    return a.ops.median(a, axis, keepdims is True)


def _zeros_like(a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, **unused: Any) -> Any:
    return _full_like(a, 0, dtype, order, subok, shape, **unused)


def _ones_like(a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, **unused: Any) -> Any:
    return _full_like(a, 1, dtype, order, subok, shape, **unused)


def _full_like(a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, **unused: Any) -> Any:
    refuse("np.full_like", {"order": order, **unused})
    return a.ops.full_like(a, fill_value, dtype, shape)


def _take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    refuse("np.take", {"out": out})
    return a.ops.take(a, indices, axis, mode)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **numpy_functions.FUNCTIONS,
    **numpy_parts.FUNCTIONS,
    **numpy_series.FUNCTIONS,
    **numpy_statistics.FUNCTIONS,
    **{getattr(np, n): _of_axes(n) for n in ("sum", "mean", "prod", "max", "min", "var", "std", "argmax", "argmin", "cumsum", "cumprod")},
    **{getattr(np, n): _of_axes(n) for n in ("any", "all")},
    np.isclose: _isclose,
    **{getattr(np, n): _sort(n) for n in ("sort", "argsort")},
    np.searchsorted: _searchsorted,
    np.median: _median,
    np.quantile: _quantile(1.0),
    np.percentile: _quantile(100.0),
    np.amax: _of_axes("max"),
    np.amin: _of_axes("min"),
    **{getattr(newer, n): METHODS[n] for n in ("transpose", "ravel", "clip", "copy", "dot", "astype")},
    np.reshape: lambda a, shape=None, order="C", **options: methods.reshape(a, shape, order=order, **options),
    newer.matrix_transpose: lambda x: x.mT,
    newer.permute_dims: METHODS["transpose"],
    **{getattr(np, n): _named(n, a="x") for n in ("expand_dims", "squeeze", "moveaxis", "swapaxes", "repeat", "roll", "diagonal", "trace")},
    **{getattr(np, n): _named(n, m="x") for n in ("flip", "tril", "triu")},
    **{getattr(np, n): _named(n) for n in ("outer", "kron", "tensordot")},
    np.tile: _named("tile", A="x"),
    np.diag: _named("diag", v="x"),
    np.split: _named("split", ary="x", indices_or_sections="parts"),
    np.meshgrid: _meshgrid,
    np.fliplr: lambda m: ops_of((m,)).flip(m, 1),
    np.flipud: lambda m: ops_of((m,)).flip(m, 0),
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.vstack: _vstack,
    np.hstack: _hstack,
    np.einsum: _einsum,
    np.where: _where,
    np.inner: _inner,
    np.diff: _diff,
    np.round: METHODS["round"],
    np.around: METHODS["round"],
    np.fix: lambda x, out=None: x.ops.trunc(x),
    np.pad: _pad,
    np.broadcast_to: lambda array, shape, subok=False: array.ops.broadcast_to(array, shape),
    np.linalg.norm: _norm,
    np.linalg.svd: _svd,
    **{getattr(np.linalg, n): _of_matrices(n) for n in ("cholesky", "det", "eigh", "eigvalsh", "inv", "pinv", "qr", "slogdet")},
    newer_linalg.svdvals: _of_matrices("svdvals"),
    **{getattr(np.linalg, n): _of_matrices(n, 2) for n in ("cond", "solve")},
    np.full_like: _full_like,
    np.zeros_like: _zeros_like,
    np.ones_like: _ones_like,
    np.take: _take,
    np.atleast_1d: lambda *xs: _at_least(xs[0], 1) if len(xs) == 1 else tuple(_at_least(x, 1) for x in xs),
    np.atleast_2d: lambda *xs: _at_least(xs[0], 2) if len(xs) == 1 else tuple(_at_least(x, 2) for x in xs),
    np.shape: lambda a: tuple(a.shape),
    np.ndim: lambda a: len(a.shape),
    np.size: lambda a, axis=None: math.prod(a.shape) if axis is None else a.shape[axis],
    np.vdot: lambda a, b: _inner(*(methods.ravel(x) if isinstance(x, RefBase) else np.ravel(x) for x in (a, b))),
}
