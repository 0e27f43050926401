"""What a kernel's call is made of: launches with their arguments, worked out from the numbers of a call alone.

Nothing here knows a device: a plan is plain data, so it can be tested, recorded, and run by whatever holds the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import OptionError

#: Threads of a block, unless a kernel says otherwise.
THREADS = 256


@dataclass(frozen=True)
class Mode:
    """How the kernels of a session compute.

    Attributes:
        precision: of matrix products, convolutions among them: "fp32", "tf32" (operands rounded to 10 bits, for tensor cores) or "fp64"
            (sums in double).
        deterministic: every result repeats bit for bit; otherwise gradients of gathers may be added in any order.

    Raises: OptionError for another precision.
    """

    precision: str = "fp32"
    deterministic: bool = True

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "tf32", "fp64"):
            raise OptionError(f"CUDA: the precision of products is 'fp32', 'tf32' or 'fp64', got {self.precision!r}")

    @property
    def variants(self) -> tuple[str, ...]:
        """The names under which families have other kernels for it."""
        return (*(() if self.precision == "fp32" else (self.precision,)), *(() if self.deterministic else ("atomic",)))


@dataclass(frozen=True)
class Out:
    """The address of output number `number`."""

    number: int


@dataclass(frozen=True)
class In:
    """The address of input number `number`; 0 for an absent one."""

    number: int


@dataclass(frozen=True)
class Scratch:
    """The address of temporary buffer number `number`."""

    number: int


@dataclass(frozen=True)
class Fault:
    """The address of an int that a kernel sets to 1 where it meets an index out of range."""


#: An int is passed as `long long`, a float as `float`, a tuple of ints as a struct of `long long` by value.
Argument = Out | In | Scratch | Fault | int | float | tuple


@dataclass(frozen=True)
class Launch:
    """One launch of a function of the family's source."""

    function: str
    args: tuple[Argument, ...]
    grid: tuple[int, int, int]
    block: tuple[int, int, int] = (THREADS, 1, 1)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return 0 in self.grid


@dataclass(frozen=True)
class Plan:
    """The launches of one call, in order, and the bytes of every temporary buffer that they share."""

    launches: tuple[Launch, ...]
    scratch: tuple[int, ...] = ()

    @property
    def checked(self) -> bool:
        """Whether the kernels look for indices out of range."""
        return any(isinstance(a, Fault) for launch in self.launches for a in launch.args)


#: (ints, floats) as `OpDef.numbers` gives them -> the launches.
Planner = Callable[[Sequence[int], Sequence[float]], Plan]


@dataclass(frozen=True)
class Family:
    """CUDA C source with the kernels that it holds.

    `contract` allows multiplications and additions to be contracted (products); elementwise formulas are computed as written.
    `variants` are families whose kernels stand in for those of the same name in a mode (`Mode.variants`).
    """

    name: str
    source: str
    kernels: dict[str, Planner]
    contract: bool = False
    variants: Mapping[str, Family] = field(default_factory=dict)

    def of(self, kernel: str, mode: Mode) -> Family:
        """The family that has a kernel in a mode: a variant, or this one."""
        for name in mode.variants:
            variant = self.variants.get(name)
            if variant is not None and kernel in variant.kernels:
                return variant
        return self


def ceil_div(a: int, b: int) -> int:
    """⌈a/b⌉."""
    return -(-a // b)


def flat(function: str, n: int, *args: Argument) -> Launch:
    """A launch over n elements by a loop that strides by the size of the grid; n is the last argument."""
    return Launch(function, (*args, n), (min(ceil_div(n, THREADS), 1 << 16), 1, 1))


def lanes(n: int) -> int:
    """How many threads share a row of n elements: a power of two, the whole block for long rows."""
    return min(1 << max(n - 1, 0).bit_length(), THREADS)


def by_rows(function: str, rows: int, n: int, *args: Argument) -> Launch:
    """A launch over rows of n elements, each shared by the threads of one row of a block; `rows` and `n` are the last arguments."""
    x = lanes(n)
    return Launch(function, (*args, rows, n), (ceil_div(rows, THREADS // x), 1, 1), (x, THREADS // x, 1))


#: What every source begins with.
COMMON = """\
typedef long long i64;
#define TL_EACH(i, n) \\
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x, stride_ = (i64)gridDim.x * blockDim.x; i < (n); i += stride_)
"""

#: Reductions over the threads of one row of a block, in a fixed order; every thread of the block takes part and gets its row's result.
ACROSS = """\
struct Sum { static __device__ float of(float a, float b) { return a + b; } };
struct Max { static __device__ float of(float a, float b) { return a > b || a != a ? a : b; } };
template <class Op> __device__ float across(float v) {
    __shared__ float lane[256];
    const int first = threadIdx.y * blockDim.x, t = first + threadIdx.x;
    lane[t] = v;
    __syncthreads();
    for (int s = blockDim.x / 2; s > 0; s /= 2) {
        if ((int)threadIdx.x < s) lane[t] = Op::of(lane[t], lane[t + s]);
        __syncthreads();
    }
    v = lane[first];
    __syncthreads();
    return v;
}
/* The row of this thread, and whether there is one: threads past the last row work on it and store nothing. */
#define TL_ROW                                                       \\
    i64 row = (i64)blockIdx.x * blockDim.y + threadIdx.y;            \\
    const bool mine = row < rows;                                    \\
    if (!mine) row = rows - 1;
#define TL_LANES(j, n) for (i64 j = threadIdx.x; j < (n); j += blockDim.x)
"""
