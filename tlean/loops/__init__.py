"""Loops of programs: bodies that are recorded once and run as one op, `scan`, `fori_loop`, `map`, `cond`, `switch`, `while_loop`."""

from .again import checkpoint, remat
from .associative import associative_scan
from .choices import cond, switch
from .scans import fori_loop, map, scan
from .whiles import while_loop

__all__ = ["associative_scan", "checkpoint", "cond", "fori_loop", "map", "remat", "scan", "switch", "while_loop"]
