"""Random numbers: Philox4x32-10 in Python's integers.

Source: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
"""

from __future__ import annotations

import math
from fractions import Fraction

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


def rand_uniform(dtype, seed, *, shape):
    # float32 has its own numbers; every other kind of number takes those of float64, which it holds exactly.
    single = np.dtype(dtype) == np.float32
    like = np.empty((), dtype=dtype)
    values = [_uniform_at(i, int(seed), single) for i in range(math.prod(shape))]
    out = np.empty(len(values), dtype=dtype)
    for i, u in enumerate(values):
        out[i] = u if like.dtype == object else like.dtype.type(float(u))
    return out.reshape(shape)


def bernoulli_mask(keep_prob, seed, *, shape):
    u = rand_uniform(keep_prob.dtype, seed, shape=shape)
    return np.where(u < keep_prob[()], number(1, keep_prob), number(0, keep_prob))


def dropout(x, seed, *, p, train=True):
    if not train:
        return x
    keep = number(1 - p, x)
    return x * bernoulli_mask(np.asarray(keep, dtype=x.dtype), seed, shape=x.shape) / keep


DEFINITIONS = {"bernoulli_mask": bernoulli_mask, "dropout": dropout}
