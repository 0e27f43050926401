"""Entries of an axis that are made of those before it: running products and maxima, linear recurrences, rows that follow from others."""

from __future__ import annotations

from .functions import Function, function
from .sums import each_line
from .values import Value
from .writer import Call, Writer, emits

# ints: (outer, length, inner, from the end, an option); totals are in double precision.
_WALK = """\
static void tl_{name}_S({args}, const int64_t *n) {{
    for (int64_t o = 0; o < n[0]; o++)
        for (int64_t j = 0; j < n[2]; j++) {{
            const int64_t step = n[3] ? -n[2] : n[2];
            int64_t at = o * n[1] * n[2] + j + (n[3] ? (n[1] - 1) * n[2] : 0);
            {first}
            for (int64_t i = 0; i < n[1]; i++, at += step) {{
                {body}
            }}
        }}
}}
"""


def _walk(name: str, args: str, first: str, *body: str) -> str:
    return _WALK.format(name=name, args=args, first=first, body="\n                ".join(body))


_PRODUCT = _walk(
    "running_product",
    "T *y, const T *x",
    "double total = 1;",
    "const double next = total * x[at];",
    "y[at] = (T)(n[4] ? total : next);",
    "total = next;",
)
_RECURRENCE = _walk(
    "recurrence",
    "T *y, const T *a, const T *b",
    "double total = 0;",
    "total = i ? FMAD((double)a[n[4] ? at - step : at], total, (double)b[at]) : b[at];",
    "y[at] = (T)total;",
)
_GREATER = "if (i == 0 || x[at] > x[top] || (IS_NAN(x[at]) && !IS_NAN(x[top]))) top = at;"
_MAXIMUM = _walk(
    "running_maximum", "T *y, int64_t *index, const T *x", "int64_t top = at;", _GREATER, "y[at] = x[top];", "index[at] = top;"
)
_MAXIMUM_AT = _walk("running_place", "int64_t *index, const T *x", "int64_t top = at;", _GREATER, "index[at] = top;")
_LOG_SUM = _walk(
    "running_log_sum",
    "T *y, const T *x",
    "double top = -INFINITY, total = 0;",
    "const double v = x[at], e = v != top ? tl_exp(-fabs(v - top)) : 1;",
    "total = v > top ? total * e + 1 : total + e;",
    "if (v > top) top = v;",
    "y[at] = (T)(top + tl_log(total));",
)

function("running_product", name="tl_running_product", text=_PRODUCT)
function("recurrence", name="tl_recurrence", text=_RECURRENCE)
function("cummax", name="tl_running_maximum", text=_MAXIMUM)
function("cummax_index", name="tl_running_place", text=_MAXIMUM_AT)
function("cumlogsumexp", name="tl_running_log_sum", text=_LOG_SUM)

# y[j] = a[j] y[link[j]] + b[j]; ints: (blocks, rows, elements in a row, backwards). A product alone keeps its sign where it is zero.
_CHAIN = """\
static void tl_chain_S(T *y, const T *a, const T *b, const int64_t *link, const int64_t *n) {{
    for (int64_t m = 0; m < n[0]; m++)
        for (int64_t k = 0; k < n[1]; k++) {{
            const int64_t row = n[3] ? n[1] - 1 - k : k, from = link[row];
            for (int64_t e = 0; e < n[2]; e++) {{
                const int64_t at = (m * n[1] + row) * n[2] + e;
                y[at] = b[at];
                if (from >= 0 && from < n[1]) {{
                    const T last = y[(m * n[1] + from) * n[2] + e];
                    {body}
                }}
            }}
        }}
}}
"""
_CHAINS = {
    "bool": "y[at] = y[at] | (a[at] & last);",
    "int32": "y[at] = (T)((uint32_t)b[at] + (uint32_t)a[at] * (uint32_t)last);",
    "int64": "y[at] = (T)((uint64_t)b[at] + (uint64_t)a[at] * (uint64_t)last);",
}
_OF_FLOATS = "y[at] = b[at] == 0 ? a[at] * last : FMA(a[at], last, b[at]);"


@emits("chain_rows")
def _chain(writer: Writer, call: Call) -> list[Value]:
    return Function("tl_chain", _CHAIN.format(body=_CHAINS.get(call.dtype, _OF_FLOATS)))(writer, call)


@emits("reduce_prod")
def _product(writer: Writer, call: Call) -> list[Value]:
    return [each_line(writer, call, "1", "{y} = {y} * {x};")]
