"""Batching rules: what an op is in every lane of a batch, as one call. Importing this gives the records their rules."""

from ..registry import all_ops
from . import elements, fourier, indices, layout, losses, matrices, norms, products, reductions, windows
from .call import Call, batching

#: Records whose results in a lane may differ from those of a call by itself in rounding: their products, or their sums, are cut otherwise.
#: All others have the same bits.
ROUNDED = frozenset(r.name for r in all_ops() if r.rules.batch is None) | {
    "matmul", "bmm", "linear", "conv", "conv2d", "conv_transpose", "conv_transpose2d", "_conv_grad_x", "_conv_grad_w", "layer_norm",
    "_layer_norm_grad", "cross_entropy", "_cross_entropy_grad", "dropout", "_fft", "_rfft", "_irfft",
}  # fmt: skip

__all__ = [
    "ROUNDED",
    "Call",
    "batching",
    "elements",
    "fourier",
    "indices",
    "layout",
    "losses",
    "matrices",
    "norms",
    "products",
    "reductions",
    "windows",
]
