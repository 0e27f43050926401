"""Readers of data files: IDX (the format of MNIST), NPY, NPZ and CSV. What is wrong with a file is a DataError that names the file."""

from __future__ import annotations

import gzip
import io
import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from tlean.arguments import truth, whole
from tlean.errors import DataError, OptionError
from tlean.files import readable, replacing

from .arrays import as_array

PathLike = str | os.PathLike[str]

#: What compressed data may unpack to unless a reader is told otherwise: 4 GiB.
MAX_BYTES = 1 << 32

# Third byte of an IDX file's magic number -> its elements, big-endian.
_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
# NumPy has arrays of up to so many axes in every version that tlean runs with.
_MAX_AXES = 32


def _unpacked(file: Any, limit: int) -> bytes:
    """What a file unpacks to; once there is more than the limit, no more is read. Memory is taken as the bytes come."""
    data = bytearray()
    while len(data) <= limit:
        piece = file.read(1 << 20)
        if not piece:
            break
        data += piece
    return bytes(data)


def _contents(path: Path, limit: int) -> bytes:
    """A file's bytes, decompressed if they are gzip (told by the first two bytes, whatever the file's name)."""
    with path.open("rb") as file:
        if file.read(2) != _GZIP_MAGIC:
            file.seek(0)
            return file.read()
        file.seek(0)
        try:
            data = _unpacked(gzip.GzipFile(fileobj=file), limit)
        except EOFError:
            raise DataError(f"{path}: the gzip data is truncated ({path.stat().st_size:,} bytes); download it again") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path}: the gzip data is damaged ({error}); download it again") from None
    if len(data) > limit:
        raise DataError(f"{path}: the gzip data unpacks to more than {limit:,} bytes; give max_bytes= if that is meant")
    return data


def _limit(reader: str, max_bytes: Any) -> int:
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int | np.integer) or max_bytes < 0:
        raise OptionError(f"{reader}: max_bytes must be an int of at least 0, got {max_bytes!r}")
    return min(int(max_bytes), (1 << 62))


def read_idx(path: PathLike, ndim: int | None = None, *, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """The array in an IDX file, gzipped or plain.

    Layout: bytes 0 and 1 are zero, byte 2 is the type of the elements, byte 3 the number of axes; then each axis' length as a big-endian
    32-bit number; then the elements, row-major, big-endian.

    Args:
        path: the file.
        ndim: the number of axes the file must have: 3 for a set of images, 1 for labels; None takes any.
        max_bytes: what gzipped data may unpack to.

    Returns: an array in the machine's byte order that owns its memory.

    Raises: DataError where the magic number, the number of axes or the length is wrong, or gzipped data unpacks to more than max_bytes;
        FileNotFoundError.

    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
    """
    path = readable("read_idx: the file", path)
    data = _contents(path, _limit("read_idx", max_bytes))
    if len(data) < 4:
        raise DataError(f"{path}: an IDX file begins with a magic number of 4 bytes, this file holds {len(data)}: it is truncated")
    axes, code = data[3], data[2]
    if data[:2] != b"\0\0" or code not in _IDX_DTYPES:
        raise DataError(f"{path}: not an IDX file: the magic number is 0x{data[:4].hex()}, expected 0x0000TTDD (type, number of axes)")
    if ndim is not None and axes != whole("read_idx: ndim", ndim):
        raise DataError(
            f"{path}: the magic number 0x{data[:4].hex()} announces {axes} axes, expected {ndim}"
            " (images have 3, labels 1; are the two files interchanged?)"
        )
    if axes > _MAX_AXES:
        raise DataError(f"{path}: the magic number 0x{data[:4].hex()} announces {axes} axes, an array has at most {_MAX_AXES}")
    start = 4 + 4 * axes
    if len(data) < start:
        raise DataError(f"{path}: the header of {axes} axes takes {start} bytes, this file holds {len(data)}: it is truncated")
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    dtype = np.dtype(_IDX_DTYPES[code])
    expected, found = dtype.itemsize * math.prod(shape), len(data) - start
    if found != expected:
        state = "it is truncated" if found < expected else "there is more than the header says"
        raise DataError(f"{path}: the header says {shape}, {expected:,} bytes of elements, this file holds {found:,}: {state}")
    _addressable(path, shape, dtype)
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def write_idx(path: PathLike, array: Any) -> None:
    """Write an array as an IDX file; gzipped if the name ends in `.gz`. It is complete under its name, or not there.

    Args:
        path: of the file.
        array: of a dtype that IDX has: uint8, int8, int16, int32, float32 or float64.

    Raises: OptionError if IDX has no such dtype, or for a folder or a device as the target; OSError if the file cannot be written.
    """
    a = as_array("write_idx: what is written", array)
    code = next((c for c, d in _IDX_DTYPES.items() if np.dtype(d).newbyteorder("=") == a.dtype), None)
    if code is None:
        raise OptionError(f"write_idx: IDX holds uint8, int8, int16, int32, float32 or float64, got {a.dtype}")
    if any(length >> 32 for length in a.shape):
        raise OptionError(f"write_idx: an axis of an IDX file must be shorter than {1 << 32}, got {a.shape}")
    header = bytes([0, 0, code, a.ndim]) + b"".join(length.to_bytes(4, "big") for length in a.shape)
    data = header + a.astype(_IDX_DTYPES[code]).tobytes()
    with replacing("write_idx: the target", path) as partial:
        if os.fsdecode(path).endswith(".gz"):
            data = gzip.compress(data, mtime=0)
        partial.write_bytes(data)


# NPY and NPZ -------------------------------------------------------------------------------------------------------------


def _addressable(name: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    # NumPy refuses an array without elements, too, whose other axes are longer than memory.
    if math.prod(n for n in shape if n) * max(dtype.itemsize, 1) >= 1 << 62:
        raise DataError(f"{name}: the header says {shape}: more than an array can hold")


def _npy_header(name: Any, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, whether axes run backwards, dtype) of the `.npy` data at a file's position, which then is at the elements."""
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        # 3.0 is 2.0 with names of fields in UTF-8: no array of numbers needs it.
        if read is None:
            raise ValueError(f"its version is {version[0]}.{version[1]}, 1.0 and 2.0 are read")
        shape, fortran, dtype = read(file)
    except MemoryError:
        raise
    except Exception as error:
        # The header is a Python literal: a damaged one fails in as many ways as Python's parser and NumPy's dtypes have.
        raise DataError(f"{name}: not a readable .npy file: {error}") from None
    if dtype.hasobject:
        raise DataError(f"{name}: not a readable .npy file: it holds pickled objects")
    if len(shape) > _MAX_AXES or any(isinstance(n, bool) or n < 0 for n in shape):
        raise DataError(f"{name}: not a readable .npy file: the header says the shape {shape}")
    _addressable(name, shape, dtype)
    return shape, bool(fortran), dtype


def _check_length(name: Any, shape: tuple[int, ...], dtype: np.dtype, found: int) -> None:
    expected = dtype.itemsize * math.prod(shape)
    if found != expected:
        state = "it is truncated" if found < expected else "there is more than the header says"
        raise DataError(
            f"{name}: not a readable .npy file: the header says {shape} {dtype}, {expected:,} bytes, there are {found:,}: {state}"
        )


def _array(data: bytes, shape: tuple[int, ...], fortran: bool, dtype: np.dtype) -> np.ndarray:
    # A copy, whose memory can be written to.
    flat = np.frombuffer(data, dtype, math.prod(shape)) if dtype.itemsize else np.empty(math.prod(shape), dtype)
    return flat.reshape(shape, order="F" if fortran else "C").copy(order="K")


def read_npy(path: PathLike, mmap: bool = False) -> np.ndarray:
    """The array in an `.npy` file. Pickled objects are refused.

    Args:
        path: the file.
        mmap: leave the elements in the file: they are read, a page at a time, when they are used, and cannot be written to.

    Raises: DataError if it is not a readable array, or its length is not what the header says; FileNotFoundError.
    """
    path = readable("read_npy: the file", path)
    with path.open("rb") as file:
        if file.read(4) == b"PK\3\4":
            raise DataError(f"{path}: an archive of several arrays (.npz); read_npy reads a file that holds one, read_npz archives")
        file.seek(0)
        shape, fortran, dtype = _npy_header(path, file)
        start = file.tell()
        _check_length(path, shape, dtype, file.seek(0, io.SEEK_END) - start)
        if truth("read_npy: mmap", mmap) and dtype.itemsize * math.prod(shape):
            return np.memmap(file, dtype, "r", start, shape, "F" if fortran else "C")
        file.seek(start)
        return _array(file.read(), shape, fortran, dtype)


def read_npz(path: PathLike, *, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """The arrays in an `.npz` archive, by name, compressed or not. Pickled objects are refused.

    Args:
        path: the file.
        max_bytes: what its arrays may unpack to, all together.

    Raises: DataError if it is not a readable archive, an array in it is damaged, or they unpack to more than max_bytes; FileNotFoundError.
    """
    path, left = readable("read_npz: the file", path), _limit("read_npz", max_bytes)
    arrays = {}
    with path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise DataError(f"{path}: not a readable .npz archive: it holds a single array; see read_npy")
        try:
            with zipfile.ZipFile(file) as archive:
                for member in archive.infolist():
                    name = member.filename.removesuffix(".npy")
                    with archive.open(member) as inside:
                        data = _unpacked(inside, left)
                    left -= len(data)
                    if left < 0:
                        raise DataError(f"{path}: it unpacks to more than {max_bytes:,} bytes; give max_bytes= if that is meant")
                    one = io.BytesIO(data)
                    shape, fortran, dtype = _npy_header(f"{path}, {name}", one)
                    _check_length(f"{path}, {name}", shape, dtype, len(data) - one.tell())
                    arrays[name] = _array(data[one.tell() :], shape, fortran, dtype)
        except (DataError, MemoryError):
            raise
        except Exception as error:
            # A damaged archive fails in as many ways as zipfile and its decompressors have.
            raise DataError(f"{path}: not a readable .npz archive: {error}") from None
    return arrays
