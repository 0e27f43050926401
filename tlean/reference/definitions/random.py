"""Random numbers: Philox4x32-10 in Python's integers.

Source: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from .scalars import number

_WORD = 2**32


def philox4x32(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Ten rounds of Philox: four random words for a counter of four words and a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, _WORD)
        high1, low1 = divmod(0xCD9E8D57 * c2, _WORD)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % _WORD, (k1 + 0xBB67AE85) % _WORD
    return c0, c1, c2, c3


def _key(seed: int) -> tuple[int, int]:
    # Seeds are 64 bits; a negative one is read as its two's complement.
    high, low = divmod(int(seed) % 2**64, _WORD)
    return low, high


def stream_seed(seed: int, n: int) -> int:
    """The seed of random op number n in the stream of a session with this seed."""
    low, high, _, _ = philox4x32((n % _WORD, n // _WORD, 0, 1), _key(seed))
    return low + _WORD * high


def _uniform_at(i: int, seed: int, single: bool) -> Fraction:
    # Element i as the exact number that it is.
    block, place = divmod(i, 4 if single else 2)
    words = philox4x32((block % _WORD, block // _WORD, 0, 0), _key(seed))
    if single:
        return Fraction(words[place] >> 8, 2**24)
    return Fraction((words[2 * place] >> 5) * 2**26 + (words[2 * place + 1] >> 6), 2**53)


def rand_uniform(dtype: Any, seed: Any, *, shape: Any) -> Any:
    # float32 has its own numbers; every other kind of number takes those of float64, which it holds exactly.
    single = np.dtype(dtype) == np.float32
    like = np.empty((), dtype=dtype)
    values = [_uniform_at(i, int(seed), single) for i in range(math.prod(shape))]
    out = np.empty(len(values), dtype=dtype)
    for i, u in enumerate(values):
        out[i] = u if like.dtype == object else like.dtype.type(float(u))
    return out.reshape(shape)


def _pair(words: tuple[int, int, int, int], part: int, single: bool) -> tuple[float, int, float]:
    # The uniform number and the angle (a quarter turn, and how many more of an eighth) of a pair of normal numbers.
    if single:
        u, turn = words[2 * part], words[2 * part + 1]
        # Rounded as float32 has it, since ln u is near 0 where u is near 1.
        radius, angle, bits = float(np.float32(u >> 1) * np.float32(2.0**-31) + np.float32(2.0**-32)), turn, 32
    else:
        radius = ((words[0] >> 5) * 2**26 + (words[1] >> 6) + 1) * 2.0**-53
        angle, bits = words[2] + _WORD * words[3], 64
    quarter, rest = divmod(angle, 1 << (bits - 2))
    # In two's complement: rest from −2^(bits − 3) on.
    rest -= (1 << (bits - 2)) if rest >> (bits - 3) else 0
    return radius, quarter, rest * 2.0 ** (2 - bits)


def rand_normal(dtype: Any, seed: Any, *, shape: Any) -> Any:
    single = np.dtype(dtype) == np.float32
    out = np.empty(math.prod(shape), dtype)
    for i in range(out.size):
        block, place = divmod(i, 4 if single else 2)
        words = philox4x32((block % _WORD, block // _WORD, 0, 0), _key(seed))
        u, quarter, part = _pair(words, place // 2, single)
        angle = 0.5 * math.pi * part
        # cos and sin of the angle a quarter turn further, `quarter` times.
        cosine, sine = ((math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle)))[quarter % 2]
        sign = -1.0 if quarter >= 2 else 1.0
        out[i] = math.sqrt(-2.0 * math.log(u)) * sign * (sine if place % 2 else cosine)
    return out.reshape(shape)


def rand_integers(dtype: Any, seed: Any, *, shape: Any, low: Any, span: Any) -> Any:
    out = np.empty(math.prod(shape), dtype)
    for i in range(out.size):
        words = philox4x32((i // 2 % _WORD, i // 2 // _WORD, 0, 0), _key(seed))
        word = words[2 * (i % 2)] + _WORD * words[2 * (i % 2) + 1]
        out[i] = low + (word * (span or 2**64) >> 64)
    return out.reshape(shape)


def loop_seed(seed: Any, step: Any, *, number: Any) -> Any:
    seeds, steps = np.broadcast_arrays(seed, step)
    out = np.empty(seeds.shape, np.int64)
    for i, (s, k) in enumerate(zip(seeds.flat, steps.flat, strict=True)):
        low, high = _key(k)
        first, second, _, _ = philox4x32((number, low, high, 2), _key(s))
        out.flat[i] = (first + _WORD * second + 2**63) % 2**64 - 2**63
    return out


def _attempts(i: int, seed: int) -> Iterator[Any]:
    # The words of one attempt after the other at element i.
    for k in range(1, 4096):
        yield philox4x32((i % _WORD, i // _WORD, k, 0), _key(seed))


def _uniform53(high: int, low: int) -> float:
    return ((high >> 5) * 2**26 + (low >> 6)) * 2.0**-53


def _log_gamma_number(a: float, i: int, seed: int) -> float:
    if not 1.0 <= a < math.inf:
        return math.inf if a == math.inf else math.nan
    d = a - 1.0 / 3.0
    for w in _attempts(i, seed):
        z = math.sqrt(-2.0 * math.log((w[0] + 0.5) * 2.0**-32)) * math.cos(w[1] * (2.0 * math.pi * 2.0**-32))
        v = (1.0 + z / math.sqrt(9.0 * d)) ** 3
        u = _uniform53(w[2], w[3])
        if v > 0.0 and (u == 0.0 or math.log(u) < 0.5 * z * z + d - d * v + d * math.log(v)):
            break
    return math.log(d * v)


def rand_log_gamma(concentration: Any, seed: Any) -> Any:
    out = np.empty_like(concentration)
    for i, a in enumerate(concentration.flat):
        out.flat[i] = _log_gamma_number(float(a), i, int(seed))
    return out


def _poisson_number(rate: float, i: int, seed: int) -> int:
    if not 0.0 <= rate <= 2.0**53:
        return -1
    if rate < 10.0:
        w = next(_attempts(i, seed))
        u, k, p = _uniform53(w[0], w[1]), 0, math.exp(-rate)
        total = p
        while u >= total and k < 200:
            k += 1
            p *= rate / k
            total += p
        return k
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    for w in _attempts(i, seed):
        u, v = _uniform53(w[0], w[1]) - 0.5, _uniform53(w[2], w[3])
        s = 0.5 - abs(u)
        k = math.floor((2.0 * a / s + b) * u + rate + 0.43) if s else -1
        if s >= 0.07 and v <= 0.9277 - 3.6224 / (b - 2.0):
            break
        if k < 0 or (s < 0.013 and v > s):
            continue
        hat = v * (1.1239 + 1.1328 / (b - 3.4)) / (a / (s * s) + b)
        if hat == 0.0 or math.log(hat) <= k * math.log(rate) - rate - math.lgamma(k + 1.0):
            break
    return k


def rand_poisson(rate: Any, seed: Any) -> Any:
    return np.array([_poisson_number(float(r), i, int(seed)) for i, r in enumerate(rate.flat)], np.int64).reshape(rate.shape)


def bernoulli_mask(keep_prob: Any, seed: Any, *, shape: Any) -> Any:
    u = rand_uniform(keep_prob.dtype, seed, shape=shape)
    return np.where(u < keep_prob[()], number(1, keep_prob), number(0, keep_prob))


def dropout(x: Any, seed: Any, *, p: Any, train: bool = True) -> Any:
    if not train:
        return x
    keep = number(1 - p, x)
    return x * bernoulli_mask(np.asarray(keep, dtype=x.dtype), seed, shape=x.shape) / keep


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "bernoulli_mask": bernoulli_mask,
    "dropout": dropout,
    "_loop_seed": loop_seed,
    "_rand_log_gamma": rand_log_gamma,
    "_rand_poisson": rand_poisson,
}
