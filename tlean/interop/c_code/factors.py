"""Factors of matrices, and what is solved and read with them. Small ones are computed as the library does, row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlean.ops.matrices.shapes import batch_numbers
from tlean.shapes import size

from .functions import Function, Numbers, function
from .values import Value
from .writer import Call, Writer, emits

# ints: (matrices, n, right-hand sides, lower, transpose, unit diagonal, part, axes, sizes…, steps of a…, steps of b…)

#: Where matrix i of an operand is: its steps are number `which` of the lists behind the axes.
_PLACE = """\
TL_INLINE int64_t tl_matrix_at(const int64_t *n, int which, int64_t i) {
    const int64_t axes = n[7], *size = n + 8, *step = size + which * axes;
    int64_t at = 0;
    for (int64_t k = axes - 1; k >= 0; k--) {
        at += i % size[k] * step[k];
        i /= size[k];
    }
    return at;
}
"""
_CHOLESKY = (
    _PLACE
    + """\
static void tl_cholesky_S(T *y, const T *x, const int64_t *n) {
    const int64_t m = n[1];
    for (int64_t q = 0; q < n[0]; q++, y += m * m) {
        int ok = 1;
        memcpy(y, x + tl_matrix_at(n, 1, q), (size_t)(m * m) * sizeof(T));
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < i; j++) {
                y[i * m + j] = y[i * m + j] * (T)0.5 + y[j * m + i] * (T)0.5;
                y[j * m + i] = 0;
            }
        for (int64_t j = 0; j < m; j++) {
            T r;
            ok &= y[j * m + j] > 0;
            y[j * m + j] = SQRT(y[j * m + j]);
            r = 1 / y[j * m + j];
            for (int64_t i = j + 1; i < m; i++) y[i * m + j] *= r;
            for (int64_t i = j + 1; i < m; i++)
                for (int64_t c = j + 1; c <= i; c++) y[i * m + c] = FMA(-y[i * m + j], y[c * m + j], y[i * m + c]);
        }
        for (int64_t e = 0; !ok && e < m * m; e++) y[e] = (T)NAN;
    }
}
"""
)
#: x = T^-1 x for the triangle T[i, j] = t[i * row + j * col], upper where `back`; whether its diagonal has no zero.
_SOLVE = """\
static int tl_triangle_S(const T *t, int64_t row, int64_t col, T *x, int64_t n, int64_t k, int back, int unit) {
    int ok = 1;
    for (int64_t step = 0; step < n; step++) {
        const int64_t i = back ? n - 1 - step : step, first = back ? i + 1 : 0, last = back ? n : i;
        const T d = t[i * (row + col)], r = 1 / d;
        ok &= unit || d != 0;
        for (int64_t j = first; j < last; j++)
            for (int64_t c = 0; c < k; c++) x[i * k + c] = FMA(-t[i * row + j * col], x[j * k + c], x[i * k + c]);
        if (!unit && FABS(d) <= TINY)
            for (int64_t c = 0; c < k; c++) x[i * k + c] /= d;
        else
            for (int64_t c = 0; !unit && c < k; c++) x[i * k + c] *= r;
    }
    for (int64_t e = 0; !ok && e < n * k; e++) x[e] = (T)NAN;
    return ok;
}
"""
_TRIANGULAR = (
    _PLACE
    + _SOLVE
    + """\
static void tl_triangular_S(T *y, const T *a, const T *b, const int64_t *n) {
    const int64_t m = n[1], k = n[2], row = n[4] ? 1 : m, col = n[4] ? m : 1;
    for (int64_t q = 0; q < n[0]; q++, y += m * k) {
        memcpy(y, b + tl_matrix_at(n, 2, q), (size_t)(m * k) * sizeof(T));
        tl_triangle_S(a + tl_matrix_at(n, 1, q), row, col, y, m, k, n[3] == n[4], (int)n[5]);
    }
}
"""
)
#: L below its diagonal of ones and U in m; perm[i] is the row that row i was. Factors that are known are m, then perm as int32.
_LU = """\
static void tl_lu_S(T *m, int64_t *perm, int64_t rows, int64_t n) {
    for (int64_t i = 0; i < rows; i++) perm[i] = i;
    for (int64_t j = 0; j < n; j++) {
        int64_t p = j;
        T d, r;
        for (int64_t i = j + 1; i < rows; i++)
            if (FABS(m[i * n + j]) > FABS(m[p * n + j])) p = i;
        if (p != j) {
            const int64_t q = perm[j];
            perm[j] = perm[p];
            perm[p] = q;
            for (int64_t c = 0; c < n; c++) {
                const T t = m[j * n + c];
                m[j * n + c] = m[p * n + c];
                m[p * n + c] = t;
            }
        }
        d = m[j * n + j];
        r = d == 0 ? 0 : 1 / d;
        if (d != 0 && FABS(d) <= TINY) {
            for (int64_t i = j + 1; i < rows; i++) m[i * n + j] /= d;
            r = 1;
        }
        for (int64_t i = j + 1; i < rows; i++) {
            const T f = m[i * n + j] * r;
            m[i * n + j] = f;
            for (int64_t c = j + 1; c < n; c++) m[i * n + c] = FMA(-f, m[j * n + c], m[i * n + c]);
        }
    }
}
"""
_KNOWN = (
    _PLACE
    + _LU
    + """\
static void tl_factors_of_S(T *m, int64_t *perm, const T *a, const int64_t *words, const int64_t *n, int64_t q) {
    const int64_t rows = n[1], at = tl_matrix_at(n, 1, q);
    if (words) {
        const int64_t *block = words + at / (rows * rows) * rows * (rows + 1);
        memcpy(m, block, (size_t)(rows * rows) * sizeof(T));
        for (int64_t i = 0; i < rows; i++) {
            int32_t row;
            memcpy(&row, (const char *)block + (size_t)(rows * rows) * sizeof(T) + (size_t)i * 4, 4);
            perm[i] = row;
        }
        return;
    }
    memcpy(m, a + at, (size_t)(rows * rows) * sizeof(T));
    tl_lu_S(m, perm, rows, rows);
}
"""
)
_FACTORS = (
    _KNOWN
    + """\
static void tl_lu_factors_S(int64_t *y, const T *a, const int64_t *n, T *m, int64_t *perm) {
    const int64_t rows = n[1];
    for (int64_t q = 0; q < n[0]; q++, y += rows * (rows + 1)) {
        tl_factors_of_S(m, perm, a, 0, n, q);
        memset(y, 0, (size_t)(rows * (rows + 1)) * 8);
        memcpy(y, m, (size_t)(rows * rows) * sizeof(T));
        for (int64_t i = 0; i < rows; i++) {
            const int32_t row = (int32_t)perm[i];
            memcpy((char *)y + (size_t)(rows * rows) * sizeof(T) + (size_t)i * 4, &row, 4);
        }
    }
}
"""
)
_LU_SOLVE = (
    _KNOWN
    + _SOLVE
    + """\
static void tl_lu_solve_S(T *y, const T *a, const T *b, const int64_t *words, const int64_t *n, T *m, int64_t *perm, T *x) {
    const int64_t rows = n[1], k = n[2];
    for (int64_t q = 0; q < n[0]; q++, y += rows * k) {
        const T *side = b + tl_matrix_at(n, 2, q);
        tl_factors_of_S(m, perm, a, words, n, q);
        if (n[4]) {
            int ok;
            memcpy(x, side, (size_t)(rows * k) * sizeof(T));
            ok = tl_triangle_S(m, 1, rows, x, rows, k, 0, 0);
            if (ok) tl_triangle_S(m, 1, rows, x, rows, k, 1, 1);
            for (int64_t e = 0; e < rows * k; e++) y[perm[e / k] * k + e % k] = x[e];
            continue;
        }
        for (int64_t e = 0; e < rows * k; e++) y[e] = side[perm[e / k] * k + e % k];
        tl_triangle_S(m, rows, 1, y, rows, k, 0, 1);
        tl_triangle_S(m, rows, 1, y, rows, k, 1, 0);
    }
}
"""
)
_ROWS = (
    _KNOWN
    + """\
static void tl_lu_rows_S(int64_t *y, const T *a, const int64_t *words, const int64_t *n, T *m, int64_t *perm) {
    for (int64_t q = 0; q < n[0]; q++, y += n[1]) {
        tl_factors_of_S(m, perm, a, words, n, q);
        for (int64_t i = 0; i < n[1]; i++) y[i] = perm[i];
    }
}
"""
)
#: The determinants of two to four rows are those of their minors.
_MINORS = """\
TL_INLINE T tl_minor_S(T a, T b, T c, T e) { return FMA(-c, e, a * b); }
TL_INLINE T tl_minors_S(const T *m, int64_t n) {
    T d;
    if (n == 2) return tl_minor_S(m[0], m[3], m[1], m[2]);
    if (n == 3) {
        d = m[0] * tl_minor_S(m[4], m[8], m[5], m[7]);
        d = FMA(-m[1], tl_minor_S(m[3], m[8], m[5], m[6]), d);
        return FMA(m[2], tl_minor_S(m[3], m[7], m[4], m[6]), d);
    }
    d = tl_minor_S(m[0], m[5], m[1], m[4]) * tl_minor_S(m[10], m[15], m[11], m[14]);
    d = FMA(-tl_minor_S(m[0], m[6], m[2], m[4]), tl_minor_S(m[9], m[15], m[11], m[13]), d);
    d = FMA(tl_minor_S(m[0], m[7], m[3], m[4]), tl_minor_S(m[9], m[14], m[10], m[13]), d);
    d = FMA(tl_minor_S(m[1], m[6], m[2], m[5]), tl_minor_S(m[8], m[15], m[11], m[12]), d);
    d = FMA(-tl_minor_S(m[1], m[7], m[3], m[5]), tl_minor_S(m[8], m[14], m[10], m[12]), d);
    return FMA(tl_minor_S(m[2], m[7], m[3], m[6]), tl_minor_S(m[8], m[13], m[9], m[12]), d);
}
"""
#: Parts: 0 the factors, 1 the sign of the determinant, 2 the logarithm of its size, 3 it.
_READ = (
    _KNOWN
    + _MINORS
    + """\
static T tl_determinant_S(const T *m, const int64_t *perm, int64_t n, int64_t part) {
    double total = 0;
    T product = 1;
    int odd = 0, zero = 0;
    for (int64_t i = 0; i < n; i++) {
        const T d = m[i * (n + 1)];
        for (int64_t j = 0; j < i; j++) odd ^= perm[j] > perm[i];
        zero |= d == 0;
        if (part == 2) total += log(fabs((double)d));
        product *= part == 1 ? (d > 0 ? 1 : d < 0 ? -1 : d) : d;
    }
    if (part == 2) return (T)total;
    return part == 1 && zero ? 0 : odd ? -product : product;
}

static void tl_lu_read_S(T *y, const T *a, const int64_t *words, const int64_t *n, T *m, int64_t *perm) {
    const int64_t rows = n[1];
    for (int64_t q = 0; q < n[0]; q++, y += n[6] ? 1 : rows * rows) {
        if (n[6] == 3 && rows > 1 && rows < 5) {
            const T d = tl_minors_S(a + tl_matrix_at(n, 1, q), rows);
            *y = d;
            /* Minors that may have left the range of their type. */
            if (FABS(d) >= (T)LEAST && FABS(d) <= 1 / (T)LEAST) continue;
        }
        tl_factors_of_S(m, perm, a, words, n, q);
        if (n[6])
            *y = tl_determinant_S(m, perm, rows, n[6]);
        else
            memcpy(y, m, (size_t)(rows * rows) * sizeof(T));
    }
}
"""
)


def _room(ints: Numbers) -> list[tuple[str, int]]:
    return [("T", ints[1] * ints[1]), ("int64", ints[1])]


def _room_of_sides(ints: Numbers) -> list[tuple[str, int]]:
    return [*_room(ints), ("T", ints[1] * ints[2])]


function("cholesky", name="tl_cholesky", text=_CHOLESKY)
function("solve_triangular", name="tl_triangular", text=_TRIANGULAR)
function("lu_factors", name="tl_lu_factors", text=_FACTORS, rooms=_room)
function("lu_solve", name="tl_lu_solve", text=_LU_SOLVE, rooms=_room_of_sides)
function("lu_rows", name="tl_lu_rows", text=_ROWS, rooms=_room)
function("lu_read", name="tl_lu_read", text=_READ, rooms=_room)


# Ops without a kernel of the library's own, by their names ------------------------------------------------------------------


def host(op: str, numbers: Callable[..., Numbers], **options: Any) -> None:
    """Declare the function that an op without a kernel is.

    Args:
        op: its name.
        numbers: of the specs of the operands, the ints.
        options: of the `Function`.
    """
    made = Function(**options)

    @emits(f"host {op}")
    def written(writer: Writer, call: Call) -> list[Value]:
        return made(writer, call._replace(ints=tuple(numbers(*call.specs))))


#: y, and a status where a matrix of it has a NaN and those of a and b are finite. ints: as above, with the elements of a matrix of y, a, b.
_REQUIRE = (
    _PLACE
    + """\
static int tl_finite_S(const T *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!(x[i] - x[i] == 0)) return 0;
    return 1;
}

static int tl_required_S(T *z, const T *y, const T *a, const T *b, const int64_t *n) {
    for (int64_t q = 0; q < n[0]; q++) {
        int nan = 0;
        for (int64_t i = q * n[1]; i < (q + 1) * n[1]; i++) {
            z[i] = y[i];
            nan |= y[i] != y[i];
        }
        if (nan && tl_finite_S(a + tl_matrix_at(n, 1, q), n[2]) && (!b || tl_finite_S(b + tl_matrix_at(n, 2, q), n[3]))) return 2;
    }
    return 0;
}
"""
)


def _required(y: Any, a: Any, b: Any) -> Numbers:
    shapes = [y.shape, a.shape, (a if b is None else b).shape]
    lead = shapes[0][:-2]
    return (size(lead), *(size(s[-2:]) for s in shapes), 0, 0, 0, *batch_numbers(lead, shapes[1:]))


host("_linalg_require", _required, name="tl_required", text=_REQUIRE, fails=True)

#: Of matrices with no fewer rows than columns; the last column says which row each was. ints: (matrices, rows, columns).
_LU_TALL = (
    _LU
    + """\
static void tl_lu_tall_S(T *y, const T *x, const int64_t *n, T *m, int64_t *perm) {
    for (int64_t q = 0; q < n[0]; q++, x += n[1] * n[2], y += n[1] * (n[2] + 1)) {
        memcpy(m, x, (size_t)(n[1] * n[2]) * sizeof(T));
        tl_lu_S(m, perm, n[1], n[2]);
        for (int64_t i = 0; i < n[1]; i++) {
            for (int64_t j = 0; j < n[2]; j++) y[i * (n[2] + 1) + j] = m[i * n[2] + j];
            y[i * (n[2] + 1) + n[2]] = (T)perm[i];
        }
    }
}
"""
)
#: Q by reflections of the columns, and R, with no negative number on its diagonal.
_QR = """\
static void tl_reflect_S(T *q, int64_t rows, int64_t step, int64_t columns, const T *v, int64_t v_step, T tau) {
    for (int64_t c = 0; c < columns; c++) {
        T dot = 0;
        for (int64_t i = 0; i < rows; i++) dot = FMA(v[i * v_step], q[i * step + c], dot);
        dot *= tau;
        for (int64_t i = 0; i < rows; i++) q[i * step + c] = FMA(-dot, v[i * v_step], q[i * step + c]);
    }
}

static void tl_qr_S(T *y, const T *x, const int64_t *n, T *m, T *v) {
    const int64_t rows = n[1], k = n[2];
    for (int64_t b = 0; b < n[0]; b++, x += rows * k, y += (rows + k) * k) {
        memcpy(m, x, (size_t)(rows * k) * sizeof(T));
        memset(v, 0, (size_t)(rows * k) * sizeof(T));
        memset(y, 0, (size_t)((rows + k) * k) * sizeof(T));
        for (int64_t j = 0; j < k; j++) {
            T norm = 0, top = 0, size = 0;
            for (int64_t i = j; i < rows; i++) top = FABS(m[i * k + j]) > top ? FABS(m[i * k + j]) : top;
            for (int64_t i = j; i < rows && top != 0; i++) {
                v[i * k + j] = m[i * k + j] / top;
                norm = FMA(v[i * k + j], v[i * k + j], norm);
            }
            norm = SQRT(norm);
            v[j * k + j] += v[j * k + j] < 0 ? -norm : norm;
            for (int64_t i = j; i < rows; i++) size = FMA(v[i * k + j], v[i * k + j], size);
            if (size == 0) continue;
            for (int64_t i = j; i < rows; i++) v[i * k + j] /= SQRT(size);
            tl_reflect_S(m + j * k + j, rows - j, k, k - j, v + j * k + j, k, 2);
        }
        for (int64_t j = 0; j < k; j++) y[j * k + j] = 1;
        for (int64_t j = k - 1; j >= 0; j--) tl_reflect_S(y + j * k, rows - j, k, k, v + j * k + j, k, 2);
        for (int64_t j = 0; j < k; j++) {
            const int turned = m[j * k + j] < 0;
            for (int64_t c = j; c < k; c++) y[(rows + j) * k + c] = turned ? -m[j * k + c] : m[j * k + c];
            for (int64_t i = 0; turned && i < rows; i++) y[i * k + j] = -y[i * k + j];
        }
    }
}
"""


def rectangles(x: Any) -> Numbers:
    """The matrices of an operand, their rows and columns."""
    return (size(x.shape[:-2]), *x.shape[-2:])


host("_linalg_lu_tall", rectangles, name="tl_lu_tall", text=_LU_TALL, rooms=lambda n: [("T", n[1] * n[2]), ("int64", n[1])])
host("_linalg_qr", rectangles, name="tl_qr", text=_QR, rooms=lambda n: [("T", n[1] * n[2])] * 2)
