"""Sorts, searches, and positions that are made of indices."""

from __future__ import annotations

from .functions import Numbers, function

#: Whether a comes before b: NaN after all numbers.
_BEFORE = """\
TL_INLINE int tl_before_S(T a, T b) { return a < b || (IS_NAN(b) && !IS_NAN(a)); }
"""

#: The places of a line's elements in order, of equal ones in the line's: runs of twice the length, merged again and again.
_ORDER = (
    _BEFORE
    + """\
static const int64_t *tl_order_S(int64_t *at, int64_t *room, const T *x, int64_t n, int64_t step, int64_t descending) {
    for (int64_t i = 0; i < n; i++) at[i] = i;
    for (int64_t run = 1; run < n; run *= 2) {
        int64_t *other = at;
        for (int64_t first = 0; first < n; first += 2 * run) {
            const int64_t middle = first + run < n ? first + run : n, last = first + 2 * run < n ? first + 2 * run : n;
            int64_t a = first, b = middle;
            for (int64_t i = first; i < last; i++) {
                int second = a == middle;
                if (!second && b < last) {
                    const T u = x[at[a] * step], v = x[at[b] * step];
                    second = descending ? tl_before_S(u, v) : tl_before_S(v, u);
                }
                room[i] = second ? at[b++] : at[a++];
            }
        }
        at = room;
        room = other;
    }
    return at;
}
"""
)
_LINES = """\
static void tl_{name}_S({args}, const T *x, const int64_t *n, int64_t *a, int64_t *b) {{
    for (int64_t o = 0; o < n[0]; o++)
        for (int64_t j = 0; j < n[2]; j++) {{
            const T *line = x + o * n[1] * n[2] + j;
            const int64_t *at = tl_order_S(a, b, line, n[1], n[2], n[{descending}]);
            for (int64_t i = 0; i < n[{count}]; i++) {{
                {body}
            }}
        }}
}}
"""


def _lines(name: str, args: str, body: str, count: int = 1, descending: int = 3) -> str:
    return _ORDER + _LINES.format(name=name, args=args, body=body, count=count, descending=descending)


def _two_lines(ints: Numbers) -> list[tuple[str, int]]:
    return [("int64", ints[1]), ("int64", ints[1])]


# ints: (outer, length, inner, descending), or (outer, length, inner, k, whether the greatest)
_AT = "(o * n[1] + i) * n[2] + j"
function(
    "sort",
    name="tl_sorted",
    text=_lines("sorted", "T *y, int64_t *index", f"y[{_AT}] = line[at[i] * n[2]];\n                index[{_AT}] = at[i];"),
    rooms=_two_lines,
)
function("argsort", name="tl_places", text=_lines("places", "int64_t *y", f"y[{_AT}] = at[i];"), rooms=_two_lines)
function("topk_index", name="tl_top", text=_lines("top", "int64_t *y", "y[(o * n[3] + i) * n[2] + j] = at[i];", 3, 4), rooms=_two_lines)

# ints: (length, elements of v, whether behind equal ones)
_SEARCH = (
    _BEFORE
    + """\
static void tl_search_S(int64_t *y, const T *a, const T *v, const int64_t *n) {
    for (int64_t i = 0; i < n[1]; i++) {
        int64_t low = 0, high = n[0];
        while (low < high) {
            const int64_t middle = (low + high) / 2;
            if (n[2] ? !tl_before_S(v[i], a[middle]) : tl_before_S(a[middle], v[i]))
                low = middle + 1;
            else
                high = middle;
        }
        y[i] = low;
    }
}
"""
)
function("searchsorted", name="tl_search", text=_SEARCH)

# The row that an index names, -1 for none; modes as in `tlean/ops/rows/take.py`.
_ROW = """\
TL_INLINE int64_t tl_row(int64_t i, int64_t rows, int64_t wrap, int64_t mode) {
    if (mode == 3) return i >= rows ? rows - 1 : i < 0 ? 0 : i;
    if (i < 0 && (mode == 2 || mode == 4)) i += wrap;
    return i < 0 || i >= rows ? -1 : i;
}
"""
# ints: (axes, positions, rows, wrap, step, mode, first, sizes…, strides of i…, strides of prior…, along…)
_LOCATE = (
    _ROW
    + """\
static int tl_locate_S(int64_t *y, const int64_t *i, const int64_t *prior, const int64_t *n) {
    const int64_t axes = n[0], *size = n + 7, *stride = size + axes, *before = stride + axes, *along = before + axes;
    for (int64_t p = 0; p < n[1]; p++) {
        int64_t at = n[6], of = 0, offset = 0, rest = p, row;
        for (int64_t k = axes - 1; k >= 0; k--) {
            const int64_t c = rest % size[k];
            rest /= size[k];
            at += c * stride[k];
            of += c * before[k];
            offset += c * along[k];
        }
        row = tl_row(i[at], n[2], n[3], n[5]);
        if (row < 0 && (n[5] == 1 || n[5] == 2)) return 1;
        y[p] = row < 0 || (prior && prior[of] < 0) ? -1 : n[4] * row + offset + (prior ? prior[of] : 0);
    }
    return 0;
}
"""
)
function("locate", name="tl_locate", text=_LOCATE, fails=True)


def _table(ints: Numbers) -> list[tuple[str, int]]:
    # Rows and positions, by open addressing.
    capacity = 16
    while capacity < 2 * ints[0]:
        capacity *= 2
    return [("int64", capacity), ("int64", capacity)]


# ints: (indices, rows, mode, which: previous, next, last, first, start)
_NEIGHBOURS = (
    _ROW
    + """\
static int tl_neighbours_S(int64_t *y, const int64_t *i, const int64_t *n, int64_t *rows, int64_t *positions) {
    const int down = n[3] == 1 || n[3] == 2;
    int64_t capacity = 16;
    while (capacity < 2 * n[0]) capacity *= 2;
    for (int64_t k = 0; k < capacity; k++) rows[k] = -1;
    for (int64_t k = 0; k < n[0]; k++) {
        const int64_t j = down ? n[0] - 1 - k : k, row = tl_row(i[j], n[1], n[1], n[2]);
        int64_t slot;
        if (row < 0 && (n[2] == 1 || n[2] == 2)) return 1;
        y[j] = -1;
        if (row < 0) continue;
        slot = (int64_t)((uint64_t)row * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (capacity - 1);
        while (rows[slot] != row && rows[slot] >= 0) slot = (slot + 1) & (capacity - 1);
        if (n[3] < 2) {
            if (rows[slot] >= 0) y[j] = positions[slot];
        } else if (rows[slot] < 0) {
            y[j] = n[3] == 4 ? j : row;
        }
        rows[slot] = row;
        positions[slot] = j;
    }
    return 0;
}
"""
)
function("neighbours", name="tl_neighbours", text=_NEIGHBOURS, rooms=_table, fails=True)

_INVERSE_LINKS = """\
static void tl_inverse_links_S(int64_t *y, const int64_t *link, const int64_t *n) {
    for (int64_t j = 0; j < n[0]; j++) y[j] = -1;
    for (int64_t j = 0; j < n[0]; j++)
        if (link[j] >= 0 && link[j] < n[0]) y[link[j]] = j;
}
"""
function("_inverse_links", name="tl_inverse_links", text=_INVERSE_LINKS)
