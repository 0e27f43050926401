"""Convolutions and pools: one walk over the windows of a plane, and what each of these does with a row of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tlean.shapes import size

from .functions import Numbers, function
from .products import product_text

#: The cells of windows along an axis: those at which cell `at` of the window lies in the plane, 0 <= p * step + at < in.
_SPAN = """\
TL_INLINE void tl_span(int64_t *first, int64_t *last, int64_t in, int64_t out, int64_t step, int64_t at) {
    *first = at >= 0 ? 0 : (step - 1 - at) / step;
    *last = at >= in ? 0 : (in - 1 - at) / step + 1;
    if (*last > out) *last = out;
}
"""

#: Of a plane x and the plane y that the windows make, both row by row. w: in, out, kernel, stride, padding, dilation, three of each.
_PLANE = """\
static void {name}_S({args}, const int64_t *w) {{
    for (int64_t k0 = 0, k = 0; k0 < w[6]; k0++)
        for (int64_t k1 = 0; k1 < w[7]; k1++)
            for (int64_t k2 = 0; k2 < w[8]; k2++, k++) {{
                const int64_t a0 = k0 * w[15] - w[12], a1 = k1 * w[16] - w[13], a2 = k2 * w[17] - w[14], s = w[11];
                int64_t f0, l0, f1, l1, f2, l2;
                {before}
                tl_span(&f0, &l0, w[0], w[3], w[9], a0);
                tl_span(&f1, &l1, w[1], w[4], w[10], a1);
                tl_span(&f2, &l2, w[2], w[5], w[11], a2);
                for (int64_t p0 = f0; p0 < l0; p0++)
                    for (int64_t p1 = f1; p1 < l1; p1++) {{
                        const int64_t to = (p0 * w[4] + p1) * w[5] + f2;
                        const int64_t from = ((p0 * w[9] + a0) * w[1] + p1 * w[10] + a1) * w[2] + f2 * s + a2;
                        const int64_t count = l2 - f2;
                        if (s == 1)
                            for (int64_t j = 0; j < count; j++) {row};
                        else
                            for (int64_t j = 0; j < count; j++) {strided};
                    }}
                {after}
            }}
}}
"""


def _plane(name: str, args: str, row: str, before: str = "", after: str = "") -> str:
    # `row` has Y, an element of y, and X, the element of x under it.
    row = row.replace("Y", "y[to + j]")
    text = _PLANE.format(
        name=name, args=args, row=row.replace("X", "x[from + j]"), strided=row.replace("X", "x[from + j * s]"), before=before, after=after
    )
    return "".join(line + "\n" for line in text.split("\n") if line.strip())


# Convolutions ---------------------------------------------------------------------------------------------------------------
# ints: (N, C, O, groups, in…, out…, kernel…, stride…, padding…, dilation…), three of each, read as the forward convolution. The cells under
# all windows of some rows of the output are laid out as a matrix (channels times taps, windows); all else is products with it.

_CELLS = """\
static void tl_{name}_cells_S({args}, int64_t c, int64_t row, int64_t rows, const int64_t *w) {{
    for (int64_t i = 0; i < c; i++, x += w[0] * w[1] * w[2])
        for (int64_t k0 = 0; k0 < w[6]; k0++)
            for (int64_t k1 = 0; k1 < w[7]; k1++)
                for (int64_t k2 = 0; k2 < w[8]; k2++) {{
                    const int64_t a2 = k2 * w[17] - w[14], s = w[11];
                    int64_t first, last;
                    tl_span(&first, &last, w[2], w[5], s, a2);
                    for (int64_t r = row; r < row + rows; r++, cells += w[5]) {{
                        const int64_t z0 = r / w[4] * w[9] + k0 * w[15] - w[12], z1 = r % w[4] * w[10] + k1 * w[16] - w[13];
                        const int inside = z0 >= 0 && z0 < w[0] && z1 >= 0 && z1 < w[1] && first < last;
                        {body}
                    }}
                }}
}}
"""
_FROM = "x + ((z0 * w[1] + z1) * w[2] + first * s + a2)"
_LAID = f"""\
const T *from = inside ? {_FROM} : x;
                        const int64_t f = inside ? first : w[5], l = inside ? last : w[5];
                        for (int64_t j = 0; j < f; j++) cells[j] = 0;
                        if (s == 1)
                            memcpy(cells + f, from, (size_t)(l - f) * sizeof(T));
                        else
                            for (int64_t j = f; j < l; j++, from += s) cells[j] = *from;
                        for (int64_t j = l; j < w[5]; j++) cells[j] = 0;"""
_ADDED = f"""\
T *to = inside ? {_FROM} : x;
                        for (int64_t j = first; inside && j < last; j++, to += s) *to = *to + cells[j];"""
#: The walk over groups of images, and over strips of rows of the output, whose matrix has `windows` columns.
_CONV = """\
static void tl_{name}_S({args}, const int64_t *n, T *cells) {{
    const int64_t in = n[4] * n[5] * n[6], out = n[7] * n[8] * n[9], taps = n[10] * n[11] * n[12], c = n[1] / n[3], o = n[2] / n[3];
    const int64_t rows = n[7] * n[8], most = n[9] < 64 ? 64 / n[9] : 1;
{before}\
    for (int64_t m = 0; m < n[0] * n[3]; m++)
        for (int64_t row = 0; row < rows; row += most) {{
            const int64_t count = rows - row < most ? rows - row : most, windows = count * n[9];
            {body}
        }}
{after}\
}}
"""


def _conv(name: str, args: str, body: str, before: str = "", after: str = "", adds: bool = False) -> str:
    # `body` has X and Y, the planes of a group of the input and of the output, and W, its part of the weights.
    for letter, text in (("X", "x + m * c * in"), ("Y", "y + m * o * out + row * n[9]"), ("W", "w + m % n[3] * o * c * taps")):
        body = re.sub(rf"\b{letter}\b", text, body)
    args_of_cells = "const T *cells, T *x" if adds else "T *cells, const T *x"
    cells = _CELLS.format(name="add" if adds else "lay", args=args_of_cells, body=_ADDED if adds else _LAID)
    return _SPAN + cells + _CONV.format(name=name, args=args, body=body, before=before, after=after)


def _with_products(*args: Any) -> Callable[[str], str]:
    text = _conv(*args)
    return lambda dtype: product_text(dtype) + text


def _with_bias(planes: int, size: str, to: str) -> str:
    # The bias of output channels, which are number `planes` of the ints.
    return f"""\
    for (int64_t i = 0; b && i < n[0] * n[{planes}]; i++)
        for (int64_t j = 0; j < {size}; j++) {to}[i * {size} + j] = {to}[i * {size} + j] + b[i % n[{planes}]];
"""


def _strip(ints: Numbers) -> list[tuple[str, int]]:
    # The matrix of a strip.
    channels, taps, width = ints[1] // ints[3], size(ints[10:13]), ints[9]
    return [("T", channels * taps * (64 // width * width if width < 64 else width))]


_LAY = "tl_lay_cells_S(cells, X, c, row, count, n + 4);\n            "
_SPREAD = """\
tl_product_S(cells, windows, W, 1, c * taps, Y, out, c * taps, windows, o, 0);
            tl_add_cells_S(cells, X, c, row, count, n + 4);"""
_NOTHING = "    for (int64_t i = 0; i < n[0] * n[1] * in; i++) x[i] = 0;\n"
_BIASED = _with_bias(1, "in", "x")


def _dots(rows: int) -> str:
    # The gradients of some output channels' weights: sums in lanes along the windows, of which as many are read once.
    each = range(rows)
    sums = " ".join(f"t[{r}][l] = FMA(y[{r} * out + j + l], x[j + l], t[{r}][l]);" for r in each)
    rest = " ".join(f"t[{r}][0] = FMA(y[{r} * out + j], x[j], t[{r}][0]);" for r in each)
    trees = [f"(((t[{r}][0] + t[{r}][4]) + (t[{r}][2] + t[{r}][6])) + ((t[{r}][1] + t[{r}][5]) + (t[{r}][3] + t[{r}][7])))" for r in each]
    ends = "\n".join(f"        w[{r} * taps + k] = w[{r} * taps + k] + {tree};" for r, tree in zip(each, trees, strict=True))
    return f"""\
static void tl_add_dots_{rows}_S(T *w, const T *y, int64_t out, const T *cells, int64_t taps, int64_t windows) {{
    for (int64_t k = 0; k < taps; k++) {{
        const T *x = cells + k * windows;
        T t[{rows}][8] = {{{{0}}}};
        int64_t j = 0;
        for (; windows - j >= 8; j += 8)
            for (int l = 0; l < 8; l++) {{ {sums} }}
        for (; windows - j > 0; j++) {{ {rest} }}
{ends}
    }}
}}
"""


function(
    "conv",
    name="tl_conv",
    text=_with_products(
        "conv",
        "T *y, const T *w, const T *b, const T *x",
        _LAY + "tl_product_S(Y, out, W, c * taps, 1, cells, windows, o, windows, c * taps, 0);",
        "",
        _with_bias(2, "out", "y"),
    ),
    rooms=_strip,
)
function(
    "conv_transpose",
    name="tl_spread",
    text=_with_products("spread", "T *x, const T *w, const T *b, const T *y", _SPREAD, _NOTHING, _BIASED, True),
    rooms=_strip,
)
function(
    "_conv_grad_x",
    name="tl_spread_back",
    text=_with_products("spread_back", "T *x, const T *w, const T *y", _SPREAD, _NOTHING, "", True),
    rooms=_strip,
)
_weights = _conv(
    "conv_weights",
    "T *w, const T *y, const T *x",
    _LAY
    + """\
int64_t q = 0;
            for (; o - q >= 4; q += 4) tl_add_dots_4_S(W + q * c * taps, Y + q * out, out, cells, c * taps, windows);
            for (; o - q > 0; q++) tl_add_dots_1_S(W + q * c * taps, Y + q * out, out, cells, c * taps, windows);""",
    "    for (int64_t i = 0; i < n[2] * c * taps; i++) w[i] = 0;\n",
)
function("_conv_grad_w", name="tl_conv_weights", text=_dots(4) + _dots(1) + _weights, rooms=_strip)


# Pools ----------------------------------------------------------------------------------------------------------------------
# ints: (planes, in…, out…, kernel…, stride…, padding…), three of each; floats: (what is in the padding,) of some.


def _dilated(ints: Numbers) -> Numbers:
    # The windows of a pool as those of a convolution.
    return (*ints, 1, 1, 1)


_SIZES = "    const int64_t in = n[1] * n[2] * n[3], out = n[4] * n[5] * n[6], cells = n[7] * n[8] * n[9];\n"
_POOL = """\
static void tl_{name}_S({results}, const int64_t *n{floats}) {{
{sizes}\
    for (int64_t i = 0; i < n[0] * {made}; i++) {target}[i] = {start};
    for (int64_t m = 0; m < n[0]; m++) tl_{name}_plane_S(y + m * {y_step}, x + m * in, n + 1);
{after}\
}}
"""


def _pool(name: str, row: str, forward: bool, cells: bool, start: str = "0", **rest: str) -> str:
    # y has the windows' cells one after the other, or one element for each window.
    results = "T *y, const T *x" if forward else "T *x, const T *y"
    args = "T *y, const T *x" if forward else "const T *y, T *x"
    y_step = "out * cells" if cells else "out"
    after = "y += w[3] * w[4] * w[5];" if cells else ""
    text = _POOL.format(
        name=name,
        results=results,
        sizes=_SIZES + ("" if cells or "cells" in rest.get("after", "") else "    (void)cells;\n"),
        made=y_step if forward else "in",
        target="y" if forward else "x",
        start=start,
        y_step=y_step,
        floats=rest.get("floats", ""),
        after=rest.get("after", ""),
    )
    return _SPAN + _plane(f"tl_{name}_plane", args, row, after=after) + text


_AVERAGE = "    for (int64_t i = 0; i < n[0] * {made}; i++) {target}[i] = {target}[i] / (T)cells;\n"

function("_windows", name="tl_windows", text=_pool("windows", "Y = X", True, True, "(T)f[0]", floats=", const double *f"), ints=_dilated)
function("_windows_adjoint", name="tl_fold", text=_pool("fold", "X = X + Y", False, True), ints=_dilated)
function(
    "avg_pool",
    name="tl_averages",
    text=_pool("averages", "Y = Y + X", True, False, after=_AVERAGE.format(made="out", target="y")),
    ints=_dilated,
)
function(
    "_avg_pool_grad",
    name="tl_spread_averages",
    text=_pool("spread_averages", "X = X + Y", False, False, after=_AVERAGE.format(made="in", target="x")),
    ints=_dilated,
)

#: The cell that wins in a window: its place in the plane, -1 for the padding: the first NaN, or else the first maximum. Padding of
#: -infinity never wins.
_WINNER = """\
TL_INLINE int64_t tl_winner_S(T *top, const T *x, const int64_t *w, int64_t p0, int64_t p1, int64_t p2, double pad) {
    const int64_t f0 = p0 < 0 ? 0 : p0, f1 = p1 < 0 ? 0 : p1, f2 = p2 < 0 ? 0 : p2;
    const int64_t l0 = p0 + w[6] > w[0] ? w[0] : p0 + w[6], l1 = p1 + w[7] > w[1] ? w[1] : p1 + w[7];
    const int64_t l2 = p2 + w[8] > w[2] ? w[2] : p2 + w[8];
    int64_t place = -1;
    *top = (T)pad;
    if (pad == -INFINITY || (l0 - f0 == w[6] && l1 - f1 == w[7] && l2 - f2 == w[8])) {
        for (int64_t k0 = f0; k0 < l0; k0++)
            for (int64_t k1 = f1; k1 < l1; k1++)
                for (int64_t k2 = f2, at = (k0 * w[1] + k1) * w[2] + f2; k2 < l2; k2++, at++)
                    if (place < 0 || (!(x[at] <= *top) && *top == *top)) {
                        *top = x[at];
                        place = at;
                    }
        return place;
    }
    for (int64_t k0 = p0, any = 0; k0 < p0 + w[6]; k0++)
        for (int64_t k1 = p1; k1 < p1 + w[7]; k1++)
            for (int64_t k2 = p2; k2 < p2 + w[8]; k2++, any = 1) {
                const int inside = k0 >= f0 && k0 < l0 && k1 >= f1 && k1 < l1 && k2 >= f2 && k2 < l2;
                const int64_t at = (k0 * w[1] + k1) * w[2] + k2;
                const T v = inside ? x[at] : (T)pad;
                if (!any || (!(v <= *top) && *top == *top)) {
                    *top = v;
                    place = inside ? at : -1;
                }
            }
    return place;
}
"""
_MAXIMUM = """\
static void tl_{name}_S({args}, const int64_t *n, const double *f) {{
    const int64_t in = n[1] * n[2] * n[3], *w = n + 1;
{before}\
    for (int64_t m = 0, to = 0; m < n[0]; m++)
        for (int64_t p0 = 0; p0 < w[3]; p0++)
            for (int64_t p1 = 0; p1 < w[4]; p1++)
                for (int64_t p2 = 0; p2 < w[5]; p2++, to++) {{
                    T top;
                    const int64_t q0 = p0 * w[9] - w[12], q1 = p1 * w[10] - w[13], q2 = p2 * w[11] - w[14];
                    const int64_t at = tl_winner_S(&top, x + m * in, w, q0, q1, q2, f[0]);
                    {body}
                }}
}}
"""


def _maximum(name: str, args: str, body: str, before: str = "") -> str:
    return _WINNER + _MAXIMUM.format(name=name, args=args, body=body, before=before)


function(
    "max_pool",
    name="tl_maxima",
    text=_maximum("maxima", "T *y, int32_t *place, const T *x", "y[to] = top;\n                    place[to] = (int32_t)at;"),
)
# The places that the maximum has made are hints: they are found again.
function(
    "_max_pool_grad",
    name="tl_to_winners",
    text=_maximum(
        "to_winners",
        "T *y, const T *g, const T *x, const int32_t *hint",
        "if (at >= 0) y[m * in + at] = y[m * in + at] + g[to];",
        "    (void)hint;\n    for (int64_t i = 0; i < n[0] * in; i++) y[i] = 0;\n",
    ),
)
function(
    "_max_pool_gather",
    name="tl_of_winners",
    text=_maximum(
        "of_winners",
        "T *y, const T *h, const T *x, const int32_t *hint",
        "y[to] = at < 0 ? 0 : h[m * in + at];",
        "    (void)hint;\n",
    ),
)
