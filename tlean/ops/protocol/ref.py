"""What a program knows of an array: the associated type of `Ops`, and the names that signatures use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

#: One size, or one for each spatial axis.
Ints: TypeAlias = "int | Sequence[int]"
#: An integer known now, an array of integers (a constant), or a ref of an integer dtype (a run-time input).
Index: TypeAlias = "int | Sequence[int] | Ref | Any"
#: An array of Booleans (a constant) or a ref of dtype bool (a run-time input).
Mask: TypeAlias = "Ref | Any"


@runtime_checkable
class Ref(Protocol):
    """An array of a program: a tape's node, a graph's variable, or a plain value, according to the backend that it belongs to.

    Arithmetic between refs needs equal shapes (`+ - * /` are `add`, `sub`, `mul`, `div`, `@` is `matmul`). With a plain number `+ -` are
    `shift` and `* /` are `scale`; `**` takes a plain number and is `pow`.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The size along each axis; `()` for a scalar."""

    @property
    def dtype(self) -> str:
        """`"float32"`, `"float64"`, `"int64"` or `"bool"`."""

    @property
    def ops(self) -> Any:
        """The backend that this array belongs to: what its operators call."""

    def __add__(self, other: Any) -> Ref: ...

    def __radd__(self, other: Any) -> Ref: ...

    def __sub__(self, other: Any) -> Ref: ...

    def __rsub__(self, other: Any) -> Ref: ...

    def __mul__(self, other: Any) -> Ref: ...

    def __rmul__(self, other: Any) -> Ref: ...

    def __truediv__(self, other: Any) -> Ref: ...

    def __rtruediv__(self, other: Any) -> Ref: ...

    def __matmul__(self, other: Any) -> Ref: ...

    def __pow__(self, exponent: float) -> Ref: ...

    def __neg__(self) -> Ref: ...

    def __getitem__(self, key: Any) -> Ref: ...

    @property
    def at(self) -> Any:
        """`x.at[key].set(v)`, and `add`, `mul`, `max`, `min`: copies of x with the entries that a key names changed."""
