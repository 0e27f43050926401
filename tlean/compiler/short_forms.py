"""Kernels of loops' bodies on short arrays: what they do for one shape, without the search for a way that suits any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from tlean._core.table import INNER, KERNELS, MODULES, PRODUCERS

#: A move: which operand, from which byte of it to which byte of the result, how many bytes.
Move = tuple[int, int, int, int]
#: A form is None where there is none; or moves; or a kernel: its address, its integers, and which operand it reads packed (`small` of
#: gemm.pyx), if it does.
Form = list[Move] | tuple[int, tuple[int, ...], Any] | None

#: The longest array that is moved or summed by a form, in bytes.
_SHORT = 4096
_BYTES = {"f32": 4, "f64": 8, "i32": 4, "i64": 8, "b8": 1}


def _product(name: str, suffix: str) -> Callable[..., Form]:
    def form(ints: Sequence[int], packs: Sequence[bool]) -> Form:
        return MODULES["gemm"].small(name, suffix, ints, packs)  # type: ignore[no-any-return]

    return form


def _copied(item: int) -> Callable[..., Form]:
    # `strided_copy` of elements that lie side by side; ints: (offset, axes, sizes…, strides…).
    def form(ints: Sequence[int], _: Sequence[bool]) -> Form:
        offset, axes = ints[:2]
        sizes, strides = ints[2 : 2 + axes], ints[2 + axes : 2 + 2 * axes]
        bytes = prod(sizes) * item
        dense = all(n == 1 or step == prod(sizes[k + 1 :]) for k, (n, step) in enumerate(zip(sizes, strides, strict=True)))
        return [(0, offset * item, 0, bytes)] if dense and 0 < bytes <= _SHORT else None

    return form


def _whole(item: int) -> Callable[..., Form]:
    def form(ints: Sequence[int], _: Sequence[bool]) -> Form:
        return [(0, 0, 0, ints[0] * item)] if 0 < ints[0] * item <= _SHORT else None

    return form


def _joined(item: int) -> Callable[..., Form]:
    # `concat` along the first axis; ints: (outer, inputs, widths…).
    def form(ints: Sequence[int], _: Sequence[bool]) -> Form:
        widths = ints[2:]
        if ints[0] != 1 or not 0 < sum(widths) * item <= _SHORT:
            return None
        return [(k, 0, sum(widths[:k]) * item, n * item) for k, n in enumerate(widths) if n]

    return form


def _reduced(address: int, item: int, all_ints: bool) -> Callable[..., Form]:
    # A reduction of all elements or of rows; ints: (runs, whether the first is reduced, sizes…).
    def form(ints: Sequence[int], _: Sequence[bool]) -> Form:
        rows, n = (1, ints[2]) if tuple(ints[:2]) == (1, 1) else tuple(ints[2:]) if tuple(ints[:2]) == (2, 0) else (0, 0)
        return (address, (rows, n, *(ints if all_ints else ())), None) if 0 < rows * n * item <= _SHORT else None

    return form


def _integers(name: str) -> Callable[..., Form]:
    def form(ints: Sequence[int], _: Sequence[bool]) -> Form:
        return MODULES["integer"].short(name, ints)  # type: ignore[no-any-return]

    return form


def _forms() -> dict[int, Callable[..., Form]]:
    made: dict[int, Callable[..., Form]] = {}
    for table in (KERNELS, PRODUCERS):
        made |= {table[f"{name}:{x}"]: _product(name, x) for name in ("matmul", "linear") for x in ("f32", "f64")}
    for x in ("f32", "f64"):
        made[KERNELS[f"reduce_sum:{x}"]] = _reduced(MODULES["reduce"].SHORT_SUMS[x], _BYTES[x], False)
        made[KERNELS[f"reduce_max:{x}"]] = _reduced(MODULES["maximum"].SHORT_MAXIMA[x], _BYTES[x], True)
    made |= {KERNELS[name]: _integers(name) for name in MODULES["integer"].KERNELS}
    # Dtypes of one size share these kernels.
    for x, item in _BYTES.items():
        for name, form in (("strided_copy", _copied), ("concat", _joined), ("copy", _whole)):
            if f"{name}:{x}" in KERNELS:
                made[KERNELS[f"{name}:{x}"]] = form(item)
    return made


#: By the address of a kernel or of a producer: what gives its form, from its integers and from which of its operands may be packed.
FORMS = _forms()
#: By the address of a form: a loop that may follow it, and the kernel that does both.
FOLLOWED: dict[int, tuple[int, int]] = {line: (INNER[f"add:{x}"], both) for x, (line, both) in MODULES["gemm"].ADDED.items()}
