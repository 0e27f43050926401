"""Calls of every function of the array API standard, for its own arrays and for NumPy's: what `tests/arrays/test_array_api.py` compares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

#: A function's name, a call of it in a namespace, and NumPy's if that is another one.
Case = tuple[str, Callable[[Any, "Data"], Any], Callable[[Any, "Data"], Any] | None]
CASES: list[Case] = []
#: Functions of every float.
_FLOATS = ("abs", "ceil", "conj", "cos", "cosh", "exp", "expm1", "floor", "isfinite", "isinf", "isnan", "negative", "positive", "round")
_FLOATS += ("sign", "signbit", "sin", "sinh", "square", "tanh", "trunc", "asinh", "atan", "tan")


class Data:
    """Drawn arrays of every dtype, as `wrap` makes them of NumPy's."""

    def __init__(self, seed: int, wrap: Callable[[np.ndarray], Any]) -> None:
        rng = np.random.default_rng(seed)
        n, m, k = (int(v) for v in rng.integers(1, 5, 3))
        for dtype, letter in (("float32", "f"), ("float64", "d"), ("int32", "i"), ("int64", "l"), ("bool", "b")):
            for name, shape in (("", (n, m)), ("2", (n, m)), ("row", (m,)), ("column", (n, 1)), ("mk", (m, k)), ("cube", (2, n, m))):
                x = rng.normal(size=shape) * 2 if letter in "fd" else rng.integers(-4, 5, shape)
                setattr(self, letter + name, wrap((x > 0) if letter == "b" else x.astype(dtype)))
        self.line = wrap(rng.integers(-2, 3, 9).astype("float64"))
        self.order = wrap(np.sort(rng.normal(size=7)))
        self.places = wrap(rng.integers(0, m, 3))
        self.along = wrap(np.stack([rng.permutation(m) for _ in range(n)]))
        self.special = wrap(np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.5, 0.5]))
        self.shape, self.three = (n, m), wrap(rng.normal(size=(n, 3)))


def _definite(xp: Any, d: Data) -> Any:
    return xp.matmul(d.d, xp.matrix_transpose(d.d)) + xp.eye(d.shape[0], dtype=xp.float64)


def _listed(result: Any) -> Any:
    return result if isinstance(result, tuple) else [result]


def case(name: str, call: Callable[[Any, Data], Any], numpy: Callable[[Any, Data], Any] | None = None) -> None:
    """Add a case."""
    CASES.append((name, call, numpy))


def _of(xp: Any, space: str) -> Any:
    return getattr(xp, space) if space else xp


def _unary_cases() -> None:
    for name in _FLOATS:
        case(name, lambda xp, d, f=name: [getattr(xp, f)(x) for x in (d.f, d.d, d.special)])
    for name in ("log", "log2", "log10", "sqrt", "reciprocal"):
        case(name, lambda xp, d, f=name: [getattr(xp, f)(xp.abs(x)) for x in (d.f, d.d, d.special)])
    for name, shift in (("acosh", 1.0), ("log1p", 0.0)):
        case(name, lambda xp, d, f=name, c=shift: getattr(xp, f)(xp.abs(d.d) + c))
    for name in ("acos", "asin", "atanh"):
        case(name, lambda xp, d, f=name: getattr(xp, f)(xp.tanh(d.d)))
    for name in (
        "abs",
        "ceil",
        "floor",
        "negative",
        "positive",
        "round",
        "sign",
        "square",
        "trunc",
        "isnan",
        "isfinite",
        "isinf",
        "bitwise_invert",
    ):
        case(name, lambda xp, d, f=name: [getattr(xp, f)(x) for x in (d.i, d.l)])
    case("bitwise_invert", lambda xp, d: xp.bitwise_invert(d.b))
    case("logical_not", lambda xp, d: xp.logical_not(d.b))
    case("real", lambda xp, d: xp.real(d.d))
    case("imag", lambda xp, d: xp.imag(d.d))


def _binary_cases() -> None:
    for name in (
        "add",
        "subtract",
        "multiply",
        "maximum",
        "minimum",
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
    ):
        case(
            name,
            lambda xp, d, f=name: [
                getattr(xp, f)(a, b) for a, b in ((d.f, d.frow), (d.dcolumn, d.d), (d.f, d.d2), (d.i, d.l2), (d.i, d.irow))
            ],
        )
        case(
            name, lambda xp, d, f=name: [getattr(xp, f)(d.f, 2), getattr(xp, f)(d.d, 0.3), getattr(xp, f)(3, d.i), getattr(xp, f)(-1, d.l)]
        )
    for name in ("divide", "atan2", "copysign", "hypot", "logaddexp"):
        case(
            name,
            lambda xp, d, f=name: (
                [getattr(xp, f)(a, b) for a, b in ((d.f, d.frow), (d.dcolumn, d.d), (d.f, d.d2))] + [getattr(xp, f)(d.f, 2.0)]
            ),
        )
    for name in ("floor_divide", "remainder"):
        case(
            name,
            lambda xp, d, f=name: [
                getattr(xp, f)(d.d, d.d2),
                getattr(xp, f)(d.f, 0.75),
                getattr(xp, f)(d.l, xp.abs(d.l2) + 1),
                getattr(xp, f)(d.i, -3),
            ],
        )
    case("pow", lambda xp, d: [xp.pow(xp.abs(d.d), d.d2), xp.pow(d.f, 2), xp.pow(d.i, 3), xp.pow(2.0, d.d)])
    case("pow", lambda xp, d: [xp.pow(d.l, xp.abs(d.l2)), xp.pow(d.i, xp.abs(d.i2)), xp.pow(2, xp.abs(d.l))])
    case("nextafter", lambda xp, d: [xp.nextafter(d.f, d.f2), xp.nextafter(d.special, 1.0)])
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        case(
            name,
            lambda xp, d, f=name: [getattr(xp, f)(a, b) for a, b in ((d.i, d.irow), (d.l, d.i2), (d.b, d.b2))] + [getattr(xp, f)(d.l, 5)],
        )
    for name in ("bitwise_left_shift", "bitwise_right_shift"):
        case(name, lambda xp, d, f=name: [getattr(xp, f)(d.i, xp.abs(d.i2)), getattr(xp, f)(d.l, 2)])
    for name in ("logical_and", "logical_or", "logical_xor"):
        case(name, lambda xp, d, f=name: [getattr(xp, f)(d.b, d.brow), getattr(xp, f)(d.b, True)])
    case(
        "clip",
        lambda xp, d: [
            xp.clip(d.f, -1.0, 1),
            xp.clip(d.i, 0, None),
            xp.clip(d.d, d.dcolumn, None),
            xp.clip(d.l, None, 2),
            xp.clip(d.special, 0, 1),
        ],
    )


def _creation_cases() -> None:
    case("arange", lambda xp, d: [xp.arange(5), xp.arange(1, 9, 3), xp.arange(0, 1, 0.3, dtype=xp.float64), xp.arange(4, dtype=xp.int32)])
    case("linspace", lambda xp, d: [xp.linspace(0, 1, 5, dtype=xp.float64), xp.linspace(1, 3, 4, dtype=xp.float32, endpoint=False)])
    case("eye", lambda xp, d: [xp.eye(3, dtype=xp.float64), xp.eye(2, 4, k=1, dtype=xp.int64), xp.eye(3, 2, k=-1, dtype=xp.bool)])
    case("zeros", lambda xp, d: [xp.zeros((2, 3), dtype=xp.float32), xp.zeros(3, dtype=xp.int32)])
    case("ones", lambda xp, d: [xp.ones((2, 3), dtype=xp.float64), xp.ones((), dtype=xp.bool)])
    case("empty", lambda xp, d: xp.empty((2, 3), dtype=xp.float32) * 0)
    case("empty_like", lambda xp, d: xp.isfinite(xp.empty_like(d.i)))
    case("full", lambda xp, d: [xp.full((2,), 3), xp.full((2, 1), True), xp.full(2, 0.5, dtype=xp.float64)])
    case("zeros_like", lambda xp, d: [xp.zeros_like(x) for x in (d.f, d.i, d.b)])
    case("ones_like", lambda xp, d: [xp.ones_like(x) for x in (d.d, d.l)] + [xp.ones_like(d.d, dtype=xp.int32)])
    case("full_like", lambda xp, d: [xp.full_like(d.f, 2), xp.full_like(d.l, 2, dtype=xp.float64)])
    case("meshgrid", lambda xp, d: xp.meshgrid(d.frow, d.frow) + xp.meshgrid(d.irow, d.irow, indexing="ij"))
    case("tril", lambda xp, d: [xp.tril(d.d), xp.tril(d.icube, k=1)])
    case("triu", lambda xp, d: [xp.triu(d.d), xp.triu(d.b, k=-1)])
    case(
        "asarray",
        lambda xp, d: [
            xp.asarray([1, 2]),
            xp.asarray([[True], [False]]),
            xp.asarray(d.f),
            xp.asarray(d.i, dtype=xp.float64),
            xp.asarray(3),
        ],
    )
    case("asarray", lambda xp, d: xp.asarray(1.5, dtype=xp.float64))
    case(
        "astype",
        lambda xp, d: [
            xp.astype(d.f, xp.float64),
            xp.astype(d.d, xp.int64),
            xp.astype(d.b, xp.float32),
            xp.astype(d.l, xp.bool),
            xp.astype(d.l, xp.int32),
        ],
    )
    case("broadcast_arrays", lambda xp, d: list(xp.broadcast_arrays(d.frow, d.icolumn)))
    case("broadcast_to", lambda xp, d: [xp.broadcast_to(d.brow, d.shape), xp.broadcast_to(d.dcolumn, d.shape)])
    pairs = [(a, b) for a in ("bool", "int32", "int64", "float32", "float64") for b in ("bool", "int32", "int64", "float32", "float64")]
    case(
        "can_cast",
        lambda xp, d: [
            xp.can_cast(getattr(xp, a), getattr(xp, b))
            for a, b in pairs
            if a not in ("bool", "int32", "int64") or not b.startswith("float")
        ],
        lambda xp, d: [
            np.can_cast(getattr(np, a), getattr(np, b)) and not (a == "bool" and b != "bool")
            for a, b in pairs
            if a not in ("bool", "int32", "int64") or not b.startswith("float")
        ],
    )
    case(
        "result_type",
        lambda xp, d: [str(xp.result_type(getattr(xp, a), getattr(xp, b))) for a, b in pairs if (a[0] == "f") == (b[0] == "f")],
    )
    case("result_type", lambda xp, d: [str(xp.result_type(d.f, 1.5)), str(xp.result_type(d.i, 1)), str(xp.result_type(d.i, d.l))])
    kinds = ("bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric")
    case(
        "isdtype",
        lambda xp, d: (
            [xp.isdtype(getattr(xp, a), k) for a, _ in pairs[::5] for k in kinds] + [xp.isdtype(xp.float32, (xp.float32, "integral"))]
        ),
    )
    case(
        "finfo",
        lambda xp, d: [
            float(getattr(xp.finfo(t), k)) for t in (xp.float32, xp.float64) for k in ("bits", "eps", "max", "min", "smallest_normal")
        ],
    )
    case("iinfo", lambda xp, d: [int(getattr(xp.iinfo(t), k)) for t in (xp.int32, xp.int64) for k in ("bits", "max", "min")])
    for name in ("int32", "int64", "float32", "float64", "bool"):
        case(name, lambda xp, d, t=name: xp.asarray([0, 1], dtype=getattr(xp, t)))
    for name in ("e", "pi", "inf", "nan"):
        case(name, lambda xp, d, c=name: getattr(xp, c) * xp.ones(2, dtype=xp.float64))
    case("newaxis", lambda xp, d: d.d[:, xp.newaxis, :])
    case("from_dlpack", lambda xp, d: xp.from_dlpack(np.arange(3.0)))


def _arrangement_cases() -> None:
    case(
        "concat",
        lambda xp, d: [
            xp.concat([d.f, d.f2], axis=1),
            xp.concat([d.i, d.l], axis=0),
            xp.concat((d.b, d.b2), axis=None),
            xp.concat([d.f, d.d]),
        ],
    )
    case("expand_dims", lambda xp, d: [xp.expand_dims(d.f, axis=0), xp.expand_dims(d.i, axis=-1), xp.expand_dims(d.b, axis=1)])
    case("flip", lambda xp, d: [xp.flip(d.f), xp.flip(d.l, axis=1), xp.flip(d.bcube, axis=(0, -1))])
    case("moveaxis", lambda xp, d: [xp.moveaxis(d.dcube, 0, -1), xp.moveaxis(d.icube, (0, 1), (2, 0))])
    case("permute_dims", lambda xp, d: [xp.permute_dims(d.dcube, (2, 0, 1)), xp.permute_dims(d.b, (1, 0))])
    case("repeat", lambda xp, d: [xp.repeat(d.f, 2, axis=1), xp.repeat(d.i, 3), xp.repeat(d.dcube, np.array([2, 1]), axis=0)])
    case("reshape", lambda xp, d: [xp.reshape(d.f, (-1,)), xp.reshape(d.bcube, (d.shape[0], 2, -1))])
    case("roll", lambda xp, d: [xp.roll(d.f, 1), xp.roll(d.l, (1, -1), axis=(0, 1)), xp.roll(d.b, 2, axis=0)])
    case("squeeze", lambda xp, d: [xp.squeeze(d.fcolumn, axis=1), xp.squeeze(xp.expand_dims(d.i, axis=0), axis=(0,))])
    case("stack", lambda xp, d: [xp.stack([d.f, d.f2]), xp.stack((d.i, d.i2), axis=-1)])
    case("tile", lambda xp, d: [xp.tile(d.f, (2, 1)), xp.tile(d.i, (2, 1, 2))])
    case("unstack", lambda xp, d: list(xp.unstack(d.fcube)) + list(xp.unstack(d.b, axis=1)))
    case("take", lambda xp, d: [xp.take(d.f, d.places, axis=1), xp.take(d.irow, d.places), xp.take(d.bcube, d.places, axis=-1)])
    case(
        "take_along_axis",
        lambda xp, d: [xp.take_along_axis(d.d, d.along, axis=1), xp.take_along_axis(d.i, d.along)],
        lambda xp, d: [np.take_along_axis(x, d.along, axis=1) for x in (d.d, d.i)],
    )


def _reduction_cases() -> None:
    for name in ("max", "min", "argmax", "argmin"):
        case(name, lambda xp, d, f=name: [getattr(xp, f)(d.f), getattr(xp, f)(d.i, axis=1), getattr(xp, f)(d.d, axis=0, keepdims=True)])
    for name in ("sum", "prod", "mean", "std", "var"):
        case(
            name,
            lambda xp, d, f=name: [getattr(xp, f)(d.f), getattr(xp, f)(d.d, axis=1), getattr(xp, f)(d.dcube, axis=(0, 2), keepdims=True)],
        )
    for name in ("sum", "prod"):
        case(
            name,
            lambda xp, d, f=name: [
                getattr(xp, f)(d.i),
                getattr(xp, f)(d.l, axis=0),
                getattr(xp, f)(d.i, dtype=xp.float64, axis=1),
                getattr(xp, f)(d.f, dtype=xp.float64),
            ],
        )
    for name in ("std", "var"):
        case(name, lambda xp, d, f=name: getattr(xp, f)(d.dcube, axis=(0, 1), correction=1))
    for name in ("all", "any"):
        case(name, lambda xp, d, f=name: [getattr(xp, f)(d.b), getattr(xp, f)(d.b, axis=0), getattr(xp, f)(d.i, axis=1, keepdims=True)])
    case(
        "count_nonzero",
        lambda xp, d: [xp.count_nonzero(d.i, axis=1), xp.count_nonzero(d.b, axis=0, keepdims=True), xp.count_nonzero(d.line, axis=0)],
    )
    case("nonzero", lambda xp, d: list(xp.nonzero(d.i)) + list(xp.nonzero(d.b)))
    case(
        "cumulative_sum",
        lambda xp, d: [
            xp.cumulative_sum(d.line),
            xp.cumulative_sum(d.i, axis=1),
            xp.cumulative_sum(d.f, axis=0, include_initial=True),
            xp.cumulative_sum(d.i, axis=0, dtype=xp.float64),
        ],
    )
    case("cumulative_prod", lambda xp, d: [xp.cumulative_prod(d.line), xp.cumulative_prod(d.f, axis=0, include_initial=True)])
    case("cumulative_prod", lambda xp, d: [xp.cumulative_prod(d.i, axis=1), xp.cumulative_prod(d.l, axis=0, include_initial=True)])
    case("diff", lambda xp, d: [xp.diff(d.line), xp.diff(d.l, axis=0), xp.diff(d.line, n=2), xp.diff(d.d, axis=1, prepend=d.dcolumn)])
    case(
        "searchsorted",
        lambda xp, d: [
            xp.searchsorted(d.order, d.line),
            xp.searchsorted(d.order, d.d, side="right"),
            xp.searchsorted(d.line, d.line, sorter=xp.argsort(d.line)),
        ],
    )
    case("where", lambda xp, d: [xp.where(d.b, d.f, d.d), xp.where(d.brow, d.i, d.l), xp.where(d.b, d.f, 0.0), xp.where(d.b, 1, d.i)])
    case(
        "sort",
        lambda xp, d: [xp.sort(d.f), xp.sort(d.i, axis=0), xp.sort(d.line, descending=True)],
        lambda xp, d: [np.sort(d.f), np.sort(d.i, axis=0), np.sort(d.line)[::-1]],
    )
    case(
        "argsort",
        lambda xp, d: [xp.argsort(d.d), xp.argsort(d.line), xp.argsort(d.line, descending=True)],
        lambda xp, d: [np.argsort(d.d, stable=True), np.argsort(d.line, stable=True), np.argsort(-d.line, stable=True)],
    )
    case("unique_values", lambda xp, d: [xp.sort(xp.unique_values(x)) for x in (d.i, d.line, d.b)])
    for name in ("unique_all", "unique_counts", "unique_inverse"):
        case(name, lambda xp, d, f=name: [list(y) if isinstance(y, tuple) else y for y in [getattr(xp, f)(d.i), getattr(xp, f)(d.line)]])


def _product_cases() -> None:
    for space, name in (("", "matmul"), ("linalg", "matmul")):
        case(
            f"{space}.{name}".lstrip("."),
            lambda xp, d, s=space: [
                _of(xp, s).matmul(*p)
                for p in ((d.f, d.fmk), (d.dcube, d.dmk), (d.l, d.lmk), (d.i, d.irow), (d.irow, d.imk), (d.lcube, d.imk))
            ],
        )
    case("matrix_transpose", lambda xp, d: [xp.matrix_transpose(d.f), xp.linalg.matrix_transpose(d.icube)])
    case("vecdot", lambda xp, d: [xp.vecdot(d.f, d.frow), xp.vecdot(d.l, d.l2, axis=-1), xp.linalg.vecdot(d.d, d.d2)])
    case(
        "tensordot",
        lambda xp, d: [
            xp.tensordot(d.d, d.dmk, axes=1),
            xp.tensordot(d.f, d.f2),
            xp.tensordot(d.l, d.l2, axes=((0, 1), (0, 1))),
            xp.tensordot(d.i, d.imk, axes=1),
            xp.linalg.tensordot(d.d, d.d, axes=0),
        ],
    )
    case("linalg.cross", lambda xp, d: xp.linalg.cross(d.three, d.three[::-1]))
    case("linalg.diagonal", lambda xp, d: [xp.linalg.diagonal(d.fcube), xp.linalg.diagonal(d.i, offset=0)])
    case("linalg.trace", lambda xp, d: [xp.linalg.trace(d.dcube), xp.linalg.trace(d.l), xp.linalg.trace(d.f, dtype=xp.float64)])
    case("linalg.outer", lambda xp, d: [xp.linalg.outer(d.frow, d.frow), xp.linalg.outer(d.irow, d.lrow)])
    case(
        "linalg.matrix_norm",
        lambda xp, d: [
            xp.linalg.matrix_norm(d.dcube, ord=o, keepdims=k)
            for o in ("fro", "nuc", 2, -2, 1, -1, float("inf"), -float("inf"))
            for k in (False, True)
        ],
    )
    case(
        "linalg.vector_norm",
        lambda xp, d: [
            xp.linalg.vector_norm(d.d),
            xp.linalg.vector_norm(d.dcube, axis=(0, 2), ord=1),
            xp.linalg.vector_norm(d.f, axis=1, keepdims=True, ord=float("inf")),
        ],
    )
    for name in ("det", "inv", "slogdet", "eigvalsh", "svdvals", "pinv", "matrix_rank", "cholesky"):
        case(f"linalg.{name}", lambda xp, d, f=name: list(_listed(getattr(xp.linalg, f)(_definite(xp, d)))))
    case("linalg.cholesky", lambda xp, d: xp.linalg.cholesky(_definite(xp, d), upper=True))
    case("linalg.matrix_rank", lambda xp, d: [xp.linalg.matrix_rank(d.dcube), xp.linalg.matrix_rank(d.dcube, rtol=0.5)])
    case("linalg.pinv", lambda xp, d: [xp.linalg.pinv(d.d), xp.linalg.pinv(d.dcube, rtol=0.25)])
    case("linalg.solve", lambda xp, d: [xp.linalg.solve(_definite(xp, d), d.d), xp.linalg.solve(_definite(xp, d), d.d[:, 0])])
    case("linalg.matrix_power", lambda xp, d: xp.linalg.matrix_power(_definite(xp, d), -2))

    def parts(xp: Any, d: Data) -> list[Any]:
        # What is the same whatever the signs of vectors are.
        w, v = xp.linalg.eigh(_definite(xp, d))
        u, s, vh = xp.linalg.svd(d.dcube, full_matrices=False)
        q, r = xp.linalg.qr(d.dcube, mode="reduced")
        return [w, xp.matmul(v * w, xp.matrix_transpose(v)), s, xp.matmul(u * xp.expand_dims(s, axis=-2), vh), xp.matmul(q, r), xp.abs(r)]

    for name in ("eigh", "svd", "qr"):
        case(f"linalg.{name}", parts)
    case("linalg.matrix_power", lambda xp, d: [xp.linalg.matrix_power(xp.matmul(d.d, xp.matrix_transpose(d.d)), n) for n in (0, 1, 2, 5)])
    for name in ("matrix_transpose", "vecdot", "tensordot"):
        case(f"linalg.{name}", lambda xp, d, f=name: getattr(xp.linalg, f)(d.d) if f[0] == "m" else getattr(xp.linalg, f)(d.d, d.d2))


for _add in (_unary_cases, _binary_cases, _creation_cases, _arrangement_cases, _reduction_cases, _product_cases):
    _add()
