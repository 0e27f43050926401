"""Convolutions and pools: one walk over the windows of a plane, and what each of these does with a row of them."""

from __future__ import annotations

from .functions import Numbers, function

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
# ints: (N, C, O, groups, in…, out…, kernel…, stride…, padding…, dilation…), three of each, read as the forward convolution.

_OVER_CHANNELS = """\
    const int64_t in = n[4] * n[5] * n[6], out = n[7] * n[8] * n[9], taps = n[10] * n[11] * n[12], c = n[1] / n[3], o = n[2] / n[3];
"""
_CONV = (
    _SPAN
    + _plane(
        "tl_conv_plane", "T *restrict y, const T *restrict x, const T *weights", "Y = FMA(weight, X, Y)", "const T weight = weights[k];"
    )
    + f"""\
static void tl_conv_S(T *y, const T *w, const T *b, const T *x, const int64_t *n) {{
{_OVER_CHANNELS}\
    for (int64_t m = 0; m < n[0]; m++)
        for (int64_t q = 0; q < n[2]; q++) {{
            T *to = y + (m * n[2] + q) * out;
            for (int64_t j = 0; j < out; j++) to[j] = 0;
            for (int64_t i = 0; i < c; i++) tl_conv_plane_S(to, x + (m * n[1] + q / o * c + i) * in, w + (q * c + i) * taps, n + 4);
            for (int64_t j = 0; b && j < out; j++) to[j] = to[j] + b[q];
        }}
}}
"""
)
_SPREAD = (
    _SPAN
    + _plane(
        "tl_spread_plane", "const T *restrict y, T *restrict x, const T *weights", "X = FMA(weight, Y, X)", "const T weight = weights[k];"
    )
    + f"""\
static void tl_spread_S(T *x, const T *w, const T *b, const T *y, const int64_t *n) {{
{_OVER_CHANNELS}\
    for (int64_t m = 0; m < n[0]; m++)
        for (int64_t i = 0; i < n[1]; i++) {{
            T *to = x + (m * n[1] + i) * in;
            for (int64_t j = 0; j < in; j++) to[j] = 0;
            for (int64_t q = i / c * o; q < (i / c + 1) * o; q++)
                tl_spread_plane_S(y + (m * n[2] + q) * out, to, w + (q * c + i % c) * taps, n + 4);
            for (int64_t j = 0; b && j < in; j++) to[j] = to[j] + b[i];
        }}
}}
"""
)
_BACK = """\
static void tl_spread_back_S(T *x, const T *w, const T *y, const int64_t *n) { tl_spread_S(x, w, 0, y, n); }
"""
_WEIGHTS = (
    _SPAN
    + _plane(
        "tl_weights_plane",
        "T *weights, const T *y, const T *x",
        "t[j & 7] = FMA(Y, X, t[j & 7])",
        "T t[8] = {0};",
        "weights[k] = weights[k] + (((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7])));",
    )
    + f"""\
static void tl_conv_weights_S(T *w, const T *y, const T *x, const int64_t *n) {{
{_OVER_CHANNELS}\
    for (int64_t j = 0; j < n[2] * c * taps; j++) w[j] = 0;
    for (int64_t m = 0; m < n[0]; m++)
        for (int64_t q = 0; q < n[2]; q++)
            for (int64_t i = 0; i < c; i++)
                tl_weights_plane_S(w + (q * c + i) * taps, y + (m * n[2] + q) * out, x + (m * n[1] + q / o * c + i) * in, n + 4);
}}
"""
)

function("conv", name="tl_conv", text=_CONV)
function("conv_transpose", name="tl_spread", text=_SPREAD)
function("_conv_grad_x", name="tl_spread_back", text=_SPREAD + _BACK)
function("_conv_grad_w", name="tl_conv_weights", text=_WEIGHTS)


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

#: The cell that wins in a window: its place in the plane, -1 for the padding: the first NaN, or else the first maximum.
_WINNER = """\
static int64_t tl_winner_S(T *top, const T *x, const int64_t *w, int64_t p, double pad) {
    const int64_t p2 = p % w[5] * w[11] - w[14], p1 = p / w[5] % w[4] * w[10] - w[13], p0 = p / w[5] / w[4] * w[9] - w[12];
    int64_t place = -1;
    T best = (T)pad;
    int any = 0;
    for (int64_t k0 = p0; k0 < p0 + w[6]; k0++)
        for (int64_t k1 = p1; k1 < p1 + w[7]; k1++)
            for (int64_t k2 = p2; k2 < p2 + w[8]; k2++) {
                const int inside = k0 >= 0 && k0 < w[0] && k1 >= 0 && k1 < w[1] && k2 >= 0 && k2 < w[2];
                const int64_t at = (k0 * w[1] + k1) * w[2] + k2;
                T v;
                if (!inside && pad == -INFINITY) continue;
                v = inside ? x[at] : (T)pad;
                if (!any || ((v > best || v != v) && best == best)) {
                    best = v;
                    place = inside ? at : -1;
                }
                any = 1;
            }
    *top = best;
    return place;
}
"""
_MAXIMUM = """\
static void tl_{name}_S({args}, const int64_t *n, const double *f) {{
    const int64_t in = n[1] * n[2] * n[3], out = n[4] * n[5] * n[6];
{before}\
    for (int64_t m = 0; m < n[0]; m++)
        for (int64_t p = 0; p < out; p++) {{
            T top;
            const int64_t at = tl_winner_S(&top, x + m * in, n + 1, p, f[0]);
            {body}
        }}
}}
"""


def _maximum(name: str, args: str, body: str, before: str = "") -> str:
    return _WINNER + _MAXIMUM.format(name=name, args=args, body=body, before=before)


function(
    "max_pool",
    name="tl_maxima",
    text=_maximum("maxima", "T *y, int32_t *place, const T *x", "y[m * out + p] = top;\n            place[m * out + p] = (int32_t)at;"),
)
# The places that the maximum has made are hints: they are found again.
function(
    "_max_pool_grad",
    name="tl_to_winners",
    text=_maximum(
        "to_winners",
        "T *y, const T *g, const T *x, const int32_t *hint",
        "if (at >= 0) y[m * in + at] = y[m * in + at] + g[m * out + p];",
        "    (void)hint;\n    for (int64_t i = 0; i < n[0] * in; i++) y[i] = 0;\n",
    ),
)
function(
    "_max_pool_gather",
    name="tl_of_winners",
    text=_maximum(
        "of_winners",
        "T *y, const T *h, const T *x, const int32_t *hint",
        "y[m * out + p] = at < 0 ? 0 : h[m * in + at];",
        "    (void)hint;\n",
    ),
)
