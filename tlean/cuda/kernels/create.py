"""Arrays made of numbers alone, as on the CPU: constants of integers and Booleans, numbers at equal distances, ones on a diagonal."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .convert import TYPES, name_of
from .plan import COMMON, Family, Out, Plan, Planner, flat

#: The integers among the types of a device.
_WHOLE = ("i64", "i32", "b8")


def _source(suffix: str) -> str:
    t = TYPES[suffix]
    text = f"""
extern "C" __global__ void k_eye_{suffix}({t} *y, i64 columns, i64 offset, i64 n) {{
    TL_EACH(i, n) y[i] = i % columns == i / columns + offset ? 1 : 0;
}}
"""
    if suffix not in _WHOLE:
        return text
    return f"""{text}
extern "C" __global__ void k_full_{suffix}({t} *y, i64 value, i64 n) {{ TL_EACH(i, n) y[i] = ({t})value; }}
extern "C" __global__ void k_iota_{suffix}({t} *y, i64 start, i64 step, i64 n) {{
    TL_EACH(i, n) y[i] = ({t})((unsigned long long)start + (unsigned long long)step * (unsigned long long)i);
}}
"""


#: Numbers come as the bits of a double: a launch's own floats are single.
_IOTA = """
union Number { i64 bits; double value; };
__device__ __forceinline__ double number(i64 bits) { Number u; u.bits = bits; return u.value; }
extern "C" __global__ void k_iota_f32(float *y, i64 start, i64 step, i64 last, i64 given, i64 n) {
    TL_EACH(i, n) y[i] = (float)(given && i == n - 1 ? number(last) : (double)i * number(step) + number(start));
}
"""


def _bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def _eye(suffix: str) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        rows, columns, offset = ints
        return Plan((flat(f"k_eye_{suffix}", rows * columns, Out(0), columns, offset),))

    return plan


def _full(suffix: str) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        elements, value = ints
        return Plan((flat(f"k_full_{suffix}", elements, Out(0), value),))

    return plan


def _iota(suffix: str) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        if suffix in _WHOLE:
            elements, start, step = ints
            return Plan((flat(f"k_iota_{suffix}", elements, Out(0), start, step),))
        elements, given = ints
        start, step, last = map(_bits, floats)
        return Plan((flat("k_iota_f32", elements, Out(0), start, step, last, given),))

    return plan


FAMILY = Family(
    "create",
    COMMON + _IOTA + "".join(map(_source, TYPES)),
    {name_of("eye", s): _eye(s) for s in TYPES}
    | {name_of("iota", s): _iota(s) for s in TYPES if s != "b8"}
    | {name_of("_full", s): _full(s) for s in _WHOLE},
)
