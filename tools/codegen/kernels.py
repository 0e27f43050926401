"""Writes the CPU kernels of the elementwise ops: C text, made of their formulas at build time."""

from __future__ import annotations

from tlean.ops import expression as ex
from tlean.ops.elementwise import FORMULAS, LANES, Formula

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
#include "simd/vmath.h"

/* Elements that one call of an inner function takes at most: the unit of work of a thread. */
enum { TL_CHUNK = 16384 };

/* Elements in a block that takes the slow way if one of them has to. */
enum { TL_BLOCK = 256 };

/* n elements of a formula on one thread; out may be one of the inputs. */
typedef void (*tl_inner)(void *out, void **in, int64_t n, const double *floats, int accumulate);

/* What the loop over chunks needs to know of a kernel: the bytes of an element of each operand, the output first. `work` is in picoseconds
 * per element, roughly. */
typedef struct { const char *name; tl_kernel kernel; tl_inner inner; int inputs; int sizes[4]; int work; int adds; int fuses; } tl_entry;

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

# The vector forms of these take moderate arguments alone, up to TL_TRIG_LIMIT; `tl_wide_sin` and `tl_wide_cos` take any.
_RANGED = ("sin", "cos")


def files() -> dict[str, str]:
    """Path from the root of the repository -> text."""
    formulas = [*FORMULAS.values(), *LANES.values(), _COPY]
    of = {dtype: [f for f in formulas if (dtype in BOOLEANS) == _of_booleans(f)] for dtype in TYPES}
    entries = [(f, dtype) for dtype in TYPES for f in of[dtype]]
    parts = [_PREAMBLE, *(f'#include "elementwise_{dtype}.h"\n' for dtype in TYPES)]
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
    ranged = any(isinstance(t, ex.Call) and t.function in _RANGED for t in ex.subtrees(formula.tree))
    lines = (_ranged_loops if ranged else _loops)(formula.tree, formula, dtype, "    ")
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
        if a in inputs
    ]
    return {a.name for a in branches if branches.count(a) == every.count(a)} - formula.booleans


def _ranged_loops(tree: ex.Tree, formula: Formula, dtype: str, indent: str) -> list[str]:
    # A short block with a huge argument (or NaN) in it is done element by element. Each element's bits are the same either way.
    suffix = TYPES[dtype][1]
    arguments = dict.fromkeys(
        a.name for t in ex.subtrees(tree) if isinstance(t, ex.Call) and t.function in _RANGED and isinstance(a := t.args[0], ex.Variable)
    )
    outside = " | ".join(f"!(tl_abs{suffix}({x}_at[i]) <= TL_TRIG_LIMIT{suffix.upper()})" for x in arguments)
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
