"""Random numbers from counters: Philox4x32-10 in NumPy, and `Rng`, the explicit stream built on it.

A number depends on a key and a position alone, so the same seed gives the same bits in any order of evaluation, on any device and at any
thread count.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .arguments.literals import DTypeName, FloatName
from .errors import DTypeError, OptionError, ShapeError
from .locks import Lock
from .shapes import as_shape, size

MASK64 = (1 << 64) - 1
MASK32 = (1 << 32) - 1

# Multipliers of the two halves of a round, and what is added to the two key words between rounds.
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def philox4x32(counter: Any, key: Any) -> np.ndarray:
    """Philox4x32-10: counters of four 32-bit words, `s + (4,)`, and a key of two -> four random 32-bit words each, uint32 `s + (4,)`.

    Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11.
    """
    low, shift = np.uint64(MASK32), np.uint64(32)
    # The words are in 64-bit lanes, so a product of two of them is exact.
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter, dtype=np.uint64), -1, 0)
    k0, k1 = (int(k) for k in key)
    for _ in range(_ROUNDS):
        p0, p1 = c0 * np.uint64(_MULTIPLIERS[0]), c2 * np.uint64(_MULTIPLIERS[1])
        c0, c1, c2, c3 = (p1 >> shift) ^ c1 ^ np.uint64(k0), p1 & low, (p0 >> shift) ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + _KEY_STEPS[0]) & MASK32, (k1 + _KEY_STEPS[1]) & MASK32
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def philox(key: int, blocks: Any, stream: int = 0) -> np.ndarray:
    """The four words of each block of the stream that a 64-bit key starts.

    Args:
        key: 64 bits; the low 32 are key word 0.
        blocks: block numbers b, any shape `s`; the counter of a block is (low b, high b, 0, stream).
        stream: 0 for the numbers of an op, 1 for the seeds of a session's ops, 3 for the seeds of programs.

    Returns: uint32 array `s + (4,)`.
    """
    b = np.asarray(blocks, dtype=np.uint64)
    counter = np.stack([b & np.uint64(MASK32), b >> np.uint64(32), np.zeros_like(b), np.full_like(b, stream)], axis=-1)
    return philox4x32(counter, (key & MASK32, (key >> 32) & MASK32))


def op_seed(seed: int, number: int, stream: int = 1) -> int:
    """The seed of op `number` of the stream that `seed` starts: the first 64 bits of Philox(seed, counter (number, 0, 0, 1))."""
    # The same rounds as `philox4x32` on plain ints: a session draws one seed for each random op, and NumPy's calls would cost more than it.
    m0, m1 = _MULTIPLIERS
    k0, k1 = seed & MASK32, (seed >> 32) & MASK32
    c0, c1, c2, c3 = number & MASK32, (number >> 32) & MASK32, 0, stream
    for _ in range(_ROUNDS):
        p0, p1 = c0 * m0, c2 * m1
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK32, (p0 >> 32) ^ c3 ^ k1, p0 & MASK32
        k0, k1 = (k0 + _KEY_STEPS[0]) & MASK32, (k1 + _KEY_STEPS[1]) & MASK32
    return c0 | c1 << 32


class _Programs:
    # The seeds of programs that are given none: number k of those that `seed(n)` starts.
    def __init__(self) -> None:
        self.seed = 0
        self.count = 0
        self.lock = Lock()
        #: What else restarts with `seed`.
        self.others: list[Callable[[int], None]] = []


_programs = _Programs()


def seed(number: int) -> None:
    """Restart all random numbers of this process: the streams of programs made after it, and the first values of layers.

    A session, a trainer, a `jit`ed, compiled or transformed program that is made without a seed has its own stream: the k-th one made
    after `seed(n)` has the same stream in every run, and no two coincide. A process starts as after `seed(0)`.

    Args:
        number: the seed of this process.

    Raises: OptionError unless the seed is an int.
    """
    value = checked_seed("seed", number)
    with _programs.lock:
        _programs.seed, _programs.count = value, 0
    for start in _programs.others:
        start(number)


def with_seed(start: Callable[[int], None]) -> int:
    """Have `start(n)` called by every `seed(n)`; returns the number of the latest."""
    _programs.others.append(start)
    return _programs.seed


def checked_seed(name: str, number: Any) -> int:
    """A seed as 64 bits. Raises: OptionError unless it is an int."""
    try:
        return operator.index(number) & MASK64
    except TypeError:
        raise OptionError(f"{name}: a seed must be an int, got {number!r}") from None


def program_seed() -> int:
    """The seed of the next program that is given none: the first 64 bits of Philox(seed, counter (k low, k high, 0, 3)) for the k-th."""
    with _programs.lock:
        k, _programs.count = _programs.count, _programs.count + 1
        return op_seed(_programs.seed, k, stream=3)


#: `draw(op, arguments, options)` computes an op; the room that has the ops sets it.
_draws: list[Callable[[str, tuple[Any, ...], dict[str, Any]], np.ndarray]] = []


def draw_with(draw: Callable[[str, tuple[Any, ...], dict[str, Any]], np.ndarray]) -> None:
    """Have the distributions of `Rng` drawn by `draw(op, arguments, options)`, which computes an op on arrays."""
    _draws[:] = [draw]


def uniform(shape: Any, seed: int, dtype: FloatName = "float32") -> np.ndarray:
    """Numbers uniform in [0, 1): what the op `rand_uniform(shape, seed)` gives, bit for bit.

    Raises: DTypeError unless dtype is float32 or float64.
    """
    dims = as_shape(shape)
    n = size(dims)
    if n >= 1 << 60:
        raise ShapeError(f"uniform: numbers of shape {dims} are more than memory holds")
    if not isinstance(dtype, str):
        raise DTypeError(f"uniform: dtype must be 'float32' or 'float64', got {dtype!r}")
    if dtype == "float32":
        words = philox(seed & MASK64, np.arange(-(-n // 4))).reshape(-1)[:n]
        return ((words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)).reshape(dims)
    if dtype == "float64":
        pairs = philox(seed & MASK64, np.arange(-(-n // 2))).reshape(-1, 2)[:n]
        high, low = (pairs[:, 0] >> np.uint32(5)).astype(np.float64), (pairs[:, 1] >> np.uint32(6)).astype(np.float64)
        return ((high * 2.0**26 + low) * 2.0**-53).reshape(dims)
    raise DTypeError(f"uniform: dtype must be float32 or float64, got {dtype!r}")


def _count(what: str, value: Any) -> int:
    try:
        found = operator.index(value)
    except TypeError:
        found = -1
    if not 0 <= found < 1 << 60:
        raise OptionError(f"Rng: {what} must be an int of at least 0, below 2**60, got {value!r}")
    return found


class Rng:
    """A stream of random numbers that a seed determines: for initial values, shuffles, and further streams.

    Draw number n of the stream uses the seed `op_seed(seed, n)`, the rule by which a session numbers its random ops.

        rng = Rng(0)
        w = rng.uniform((128, 784), -0.08, 0.08)
        order = rng.permutation(60_000)
        child = rng.split()          # independent of what rng draws from here on

    Args:
        seed: an int of at most 64 bits.

    Example:
        >>> rng = tl.Rng(0)
        >>> rng.uniform((2, 3)).shape, rng
        ((2, 3), Rng(seed=0, count=1))
    """

    __slots__ = ("_count", "_seed")

    def __init__(self, seed: int = 0) -> None:
        self._seed = checked_seed("Rng", seed)
        self._count = 0

    @property
    def seed(self) -> int:
        """The seed, as an unsigned 64-bit number."""
        return self._seed

    @property
    def count(self) -> int:
        """How many draws were made; with the seed it is the whole state, and may be set to come back to a position."""
        return self._count

    @count.setter
    def count(self, value: int) -> None:
        self._count = _count("a count", value)

    def state_dict(self) -> dict[str, int]:
        """Seed and count: the whole state."""
        return {"seed": self._seed, "count": self._count}

    def load_state_dict(self, state: Any) -> None:
        """Come back to a saved position.

        Args:
            state: what `state_dict` returned.

        Raises: OptionError if it is no state of a stream.
        """
        if not isinstance(state, dict) or state.keys() != {"seed", "count"}:
            raise OptionError("Rng: this is no state of a stream")
        other = Rng(state["seed"])
        other.count = state["count"]
        self._seed, self._count = other._seed, other._count

    def next_seed(self) -> int:
        """A seed of 64 random bits; each call gives another."""
        self._count += 1
        return op_seed(self._seed, self._count - 1)

    def split(self) -> Rng:
        """A separate stream."""
        return Rng(self.next_seed())

    def uniform(self, shape: Any = (), low: float = 0.0, high: float = 1.0, dtype: FloatName = "float32") -> np.ndarray:
        """Numbers uniform in [low, high), as an array of that shape.

        Args:
            shape: of the array; an int is a vector's length.
            low, high: the bounds.
            dtype: "float32" or "float64".

        Raises: OptionError for bounds that are no numbers; ShapeError; DTypeError for another dtype.
        """
        try:
            low, high = float(low), float(high)
        except (TypeError, ValueError, OverflowError):
            raise OptionError(f"Rng: low and high must be numbers, got {low!r} and {high!r}") from None
        u = uniform(shape, self.next_seed(), dtype)
        return u if (low, high) == (0.0, 1.0) else (low + (high - low) * u).astype(dtype)

    def _draw(self, op: str, *arguments: Any, **options: Any) -> np.ndarray:
        # A distribution by its op, with the next seed: the numbers that a program with this seed has.
        return _draws[0](f"random_{op}", arguments, {"seed": self.next_seed(), **options})

    def normal(self, shape: Any = None, loc: Any = 0.0, scale: Any = 1.0, dtype: FloatName = "float32") -> np.ndarray:
        """Normal numbers, as `tl.random.normal`: of mean loc and standard deviation scale, numbers or arrays.

        Args:
            shape: of the array; None is that of the parameters. So in all methods.
            loc, scale: numbers or arrays that broadcast to it.
            dtype: "float32" or "float64".
        """
        return self._draw("normal", shape, loc, scale, dtype=dtype)

    def truncated_normal(
        self, shape: Any = None, loc: Any = 0.0, scale: Any = 1.0, low: Any = -2.0, high: Any = 2.0, dtype: FloatName = "float32"
    ) -> np.ndarray:
        """Normal numbers between two bounds, as `tl.random.truncated_normal`.

        Args:
            shape: of the array.
            loc, scale: mean and standard deviation before the bounds.
            low, high: the bounds.
            dtype: "float32" or "float64".
        """
        return self._draw("truncated_normal", shape, loc, scale, low, high, dtype=dtype)

    def exponential(self, shape: Any = None, scale: Any = 1.0, dtype: FloatName = "float32") -> np.ndarray:
        """Exponential numbers of mean scale, as `tl.random.exponential`.

        Args:
            shape: of the array.
            scale: the mean.
            dtype: "float32" or "float64".
        """
        return self._draw("exponential", shape, scale, dtype=dtype)

    def gumbel(self, shape: Any = None, loc: Any = 0.0, scale: Any = 1.0, dtype: FloatName = "float32") -> np.ndarray:
        """Gumbel numbers, as `tl.random.gumbel`.

        Args:
            shape: of the array.
            loc, scale: numbers or arrays.
            dtype: "float32" or "float64".
        """
        return self._draw("gumbel", shape, loc, scale, dtype=dtype)

    def gamma(self, concentration: Any, shape: Any = None, scale: Any = 1.0, dtype: FloatName = "float32") -> np.ndarray:
        """Gamma numbers, as `tl.random.gamma`.

        Args:
            concentration: above 0.
            shape: of the array.
            scale: a factor.
            dtype: "float32" or "float64".
        """
        return self._draw("gamma", concentration, shape, scale, dtype=dtype)

    def beta(self, a: Any, b: Any, shape: Any = None, dtype: FloatName = "float32") -> np.ndarray:
        """Beta numbers, as `tl.random.beta`.

        Args:
            a, b: above 0.
            shape: of the array.
            dtype: "float32" or "float64".
        """
        return self._draw("beta", a, b, shape, dtype=dtype)

    def dirichlet(self, concentration: Any, shape: Any = None, dtype: FloatName = "float32") -> np.ndarray:
        """Dirichlet vectors, as `tl.random.dirichlet`.

        Args:
            concentration: `(*b, k)`, above 0.
            shape: of the array without its last axis.
            dtype: "float32" or "float64".
        """
        return self._draw("dirichlet", concentration, shape, dtype=dtype)

    def bernoulli(self, p: Any = 0.5, shape: Any = None) -> np.ndarray:
        """Booleans that are true with probability p, as `tl.random.bernoulli`.

        Args:
            p: a number or an array.
            shape: of the array.
        """
        return self._draw("bernoulli", p, shape)

    def poisson(self, rate: Any, shape: Any = None) -> np.ndarray:
        """Counts of mean rate, int64, as `tl.random.poisson`.

        Args:
            rate: a number or an array, at least 0.
            shape: of the array.
        """
        return self._draw("poisson", rate, shape)

    def randint(self, low: int, high: int, shape: Any = (), dtype: DTypeName = "int64") -> np.ndarray:
        """Integers from low up to high, without high, as `tl.random.randint`.

        Args:
            low, high: ints.
            shape: of the array.
            dtype: "int64" or "int32".
        """
        return self._draw("randint", low, high, shape, dtype=dtype)

    def choice(self, x: Any, shape: Any = (), replace: bool = True, p: Any = None) -> np.ndarray:
        """Entries of an array, or of the numbers below an int, as `tl.random.choice`.

        Args:
            x: an array, or an int.
            shape: how many.
            replace: whether an entry may come more than once.
            p: weights of the entries.
        """
        return self._draw("choice", x, shape, replace, p)

    def categorical(self, logits: Any, shape: Any = None) -> np.ndarray:
        """Classes, int64, as `tl.random.categorical`.

        Args:
            logits: `(*b, k)`.
            shape: of the array.
        """
        return self._draw("categorical", logits, shape)

    def multinomial(self, n: int, p: Any, shape: Any = None) -> np.ndarray:
        """How often each class comes in n draws, int64, as `tl.random.multinomial`.

        Args:
            n: how many draws.
            p: `(*b, k)`, weights.
            shape: of the array without its last axis.
        """
        return self._draw("multinomial", n, p, shape)

    def permutation(self, n: Any) -> np.ndarray:
        """The numbers 0 … n−1 in random order, int64 `(n,)`: the order of n random 64-bit numbers; of an array, its rows in random order.

        Args:
            n: how many numbers, at least 0; or an array.
        """
        if hasattr(n, "shape") and n.shape:
            return self._draw("permutation", n)
        n = _count("a permutation's length", n)
        words = philox(self.next_seed(), np.arange(-(-n // 2))).reshape(-1, 2)[:n].astype(np.uint64)
        return np.argsort(words[:, 0] | words[:, 1] << np.uint64(32), kind="stable").astype(np.int64)

    def __repr__(self) -> str:
        return f"Rng(seed={self._seed}, count={self._count})"
