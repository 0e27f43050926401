"""A check in compiled programs that matrices could be factored: their plans go on with NaN, this stops them."""

from __future__ import annotations

from typing import Any

from ..registry import defop
from ..samples import Arr, good
from .lapack import Lapack


def _samples() -> list[Any]:
    options: dict[str, Any] = {"op": "linalg_solve", "need": "invertible"}
    nan = float("nan")
    return [
        good((2, 3), Arr((2, 2), "regular"), (2, 3), **options), good((3, 2, 1), Arr((2, 2), "regular"), None, **options),
        good((0, 2, 2), (0, 2, 2), None, **options), good((0, 0), (0, 0), None, **options),
        good(Arr((1, 1), "values", data=((nan,),)), Arr((1, 1), "values", data=((nan,),)), None, smooth=False, **options),
    ]  # fmt: skip


@defop("_linalg_require", kernel=Lapack("require"), optional=("b",), samples=_samples)
class Require:
    """y, what `op` made of the matrices a and of b; LinAlgError where there is a NaN that neither of them had.

    `need` is what a matrix must be. The error names the first one that is not.
    """

    effects = True

    def options(y, a, b, *, op, need):
        return {"op": str(op), "need": str(need)}

    def shape(y, a, b, *, op, need):
        return y

    def vjp(ops, g, y, x, a, b, *, op, need):
        return g, None, None

    def jvp(ops, t, y, x, a, b, *, op, need):
        return t[0]
