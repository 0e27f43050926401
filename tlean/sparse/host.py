"""SciPy, which only the solver and conversions to it need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tlean.errors import OptionError


def scipy(module: str) -> Any:
    """A module of SciPy.

    Args:
        module: its name after `scipy`.

    Raises: OptionError where SciPy is not installed.
    """
    try:
        return import_module(f"scipy.{module}")
    except ImportError as error:
        raise OptionError("SciPy is needed: pip install 'tlean[scipy]'") from error
