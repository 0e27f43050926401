"""`x[key]` and `x.at[key]` of every backend's references: keys in canonical form, and the ops that they mean."""

from __future__ import annotations

from tlean._core.refs import install_indexing

from .key import Key, parse
from .read import read
from .update import At, Entries

install_indexing(read, At)

__all__ = ["At", "Entries", "Key", "parse", "read"]
