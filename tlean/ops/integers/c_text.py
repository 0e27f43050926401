"""Formulas of integers as C: text that the CPU's kernels, written at build time, and CUDA's have in common.

Arithmetic goes through unsigned types, so none is undefined. What has no result is what NumPy gives: 0 for a quotient or a remainder by 0.
"""

from __future__ import annotations

from .. import expression as ex
from .forms import IntegerFormula

#: The endings of kernels' names, with the bytes of an element.
SIZES = {"i64": 8, "i32": 4, "b8": 1}

_FUNCTIONS = """\
#define TL_INTEGER_TYPE(suffix, T, U, bits)                                                                             \\
    TL_INTEGER_FN T tl_add_##suffix(T a, T b) { return (T)((U)a + (U)b); }                                              \\
    TL_INTEGER_FN T tl_sub_##suffix(T a, T b) { return (T)((U)a - (U)b); }                                              \\
    TL_INTEGER_FN T tl_mul_##suffix(T a, T b) { return (T)((U)a * (U)b); }                                              \\
    TL_INTEGER_FN T tl_neg_##suffix(T x) { return (T)((U)0 - (U)x); }                                                   \\
    TL_INTEGER_FN T tl_abs_##suffix(T x) { return x < 0 ? tl_neg_##suffix(x) : x; }                                     \\
    TL_INTEGER_FN T tl_sign_##suffix(T x) { return (T)((x > 0) - (x < 0)); }                                            \\
    TL_INTEGER_FN T tl_max_##suffix(T a, T b) { return a > b ? a : b; }                                                 \\
    TL_INTEGER_FN T tl_min_##suffix(T a, T b) { return a < b ? a : b; }                                                 \\
    TL_INTEGER_FN T tl_pow_##suffix(T x, T c) {                                                                         \\
        U y = 1, base = (U)x;                                                                                           \\
        if (c < 0) return x == 1 || x == (T)-1 ? (T)(c & 1 ? x : 1) : 0;                                                \\
        for (; c > 0; c >>= 1, base *= base) if (c & 1) y *= base;                                                      \\
        return (T)y;                                                                                                    \\
    }                                                                                                                   \\
    TL_INTEGER_FN T tl_floor_divide_##suffix(T a, T b) {                                                                \\
        if (b == 0) return 0;                                                                                           \\
        if (b == -1) return tl_neg_##suffix(a);                                                                         \\
        return (T)(a / b - (a % b != 0 && (a < 0) != (b < 0)));                                                         \\
    }                                                                                                                   \\
    TL_INTEGER_FN T tl_remainder_##suffix(T a, T b) {                                                                   \\
        if (b == 0 || b == -1) return 0;                                                                                \\
        return (T)(a % b + ((a % b != 0 && (a < 0) != (b < 0)) ? b : 0));                                               \\
    }                                                                                                                   \\
    TL_INTEGER_FN T tl_fmod_##suffix(T a, T b) { return b == 0 || b == -1 ? 0 : (T)(a % b); }                           \\
    TL_INTEGER_FN T tl_gcd_##suffix(T a, T b) {                                                                         \\
        U x = a < 0 ? (U)0 - (U)a : (U)a, y = b < 0 ? (U)0 - (U)b : (U)b;                                               \\
        while (y) { const U rest = x % y; x = y; y = rest; }                                                            \\
        return (T)x;                                                                                                    \\
    }                                                                                                                   \\
    TL_INTEGER_FN T tl_lcm_##suffix(T a, T b) {                                                                         \\
        const U shared = (U)tl_gcd_##suffix(a, b);                                                                      \\
        return shared ? (T)((a < 0 ? (U)0 - (U)a : (U)a) / shared * (b < 0 ? (U)0 - (U)b : (U)b)) : 0;                  \\
    }                                                                                                                   \\
    TL_INTEGER_FN T tl_bitwise_and_##suffix(T a, T b) { return (T)(a & b); }                                            \\
    TL_INTEGER_FN T tl_bitwise_or_##suffix(T a, T b) { return (T)(a | b); }                                             \\
    TL_INTEGER_FN T tl_bitwise_xor_##suffix(T a, T b) { return (T)(a ^ b); }                                            \\
    TL_INTEGER_FN T tl_bitwise_not_##suffix(T x) { return (T)~x; }                                                      \\
    TL_INTEGER_FN T tl_left_shift_##suffix(T a, T b) { return (U)b < bits ? (T)((U)a << b) : 0; }                       \\
    TL_INTEGER_FN T tl_right_shift_##suffix(T a, T b) { return (T)(a >> ((U)b < bits ? b : bits - 1)); }

"""


def functions(types: dict[str, str], unsigned: dict[str, str], prefix: str) -> str:
    """The functions of the formulas, `tl_<function>_<ending>`.

    Args:
        types: the C type of each ending.
        unsigned: those of the same sizes without a sign, of integers.
        prefix: before each function.
    """
    lines = [f"#define TL_INTEGER_FN {prefix}\n", _FUNCTIONS]
    lines += [f"TL_INTEGER_TYPE({s}, {types[s]}, {u}, {8 * SIZES[s]})\n" for s, u in unsigned.items()]
    b8 = types["b8"]
    lines += [f"TL_INTEGER_FN {b8} tl_{n}_b8({b8} a, {b8} b) {{ return a {op} b ? a : b; }}\n" for n, op in (("max", ">"), ("min", "<"))]
    return "".join(lines)


def to_c(formula: IntegerFormula, suffix: str) -> str:
    """The expression of a formula, of variables of the type of that ending."""
    return _text(formula.booleans if suffix == "b8" and formula.booleans is not None else formula.integers, suffix)


def _text(tree: ex.Tree, suffix: str) -> str:
    if isinstance(tree, ex.Number):
        return str(int(tree.value))
    if isinstance(tree, ex.Variable):
        return tree.name
    args = [_text(a, suffix) for a in tree.args]
    if tree.function == "select":
        return f"({args[0]} ? {args[1]} : {args[2]})"
    if tree.function in ex.COMPARISONS:
        return f"({args[0]} {ex.COMPARISONS[tree.function]} {args[1]})"
    return f"tl_{tree.function}_{suffix}({', '.join(args)})"


def operand_types(formula: IntegerFormula, suffix: str) -> list[str]:
    """The endings of the types of its inputs."""
    return ["b8" if x in formula.form.others else suffix for x in formula.inputs]


def result_type(formula: IntegerFormula, suffix: str) -> str:
    """The ending of the type of its result."""
    return "b8" if formula.form.result == "bool" else suffix
