"""Paths and files: what may be read, and how a file is written so that it is whole under its name or not there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import DataError, OptionError
from .locks import Lock

PathLike = str | os.PathLike[str]

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)
_writing = Lock()


def as_path(what: str, path: Any) -> Path:
    """A path. Raises: OptionError, saying `what` it is for, unless it is a text or an `os.PathLike` that can name a file."""
    try:
        text = os.fsdecode(os.fspath(path))
        if not text or "\0" in text:
            raise ValueError
        os.fsencode(text)
    except (TypeError, ValueError):
        raise OptionError(f"{what} must be a path: a text that can name a file, or an os.PathLike; got {path!r}") from None
    return Path(text)


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "no regular file")


def readable(what: str, path: Any) -> Path:
    """The path of a regular file. Raises: OptionError for something that is no path, FileNotFoundError, DataError for a device."""
    found = as_path(what, path)
    try:
        mode = found.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{found}: no such file") from None
    if stat.S_ISDIR(mode):
        raise FileNotFoundError(f"{found}: no file, but a folder")
    if not stat.S_ISREG(mode):
        raise DataError(f"{found}: a regular file is read here, this is {_kind(mode)}")
    return found


def writable(what: str, path: Any) -> Path:
    """The path, links followed, at which a file can be made or replaced: checked without touching it.

    Raises: OptionError for something that is no path, or for a folder, a device or a pipe; FileNotFoundError if there is no such
    folder, PermissionError if it cannot be written to.
    """
    target = Path(os.path.realpath(as_path(what, path)))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent}: no such folder")
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if not stat.S_ISREG(mode):
        raise OptionError(f"{what} is a regular file, or a new one; {target} is {_kind(mode)}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{target.parent}: the folder cannot be written to")
    return target


@contextmanager
def replacing(what: str, path: Any) -> Iterator[Path]:
    """A path to write to, `.<name>.partial`, which takes the place of `path` when the block ends well, and is removed when it does not.

    The data reach the disk before the name does, and the folder after it: an earlier file stays until the new one is whole. A new file has
    the mode that `open` would give it (0666 less the umask); one that is replaced keeps its own.

    Raises: as `writable`; OSError if the file cannot be written.
    """
    target = writable(what, path)
    partial = target.with_name(f".{target.name}.partial")
    with _writing:
        try:
            mode = _mode(target, partial)
            yield partial
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
            # Another writer may have put its own file there, with another mode.
            partial.chmod(mode)
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _flush_folder(target.parent)


def _mode(target: Path, partial: Path) -> int:
    # What is left of a process that was killed goes first. The umask is read off a new file: asking the process for it would change it.
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        fresh = stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return fresh


def _flush_folder(folder: Path) -> None:
    # The rename itself reaches the disk with the folder. Windows opens no folders; there the file system does it.
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
