"""Where tlean's answer differs on purpose, and where PyTorch's is the less accurate."""

from __future__ import annotations

_PRODUCTS = [
    "nn.functional.linear",
    "nn.functional.conv1d",
    "nn.functional.conv2d",
    "nn.functional.conv3d",
    "nn.functional.conv_transpose1d",
    "nn.functional.conv_transpose2d",
    "nn.functional.conv_transpose3d",
]
_ROUNDED = ["heaviside", "round", "pow", "__rpow__", "prod", "cumprod", "masked.prod", "masked.cumprod"]
_LAYERS = [
    "nn.functional.relu",
    "nn.functional.relu6",
    "nn.functional.hardtanh",
    "nn.functional.avg_pool1d",
    "nn.functional.avg_pool2d",
    "nn.functional.avg_pool3d",
    "nn.functional.max_pool1d",
    "nn.functional.max_pool2d",
    "nn.functional.max_pool3d",
]

#: Entry -> why its results for integers alone are floats; they are compared as numbers.
FLOATS = {
    **dict.fromkeys(_PRODUCTS, "layers of integers compute in floats"),
    **dict.fromkeys(_ROUNDED, "of integers alone the result is a float"),
    **dict.fromkeys(_LAYERS, "layers of integers compute in floats"),
}
#: Entry -> the relative difference that is allowed, and why.
BOUNDS = {
    "nn.functional.hardsigmoid": (1e-7, "PyTorch's derivative has 1/6 in single precision"),
    "cholesky_inverse": (1e-4, "PyTorch's JVP is off by 1e-5, tlean's by 2e-16"),
    "logcumsumexp": (1e-5, "PyTorch's JVP is off by 3e-6, tlean's by 6e-13"),
    **dict.fromkeys(
        [*(f"polygamma.polygamma_n_{n}" for n in range(5)), "special.polygamma.special_polygamma_n_0"],
        (1e-9, "PyTorch's ψ′(2) is off by 2e-10"),
    ),
}
#: Entries that give places: of equal elements PyTorch leaves them open, unless the sort is a stable one.
UNORDERED = frozenset(("sort", "argsort", "topk", "kthvalue", "mode", "median", "nanmedian"))
#: Entries where PyTorch makes up a derivative of a line that is masked throughout, whose result is −∞.
HOLLOW = frozenset(("masked.logsumexp", "masked.logaddexp"))
