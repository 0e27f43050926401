"""The functions of exported C: those of `simd/vmath*.h`, from which the kernels of the CPU are made, as far as a program calls them."""

from __future__ import annotations

import functools
import re
from importlib.resources import files

from tlean.ops.integers import c_text

_HEADERS = (
    *(f"simd/{name}.h" for name in ("vmath_f32", "vmath_f64", "vmath_exact", "vmath_trig", "vmath_special", "philox")),
    "kernels/random/draws.h",
    "kernels/special/incomplete.h",
)

#: What every file begins with. Products are contracted where the functions say so, and only if the processor has the instruction, which
#: not every compiler says by FP_FAST_FMA.
#:
#: GCC 12 copies constant arrays wrongly where it makes 32 or 64 bytes of them in a register (AVX-512, or AVX2 with -mmove-max=256): the
#: piece counts as one number, whose leading zeros are not kept, so that equal words with zeros behind them (3 3 3 3 3 0 0 0) become eight
#: equal words. It does so for whole copies alone, by memcpy, by a loop, or as the initial values of a local array, of a size that is no
#: power of two; what is read element by element is right, and so is what it has to expect to be written. The library's own kernels copy
#: no constants.
PREAMBLE = """\
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__clang__) || !defined(__GNUC__)
#pragma STDC FP_CONTRACT OFF
#endif

#if defined(FP_FAST_FMA) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define TL_HAS_FMA
#define TL_FMAF(a, b, c) fmaf(a, b, c)
#define TL_FMA(a, b, c) fma(a, b, c)
#else
#define TL_FMAF(a, b, c) ((a) * (b) + (c))
#define TL_FMA(a, b, c) ((a) * (b) + (c))
#endif
#if defined(__GNUC__) || defined(__clang__)
#define TL_INLINE static inline __attribute__((unused))
#else
#define TL_INLINE static inline
#endif
#if defined(__GNUC__) && !defined(__clang__) && defined(__AVX512F__)
#define TL_TABLE static __attribute__((used))
#else
#define TL_TABLE static const
#endif
"""

_EXACT = """\
TL_INLINE uint32_t tl_bitsf(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
TL_INLINE uint64_t tl_bits(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
TL_INLINE float tl_from_bitsf(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }
TL_INLINE double tl_from_bits(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }
"""
_EXACT += """\
TL_INLINE int tl_is_nan(double x) { return x != x; }
TL_INLINE int tl_is_none(int64_t x) { (void)x; return 0; }
"""
_EXACT += "".join(
    f"""\
TL_INLINE {real} tl_sqrt{f}({real} x) {{ return sqrt{f}(x); }}
TL_INLINE {real} tl_abs{f}({real} x) {{ return fabs{f}(x); }}
TL_INLINE {real} tl_max{f}({real} a, {real} b) {{ {real} m = a < b ? b : a; return b == b ? m : b; }}
TL_INLINE {real} tl_min{f}({real} a, {real} b) {{ {real} m = a > b ? b : a; return b == b ? m : b; }}
TL_INLINE {real} tl_bounded{f}({real} x, {real} c) {{ return fabs{f}(x) > c ? copysign{f}(c, x) : x; }}
TL_INLINE {real} tl_sign{f}({real} x) {{ return x > 0 ? 1 : x < 0 ? -1 : x == 0 ? 0 : x; }}
TL_INLINE {real} tl_floor{f}({real} x) {{ return floor{f}(x); }}
TL_INLINE {real} tl_ceil{f}({real} x) {{ return ceil{f}(x); }}
TL_INLINE {real} tl_trunc{f}({real} x) {{ return trunc{f}(x); }}
TL_INLINE {real} tl_round{f}({real} x) {{ return rint{f}(x); }}
"""
    for real, f in (("float", "f"), ("double", ""))
)

#: In place of definitions in vectors, and by what C99 does not have.
_PLAIN = {
    "tl_lgamma_reflected": """\
static double tl_lgamma_reflected(double x) {
    if (x >= -1e300 && x != floor(x)) return (double)lgammal((long double)x);
    return x != x ? x : INFINITY;
}
""",
    "tl_philox_lanes": """\
static void tl_philox_lanes(uint32_t *w, uint64_t seed, uint64_t block) {
    for (uint64_t k = 0; k < TL_PHILOX_LANES; k++, w += 4) {
        w[0] = (uint32_t)(block + k);
        w[1] = (uint32_t)((block + k) >> 32);
        w[2] = w[3] = 0;
        tl_philox_block(w, (uint32_t)seed, (uint32_t)(seed >> 32));
    }
}
""",
}

_OF_INTEGERS = re.compile(r"\btl_\w+_(?:i64|i32|b8)\(")
_WORD = re.compile(r"\b[A-Za-z_]\w*")
_FUNCTION = re.compile(r"(?:TL_INLINE|static(?: inline)?)\s+[\w ]+?[ *]+(\w+)(?:\(|\[)")


def functions(text: str) -> str:
    """The definitions of what a text calls, and of what these call, in the order of the headers."""
    items = _items()
    makes: dict[str, list[int]] = {}
    for k, (names, _) in enumerate(items):
        for name in names:
            makes.setdefault(name, []).append(k)
    wanted: set[int] = set()
    todo = [text]
    while todo:
        for word in set(_WORD.findall(todo.pop())):
            for k in makes.get(word, ()):
                if k not in wanted:
                    wanted.add(k)
                    todo.append(_reads(items[k][1]))
    return "".join(items[k][1] for k in sorted(wanted)) + (_integers() if _OF_INTEGERS.search(text) else "")


def _integers() -> str:
    types = {"i64": "int64_t", "i32": "int32_t", "b8": "uint8_t"}
    return c_text.functions(types, {s: f"u{types[s]}" for s in ("i64", "i32")}, "TL_INLINE")


def _reads(item: str) -> str:
    # An item with the names that a macro's call pastes together.
    call = re.match(r"TL_BY_DOUBLE(_2)?\((\w+)\)", item)
    return f"{item} tl_{call[2]}" if call else item


@functools.cache
def _items() -> tuple[tuple[tuple[str, ...], str], ...]:
    # The definitions of the headers, with the names that each defines.
    items: list[tuple[tuple[str, ...], str]] = [
        ((match[1],), line + "\n") for line in _EXACT.splitlines() if (match := _FUNCTION.match(line))
    ]
    known = {name for names, _ in items for name in names}
    for header in _HEADERS:
        text = files("tlean._core").joinpath(*header.split("/")).read_text(encoding="utf-8")
        for item in map(_plain, _split(text)):
            names = _defines(item)
            if names and not known.intersection(names):
                items.append((names, _PLAIN.get(names[0], item)))
    return tuple(items)


def _split(text: str) -> list[str]:
    # The definitions at the top: a macro, a function, the call of a macro. Comments and conditions between them are left out.
    items: list[str] = []
    lines = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).split("\n")
    k = 0
    while k < len(lines):
        line = lines[k]
        k += 1
        if not line or line[0] in " }" or (line[0] == "#" and not line.startswith("#define")):
            continue
        item = [line]
        if line.startswith("#define"):
            while item[-1].rstrip().endswith("\\"):
                item.append(lines[k])
                k += 1
        else:
            while sum(x.count("{") - x.count("}") for x in item) > 0 or not re.search(r"[};)]\s*$", item[-1]):
                item.append(lines[k])
                k += 1
        items.append("\n".join(x.rstrip() for x in item if x.strip()) + "\n")
    return items


def _defines(item: str) -> tuple[str, ...]:
    if item.startswith("#define"):
        return (_WORD.findall(item)[1],) if not item.startswith("#define TLEAN") and "TL_ROUNDINGS" not in item else ()
    if match := re.match(r"(?:enum|typedef struct) \{ (\w+)", item):
        return (match[1],)
    if match := re.match(r"typedef [\s\S]*?(\w+);\s*\Z", item):
        return (match[1],)
    if match := re.match(r"TL_INTEGERS\((\w+)", item):
        return (match[1],)
    if match := re.match(r"TL_BY_DOUBLE(?:_2)?\((\w+)\)", item):
        return (f"tl_{match[1]}f",)
    if match := re.match(r"TL_POW_FUNCTIONS\(\w+, (f?),", item):
        return tuple(f"tl_pow_{name}{match[1]}" for name in ("edge", "of_negative", "of_nan", "sign"))
    if match := _FUNCTION.match(item):
        return (match[1],)
    return ()


def _plain(item: str) -> str:
    item = re.sub(r"__builtin_fma\b", "fma", item.replace("__FMA__", "TL_HAS_FMA"))
    item = re.sub(r"\bwide\b", "tl_wide", item.replace("TL_RESTRICT", "restrict"))
    return re.sub(r"__builtin_(\w+)", r"\1", item)
