"""Writes the steps of the register machine (`strips.h`): one for each arithmetic formula and each input that may be in the registers."""

from __future__ import annotations

from . import expression as ex
from .elementwise import FORMULAS, Formula
from .emit_c import DTYPES, FOLDER

#: Formulas of these alone are steps; the others call functions, whose loops stand by themselves.
_ARITHMETIC = {"add", "sub", "mul", "div", "neg", "select", "greater", "greater_equal", "less", "less_equal", "equal"}
_REGISTERS = 8


def files() -> dict[str, str]:
    """Path from the root of the repository -> text."""
    steps = [(f, k) for f in FORMULAS.values() if f.inputs and _is_arithmetic(f.tree) for k in range(len(f.inputs))]
    parts = ["/* Written by tlean/ops/emit_strips.py from the formulas of tlean/ops/elementwise.py. */\n"]
    parts += [step(f, k, dtype) for dtype in DTYPES for f, k in steps]
    parts.append("static const tl_named_step tl_steps[] = {\n")
    parts += [f'    {{"{f.name}:{dtype}:{k}", (void *)tl_{f.name}_{k}_{dtype}}},\n' for dtype in DTYPES for f, k in steps]
    for dtype in DTYPES:
        parts += [f'    {{"{name}:{dtype}", (void *)tl_{name}_{dtype}}},\n' for name in ("load", "spread", "store", "stop", "run")]
    parts.append("};\n")
    return {f"{FOLDER}/strip_steps.h": "".join(parts)}


def _is_arithmetic(tree: ex.Tree) -> bool:
    return all(t.function in _ARITHMETIC for t in ex.subtrees(tree) if isinstance(t, ex.Call))


def step(formula: Formula, held: int, dtype: str) -> str:
    """The step of a formula whose input number `held` is in the registers; the others are in memory, in their order."""
    real = DTYPES[dtype][0]
    names = {x: x for x in (*formula.inputs, *formula.parameters)}
    declarations, value = ex.to_c(formula.tree, names, dtype, lanes=True)
    others = [x for k, x in enumerate(formula.inputs) if k != held]
    lines = [f"TL_STEP({formula.name}_{held}, {dtype}) {{"]
    lines += [f"    const char *{x}_at = code->at[{k}] + i;" for k, x in enumerate(others)]
    lines += [f"    const tl_lanes_{dtype} {p} = tl_splat_{dtype}(({real})code->floats[{k}]);" for k, p in enumerate(formula.parameters)]
    loads = "".join(f"const tl_lanes_{dtype} {x} = tl_at_{dtype}({x}_at, {{k}}); " for x in others)
    body = f"const tl_lanes_{dtype} {formula.inputs[held]} = r{{k}}; {loads}{''.join(d + ' ' for d in declarations)}r{{k}} = {value};"
    lines += [f"    {{{{ {body} }}}}".format(k=k) for k in range(_REGISTERS)]
    return "\n".join([*lines, f"    TL_NEXT({dtype})", "}\n"])
