"""Definitions of the ops of integers and Booleans: NumPy's, which give 0 for a quotient or a remainder by 0."""

from __future__ import annotations

import numpy as np


def _whole(function):
    # Of Booleans that are computed with as integers, int64.
    def definition(a, b):
        with np.errstate(all="ignore"):
            return function(*(x.astype(np.int64) if x.dtype == bool else x for x in (a, b)))

    return definition


DEFINITIONS = {
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "bitwise_not": np.invert,
    "bitwise_left_shift": _whole(np.left_shift),
    "bitwise_right_shift": _whole(np.right_shift),
}
#: Of ops that compute in floats too.
WHOLE = {"floor_divide": _whole(np.floor_divide), "remainder": _whole(np.remainder)}
