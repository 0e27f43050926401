"""Arrays made of numbers alone: constants, ranges, identities; and the conversion to another dtype."""

from . import arrays, records

__all__ = ["arrays", "records"]
