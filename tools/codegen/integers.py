"""Writes the CPU kernels of integers: C text, made of the formulas of `tlean/ops/integers/forms.py` at build time."""

from __future__ import annotations

from tlean.ops.integers.c_text import SIZES, functions, operand_types, result_type, to_c
from tlean.ops.integers.forms import INTEGER_FORMULAS, IntegerFormula
from tools.codegen.kernels import FOLDER

#: The ending of a kernel's name -> the C type of its elements.
TYPES = {"i64": "int64_t", "i32": "int32_t", "b8": "uint8_t"}
_UNSIGNED = {"i64": "uint64_t", "i32": "uint32_t"}

_PREAMBLE = """\
/* Written by tools/codegen/integers.py from the formulas of tlean/ops/integers/forms.py. */
#ifndef TLEAN_INTEGER_KERNELS_H
#define TLEAN_INTEGER_KERNELS_H
#include "kernel.h"

enum { TL_INTEGER_INPUTS = 3 };

/* n elements on one thread; an operand is read at every `steps`-th element, which is 1, or 0 for one that is repeated. */
typedef void (*tl_integer_inner)(void *out, void **in, const int64_t *steps, int64_t n, const int64_t *parameters);

/* What the loop over rows needs to know of a kernel; sizes are those of an element. */
typedef struct {
    const char *name; tl_kernel kernel; tl_integer_inner inner; int inputs; int parameters; int out_size; int sizes[TL_INTEGER_INPUTS];
} tl_integer;

/* The loop over rows on several threads; set when the module is imported. */
static int (*tl_integer_rows)(const tl_integer *, void **out, void **in, const int64_t *ints);

#define TL_DENSELY(statement) TL_INDEPENDENT for (int64_t i = 0; i < n; i++) { statement }
#define TL_STEPPING(statement) for (int64_t i = 0; i < n; i++) { statement }
#define TL_INTEGER_KERNEL(name, index)                                                                                  \\
    static int name##_integer(void **out, void **in, const int64_t *ints, const double *floats, int accumulate) {       \\
        (void)floats; (void)accumulate;                                                                                 \\
        return tl_integer_rows(&tl_integers[index], out, in, ints);                                                     \\
    }

"""


def files() -> dict[str, str]:
    """Path from the root of the repository -> text."""
    kernels = [(name, suffix, f) for suffix in TYPES for name, f in INTEGER_FORMULAS.items() if suffix in f.suffixes()]
    parts = [_PREAMBLE, functions(TYPES, _UNSIGNED, "TL_INLINE"), *(_inner(*k) for k in kernels)]
    parts.append(f"\nenum {{ TL_INTEGERS = {len(kernels)} }};\nstatic const tl_integer tl_integers[TL_INTEGERS];\n")
    parts += [f"TL_INTEGER_KERNEL({name}_{suffix}, {i})\n" for i, (name, suffix, _) in enumerate(kernels)]
    parts += ["static const tl_integer tl_integers[TL_INTEGERS] = {\n", *(_entry(*k) for k in kernels), "};\n#endif\n"]
    return {f"{FOLDER}/integer_kernels.h": "".join(parts)}


def _inner(name: str, suffix: str, formula: IntegerFormula) -> str:
    # A loop over operands that all go on by one element, which the compiler makes of vectors, and one for all others.
    number, result, value = TYPES[suffix], TYPES[result_type(formula, suffix)], to_c(formula, suffix)
    types = [TYPES[s] for s in operand_types(formula, suffix)]
    lines = [f"static void {name}_{suffix}_inner(void *out_, void **in, const int64_t *steps, int64_t n, const int64_t *parameters) {{"]
    lines.append(f"    {result} *out = out_; (void)parameters;")
    lines += [f"    const {t} *{x}_at = in[{k}];" for k, (x, t) in enumerate(zip(formula.inputs, types, strict=True))]
    lines += [f"    const {number} {p} = ({number})parameters[{k}];" for k, p in enumerate(formula.parameters)]
    dense, stepping = (
        " ".join(f"const {t} {x} = {x}_at[{at.format(k)}];" for k, (x, t) in enumerate(zip(formula.inputs, types, strict=True)))
        for at in ("i", "i*steps[{}]")
    )
    lines.append(f"    if ({' && '.join(f'steps[{k}] == 1' for k in range(len(types)))}) TL_DENSELY({dense} out[i] = {value};)")
    return "\n".join([*lines, f"    else TL_STEPPING({stepping} out[i] = {value};)", "}\n"])


def _entry(name: str, suffix: str, formula: IntegerFormula) -> str:
    sizes, out = [SIZES[s] for s in operand_types(formula, suffix)], SIZES[result_type(formula, suffix)]
    numbers = f"{len(sizes)}, {len(formula.parameters)}, {out}, {{{', '.join(map(str, sizes))}}}"
    return f'    {{"{name}:{suffix}", {name}_{suffix}_integer, {name}_{suffix}_inner, {numbers}}},\n'
