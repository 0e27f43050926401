"""The kernels, inline CUDA C: one module a family, each with a `FAMILY`; a module's `FURTHER` families share its source."""

from __future__ import annotations

import functools
import importlib

from .plan import Family

_FAMILIES = (
    "elementwise", "integers", "convert", "create", "layout", "reduce", "gather", "gemm", "conv", "pool", "softmax", "statistics", "norm",
    "loss", "attention", "random", "optim", "order", "matrices", "fourier",
)  # fmt: skip


@functools.cache
def families() -> dict[str, Family]:
    """Every family by name."""
    modules = [importlib.import_module(f".{name}", __name__) for name in _FAMILIES]
    return {f.name: f for module in modules for f in (module.FAMILY, *getattr(module, "FURTHER", ()))}


@functools.cache
def sources() -> dict[str, Family]:
    """Every family and every variant of one by name: all that is ever compiled."""
    found: dict[str, Family] = {}
    for family in families().values():
        found |= {f.name: f for f in (family, *family.variants.values())}
    return found


@functools.cache
def kernel_families() -> dict[str, Family]:
    """Kernel name -> the family that has it."""
    return {kernel: family for family in families().values() for kernel in family.kernels}
