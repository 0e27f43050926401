"""Conversions between dtypes, as on the CPU: what an integer cannot hold is the least one."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import COMMON, Family, In, Out, Plan, Planner, flat

#: The types of the dtypes that a device has, by the endings of kernels' names.
TYPES = {"f32": "float", "i64": "i64", "i32": "int", "b8": "unsigned char"}
_TARGETS = {"float32": "f32", "int64": "i64", "int32": "i32", "bool": "b8"}
#: What an integer holds of a float, and the least of its values.
_RANGES = {
    "i64": ("x >= -9223372036854775808.0f && x < 9223372036854775808.0f", "-9223372036854775807LL - 1"),
    "i32": ("x >= -2147483648.0f && x < 2147483648.0f", "-2147483647 - 1"),
}


def name_of(kernel: str, suffix: str) -> str:
    """The name of a kernel that works in a dtype of that ending: those that work in float32 have none."""
    return kernel if suffix == "f32" else f"{kernel}:{suffix}"


def converted_value(target: str, source: str, x: str) -> str:
    """The C expression of a value in the dtype with the ending `target`; x is the name of one of that with the ending `source`."""
    if target == "b8":
        return f"{x} != 0"
    if target in _RANGES and source == "f32":
        within, least = _RANGES[target]
        return f"{within.replace('x', x)} ? ({TYPES[target]}){x} : {least}"
    return f"({TYPES[target]}){x}"


def _source(target: str, source: str) -> str:
    return f"""
extern "C" __global__ void k_{target}_of_{source}({TYPES[target]} *y, const {TYPES[source]} *in, i64 n) {{
    TL_EACH(i, n) {{ const {TYPES[source]} x = in[i]; y[i] = {converted_value(target, source, "x")}; }}
}}
"""


def _planner(target: str, source: str) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        return Plan((flat(f"k_{target}_of_{source}", ints[0], Out(0), In(0)),))

    return plan


FAMILY = Family(
    "convert",
    COMMON + "".join(_source(t, s) for t in TYPES for s in TYPES),
    {name_of(f"as_{dtype}", s): _planner(t, s) for dtype, t in _TARGETS.items() for s in TYPES},
)
