"""A call's rule, with its operands in dtypes that the rule's operators take."""

from __future__ import annotations

from typing import Any

from tlean.dtypes import FLOATS
from tlean.ops import Spec

from .rules import RULES, WHOLE, Call

#: Records whose totals of whole numbers are of a wider dtype.
_TOTALS = frozenset({"sum", "reduce_sum", "prod", "cumsum", "_reverse_cumsum"})
_COMPARED = frozenset({"greater", "greater_equal", "less", "less_equal"})
#: Records whose Booleans are computed with as the numbers 0 and 1.
_AS_NUMBERS = _COMPARED | {
    "add", "mul", "max", "min", "where", "argmax", "_max_index", "sort", "argsort", "_topk_index", "matmul", "bmm", "linear", "conv",
    "conv2d", "conv_transpose", "conv_transpose2d", "_chain", "gather_scalar_nat", "gather_row_ref", "gather_vec_nat", "gather_rows_nat",
    "take", "_set_box", "_set_rows", "_scatter_into", "_scatter_rows", "_take_box", "_place", "_place_at", "_take_at", "scatter_add_row",
    "scatter_add_vec",
}  # fmt: skip


def written(w: Any, c: Call) -> Any:
    """What the call's rule writes; None where there is none, or it cannot say this call."""
    name, dtypes = c.record.name, [s.dtype for s in c.specs if s is not None]
    if name in WHOLE and dtypes and not any(d in FLOATS for d in dtypes):
        return WHOLE[name](w, c)
    rule = RULES.get(name)
    if rule is None:
        return None
    # The condition of `where` stays.
    first = int(name == "where")
    own = next((s.dtype for s in c.specs[first:] if s is not None), "")
    if name in _TOTALS and own != c.out.dtype and own not in FLOATS:
        kind = c.out.dtype
    elif own == "bool" and name in _AS_NUMBERS:
        kind = "int32"
    else:
        return rule(w, c)
    moved = [k >= first and s is not None and s.dtype == own for k, s in enumerate(c.specs)]
    x = tuple(w.cast(n, kind) if m else n for n, m in zip(c.x, moved, strict=True))
    specs = [Spec(s.shape, kind) if m and s is not None else s for s, m in zip(c.specs, moved, strict=True)]
    back = [o.dtype == "bool" and name not in _COMPARED for o in c.outs]
    outs = [Spec(o.shape, kind) if b else o for o, b in zip(c.outs, back, strict=True)]
    made = rule(w, c._replace(x=x, specs=specs, outs=outs))
    if made is None:
        return None
    names = [made] if isinstance(made, str) else made
    return [w.cast(n, "bool") if b else n for n, b in zip(names, back, strict=True)]
