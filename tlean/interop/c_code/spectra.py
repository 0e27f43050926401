"""Fourier transforms along an axis, of any length, and products of complex numbers, each of which is two neighbouring numbers; eigenvalues
and singular values of matrices, and what is made of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tlean._core import lapack
from tlean._core.array import as_tensor

from .factors import host, rectangles
from .functions import Function, function
from .values import Value
from .writer import Call, Writer, emits

# A line x of n complex numbers, transformed in place by way of `room`: for each prime factor r of n, sums of r numbers, and turns. w has
# the cosines and sines of the n parts of a turn; radices end with 0.
_LINE = """\
static T *tl_transform_S(T *x, T *room, const T *w, const int64_t *radices, int64_t n, int inverse) {
    for (int64_t done = 1, left = n; *radices; radices++) {
        const int64_t r = *radices, m = left / r;
        T *other = x;
        for (int64_t q = 0; q < m; q++)
            for (int64_t s = 0; s < r; s++)
                for (int64_t k = 0; k < done; k++) {
                    T re = 0, im = 0;
                    T *to = room + 2 * ((q * r + s) * done + k);
                    for (int64_t i = 0, turn = q * s * done % n, step = s * (n / r) % n; i < r; i++) {
                        const T *from = x + 2 * ((i * m + q) * done + k);
                        const T c = w[2 * turn], d = inverse ? w[2 * turn + 1] : -w[2 * turn + 1];
                        re = re + FMA(-from[1], d, from[0] * c);
                        im = im + FMA(from[1], c, from[0] * d);
                        turn += step;
                        if (turn >= n) turn -= n;
                    }
                    to[0] = re;
                    to[1] = im;
                }
        x = room;
        room = other;
        done *= r;
        left = m;
    }
    return x;
}
"""
#: Line (o, j) of an array whose entries lie `inner` apart. radices: n, inner, outer, what else, then the radices.
_LINES = """\
static void tl_{name}_S(T *y, const T *x, const T *w, const int64_t *n, const double *f, T *a, T *b) {{
    const int64_t length = n[1], inner = n[2];
    for (int64_t o = 0; o < n[0]; o++)
        for (int64_t j = 0; j < inner; j++) {{
            const T *made;
{body}\
        }}
}}
"""
_COMPLEX = """\
            for (int64_t i = 0; i < length; i++) {
                a[2 * i] = x[2 * ((o * length + i) * inner + j)];
                a[2 * i + 1] = x[2 * ((o * length + i) * inner + j) + 1];
            }
            made = tl_transform_S(a, b, w, n + 4, length, (int)n[3]);
            for (int64_t i = 0; i < length; i++) {
                y[2 * ((o * length + i) * inner + j)] = made[2 * i] * (T)f[0];
                y[2 * ((o * length + i) * inner + j) + 1] = made[2 * i + 1] * (T)f[0];
            }
"""
_TO_SPECTRUM = """\
            for (int64_t i = 0; i < length; i++) {
                a[2 * i] = x[(o * length + i) * inner + j];
                a[2 * i + 1] = 0;
            }
            made = tl_transform_S(a, b, w, n + 4, length, 0);
            for (int64_t i = 0; i <= length / 2; i++) {
                const int alone = i == 0 || 2 * i == length;
                T *to = y + 2 * ((o * (length / 2 + 1) + i) * inner + j);
                to[0] = made[2 * i] * (T)f[!alone];
                to[1] = alone ? 0 : made[2 * i + 1] * (T)f[1];
            }
"""
_FROM_SPECTRUM = """\
            for (int64_t i = 0; i <= length / 2; i++) {
                const int alone = i == 0 || 2 * i == length;
                const T *from = x + 2 * ((o * (length / 2 + 1) + i) * inner + j);
                a[2 * i] = from[0] * (T)f[!alone];
                a[2 * i + 1] = alone ? 0 : from[1] * (T)f[1];
                if (alone) continue;
                a[2 * (length - i)] = a[2 * i];
                a[2 * (length - i) + 1] = -a[2 * i + 1];
            }
            made = tl_transform_S(a, b, w, n + 4, length, 1);
            for (int64_t i = 0; i < length; i++) y[(o * length + i) * inner + j] = made[2 * i];
"""
_KINDS = {"fft": _COMPLEX, "rfft": _TO_SPECTRUM, "irfft": _FROM_SPECTRUM}


def _radices(n: int) -> list[int]:
    made, r = [], 2
    while n > 1:
        while n % r:
            r += 1
        made.append(r)
        n //= r
    return made


def _turns(n: int) -> np.ndarray:
    # The cosines and sines of the n parts of a turn, of angles up to an eighth of one, which are all but exact.
    quarter, rest = np.divmod(4 * np.arange(n), n)
    over = 2 * rest > n
    angles = np.where(over, n - rest, rest) * (np.pi / 2 / n)
    c, s = np.where(over, np.sin(angles), np.cos(angles)), np.where(over, np.cos(angles), np.sin(angles))
    for _ in range(3):
        c, s = np.where(quarter > 0, -s, c), np.where(quarter > 0, c, s)
        quarter = quarter - 1
    return np.stack([c, s], axis=-1)


@emits(*_KINDS)
def _transform(writer: Writer, call: Call) -> list[Value]:
    kind, length = call.node.record.kernel, call.ints[1]
    turns = writer.constant(as_tensor(_turns(length), call.dtype))
    ints = (*call.ints[:3], call.ints[3] if kind == "fft" else 0, *_radices(length), 0)
    made = Function(f"tl_{kind}", _LINE + _LINES.format(name=kind, body=_KINDS[kind]), rooms=lambda n: [("T", 2 * length)] * 2)
    return made(writer, call._replace(inputs=(*call.inputs, turns), ints=ints))


# ints: (numbers, whether the second factor is conjugated)
_PRODUCT = """\
static void tl_complex_product_S(T *y, const T *a, const T *b, const int64_t *n) {
    for (int64_t i = 0; i < 2 * n[0]; i += 2) {
        const T re = b[i], im = n[1] ? -b[i + 1] : b[i + 1];
        y[i] = FMA(a[i], re, -(a[i + 1] * im));
        y[i + 1] = FMA(a[i], im, a[i + 1] * re);
    }
}
"""
function("complex_mul", name="tl_complex_product", text=_PRODUCT)


# Of matrices ----------------------------------------------------------------------------------------------------------------
# ints: (matrices, rows, columns). All of it is in double precision.

#: The columns of a (n x n), some rows apart, turned so that the first component of each is positive, of those above rounding.
_TURNED = """\
static double tl_sign_of(const double *a, int64_t rows, int64_t step, double eps) {
    double top = 0;
    for (int64_t i = 0; i < rows; i++) top = fabs(a[i * step]) > top ? fabs(a[i * step]) : top;
    for (int64_t i = 0; i < rows; i++)
        if (fabs(a[i * step]) > 10.0 * (double)rows * eps * top) return a[i * step] < 0 ? -1 : 1;
    return 1;
}
"""
#: A rotation of two columns, or rows, of n numbers that lie `step` apart.
_ROTATED = """\
static void tl_rotate(double *a, double *b, int64_t n, int64_t step, double c, double s) {
    for (int64_t i = 0; i < n; i++) {
        const double x = a[i * step], y = b[i * step];
        a[i * step] = c * x - s * y;
        b[i * step] = s * x + c * y;
    }
}

/* The rotation that makes the matrix (p, r; r, q) diagonal. */
static void tl_rotation(double p, double q, double r, double *c, double *s) {
    const double d = (q - p) / (2 * r), t = (d < 0 ? -1 : 1) / (fabs(d) + sqrt(d * d + 1));
    *c = 1 / sqrt(t * t + 1);
    *s = t * *c;
}
"""
#: Jacobi's method: a becomes diagonal, v has the vectors as columns.
_EIGH = (
    _TURNED
    + _ROTATED
    + """\
TL_INLINE int tl_is_small(double x, double beside) { return fabs(beside) + 100 * fabs(x) == fabs(beside); }

static void tl_jacobi(double *a, double *v, int64_t n) {
    for (int64_t i = 0; i < n * n; i++) v[i] = i % (n + 1) == 0;
    for (int sweep = 0, turned = 1; turned && sweep < 60; sweep++) {
        turned = 0;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                const double r = a[p * n + q];
                double c, s;
                if (tl_is_small(r, a[p * n + p]) && tl_is_small(r, a[q * n + q])) continue;
                tl_rotation(a[p * n + p], a[q * n + q], r, &c, &s);
                tl_rotate(a + p, a + q, n, n, c, s);
                tl_rotate(a + p * n, a + q * n, n, 1, c, s);
                tl_rotate(v + p, v + q, n, n, c, s);
                turned = 1;
            }
    }
}

static void tl_eigh_S(T *y, const T *x, const int64_t *n, double *a, double *v) {
    const int64_t m = n[2];
    for (int64_t b = 0; b < n[0]; b++, x += m * m, y += (m + 1) * m) {
        int finite = 1;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < m; j++) {
                a[i * m + j] = x[i * m + j] * 0.5 + x[j * m + i] * 0.5;
                finite &= a[i * m + j] - a[i * m + j] == 0;
            }
        for (int64_t i = 0; i < (m + 1) * m; i++) y[i] = (T)NAN;
        if (!finite) continue;
        tl_jacobi(a, v, m);
        for (int64_t k = 0; k < m; k++) {
            /* The places of the eigenvalues in order: of equal ones the first. */
            int64_t place = 0;
            for (int64_t j = 0; j < m; j++) place += a[j * m + j] < a[k * m + k] || (a[j * m + j] == a[k * m + k] && j < k);
            y[place] = (T)a[k * m + k];
            for (int64_t i = 0; i < m; i++) y[(i + 1) * m + place] = (T)(v[i * m + k] * tl_sign_of(v + k, m, m, EPS));
        }
    }
}
"""
)
#: Hestenes' method: the columns of a (m x n, no fewer rows than columns) become orthogonal, v turns them back; their lengths are s. Columns
#: of length 0 are made orthonormal to the others.
_SVD = (
    _TURNED
    + _ROTATED
    + """\
static void tl_hestenes(double *a, double *v, double *s, int64_t m, int64_t n) {
    for (int64_t i = 0; i < n * n; i++) v[i] = i % (n + 1) == 0;
    for (int sweep = 0, turned = 1; turned && sweep < 60; sweep++) {
        turned = 0;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                double x = 0, y = 0, r = 0, c, d;
                for (int64_t i = 0; i < m; i++) {
                    x += a[i * n + p] * a[i * n + p];
                    y += a[i * n + q] * a[i * n + q];
                    r += a[i * n + p] * a[i * n + q];
                }
                if (fabs(r) <= 1e-16 * sqrt(x * y) || r == 0) continue;
                tl_rotation(x, y, r, &c, &d);
                tl_rotate(a + p, a + q, m, n, c, d);
                tl_rotate(v + p, v + q, n, n, c, d);
                turned = 1;
            }
    }
    for (int64_t k = 0; k < n; k++) {
        double length = 0;
        for (int64_t i = 0; i < m; i++) length += a[i * n + k] * a[i * n + k];
        s[k] = sqrt(length);
    }
}

/* Of x (m x n), or its transpose where that has more rows: the vectors u and v, and the places of the singular values in order. */
static int tl_singular_S(double *u, double *v, double *s, int64_t *place, const T *x, int64_t m, int64_t n) {
    const int64_t rows = m < n ? n : m, k = m < n ? m : n;
    double top = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            if (!(x[i * n + j] - x[i * n + j] == 0)) return 0;
            u[m < n ? j * k + i : i * k + j] = x[i * n + j];
        }
    tl_hestenes(u, v, s, rows, k);
    for (int64_t j = 0; j < k; j++) top = s[j] > top ? s[j] : top;
    for (int64_t j = 0; j < k; j++) {
        place[j] = 0;
        for (int64_t i = 0; i < k; i++) place[j] += s[i] > s[j] || (s[i] == s[j] && i < j);
    }
    for (int64_t r = 0; r < k; r++) {
        int64_t j = 0;
        while (place[j] != r) j++;
        if (s[j] > 1e-15 * top) {
            for (int64_t i = 0; i < rows; i++) u[i * k + j] /= s[j];
            continue;
        }
        for (int64_t e = 0; e < rows; e++) {
            double length = 0;
            for (int64_t i = 0; i < rows; i++) u[i * k + j] = i == e;
            for (int twice = 0; twice < 2; twice++)
                for (int64_t c = 0; c < k; c++) {
                    double dot = 0;
                    for (int64_t i = 0; place[c] < r && i < rows; i++) dot += u[i * k + c] * u[i * k + j];
                    for (int64_t i = 0; place[c] < r && i < rows; i++) u[i * k + j] -= dot * u[i * k + c];
                }
            for (int64_t i = 0; i < rows; i++) length += u[i * k + j] * u[i * k + j];
            if (length * (double)rows < 0.5) continue;
            for (int64_t i = 0; i < rows; i++) u[i * k + j] /= sqrt(length);
            break;
        }
    }
    return 1;
}
"""
)
_SVD_OUT = """\
static void tl_svd_S(T *y, const T *x, const int64_t *n, double *u, double *v, double *s, int64_t *place) {
    const int64_t m = n[1], w = n[2], k = m < w ? m : w;
    for (int64_t b = 0; b < n[0]; b++, x += m * w, y += m * k + k + k * w) {
        if (!tl_singular_S(u, v, s, place, x, m, w)) {
            for (int64_t i = 0; i < m * k + k + k * w; i++) y[i] = (T)NAN;
            continue;
        }
        for (int64_t j = 0; j < k; j++) {
            const double *left = m < w ? v : u, *right = m < w ? u : v;
            const double turn = tl_sign_of(left + j, m, k, EPS);
            for (int64_t i = 0; i < m; i++) y[i * k + place[j]] = (T)(left[i * k + j] * turn);
            y[m * k + place[j]] = (T)s[j];
            for (int64_t i = 0; i < w; i++) y[m * k + k + place[j] * w + i] = (T)(right[i * k + j] * turn);
        }
    }
}
"""
_PINV = """\
static void tl_pinv_S(T *y, const T *x, const int64_t *n, double *u, double *v, double *s, int64_t *place) {
    const int64_t m = n[1], w = n[2], k = m < w ? m : w;
    for (int64_t b = 0; b < n[0]; b++, x += m * w, y += m * w) {
        const int known = tl_singular_S(u, v, s, place, x, m, w);
        const double *left = m < w ? v : u, *right = m < w ? u : v;
        double top = 0;
        for (int64_t j = 0; known && j < k; j++) top = s[j] > top ? s[j] : top;
        for (int64_t i = 0; i < w; i++)
            for (int64_t c = 0; c < m; c++) {
                double total = 0;
                for (int64_t j = 0; known && j < k; j++)
                    if (s[j] > (double)(m < w ? w : m) * EPS * top) total += right[i * k + j] * left[c * k + j] / s[j];
                y[i * m + c] = (T)(known ? total : NAN);
            }
    }
}
"""


def _room(n: Sequence[int]) -> list[tuple[str, int]]:
    least = min(n[1], n[2])
    return [("float64", max(n[1], n[2]) * least), ("float64", least * least), ("float64", least), ("int64", least)]


host("_linalg_eigh", rectangles, name="tl_eigh", text=_EIGH, rooms=lambda n: [("float64", n[2] * n[2])] * 2)
host("_linalg_svd", rectangles, name="tl_svd", text=_SVD + _SVD_OUT, rooms=_room)
host("_linalg_pinv", rectangles, name="tl_pinv", text=_SVD + _PINV, rooms=_room)

#: What the reflections of a QR factorisation make of the unit vectors that its Q leaves out.
_COMPLEMENT = (
    _TURNED
    + """\
static void tl_complement_S(T *y, const T *x, const int64_t *n, double *a, double *q) {
    const int64_t m = n[1], k = n[2], rest = m - k;
    for (int64_t b = 0; b < n[0]; b++, x += m * k, y += m * rest) {
        for (int64_t i = 0; i < m * k; i++) a[i] = x[i];
        for (int64_t i = 0; i < m; i++)
            for (int64_t c = 0; c < rest; c++) q[i * rest + c] = i == k + c;
        for (int64_t j = 0; j < k; j++) {
            double size = 0;
            for (int64_t i = j; i < m; i++) size += a[i * k + j] * a[i * k + j];
            a[j * k + j] += a[j * k + j] < 0 ? -sqrt(size) : sqrt(size);
            size = 0;
            for (int64_t i = j; i < m; i++) size += a[i * k + j] * a[i * k + j];
            for (int64_t i = j; i < m && size != 0; i++) a[i * k + j] /= sqrt(size);
            for (int64_t c = j + 1; c < k; c++) {
                double dot = 0;
                for (int64_t i = j; i < m; i++) dot += 2 * a[i * k + j] * a[i * k + c];
                for (int64_t i = j; i < m; i++) a[i * k + c] -= dot * a[i * k + j];
            }
        }
        for (int64_t j = k - 1; j >= 0; j--)
            for (int64_t c = 0; c < rest; c++) {
                double dot = 0;
                for (int64_t i = j; i < m; i++) dot += 2 * a[i * k + j] * q[i * rest + c];
                for (int64_t i = j; i < m; i++) q[i * rest + c] -= dot * a[i * k + j];
            }
        for (int64_t c = 0; c < rest; c++)
            for (int64_t i = 0; i < m; i++) y[i * rest + c] = (T)(k ? q[i * rest + c] * tl_sign_of(q + c, m, rest, EPS) : q[i * rest + c]);
    }
}
"""
)
host("_linalg_complement", rectangles, name="tl_complement", text=_COMPLEMENT, rooms=lambda n: [("float64", n[1] * max(n[1:]))] * 2)

#: Scaled by a power of two, a Padé approximant of degree 13 (Higham 2005), squared as often. w has eight matrices.
_EXPM = f"""\
static void tl_times(double *c, const double *a, const double *b, int64_t n) {{
    for (int64_t i = 0; i < n * n; i++) c[i] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t j = 0; j < n; j++) c[i * n + j] += a[i * n + k] * b[k * n + j];
}}

/* b = a^-1 b. */
static void tl_divide(double *a, double *b, int64_t n) {{
    for (int64_t j = 0; j < n; j++) {{
        int64_t p = j;
        for (int64_t i = j + 1; i < n; i++)
            if (fabs(a[i * n + j]) > fabs(a[p * n + j])) p = i;
        for (int64_t c = 0; p != j && c < n; c++) {{
            const double s = a[j * n + c], t = b[j * n + c];
            a[j * n + c] = a[p * n + c];
            b[j * n + c] = b[p * n + c];
            a[p * n + c] = s;
            b[p * n + c] = t;
        }}
        for (int64_t i = j + 1; i < n; i++) {{
            const double f = a[i * n + j] / a[j * n + j];
            for (int64_t c = j; c < n; c++) a[i * n + c] -= f * a[j * n + c];
            for (int64_t c = 0; c < n; c++) b[i * n + c] -= f * b[j * n + c];
        }}
    }}
    for (int64_t i = n - 1; i >= 0; i--)
        for (int64_t c = 0; c < n; c++) {{
            for (int64_t j = i + 1; j < n; j++) b[i * n + c] -= a[i * n + j] * b[j * n + c];
            b[i * n + c] /= a[i * n + i];
        }}
}}

static void tl_expm_S(T *y, const T *x, const int64_t *n, double *w) {{
    static const double p[14] = {{{", ".join(map(repr, map(float, lapack.PADE)))}}};
    const int64_t m = n[2], e = m * m;
    double *a = w, *a2 = w + e, *a4 = w + 2 * e, *a6 = w + 3 * e, *u = w + 4 * e, *v = w + 5 * e, *s = w + 6 * e, *t = w + 7 * e;
    for (int64_t b = 0; b < n[0]; b++, x += e, y += e) {{
        double norm = 0, steps;
        for (int64_t j = 0; j < m; j++) {{
            double total = 0;
            for (int64_t i = 0; i < m; i++) total += fabs((double)x[i * m + j]);
            if (!(total <= norm)) norm = total;
        }}
        steps = norm > {lapack.NORM!r} ? ceil(log2(norm / {lapack.NORM!r})) : 0;
        if (!(norm - norm == 0) || steps >= 2000) {{
            for (int64_t i = 0; i < e; i++) y[i] = (T)NAN;
            continue;
        }}
        for (int64_t i = 0; i < e; i++) a[i] = ldexp((double)x[i], -(int)steps);
        tl_times(a2, a, a, m);
        tl_times(a4, a2, a2, m);
        tl_times(a6, a4, a2, m);
        for (int64_t i = 0; i < e; i++) s[i] = p[13] * a6[i] + p[11] * a4[i] + p[9] * a2[i];
        tl_times(t, a6, s, m);
        for (int64_t i = 0; i < e; i++) t[i] += p[7] * a6[i] + p[5] * a4[i] + p[3] * a2[i] + (i % (m + 1) ? 0 : p[1]);
        tl_times(u, a, t, m);
        for (int64_t i = 0; i < e; i++) s[i] = p[12] * a6[i] + p[10] * a4[i] + p[8] * a2[i];
        tl_times(v, a6, s, m);
        for (int64_t i = 0; i < e; i++) v[i] += p[6] * a6[i] + p[4] * a4[i] + p[2] * a2[i] + (i % (m + 1) ? 0 : p[0]);
        for (int64_t i = 0; i < e; i++) {{
            s[i] = v[i] - u[i];
            t[i] = v[i] + u[i];
        }}
        tl_divide(s, t, m);
        for (double k = 0; k < steps; k++) {{
            tl_times(s, t, t, m);
            memcpy(t, s, (size_t)e * sizeof(double));
        }}
        for (int64_t i = 0; i < e; i++) y[i] = (T)t[i];
    }}
}}
"""
host("_linalg_expm", rectangles, name="tl_expm", text=_EXPM, rooms=lambda n: [("float64", 8 * n[2] * n[2])])
