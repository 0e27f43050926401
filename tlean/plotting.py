"""What drawing a picture needs: Matplotlib, and a path that it can write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import OptionError
from .files import writable


def check_picture(what: str, path: Any) -> Path:
    """The path of a picture that can be drawn. Raises: ImportError without Matplotlib, OptionError for an ending that names no format."""
    target = writable(what, path)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(f"{what}: pictures need the package matplotlib: pip install matplotlib") from None
    formats = Figure().canvas.get_supported_filetypes()
    # Without an ending Matplotlib writes what it was told to write by default.
    if target.suffix and target.suffix[1:].lower() not in formats:
        raise OptionError(f"{what}: the ending names a format: {', '.join(sorted(formats))}; got {str(target)!r}")
    return target
