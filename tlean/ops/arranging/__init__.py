"""Ops that arrange, repeat, cut and multiply out arrays by NumPy's names, made of those of `layout` and `indexing`."""

from . import axes, cuts, diagonals, products, repeats

__all__ = ["axes", "cuts", "diagonals", "products", "repeats"]
