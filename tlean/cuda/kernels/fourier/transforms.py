"""Discrete Fourier transforms along one axis: Stockham's, a stage for each factor of the length, and products of complex numbers.

With n = r m a stage makes of s interleaved transforms of n numbers r s of m: y[q + s (r p + k)] is the sum over j of
x[q + s (p + m j)] exp(-2 pi i k (p + m j) / n), where q < s, p < m, and j, k < r. No numbers are put in order before or after.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import pi

from ....errors import DeviceError
from ..plan import COMMON, Argument, Family, In, Launch, Out, Plan, Scratch, flat

#: The largest prime factor of a length: a stage takes time in proportion to its own.
MOST_PRIME = 4096

_SOURCE = """
union Number { i64 bits; double value; };
/* One stage for arrays of (outer, length, inner) complex numbers. `turn` has the bits of 2 pi / n with its sign. */
extern "C" __global__ void k_fft_stage(
    float2 *y, const float2 *x, i64 length, i64 inner, i64 n, i64 r, i64 s, i64 turn, float scale, i64 entries
) {
    Number angle;
    angle.bits = turn;
    const i64 m = n / r;
    TL_EACH(e, entries) {
        const i64 o = e / inner % length, k = o / s % r, p = o / s / r;
        const float2 *from = x + (e / inner / length * length + o % s) * inner + e % inner;
        float re = 0, im = 0;
        for (i64 j = 0; j < r; j++) {
            const i64 at = p + m * j, part = k * at % n;
            const float a = (float)((double)(2 * part > n ? part - n : part) * angle.value), c = cosf(a), d = sinf(a);
            const float2 v = from[s * at * inner];
            re += v.x * c - v.y * d;
            im += v.x * d + v.y * c;
        }
        float2 sum;
        sum.x = re * scale, sum.y = im * scale;
        y[e] = sum;
    }
}
extern "C" __global__ void k_fft_widen(float2 *y, const float *x, i64 n) {
    TL_EACH(e, n) {
        float2 v;
        v.x = x[e], v.y = 0;
        y[e] = v;
    }
}
/* The frequencies 0 ... length / 2 of all, those that are their own negative times `ends`, the others times `middle`. */
extern "C" __global__ void k_fft_half(float2 *y, const float2 *x, i64 length, i64 inner, float ends, float middle, i64 n) {
    const i64 half = length / 2 + 1;
    TL_EACH(e, n) {
        const i64 k = e / inner % half;
        const float w = k == 0 || 2 * k == length ? ends : middle;
        float2 v = x[(e / inner / half * length + k) * inner + e % inner];
        v.x *= w, v.y *= w;
        y[e] = v;
    }
}
/* All frequencies of real numbers from those of k_fft_half. */
extern "C" __global__ void k_fft_whole(float2 *y, const float2 *x, i64 length, i64 inner, float ends, float middle, i64 n) {
    const i64 half = length / 2 + 1;
    TL_EACH(e, n) {
        const i64 k = e / inner % length, at = 2 * k > length ? length - k : k;
        const bool own = k == 0 || 2 * k == length;
        float2 v = x[(e / inner / length * half + at) * inner + e % inner];
        v.x *= own ? ends : middle;
        v.y = own ? 0 : at == k ? v.y * middle : -v.y * middle;
        y[e] = v;
    }
}
extern "C" __global__ void k_fft_real(float *y, const float2 *x, i64 n) { TL_EACH(e, n) y[e] = x[e].x; }
extern "C" __global__ void k_complex_mul(float2 *y, const float2 *a, const float2 *b, i64 conjugate, i64 n) {
    TL_EACH(e, n) {
        const float2 u = a[e], v = b[e];
        const float im = conjugate ? -v.y : v.y;
        float2 w;
        w.x = u.x * v.x - u.y * im, w.y = u.x * im + u.y * v.x;
        y[e] = w;
    }
}
"""


def _factors(n: int) -> list[int]:
    # Fours first, then primes; one factor of 1 for a length of 1.
    found = []
    while n % 4 == 0:
        found.append(4)
        n //= 4
    p = 2
    while n > 1:
        # What has no factor up to its root is a prime.
        p = n if p * p > n else p
        while n % p == 0:
            found.append(p)
            n //= p
        p += 1
    if found and max(found) > MOST_PRIME:
        raise DeviceError(f"CUDA: the length of a transform has the prime factor {max(found)}, at most {MOST_PRIME} runs; use device='cpu'")
    return found or [1]


def _bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


class _Chain:
    # Launches that hand arrays on, in two buffers that take turns.

    def __init__(self, source: Argument) -> None:
        self.launches: list[Launch] = []
        self._source = source
        self._bytes = [0, 0]

    def add(self, function: str, n: int, *args: Argument, bytes: int, last: bool) -> None:
        """A launch from where the last one wrote to the next buffer, of so many bytes, or to the output."""
        turn = len(self.launches) % 2
        to: Argument = Out(0) if last else Scratch(turn)
        if not last:
            self._bytes[turn] = max(self._bytes[turn], bytes)
        self.launches.append(flat(function, n, to, self._source, *args))
        self._source = to

    def stages(self, outer: int, n: int, inner: int, inverse: bool, scale: float, last: bool) -> None:
        """A transform."""
        entries, rest, s = outer * n * inner, n, 1
        factors = _factors(n)
        for k, r in enumerate(factors):
            end = k == len(factors) - 1
            turn = _bits((2 if inverse else -2) * pi / rest)
            self.add("k_fft_stage", entries, n, inner, rest, r, s, turn, scale if end else 1.0, bytes=8 * entries, last=last and end)
            rest, s = rest // r, s * r

    def plan(self) -> Plan:
        """All of them."""
        return Plan(tuple(self.launches), tuple(self._bytes))


def fft(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    outer, n, inner, inverse = ints
    chain = _Chain(In(0))
    chain.stages(outer, n, inner, bool(inverse), float(floats[0]), True)
    return chain.plan()


def rfft(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    outer, n, inner = ints
    chain, entries = _Chain(In(0)), outer * n * inner
    chain.add("k_fft_widen", entries, bytes=8 * entries, last=False)
    chain.stages(outer, n, inner, False, 1.0, False)
    chain.add("k_fft_half", outer * (n // 2 + 1) * inner, n, inner, *map(float, floats), bytes=0, last=True)
    return chain.plan()


def irfft(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    outer, n, inner = ints
    chain, entries = _Chain(In(0)), outer * n * inner
    chain.add("k_fft_whole", entries, n, inner, *map(float, floats), bytes=8 * entries, last=False)
    chain.stages(outer, n, inner, True, 1.0, False)
    chain.add("k_fft_real", entries, bytes=0, last=True)
    return chain.plan()


def complex_mul(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    count, conjugate = ints
    return Plan((flat("k_complex_mul", count, Out(0), In(0), In(1), conjugate),))


FAMILY = Family("fourier", COMMON + _SOURCE, {"fft": fft, "rfft": rfft, "irfft": irfft, "complex_mul": complex_mul})
