"""Calls of convolutions and pools beyond what their kernels take, by ops that have kernels; and pools to a size."""

from . import adaptive, conv, norms, pools

__all__ = ["adaptive", "conv", "norms", "pools"]
