"""Ops that arrange, repeat, cut and multiply out arrays by NumPy's names, made of those of `layout`, `indexing` and `linalg`."""

from . import axes, cuts, diagonals, einsum, pads, products, repeats

__all__ = ["axes", "cuts", "diagonals", "einsum", "pads", "products", "repeats"]
