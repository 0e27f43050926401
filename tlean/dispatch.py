"""Which backend a free function uses: the one that its argument belongs to, or, on plain arrays, a tape-less evaluation."""

from __future__ import annotations

from typing import Any

from tlean._core.refs import RefBase

from .backends.eager import EagerOps, no_grad
from .errors import DTypeError


def backend_of(*arguments: Any) -> Any:
    """The backend of the first reference among the arguments; for plain arrays, one that returns values."""
    for a in arguments:
        for x in a if isinstance(a, list | tuple) else (a,):
            if isinstance(x, RefBase):
                return x.ops
    return Values("float64" if any(_is_float64(x) for x in arguments) else "float32")


def _is_float64(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return any(_is_float64(v) for v in x)
    return str(getattr(x, "dtype", "")) == "float64"


class Values:
    """Computes ops on plain arrays: every method returns an AnyTensor, and no tape is kept."""

    def __init__(self, dtype: str) -> None:
        self._ops = EagerOps(dtype)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ops, name)

        def run(*arguments: Any, **options: Any) -> Any:
            with no_grad():
                made = method(*arguments, **options)
            return tuple(r.value for r in made) if isinstance(made, tuple) else made.value

        return run


def float_dtype_of(arrays: Any) -> str:
    """The float dtype of a functional call: float64 if any array is float64, else float32; Python numbers are weak.

    Raises: DTypeError for a complex or object array.
    """
    for x in arrays:
        kind = getattr(getattr(x, "dtype", None), "kind", "f")
        if kind not in "fiub":
            raise DTypeError(f"an array of dtype {x.dtype} is not taken")
    return "float64" if any(_is_float64(x) for x in arrays) else "float32"
