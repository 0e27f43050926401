"""Checks of ops and programs, for the library's own tests and for users who write ops: `check_op`, `check_grads`.

Both raise AssertionError with a message that says what disagreed, by how much, and for which input.
"""

from tlean.ops.samples import Arr, Sample

from .grads import check_grads
from .ops import check_op

__all__ = ["Arr", "Sample", "check_grads", "check_op"]
