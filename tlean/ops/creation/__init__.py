"""Arrays made of numbers alone: constants, ranges, identities; and the conversion to another dtype."""

from . import functions, records

__all__ = ["functions", "records"]
