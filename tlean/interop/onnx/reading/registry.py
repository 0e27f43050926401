"""How an operator is read: `@reads(name, …)` on a function of the call and its inputs that returns the values it makes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tlean._core.array import AnyTensor, as_tensor
from tlean.dtypes import SIZES
from tlean.errors import DTypeError, MissingOpError, OptionError
from tlean.ops.layout import converted

from ..package import DTYPES, SMALL
from .small import Small, narrowed, widened


class Reader(NamedTuple):
    """What reads an operator, and the inputs whose numbers it must know while it records: shapes, axes, counts."""

    function: Callable[..., Any]
    known: tuple[int, ...]


READERS: dict[str, Reader] = {}
_FAMILIES = (
    "elements", "shapes", "places", "reductions", "matrices", "windows", "normalising", "recurrent", "images", "quantised",
    "training",
)  # fmt: skip


class Call:
    """A call that is being read.

    Args:
        ops: what it is recorded into.
        kind: the operator.
        attributes: of the node, as Python's values.
        opset: the version of the operators.
        outputs: how many of its values are used.
        dtypes: what the inputs hold, small dtypes too; None for an input that is absent.
    """

    def __init__(
        self, ops: Any, kind: str, attributes: dict[str, Any], opset: int, outputs: int, dtypes: Sequence[str | None] = ()
    ) -> None:
        self.ops, self.kind, self.attributes, self.opset, self.outputs = ops, kind, attributes, opset, outputs
        self.dtypes = dtypes

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def ref(self, value: Any) -> Any:
        """A value as a reference: an array becomes a constant."""
        return constant(self.ops, value)

    def cast(self, x: Any, dtype: str, saturate: bool = True) -> Any:
        """The value in that dtype; of a small one, rounded to its numbers, in the dtype that holds it."""
        if dtype in SIZES:
            return converted(self.ops, self.ref(x), dtype)
        return narrowed(self.ops, self.ref(x), dtype, saturate)

    def number(self, value: Any, like: Any) -> Any:
        """A constant number of the dtype of a reference."""
        return self.ref(np.array(value, str(like.dtype)))

    def refuse(self, what: str) -> MissingOpError:
        """The error for a call that the library does not say."""
        return MissingOpError(f"onnx.load: {self.kind}: {what}")


def constant(ops: Any, value: Any) -> Any:
    """An array as a constant of a program; a reference, or None, as it is; small dtypes in what holds them."""
    if isinstance(value, Small):
        return value.ref
    if isinstance(value, np.ndarray | np.generic):
        value = widened(value)
        if str(value.dtype) not in SIZES:
            raise DTypeError(f"onnx.load: arrays must be of {', '.join(SIZES)}, got {value.dtype}")
        return ops._own_constant(as_tensor(np.array(value)))
    return ops._own_constant(value) if isinstance(value, AnyTensor) else value


def reads(*names: str, known: Sequence[int] = ()) -> Callable[[Callable], Callable]:
    """Say how these operators are read.

    Args:
        names: the operators.
        known: the inputs whose numbers must be known while the program is recorded; they come as NumPy's arrays, others as references.
    """

    def register(function: Callable) -> Callable:
        READERS.update(dict.fromkeys(names, Reader(function, tuple(known))))
        return function

    return register


def whole(value: Any) -> list[int] | None:
    """The whole numbers of a known input."""
    return None if value is None else [int(v) for v in np.asarray(value).reshape(-1)]


def dtype_of(number: int) -> str:
    """The dtype of an ONNX element type. Raises: DTypeError for one that arrays do not have."""
    name = DTYPES.get(number) or SMALL.get(number)
    if name is None:
        raise DTypeError(f"onnx.load: arrays must be of {', '.join((*SIZES, *SMALL.values()))}, not of ONNX's element type {number}")
    return name


def axis_of(axis: Any, rank: int) -> int:
    """An axis counted from the first. Raises: OptionError."""
    if not -rank <= axis < max(rank, 1):
        raise OptionError(f"onnx.load: an axis must be one of {rank}, got {axis}")
    return int(axis % rank) if rank else 0


def operators() -> list[str]:
    """The operators of ONNX that `load` reads by themselves. Others are read where ONNX says what they are in terms of these."""
    for family in _FAMILIES:
        importlib.import_module(f"{__package__}.{family}")
    return sorted(READERS)
