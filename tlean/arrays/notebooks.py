"""What notebooks show of arrays and references."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlean._core.refs import RefBase
from tlean.display import preformatted, table

#: The rows and columns of a table at most.
_MOST = 16


def html(x: Any) -> str:
    """A table of the values of at most two axes, text for more, and a line for what has no value yet.

    Args:
        x: a reference or an array.
    """
    if isinstance(x, RefBase) and not hasattr(type(x), "value"):
        return preformatted(repr(x))
    try:
        values = np.asarray(x)
    except IndexError:
        # From before reset_tape, or released.
        return preformatted(repr(x))
    caption = f"{type(x).__name__}: {values.shape} {values.dtype}"
    if values.ndim > 2 or not values.size or max(values.shape, default=1) > _MOST:
        return preformatted(f"{caption}\n{np.array2string(values, separator=', ', threshold=200)}")
    return table(caption, (), [[f"{v:.6g}" if values.dtype.kind == "f" else str(v) for v in row] for row in np.atleast_2d(values)])
