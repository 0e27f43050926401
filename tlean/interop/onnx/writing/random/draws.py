"""Random numbers with the library's bits: Philox4x32-10 in whole numbers of 64 bits without a sign."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..rules import Call, rule
from ..whole.bits import SIGNED, UNSIGNED, bitwise, low_bits, right, word
from ..writer import Writer

_DOUBLE, _SINGLE = 11, 1
#: The multipliers of a round, and what is added to the two words of the key between rounds.
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


def low32(w: Writer, x: str) -> str:
    """The low word."""
    return low_bits(w, x, 32)


def halves(w: Writer, x: str) -> list[str]:
    """The low and the high word of a whole number of 64 bits."""
    x = w.op("Cast", x, to=UNSIGNED)
    return [low32(w, x), right(w, x, 32)]


def _times(w: Writer, x: str, number: int) -> str:
    return str(w.op("Mul", x, word(w, number)))


def _either(w: Writer, a: str, b: str) -> str:
    return bitwise(w, "Xor", a, b, 32)


def philox(w: Writer, counter: Sequence[str], key: Sequence[str]) -> list[str]:
    """The four words of each counter."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = _times(w, c0, _MULTIPLIERS[0]), _times(w, c2, _MULTIPLIERS[1])
        c0, c1 = _either(w, _either(w, right(w, p1, 32), c1), k0), low32(w, p1)
        c2, c3 = _either(w, _either(w, right(w, p0, 32), c3), k1), low32(w, p0)
        k0, k1 = (low32(w, w.op("Add", k, word(w, step))) for k, step in zip((k0, k1), _KEY_STEPS, strict=True))
    return [c0, c1, c2, c3]


def counted(w: Writer, elements: int, each: int = 1) -> str:
    """Numbers from 0 on, one for every `each` elements."""
    count = w.squeeze(w.ints(elements), 0)
    if each > 1:
        count = w.op("Div", w.op("Add", count, w.array(each - 1, "int64")), w.array(each, "int64"))
    return str(w.op("Cast", w.op("Range", w.array(0, "int64"), count, w.array(1, "int64")), to=UNSIGNED))


def _words(w: Writer, seed: str, elements: int, each: int) -> list[str]:
    # The words of the blocks that so many elements take, `each` of them a block.
    zero = word(w, 0)
    return philox(w, [counted(w, elements, each), zero, zero, zero], halves(w, seed))


def _joined(w: Writer, parts: Sequence[str], c: Call) -> str:
    # Numbers that lie side by side in a block, as the result.
    y = w.reshape(w.op("Concat", *(w.unsqueeze(p, 1) for p in parts), axis=1), (-1,))
    return w.reshape(w.slice(y, [0], [c.out.size], [0]), c.out.shape)


def possible(c: Call, seed: int) -> bool:
    """Whether a call has that seed, and something to draw."""
    return bool(c.x[seed]) and c.out.size > 0


def bits53(w: Writer, high: str, low: str) -> str:
    """53 bits of two words."""
    return str(w.op("Add", _times(w, right(w, high, 5), 1 << 26), right(w, low, 6)))


def _uniform(w: Writer, c: Call, seed: str) -> str:
    single = c.out.dtype == "float32"
    words = _words(w, seed, c.out.size, 4 if single else 2)
    bits = [right(w, v, 8) for v in words] if single else [bits53(w, *words[:2]), bits53(w, *words[2:])]
    return str(w.op("Mul", w.cast(_joined(w, bits, c), c.out.dtype), w.like(2.0 ** (-24 if single else -53), c.out.dtype)))


@rule("rand_uniform")
def _rand_uniform(w: Writer, c: Call) -> Any:
    return _uniform(w, c, c.x[0]) if possible(c, 0) else None


@rule("bernoulli_mask")
def _bernoulli(w: Writer, c: Call) -> Any:
    return w.cast(w.op("Less", _uniform(w, c, c.x[1]), c.x[0]), c.out.dtype) if possible(c, 1) else None


def _turned(w: Writer, radius: str, angle: str, bits: int) -> list[str]:
    # A pair of normal numbers: √(−2 ln radius) times the cosine and the sine of a quarter of turns and a part of one.
    quarter = right(w, angle, bits - 2)
    rest = w.op("Cast", low_bits(w, angle, bits - 2), to=SIGNED)
    quarter_turn = w.array(1 << (bits - 2), "int64")
    rest = w.op("Where", w.op("Less", rest, w.array(1 << (bits - 3), "int64")), rest, w.op("Sub", rest, quarter_turn))
    part = w.op("Mul", w.op("Cast", rest, to=_DOUBLE), w.like(math.pi / 2 * 2.0 ** (2 - bits), "float64"))
    length = w.op("Sqrt", w.op("Mul", w.op("Log", radius), w.like(-2, "float64")))
    length = w.op("Where", w.op("Equal", right(w, quarter, 1), word(w, 0)), length, w.op("Neg", length))
    even = w.op("Equal", low_bits(w, quarter, 1), word(w, 0))
    cosine, sine = w.op("Cos", part), w.op("Sin", part)
    pair = w.op("Where", even, cosine, w.op("Neg", sine)), w.op("Where", even, sine, cosine)
    return [w.op("Mul", length, each) for each in pair]


@rule("_rand_normal")
def _rand_normal(w: Writer, c: Call) -> Any:
    if not possible(c, 0):
        return None
    if c.out.dtype == "float64":
        words = _words(w, c.x[0], c.out.size, 2)
        count = w.op("Add", bits53(w, *words[:2]), word(w, 1))
        radius = w.op("Mul", w.op("Cast", count, to=_DOUBLE), w.like(2.0**-53, "float64"))
        return _joined(w, _turned(w, radius, w.op("Add", words[2], _times(w, words[3], 1 << 32)), 64), c)
    words = _words(w, c.x[0], c.out.size, 4)
    parts = []
    for u, angle in (words[:2], words[2:]):
        # Rounded to float32, since its logarithm is near 0 where it is near 1.
        near = w.op("Mul", w.op("Cast", right(w, u, 1), to=_SINGLE), w.like(2.0**-31, "float32"))
        parts += _turned(w, w.cast(w.op("Add", near, w.like(2.0**-32, "float32")), "float64"), angle, 32)
    return w.cast(_joined(w, parts, c), "float32")


@rule("_rand_integers")
def _rand_integers(w: Writer, c: Call) -> Any:
    if not possible(c, 0):
        return None
    span, parts = c.options["span"], []
    words = _words(w, c.x[0], c.out.size, 2)
    for low, high in (words[:2], words[2:]):
        if not span:
            parts.append(w.op("Add", low, _times(w, high, 1 << 32)))
            continue
        # The high half of a product of 128 bits.
        a, b, p, q = (_times(w, x, n) for n in (span & 0xFFFFFFFF, span >> 32) for x in (low, high))
        middle = w.op("Add", w.op("Add", right(w, a, 32), low32(w, b)), low32(w, p))
        carried = w.op("Add", right(w, middle, 32), w.op("Add", right(w, b, 32), right(w, p, 32)))
        parts.append(w.op("Add", q, carried))
    y = w.op("Add", w.op("Cast", _joined(w, parts, c), to=SIGNED), w.array(c.options["low"], "int64"))
    return y if c.out.dtype == "int64" else w.cast(y, c.out.dtype)


@rule("_loop_seed")
def _loop_seed(w: Writer, c: Call) -> Any:
    if not possible(c, 1):
        return None
    seed, step = (w.op("Expand", x, w.ints(*c.out.shape)) for x in c.x)
    low, high = halves(w, step)
    words = philox(w, [word(w, c.options["number"]), low, high, word(w, 2)], halves(w, seed))
    return w.op("Cast", w.op("Add", words[0], _times(w, words[1], 1 << 32)), to=SIGNED)
