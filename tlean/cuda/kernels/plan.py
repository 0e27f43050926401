"""What a kernel's call is made of: launches with their arguments, worked out from the numbers of a call alone.

Nothing here knows a device: a plan is plain data, so it can be tested, recorded, and run by whatever holds the memory.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...errors import OptionError, ShapeError

#: Blocks along each axis of a launch.
MOST_BLOCKS = ((1 << 31) - 1, 65_535, 65_535)
#: A kernel that counts in 31 bits takes fewer of whatever it counts than this: positions past the end of the last tile count as well.
MOST_COUNTED = (1 << 31) - 2048
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
            raise OptionError(f"CUDA: the precision of products must be 'fp32', 'tf32' or 'fp64', got {self.precision!r}")

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


@dataclass(frozen=True)
class Verdict:
    """The address of what a look at a step's numbers found, which updates read: see `optim.LOOKED`. 0 where there is no look."""


@dataclass(frozen=True)
class Faults:
    """The address of all ints of a plan that a `Fault` may be; with `count` how many there are."""

    count: bool = False


Address = Out | In | Scratch | Fault | Faults | Verdict
#: An int is passed as `long long`, a float as `float`, a tuple of ints as a struct of `long long` by value.
Argument = Address | int | float | tuple[int, ...]


@dataclass(frozen=True)
class Launch:
    """One launch of a function of the family's source.

    Raises: ShapeError for more blocks than a device takes.
    """

    function: str
    args: tuple[Argument, ...]
    grid: tuple[int, int, int]
    block: tuple[int, int, int] = (THREADS, 1, 1)

    def __post_init__(self) -> None:
        if any(n > most for n, most in zip(self.grid, MOST_BLOCKS, strict=True)):
            raise ShapeError(
                f"CUDA: an op takes at most {MOST_BLOCKS} blocks of a device, {self.function} needs {self.grid}; use smaller arrays"
            )

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


@dataclass(frozen=True)
class ByInputs:
    """A planner that asks which inputs there are; called without an answer it takes all to be there."""

    planner: Callable[[Sequence[int], Sequence[float], Sequence[bool]], Plan]

    def __call__(self, ints: Sequence[int], floats: Sequence[float], present: Sequence[bool] = (True,) * 8) -> Plan:
        return self.planner(ints, floats, present)


#: (ints, floats) as `OpDef.kernel_params` gives them -> the launches.
Planner = Callable[[Sequence[int], Sequence[float]], Plan]


@dataclass(frozen=True)
class Family:
    """CUDA C source with the kernels that it holds.

    `contract` allows multiplications and additions to be contracted (products); elementwise formulas are computed as written.
    `variants` are families whose kernels replace those of the same name in a mode (`Mode.variants`).
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


#: The endings of kernels that move integers and Booleans, with the type of what they move.
MOVED = {"i32": "int", "i64": "i64", "b8": "unsigned char"}


def moving(source: str, suffix: str) -> str:
    """The source of kernels that move floats, for integers: their names end so, and numbers come as `i64`."""
    source = re.sub(r"\bfloat (?=value\b)", "i64 ", source)
    return re.sub(r"\b(k_\w+)", rf"\1_{suffix}", re.sub(r"\bfloat\b", MOVED[suffix], source))


def moved(planners: Mapping[str, Planner]) -> dict[str, Planner]:
    """The kernels that move floats, and the same for integers."""
    found = dict(planners)
    for suffix in MOVED:
        for kernel, planner in planners.items():
            found[f"{kernel}:{suffix}"] = functools.partial(_moved, planner, suffix)
    return found


def _moved(planner: Planner, suffix: str, ints: Sequence[int], floats: Sequence[float]) -> Plan:
    plan = planner(ints, floats)
    launches = []
    for launch in plan.launches:
        args = tuple(int(a) if type(a) is float else a for a in launch.args)
        launches.append(replace(launch, function=f"{launch.function}_{suffix}", args=args))
    return replace(plan, launches=tuple(launches))


def ceil_div(a: int, b: int) -> int:
    """⌈a/b⌉."""
    return -(-a // b)


def flat(function: str, n: int, *args: Argument) -> Launch:
    """A launch over n elements by a loop that strides by the size of the grid; n is the last argument."""
    return Launch(function, (*args, n), (min(ceil_div(n, THREADS), 1 << 16), 1, 1))


def flat_by_fours(function: str, n: int, *args: Argument) -> Launch:
    """As `flat`, for a kernel whose threads take four elements at once where addresses allow it."""
    return Launch(function, (*args, n), (min(ceil_div(ceil_div(n, 4), THREADS), 1 << 16), 1, 1))


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
/* Whether all these addresses (joined by |) are multiples of 16 bytes. */
#define TL_ADDRESS(p) (unsigned long long)(p)
#define TL_BY_FOURS(addresses) ((addresses) % 16 == 0)
"""

#: Reductions over the threads of one row of a block, in a fixed order; every thread of the block takes part and gets its row's result.
ACROSS = """\
struct Sum { static __device__ float of(float a, float b) { return a + b; } };
struct Max { static __device__ float of(float a, float b) { return a > b || a != a ? a : b; } };
/* Lanes of a warp by exchanges at distance 16, 8, ... 1, then the warps from first to last. Rows are powers of two threads long. */
template <class Op> __device__ float across(float v) {
    for (int by = (blockDim.x < 32 ? blockDim.x : 32) / 2; by > 0; by /= 2) v = Op::of(v, __shfl_xor_sync(~0u, v, by));
    if (blockDim.x > 32) {
        __shared__ float parts[8];
        const int t = threadIdx.y * blockDim.x + threadIdx.x, first = threadIdx.y * blockDim.x / 32;
        if (t % 32 == 0) parts[t / 32] = v;
        __syncthreads();
        v = parts[first];
        for (int k = 1; k < (int)blockDim.x / 32; k++) v = Op::of(v, parts[first + k]);
        __syncthreads();
    }
    return v;
}
/* The row of this thread, and whether there is one: threads past the last row work on it and store nothing. */
#define TL_ROW                                                       \\
    i64 row = (i64)blockIdx.x * blockDim.y + threadIdx.y;            \\
    const bool mine = row < rows;                                    \\
    if (!mine) row = rows - 1;
#define TL_LANES(j, n) for (i64 j = threadIdx.x; j < (n); j += blockDim.x)
"""

#: Elements of a row that one thread keeps in registers.
HELD = 8

#: A row that is read once and kept in registers, if it is short enough (`HOLD`); read again otherwise. Needs `ACROSS`.
ROWS = (
    f"""\
enum {{ HELD = {HELD} }};
"""
    + """\
template <bool HOLD> struct Line {
    const float *from;
    i64 n, step;
    float held[HOLD ? HELD : 1];
    __device__ Line(const float *from, i64 n, i64 step = 1) : from(from), n(n), step(step) {
        if (HOLD) {
#pragma unroll
            for (int k = 0; k < HELD; k++) {
                const i64 j = threadIdx.x + k * (i64)blockDim.x;
                held[HOLD ? k : 0] = j < n ? from[j * step] : 0;
            }
        }
    }
    /* f(j, element j) for this thread's elements. */
    template <class F> __device__ void each(F f) const {
        if (HOLD) {
#pragma unroll
            for (int k = 0; k < HELD; k++) {
                const i64 j = threadIdx.x + k * (i64)blockDim.x;
                if (j < n) f(j, held[HOLD ? k : 0]);
            }
        } else TL_LANES(j, n) f(j, from[j * step]);
    }
};
"""
)


def held(n: int) -> str:
    """The ending of a kernel's name for rows of n elements: whether they stay in registers."""
    return "_held" if n <= HELD * lanes(n) else ""
