"""Readers of data files: IDX (the format of MNIST), NPY, NPZ and CSV. What is wrong with a file is a DataError that names the file."""

from __future__ import annotations

import csv
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, OptionError

PathLike = str | os.PathLike[str]

# Third byte of an IDX file's magic number -> its elements, big-endian.
_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"


def _contents(path: Path) -> bytes:
    """A file's bytes, decompressed if they are gzip (told by the first two bytes, whatever the file's name)."""
    raw = path.read_bytes()
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    import gzip

    try:
        return gzip.decompress(raw)
    except EOFError:
        raise DataError(f"{path}: the gzip data is truncated ({len(raw):,} bytes); download it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the gzip data is damaged ({error}); download it again") from None


def read_idx(path: PathLike, ndim: int | None = None) -> np.ndarray:
    """The array in an IDX file, gzipped or plain.

    Layout: bytes 0 and 1 are zero, byte 2 is the type of the elements, byte 3 the number of axes; then each axis' length as a big-endian
    32-bit number; then the elements, row-major, big-endian.

    Args:
        path: the file.
        ndim: the number of axes the file must have: 3 for a set of images, 1 for labels; None takes any.

    Returns: an array in the machine's byte order that owns its memory.

    Raises: DataError where the magic number, the number of axes or the length is wrong; FileNotFoundError.

    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
    """
    path = Path(path)
    data = _contents(path)
    if len(data) < 4:
        raise DataError(f"{path}: an IDX file begins with a magic number of 4 bytes, this file holds {len(data)}: it is truncated")
    axes, code = data[3], data[2]
    if data[:2] != b"\0\0" or code not in _IDX_DTYPES:
        raise DataError(f"{path}: not an IDX file: the magic number is 0x{data[:4].hex()}, expected 0x0000TTDD (type, number of axes)")
    if ndim is not None and axes != ndim:
        raise DataError(
            f"{path}: the magic number 0x{data[:4].hex()} announces {axes} axes, expected {ndim}"
            " (images have 3, labels 1; are the two files interchanged?)"
        )
    start = 4 + 4 * axes
    if len(data) < start:
        raise DataError(f"{path}: the header of {axes} axes takes {start} bytes, this file holds {len(data)}: it is truncated")
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    dtype = np.dtype(_IDX_DTYPES[code])
    expected = dtype.itemsize
    for length in shape:
        expected *= length
    found = len(data) - start
    if found != expected:
        state = "it is truncated" if found < expected else "there is more than the header says"
        raise DataError(f"{path}: the header says {shape}, {expected:,} bytes of elements, this file holds {found:,}: {state}")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def write_idx(path: PathLike, array: Any) -> None:
    """Write an array as an IDX file; gzipped if the name ends in `.gz`. Raises: OptionError if IDX has no such dtype."""
    path, a = Path(path), np.asarray(array)
    code = next((c for c, d in _IDX_DTYPES.items() if np.dtype(d).newbyteorder("=") == a.dtype), None)
    if code is None:
        raise OptionError(f"write_idx: IDX holds uint8, int8, int16, int32, float32 or float64, got {a.dtype}")
    header = bytes([0, 0, code, a.ndim]) + b"".join(length.to_bytes(4, "big") for length in a.shape)
    data = header + a.astype(_IDX_DTYPES[code]).tobytes()
    if path.suffix == ".gz":
        import gzip

        data = gzip.compress(data, mtime=0)
    path.write_bytes(data)


def read_npy(path: PathLike, mmap: bool = False) -> np.ndarray:
    """The array in an `.npy` file. Pickled objects are refused.

    Args:
        path: the file.
        mmap: leave the elements in the file: they are read, a page at a time, when they are used, and cannot be written to.

    Raises: DataError if it is not a readable array; FileNotFoundError.
    """
    path = Path(path)
    try:
        found = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy file: {error}") from None
    if not isinstance(found, np.ndarray):
        found.close()
        raise DataError(f"{path}: an archive of several arrays (.npz); read_npy reads a file that holds one, read_npz archives")
    return found


def read_npz(path: PathLike) -> dict[str, np.ndarray]:
    """The arrays in an `.npz` archive, by name, compressed or not. Pickled objects are refused.

    Raises: DataError if it is not a readable archive, or an array in it is damaged; FileNotFoundError.
    """
    path = Path(path)
    try:
        # Opened here: NumPy leaves its own file open where the archive turns out to be none.
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                raise ValueError("it holds a single array; see read_npy")
            with found as archive:
                return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a readable .npz archive: {error}") from None


def read_csv(path: PathLike, dtype: str = "float32", delimiter: str = ",", header: bool | None = None) -> np.ndarray:
    """The table of numbers in a text file, `(rows, columns)`.

    Args:
        path: the file, UTF-8; empty lines are left out.
        dtype: the dtype of the result.
        delimiter: what stands between two numbers, one character.
        header: whether the first line holds names; None finds out (a first line that is not all numbers does).

    Raises: DataError that names file and line where a row has another length or holds something that is not a number.
    """
    path = Path(path)
    rows: list[list[float]] = []
    with path.open(newline="", encoding="utf-8") as file:
        for number, fields in enumerate(csv.reader(file, delimiter=delimiter), start=1):
            if not any(f.strip() for f in fields):
                continue
            try:
                row = [float(f) for f in fields]
            except ValueError as error:
                if number == 1 and header is not False:
                    continue
                raise DataError(f"{path}, line {number}: {error}") from None
            if number == 1 and header:
                continue
            if rows and len(row) != len(rows[0]):
                raise DataError(f"{path}, line {number}: {len(row)} columns, the rows before have {len(rows[0])}")
            rows.append(row)
    if not rows:
        raise DataError(f"{path}: no row of numbers")
    return np.array(rows, dtype=dtype)
