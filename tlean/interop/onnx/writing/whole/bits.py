"""Bits of whole numbers: ONNX's operators of them came with opset 18; before, numbers are parted into their digits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..writer import Writer

#: The element type of whole numbers of 64 bits without a sign, and of those with one.
UNSIGNED, SIGNED = 13, 7

_KINDS: dict[str, Callable[[Writer, str, str], str]] = {
    "And": lambda w, a, b: w.op("Mul", a, b),
    "Or": lambda w, a, b: w.op("Max", a, b),
    "Xor": lambda w, a, b: w.op("Abs", w.op("Sub", a, b)),
}


def word(w: Writer, value: object) -> str:
    """Numbers without a sign."""
    return w.array(np.array(value, np.uint64))


def right(w: Writer, x: str, bits: int) -> str:
    """Numbers without a sign, shifted to the right."""
    return str(w.op("BitShift", x, word(w, bits), direction="RIGHT"))


def low_bits(w: Writer, x: str, bits: int) -> str:
    """The lowest bits of numbers without a sign."""
    if w.opset >= 18:
        return str(w.op("BitwiseAnd", x, word(w, (1 << bits) - 1)))
    return right(w, w.op("BitShift", x, word(w, 64 - bits), direction="LEFT"), 64 - bits)


def bitwise(w: Writer, kind: str, a: str, b: str, bits: int) -> str:
    """And, Or, Xor of numbers without a sign that have so many bits."""
    if w.opset >= 18:
        return str(w.op(f"Bitwise{kind}", a, b))
    above = word(w, 63 - np.arange(bits))

    def digits(x: str) -> str:
        first = w.op("BitShift", w.unsqueeze(x, -1), above, direction="LEFT")
        return str(w.op("Cast", right(w, first, 63), to=SIGNED))

    # By a product: onnxruntime sums whole numbers in float64.
    made = w.op("MatMul", _KINDS[kind](w, digits(a), digits(b)), w.array(np.int64(1) << np.arange(bits), "int64"))
    return str(w.op("Cast", made, to=UNSIGNED))


def complement(w: Writer, x: str, dtype: str) -> str:
    """Every bit of numbers with a sign turned."""
    return str(w.op("BitwiseNot", x) if w.opset >= 18 else w.op("Sub", w.like(-1, dtype), x))
