"""Functions that scientific programs expect by name, each made of a few ops: of elements, without NaN, of samples, along a line."""

from . import elements, lines, present, products, samples

__all__ = ["elements", "lines", "present", "products", "samples"]
