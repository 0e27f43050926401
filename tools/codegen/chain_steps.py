"""Writes the steps of the register machine (`plan/chain_machine.h`): for each arithmetic formula one for each input that may be in
the registers."""

from __future__ import annotations

from tlean.ops import expression as ex
from tlean.ops.elementwise import FORMULAS, LANES, Formula
from tools.codegen.kernels import DTYPES, FOLDER

#: Formulas of these alone are steps; the others call functions, whose loops are separate.
_ARITHMETIC = {"add", "sub", "mul", "div", "neg", "select", "greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}
_ARITHMETIC |= {"logical_and", "logical_or"}
#: Steps of no formula.
_MOVES = ("spread", "spread_s", "column", "column_s", "bytes", "bytes_s", "truth_0", "truth_m", "stop", "run", "stretch")
_REGISTERS = 8


def files() -> dict[str, str]:
    """Path from the root of the repository -> text."""
    parts = ["/* Written by tools/codegen/chain_steps.py from the formulas of tlean/ops/elementwise.py. */\n"]
    names = []
    for dtype in DTYPES:
        for f in (*FORMULAS.values(), *LANES.values()):
            if not f.inputs or f.lanes is not None or not _is_arithmetic(f.tree):
                continue
            for held in (*range(len(f.inputs)), None):
                for stores in (False, True):
                    name = _name(f, held, stores)
                    parts.append(step(f, held, stores, dtype))
                    names.append((f"{f.name}:{dtype}:{name[len(f.name) + 1 :]}", f"tl_{name}_{dtype}"))
        names += [(f"{n}:{dtype}", f"tl_{n}_{dtype}") for n in _MOVES]
    parts.append("static const tl_named_step tl_steps[] = {\n")
    parts += [f'    {{"{name}", (void *){function}}},\n' for name, function in names]
    parts.append("};\n")
    return {f"{FOLDER}/strip_steps.h": "".join(parts)}


def _is_arithmetic(tree: ex.Tree) -> bool:
    return all(t.function in _ARITHMETIC for t in ex.subtrees(tree) if isinstance(t, ex.Call))


def _name(formula: Formula, held: int | None, stores: bool) -> str:
    return f"{formula.name}_{'m' if held is None else held}{'s' if stores else ''}"


def step(formula: Formula, held: int | None, stores: bool, dtype: str) -> str:
    """The step of a formula whose input number `held` is in the registers (None: no input is).

    The other inputs are in memory, in their order; then comes where the result is stored, if it is.
    """
    real = DTYPES[dtype][0]
    names = {x: x for x in (*formula.inputs, *formula.parameters)}
    declarations, value = ex.to_c(formula.tree, names, dtype, lanes=True)
    others = [x for k, x in enumerate(formula.inputs) if k != held]
    lines = [f"TL_STEP({_name(formula, held, stores)}, {dtype}) {{"]
    lines += [f"    const char *{x}_at = code->at[{k}] + i;" for k, x in enumerate(others)]
    lines += [f"    const tl_lanes_{dtype} {p} = tl_splat_{dtype}(({real})code->floats[{k}]);" for k, p in enumerate(formula.parameters)]
    for k in range(_REGISTERS):
        body = [f"const tl_lanes_{dtype} {x} = tl_at_{dtype}({x}_at, {k});" for x in others]
        if held is not None:
            body.append(f"const tl_lanes_{dtype} {formula.inputs[held]} = r{k};")
        lines.append(f"    {{ {' '.join([*body, *declarations, f'r{k} = {value};'])} }}")
    if stores:
        lines.append(f"    TL_PUT({dtype}, code->at[{len(others)}] + i)")
    return "\n".join([*lines, f"    TL_NEXT({dtype})", "}\n"])
