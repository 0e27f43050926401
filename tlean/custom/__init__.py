"""Ops and derivatives of the user's own: `custom_op` on arrays, `custom_vjp` and `custom_jvp` on programs."""

from .op import CustomOp, custom_op
from .rules import CustomFunction, custom_jvp, custom_vjp

__all__ = ["CustomFunction", "CustomOp", "custom_jvp", "custom_op", "custom_vjp"]
