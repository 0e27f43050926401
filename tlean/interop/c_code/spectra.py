"""Fourier transforms along an axis, of any length, and products of complex numbers, each of which is two neighbouring numbers."""

from __future__ import annotations

import numpy as np

from tlean._core.array import as_tensor

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
