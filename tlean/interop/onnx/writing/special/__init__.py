"""Functions of each element: special functions, incomplete integrals and their inverses; the arithmetic that they are written in."""

from . import functions, incomplete, inverses

__all__ = ["functions", "incomplete", "inverses"]
