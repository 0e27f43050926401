"""`x[key]` of every backend's references: keys in canonical form, and the ops that they stand for."""

from __future__ import annotations

from tlean._core.refs import install_indexing

from .key import Key, parse
from .read import read

install_indexing(read)

__all__ = ["Key", "parse", "read"]
