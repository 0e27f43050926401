"""Writes the CPU kernels of the elementwise ops: C text, made of their formulas at build time."""

from __future__ import annotations

from tlean.ops import expression as ex
from tlean.ops.elementwise import FORMULAS, LANES, Formula
from tlean.ops.formulas.vocabulary import LARGE_ANGLE, VOCABULARY

FOLDER = "tlean/_core/_generated"
DTYPES = {"f32": ("float", "f", 4), "f64": ("double", "", 8)}
#: The kernels of Booleans alone.
BOOLEANS = {"b8": ("uint8_t", "f", 1)}
TYPES = DTYPES | BOOLEANS

_PREAMBLE = """\
/* Written by tools/codegen/kernels.py from the formulas of tlean/ops/elementwise.py. */
#ifndef TLEAN_ELEMENTWISE_KERNELS_H
#define TLEAN_ELEMENTWISE_KERNELS_H
#include "kernel.h"
#include "simd/lanes_f64.h"
#include "simd/vmath_special.h"

/* Elements that one call of an inner function takes at most: the unit of work of a thread. */
enum { TL_CHUNK = 16384 };

/* Elements in a block that takes the slow way if one of them has to. */
enum { TL_BLOCK = 256 };

/* n elements of a formula on one thread; out may be one of the inputs. */
typedef void (*tl_inner)(void *out, void **in, int64_t n, const double *floats, int accumulate);

/* What the loop over chunks needs to know of a kernel: the bytes of an element of each operand, the output first. `work` is in picoseconds
 * per element, roughly. */
enum { TL_MOST_INPUTS = MOST_INPUTS };
typedef struct {
    const char *name; tl_kernel kernel; tl_inner inner; int inputs; int sizes[TL_MOST_INPUTS + 1]; int work; int adds; int fuses;
} tl_entry;

/* The loop over chunks on several threads; set when the module is imported. */
static int (*tl_in_chunks)(const tl_entry *, void **out, void **in, int64_t n, const double *floats, int accumulate);

/* AVX-512 makes `c ? g : 0` a load of g under the mask c, which begins when c is there: from memory, at half the speed. An operation on g
 * goes under the mask with the load, the second does not; adding −0 to a number that the compiler cannot see through changes nothing. */
#if defined(__AVX512F__) && defined(__GNUC__)
#define TL_PLAINLY(x) ((x) + nothing + nothing)
TL_INLINE float tl_nothingf(void) { uint32_t u = tl_bitsf(-0.0f); __asm__("" : "+r"(u)); return tl_from_bitsf(u); }
TL_INLINE double tl_nothing(void) { uint64_t u = tl_bits(-0.0); __asm__("" : "+r"(u)); return tl_from_bits(u); }
#else
#define TL_PLAINLY(x) (x)
TL_INLINE float tl_nothingf(void) { return 0; }
TL_INLINE double tl_nothing(void) { return 0; }
#endif

/* Elements of a formula with a large function at a time: a loop of this many needs no code for what is left over, and one loop serves both
 * ways to write. Otherwise a function would be in the module six times. */
enum { TL_GROUP = 16 };
#define TL_GROUPED(real, f)                                                                                             \\
    TL_INLINE const real *tl_padded##f(real *pad, const real *in, int64_t count) {                                      \\
        if (count >= TL_GROUP) return in;                                                                               \\
        for (int64_t i = 0; i < TL_GROUP; i++) pad[i] = in[i < count ? i : 0];                                          \\
        return pad;                                                                                                     \\
    }                                                                                                                   \\
    TL_INLINE void tl_put##f(real *out, const real *block, int64_t count, int accumulate) {                             \\
        if (accumulate) for (int64_t i = 0; i < count; i++) out[i] = out[i] + block[i];                                 \\
        else if (count >= TL_GROUP) memcpy(out, block, TL_GROUP * sizeof(real));                                        \\
        else for (int64_t i = 0; i < count; i++) out[i] = block[i];                                                     \\
    }
TL_GROUPED(float, f)
TL_GROUPED(double, )

/* The loop has no dependence between elements even where out is one of the inputs. */
#define TL_EACH(first, last, statement) TL_INDEPENDENT for (int64_t i = first; i < last; i++) { statement }

#define TL_INNER(name) static void name##_inner(void *out_, void **in, int64_t n, const double *floats, int accumulate)
#define TL_KERNEL(name, index)                                                                                          \\
    static int name##_kernel(void **out, void **in, const int64_t *ints, const double *floats, int accumulate) {        \\
        if (ints[0] > TL_CHUNK) return tl_in_chunks(&tl_entries[index], out, in, ints[0], floats, accumulate);          \\
        name##_inner(out[0], in, ints[0], floats, accumulate);                                                          \\
        return TL_OK;                                                                                                   \\
    }

"""

_ACCUMULATE = """\
static int accumulate_{dtype}_kernel(void **out, void **in, const int64_t *ints, const double *floats, int accumulate) {{
    return copy_{dtype}_kernel(out, in, ints, floats, 1);
}}
"""

# A kernel of no formula: what the executor adds a finished contribution with.
_COPY = Formula("copy", ("x",), (), ex.Variable("x"), dict)

# The vector forms of these do not take every argument; `tl_wide_sin` and so on do. Name -> the condition that leaves the loop.
_RANGED = {"sin": LARGE_ANGLE, "cos": LARGE_ANGLE, **{name: f.narrow for name, f in VOCABULARY.items() if f.narrow}}

# Functions that `simd/lanes_f64.h` has a loop of.
_EACH = ("exp", "log", "sigmoid", "tanh", "erf")

# From this cost on a function is large: a few hundred bytes for each time that it is written.
_LARGE = 14


def files() -> dict[str, str]:
    """Path from the root of the repository -> text."""
    formulas = [*FORMULAS.values(), *LANES.values(), _COPY]
    of = {dtype: [f for f in formulas if (dtype in BOOLEANS) == _of_booleans(f)] for dtype in TYPES}
    entries = [(f, dtype) for dtype in TYPES for f in of[dtype]]
    parts = [
        _PREAMBLE.replace("MOST_INPUTS }", f"{max(len(f.inputs) for f in formulas)} }}"),
        *(f'#include "elementwise_{dtype}.h"\n' for dtype in TYPES),
    ]
    parts.append(f"\nenum {{ TL_ENTRIES = {len(entries)} }};\nstatic const tl_entry tl_entries[TL_ENTRIES];\n")
    parts += [f"TL_KERNEL({f.name}_{dtype}, {i})\n" for i, (f, dtype) in enumerate(entries)]
    parts += [_ACCUMULATE.format(dtype=dtype) for dtype in DTYPES]
    parts += ["static const tl_entry tl_entries[TL_ENTRIES] = {\n", *(_entry(f, dtype) for f, dtype in entries), "};\n#endif\n"]
    texts = {f"{FOLDER}/elementwise_kernels.h": "".join(parts)}
    for dtype in TYPES:
        texts[f"{FOLDER}/elementwise_{dtype}.h"] = "".join(inner(f, dtype) for f in of[dtype])
    return texts


def _of_booleans(formula: Formula) -> bool:
    # Whether nothing in it is a number.
    return bool(formula.inputs) and formula.booleans == set(formula.inputs)


def _type(formula: Formula, x: str, dtype: str) -> str:
    # The C type of an input.
    return "uint8_t" if x in formula.booleans else TYPES[dtype][0]


def inner(formula: Formula, dtype: str) -> str:
    """The loop over the elements of one formula: a function `<name>_<dtype>_inner` of type `tl_inner`."""
    real = TYPES[dtype][0]
    pointers = [f"{'uint8_t' if formula.condition else real} *out = out_;"]
    pointers += [f"const {_type(formula, x, dtype)} *{x}_at = in[{k}];" for k, x in enumerate(formula.inputs)]
    pointers += [f"const {real} {p} = ({real})floats[{k}];" for k, p in enumerate(formula.parameters)]
    if _under_a_mask(formula):
        pointers.append(f"const {real} nothing = tl_nothing{TYPES[dtype][1]}(); (void)nothing;")
    if (
        dtype == "f64"
        and formula.inputs
        and isinstance(formula.tree, ex.Call)
        and formula.tree in [ex.Call(f, (ex.Variable(formula.inputs[0]),)) for f in _EACH]
    ):
        call = f"tl_each_{formula.tree.function}(out, {formula.inputs[0]}_at, n, accumulate);"
        return "\n".join([f"TL_INNER({formula.name}_{dtype}) {{", "    " + " ".join([*pointers, call]), "}\n"])
    called = {t.function for t in ex.subtrees(formula.tree) if isinstance(t, ex.Call)}
    large = any(ex.FUNCTIONS[f][1] >= _LARGE for f in called & (VOCABULARY.keys() | {"power"}))
    lines = (_grouped_loop if large else _ranged_loops if called & _RANGED.keys() else _loops)(formula.tree, formula, dtype, "    ")
    return "\n".join([f"TL_INNER({formula.name}_{dtype}) {{", "    " + " ".join(pointers), *lines, "}\n"])


def _loops(tree: ex.Tree, formula: Formula, dtype: str, indent: str, span: str = "0, n") -> list[str]:
    names = {name: name for name in (*formula.inputs, *formula.parameters)}
    split = ex.split_uniform(tree, set(formula.parameters))
    if split:
        condition, yes, no = split
        lines = [f"{indent}if {ex.to_c(condition, names, dtype)[1]} {{", *_loops(yes, formula, dtype, indent + "    ", span)]
        return [*lines, f"{indent}}} else {{", *_loops(no, formula, dtype, indent + "    ", span), f"{indent}}}"]
    declarations, value = ex.to_c(tree, names, dtype)
    # Every input is loaded whatever branch is taken: a load that depends on a condition does not vectorise everywhere.
    used, masked = ex.variables(tree), _under_a_mask(formula)
    at = {name: f"TL_PLAINLY({name}_at[i])" if name in masked else f"{name}_at[i]" for name in formula.inputs}
    loads = [f"const {_type(formula, name, dtype)} {name} = {at[name]};" for name in formula.inputs if name in used]
    before = "".join(d + " " for d in (*loads, *declarations))
    if formula.condition:
        return [f"{indent}TL_EACH({span}, {before}out[i] = {value};)"]
    return [
        f"{indent}if (accumulate) TL_EACH({span}, {before}out[i] = out[i] + {value};)",
        f"{indent}else TL_EACH({span}, {before}out[i] = {value};)",
    ]


def _under_a_mask(formula: Formula) -> set[str]:
    # The inputs of which nothing is wanted but where a `select` on other inputs says so.
    every = list(ex.subtrees(formula.tree))
    inputs = {ex.Variable(x) for x in formula.inputs}
    branches = [
        a
        for t in every
        if isinstance(t, ex.Call) and t.function == "select" and ex.variables(t.args[0]) & set(formula.inputs)
        for a in t.args[1:]
        if isinstance(a, ex.Variable) and a in inputs
    ]
    return {a.name for a in branches if branches.count(a) == every.count(a)} - formula.booleans


def _ranged_loops(tree: ex.Tree, formula: Formula, dtype: str, indent: str) -> list[str]:
    # A short block with such an argument (or NaN) in it is done element by element. Each element's bits are the same either way.
    outside = _outside(tree, formula, dtype, "{}_at[i]")
    inside = indent + "    "
    return [
        f"{indent}for (int64_t first = 0; first < n; first += TL_BLOCK) {{",
        f"{inside}int64_t last = n - first < TL_BLOCK ? n : first + TL_BLOCK;",
        f"{inside}int wide = 0;",
        f"{inside}TL_EACH(first, last, wide |= {outside};)",
        f"{inside}if (wide) {{",
        *_loops(_widened(tree), formula, dtype, inside + "    ", "first, last"),
        f"{inside}}} else {{",
        *_loops(tree, formula, dtype, inside + "    ", "first, last"),
        f"{inside}}}",
        f"{indent}}}",
    ]


def _outside(tree: ex.Tree, formula: Formula, dtype: str, at: str) -> str:
    # The condition that an element takes the slow way; inputs are read as `at` says.
    suffix = DTYPES[dtype][1]
    names = {**{x: at.format(x) for x in formula.inputs}, **{p: p for p in formula.parameters}}
    conditions = []
    for t in ex.subtrees(tree):
        if isinstance(t, ex.Call) and t.function in _RANGED:
            arguments = [ex.to_c(a, names, dtype)[1] for a in t.args]
            named = {"x": arguments[0]} if len(arguments) == 1 else dict(zip("ab", arguments, strict=True))
            conditions.append(_RANGED[t.function].format(**named).replace("@", suffix).replace("^", suffix.upper()))
    return " | ".join(dict.fromkeys(conditions))


def _grouped_loop(tree: ex.Tree, formula: Formula, dtype: str, indent: str) -> list[str]:
    # The last group is padded with its first element.
    real, suffix, _ = DTYPES[dtype]
    inside = indent + "    "
    pads = "".join(f", {x}_pad[TL_GROUP]" for x in formula.inputs)
    lines = [
        f"{indent}for (int64_t first = 0; first < n; first += TL_GROUP) {{",
        f"{inside}const int64_t count = n - first < TL_GROUP ? n - first : TL_GROUP;",
        f"{inside}{real} block[TL_GROUP]{pads};",
        *(f"{inside}const {real} *{x}_in = tl_padded{suffix}({x}_pad, {x}_at + first, count);" for x in formula.inputs),
    ]
    outside = _outside(tree, formula, dtype, "{}_in[i]")
    if outside:
        lines += [
            f"{inside}int wide = 0;",
            f"{inside}TL_EACH(0, TL_GROUP, wide |= {outside};)",
            f"{inside}if (wide) TL_EACH(0, TL_GROUP, {_into_block(_widened(tree), formula, dtype)})",
            f"{inside}else",
        ]
    lines.append(f"{inside}TL_EACH(0, TL_GROUP, {_into_block(tree, formula, dtype)})")
    return [*lines, f"{inside}tl_put{suffix}(out + first, block, count, accumulate);", f"{indent}}}"]


def _into_block(tree: ex.Tree, formula: Formula, dtype: str) -> str:
    used = ex.variables(tree)
    loads = [f"const {DTYPES[dtype][0]} {x} = {x}_in[i];" for x in formula.inputs if x in used]
    declarations, value = ex.to_c(tree, {name: name for name in (*formula.inputs, *formula.parameters)}, dtype)
    return " ".join([*loads, *declarations, f"block[i] = {value};"])


def _widened(tree: ex.Tree) -> ex.Tree:
    if not isinstance(tree, ex.Call):
        return tree
    return ex.Call(f"wide_{tree.function}" if tree.function in _RANGED else tree.function, tuple(map(_widened, tree.args)))


def _entry(formula: Formula, dtype: str) -> str:
    name, size = f"{formula.name}_{dtype}", TYPES[dtype][2]
    sizes = [1 if formula.condition else size, *(1 if x in formula.booleans else size for x in formula.inputs)]
    # Memory beyond the caches: about 0.04 ns per byte moved. Arithmetic: about 0.02 ns per operation on float32, twice that on float64.
    work = 40 * (sum(sizes) + sizes[0]) + 5 * size * ex.cost(formula.tree)
    # What it may add to are numbers; in groups are numbers alone.
    adds, fuses = int(not formula.condition), int(formula.lanes is None)
    inputs = f"{len(formula.inputs)}, {{{', '.join(map(str, sizes))}}}"
    return f'    {{"{formula.name}:{dtype}", {name}_kernel, {name}_inner, {inputs}, {work}, {adds}, {fuses}}},\n'
