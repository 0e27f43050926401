"""Tables of numbers in text files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np

from tlean.arguments import truth
from tlean.errors import DataError, DTypeError, OptionError
from tlean.files import readable

# Marks that other encodings of Unicode begin with; the longer ones first, as a shorter one begins one of them.
_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read_csv(path: str | os.PathLike[str], dtype: Any = "float32", delimiter: str = ",", header: bool | None = None) -> np.ndarray:
    """The table of numbers in a text file, `(rows, columns)`.

    Integers are read digit by digit, never by way of a float: those of 64 bits come back exactly.

    Args:
        path: the file, UTF-8, with or without a byte-order mark; empty lines are left out.
        dtype: the dtype of the result: floats, integers or Booleans (0 and 1).
        delimiter: the separator of two numbers, one character.
        header: whether the first line holds names; None finds out: it does if nothing in it is a number.

    Raises: DataError that names file and line where a row has another length, or a field is empty, is not a number, is no integer where
        the dtype is one, or is out of the dtype's range; where the text is not UTF-8; and where it is not clear whether the first line
        holds names, as some of it is numbers. OptionError for another delimiter; DTypeError for another dtype; FileNotFoundError.
    """
    path = readable("read_csv: the file", path)
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '\r\n"\0 0123456789+-.eE':
        raise OptionError(
            f"read_csv: the delimiter must be one character that is in no number, no space, quote or line end; got {delimiter!r}"
        )
    convert, kind = _converter(dtype)
    rows: list[list[Any]] = []
    first = True
    for line, fields in _records(path, delimiter):
        if not any(f.strip() for f in fields):
            continue
        if first:
            first = False
            if _is_header(path, line, fields, header):
                continue
        try:
            row = [convert(f) for f in fields]
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from None
        if rows and len(row) != len(rows[0]):
            raise DataError(f"{path}, line {line}: {len(row)} columns, the rows before have {len(rows[0])}")
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: no row of numbers")
    return np.array(rows, dtype=kind)


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of every record."""
    raw = path.read_bytes()
    other = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), None)
    if other is not None:
        raise DataError(f"{path}: the text is UTF-8, but it begins with the byte-order mark of {other}; save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        odd = error.object[error.start : error.end]
        raise DataError(f"{path}, line {line}: the text is UTF-8, but here is {odd!r} ({error.reason}); save it as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}") from None
        yield reader.line_num, fields


def _is_header(path: Path, line: int, fields: list[str], header: bool | None) -> bool:
    if header is not None:
        return truth("read_csv: header", header)
    numbers = [_is_number(f) for f in fields]
    if any(numbers) and not all(numbers):
        odd = fields[numbers.index(False)]
        raise DataError(f"{path}, line {line}: {odd!r} is not a number, but others are: give header=True for names, header=False for data")
    return not any(numbers)


def _is_number(text: str) -> bool:
    try:
        _float(text)
    except ValueError:
        return False
    return True


# Fields --------------------------------------------------------------------------------------------------------------------


def _float(text: str) -> float:
    # Python's own 1_000 is no number in a table.
    if "_" in text:
        raise ValueError(f"not a number: {text!r}")
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"not a number: {text!r}" if text.strip() else "a field is empty") from None


def _integer(text: str, low: int, high: int, kind: str) -> int:
    try:
        if "_" in text:
            raise ValueError
        value = int(text)
    except ValueError:
        _float(text)
        try:
            exact = Decimal(text.strip())
        except InvalidOperation:
            exact = Decimal("nan")
        if not exact.is_finite():
            raise ValueError(f"not an integer: {text!r}") from None
        if not low <= exact <= high:
            raise ValueError(f"out of the range of {kind}: {_short(text)}") from None
        if exact != exact.to_integral_value():
            raise ValueError(f"not an integer: {text!r}") from None
        value = int(exact)
    if not low <= value <= high:
        raise ValueError(f"out of the range of {kind}: {_short(text)}")
    return value


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _converter(dtype: Any) -> tuple[Callable[[str], Any], np.dtype]:
    """What reads a field, and the dtype of the table."""
    try:
        kind = np.dtype(dtype)
    except Exception:
        # An invalid dtype fails in as many ways as there are ways to write one.
        raise DTypeError(f"read_csv: dtype must be that of floats, integers or Booleans, got {dtype!r}") from None
    if dtype is None or kind.kind not in "fiub":
        raise DTypeError(f"read_csv: dtype must be that of floats, integers or Booleans, got {dtype!r}")
    if kind.kind == "f":
        return _floats(kind), kind
    low, high = (0, 1) if kind.kind == "b" else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    return (lambda text: _integer(text, low, high, str(kind))), kind


def _floats(kind: np.dtype) -> Callable[[str], float]:
    # The least that rounds to infinity: half a step beyond the largest number.
    top = float("inf") if kind.itemsize > 4 else float(np.finfo(kind).max) * (1 + float(np.finfo(kind).epsneg) / 2)

    def convert(text: str) -> float:
        value = _float(text)
        # Only an infinity that is written as one is read as one.
        if top <= abs(value) and "inf" not in text.lower():
            raise ValueError(f"out of the range of {kind}: {_short(text)}")
        return value

    return convert
