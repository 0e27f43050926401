"""The explicit tape: `Tape`, a value that ops extend, and `TapeM`, which threads it for you."""

from .stateful import TapeM
from .tape import Node, Tape, dense_to_dict, require_grad

__all__ = ["Node", "Tape", "TapeM", "dense_to_dict", "require_grad"]
