"""What happens to files: bits that flip, ends that are missing, sizes that are forged, pieces that are doubled or swapped."""

from __future__ import annotations

import random
import re

# Numbers that break sizes: 0, the largest of 1, 2, 4 and 8 bytes, the first beyond the range of signed ones.
_SIZES = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF]
_TEXTS = [
    b"-1",
    b"0",
    b"1e999",
    b"9" * 30,
    b"9" * 5000,
    b"nan",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"\xff\xfe",
    b"\0",
    b'"',
    b"\n",
    b",",
    b"(",
    b"'",
]
_TEXTS += [b"[" * 3000, b'{"a":' * 3000, b"F8_E4M3", b"I64", b"|O", b"<U7", b"(2, 2)", b"'shape'", b"$array", b"$tuple"]


def _flip(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice([1, 1, 2, 8])):
        k = rng.randrange(len(data))
        data[k] ^= 1 << rng.randrange(8)


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def _drop(rng: random.Random, data: bytearray) -> None:
    k = rng.randrange(len(data))
    del data[k : k + rng.choice([1, 1, 2, 4, 8, 100])]


def _double(rng: random.Random, data: bytearray) -> None:
    k = rng.randrange(len(data))
    piece = data[k : k + rng.choice([1, 4, 8, 64, 1000])]
    data[k:k] = piece * rng.choice([1, 1, 2, 50])


def _size(rng: random.Random, data: bytearray) -> None:
    width = rng.choice([1, 2, 4, 8])
    value = rng.choice(_SIZES) & ((1 << (8 * width)) - 1)
    # The beginning and the end of a file are where its sizes are.
    place = rng.choice([rng.randrange(len(data)), rng.randrange(min(len(data), 40)), len(data) - 1 - rng.randrange(min(len(data), 60))])
    data[place : place + width] = value.to_bytes(width, rng.choice(["little", "big"]))  # type: ignore[arg-type]


def _number(rng: random.Random, data: bytearray) -> None:
    found = list(re.finditer(rb"-?\d+", bytes(data)))
    if found:
        one = rng.choice(found)
        data[one.start() : one.end()] = rng.choice([*_TEXTS[:6], str(rng.choice(_SIZES)).encode(), b"3", b"7"])


def _text(rng: random.Random, data: bytearray) -> None:
    k = rng.randrange(len(data) + 1)
    piece = rng.choice(_TEXTS)
    if rng.random() < 0.5:
        data[k:k] = piece
    else:
        data[k : k + len(piece)] = piece


def _swap(rng: random.Random, data: bytearray) -> None:
    width = rng.choice([1, 4, 16])
    a, b = rng.randrange(len(data)), rng.randrange(len(data))
    data[a : a + width], data[b : b + width] = data[b : b + width], data[a : a + width]


def _other(rng: random.Random, data: bytearray) -> None:
    data[:] = rng.choice([b"", b"\0" * 100, b"\xff" * 100, b"PK\x03\x04", b"\x1f\x8b\x08", b"\x93NUMPY\x01\x00", rng.randbytes(200)])


_WAYS = [_flip, _flip, _cut, _drop, _double, _size, _size, _number, _number, _text, _swap]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with one to three things that happened to them."""
    made = bytearray(data)
    if rng.random() < 0.02:
        _other(rng, made)
        return bytes(made)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if made:
            rng.choice(_WAYS)(rng, made)
    return bytes(made)
