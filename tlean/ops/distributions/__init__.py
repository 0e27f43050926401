"""Random numbers of the usual distributions, in programs: what `tl.random` has."""

from . import continuous, discrete, records

__all__ = ["continuous", "discrete", "records"]
