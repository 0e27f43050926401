"""Elementwise ops: kernels made of the registry's formulas."""

from __future__ import annotations

from collections.abc import Sequence

from ...ops import expression as ex
from ...ops.elementwise import FORMULAS, LANES, Formula
from .plan import COMMON, Argument, Family, In, Launch, Out, Plan, Planner, flat_by_fours


def kernel_source(formula: Formula) -> str:
    """The kernel of one formula: `k_<name>(out, inputs…, parameters…, n)`, four elements at a time where addresses allow it."""
    names = {name: name for name in (*formula.inputs, *formula.parameters)}
    declarations, value = ex.to_cuda(formula.tree, names)
    used = [x for x in formula.inputs if x in ex.variables(formula.tree)]
    types = {x: "unsigned char" if x in formula.booleans else "float" for x in formula.inputs}
    fours = {"unsigned char": "uchar4", "float": "float4"}
    result = "unsigned char" if formula.condition else "float"
    pointers = [f"const {types[x]} *{x}_at" for x in formula.inputs]
    arguments = [f"{result} *out", *pointers, *(f"float {p}" for p in formula.parameters), "i64 n"]
    of = f"of_{formula.name}"
    element = [f"const {types[x]} {x}" for x in used] + [f"const float {p}" for p in formula.parameters]

    def call(pattern: str) -> str:
        return f"{of}({', '.join([*(pattern.format(x) for x in used), *formula.parameters])})"

    loads = "".join(f"const {fours[types[x]]} {x} = ((const {fours[types[x]]} *){x}_at)[i]; " for x in used)
    four = fours[result]
    lanes = ", ".join(call(f"{{}}.{lane}") for lane in "xyzw")
    addresses = " | ".join(["TL_ADDRESS(out)", *(f"TL_ADDRESS({x}_at)" for x in used)])
    return f"""
static __device__ __forceinline__ {result} {of}({", ".join(element)}) {{ {" ".join([*declarations, f"return {value};"])} }}
extern "C" __global__ void k_{formula.name}({", ".join(arguments)}) {{
    i64 done = 0;
    if (TL_BY_FOURS({addresses})) {{
        TL_EACH(i, n / 4) {{ {loads}const {four} four = {{{lanes}}}; (({four} *)out)[i] = four; }}
        done = n / 4 * 4;
    }}
    TL_EACH(i, n - done) out[done + i] = {call("{}_at[done + i]")};
}}
"""


def _planner(formula: Formula) -> Planner:
    pointers: tuple[Argument, ...] = (Out(0), *(In(k) for k in range(len(formula.inputs))))

    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        return Plan((flat_by_fours(f"k_{formula.name}", ints[0], *pointers, *map(float, floats)),))

    return plan


#: Adding into an array in place.
_ACCUMULATE = """
extern "C" __global__ void k_accumulate(float *y, const float *x, i64 n) {
    if (TL_BY_FOURS(TL_ADDRESS(y) | TL_ADDRESS(x))) {
        TL_EACH(i, n / 4) {
            float4 a = ((const float4 *)y)[i];
            const float4 b = ((const float4 *)x)[i];
            a.x += b.x, a.y += b.y, a.z += b.z, a.w += b.w;
            ((float4 *)y)[i] = a;
        }
        TL_EACH(i, n % 4) y[n / 4 * 4 + i] += x[n / 4 * 4 + i];
    } else TL_EACH(i, n) y[i] += x[i];
}
"""


#: Eight bytes each, that a launch brings along as its arguments.
MOST_WORDS = 16

_WORDS = f"""
struct Words {{ i64 v[{MOST_WORDS}]; }};
extern "C" __global__ void k_words(unsigned char *to, const Words words, i64 n) {{
    const int i = threadIdx.x;
    if (i < n) to[i] = (unsigned char)((unsigned long long)words.v[i / 8] >> (i % 8 * 8));
}}
"""


def words(to: Argument, values: Sequence[int], size: int) -> Launch:
    """Write the first `size` bytes of `MOST_WORDS` words to an address."""
    return Launch("k_words", (to, tuple(values), size), (1, 1, 1), (8 * MOST_WORDS, 1, 1))


def accumulation(n: int, into: Argument, contribution: Argument) -> Launch:
    """into[i] += contribution[i] for n elements."""
    return flat_by_fours("k_accumulate", n, into, contribution)


def _name(formula: Formula) -> str:
    return f"{formula.name}:b8" if formula.inputs and formula.booleans == set(formula.inputs) else formula.name


_ALL = {_name(formula): formula for formula in (*FORMULAS.values(), *LANES.values())}

FAMILY = Family(
    "elementwise",
    COMMON + _WORDS + _ACCUMULATE + ex.CUDA_PRELUDE + "".join(map(kernel_source, _ALL.values())),
    {name: _planner(formula) for name, formula in _ALL.items()},
)
