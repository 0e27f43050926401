"""Sessions: the PyTorch-like face. `Session` makes the one that its options name; those of CUDA are loaded with the first device."""

from tlean.optim.gradients import Gradients

from .base import Session
from .compiled import CompiledSession
from .eager import EagerSession
from .indices import NatRef, NatVecRef

__all__ = ["CompiledSession", "EagerSession", "Gradients", "NatRef", "NatVecRef", "Session"]
