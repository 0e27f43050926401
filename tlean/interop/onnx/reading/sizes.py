"""What a file of a few bytes must not ask for: all memory there is, endless loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlean.errors import DataError

#: What reading a message that no checker would let pass may raise.
DAMAGE = (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
#: The elements of one array at most, and of what is computed while a program is recorded.
MOST = 1 << 34
_MOST_KNOWN = 1 << 28
_MOST_NODES = 1_000_000
_MOST_PARTS = 1 << 12


def require_size(kind: str, count: int, most: int = MOST) -> None:
    """Refuse an array that is too large. Raises: DataError.

    Args:
        kind: the operator that makes it.
        count: its elements.
        most: how many it may have.
    """
    if count > most:
        raise DataError(f"onnx.load: {kind}: an array of at most {most} elements is made, not of {count}")


def require_parts(kind: str, count: int) -> None:
    """Refuse an operator that is far too many others here. Raises: DataError.

    Args:
        kind: the operator.
        count: the others.
    """
    if count > _MOST_PARTS:
        raise DataError(f"onnx.load: {kind}: at most {_MOST_PARTS} parts are read, not {count}")


def require_nodes(count: int) -> None:
    """Refuse a model whose functions and loops make far too many nodes. Raises: DataError.

    Args:
        count: the nodes.
    """
    if count > _MOST_NODES:
        raise DataError(f"onnx.load: the functions and loops of the model make more than {_MOST_NODES} nodes")


def _numbers(value: Any) -> list[int]:
    return [int(v) for v in np.asarray(value).reshape(-1)]


def _range(start: Any, limit: Any, step: Any) -> int:
    a, b, by = (float(np.asarray(v).reshape(-1)[0]) for v in (start, limit, step))
    return max(math.ceil((b - a) / by), 0) if by else 0


#: What the arrays that are made of other arrays' numbers have.
_CLAIMS: dict[str, Callable[..., int]] = {
    "ConstantOfShape": lambda shape: math.prod(_numbers(shape)),
    "Expand": lambda x, shape: math.prod((*_numbers(shape), max(np.size(x), 1))),
    "MelWeightMatrix": lambda bins, length, *rest: (abs(_numbers(length)[0]) // 2 + 1) * abs(_numbers(bins)[0]),
    "OneHot": lambda indices, depth, *rest: np.size(indices) * _numbers(depth)[0],
    "Pad": lambda x, pads, *rest: math.prod(n + 2 * max(map(abs, _numbers(pads)), default=0) for n in np.shape(x)),
    "Range": _range,
    "Resize": lambda x, *rest: max((_resized(x, v) for v in rest if v is not None), default=0),
    "Tile": lambda x, repeats: math.prod(_numbers(repeats)) * np.size(x),
    "Upsample": lambda x, *rest: max((_resized(x, v) for v in rest if v is not None), default=0),
}


def _resized(x: Any, v: Any) -> int:
    scales = np.asarray(v).dtype.kind == "f"
    return int(math.prod(abs(float(n)) for n in np.asarray(v).reshape(-1)) * (np.size(x) if scales else 1))


def claimed(kind: str, inputs: Sequence[Any]) -> int:
    """The elements of what an operator makes of known arrays, or somewhat more; refuses far too many of them.

    Args:
        kind: the operator.
        inputs: the arrays.
    """
    rule = _CLAIMS.get(kind)
    count = int(rule(*inputs)) if rule is not None else 0
    require_size(kind, count, _MOST_KNOWN)
    return count
