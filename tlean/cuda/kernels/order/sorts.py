"""Sorts along an axis, the first in order, and places in sorted arrays.

Elements are sorted as entries of a key, an unsigned integer that orders as they do, and the element's place: no two are equal, so every
sorting method gives one result, the stable one. Lines that fit a block's memory are sorted there; of longer ones the parts are, and then
merged two by two. Of the k first of a line each part keeps k, until they fit a block.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..convert import TYPES, name_of
from ..plan import COMMON, THREADS, Argument, Family, In, Launch, Out, Plan, Planner, Scratch, ceil_div, flat

#: Entries that a block sorts, and that it makes of two sorted runs.
TILE = 2048
MERGED = 1024
#: Up to so many of the first are kept part by part; a round then leaves a quarter at most.
_FEW = TILE // 4
#: Bytes of an entry, and its type.
_ENTRIES = {"f32": (8, "u64"), "i32": (8, "u64"), "b8": (8, "u64"), "i64": (16, "Wide")}

_SOURCE = (
    f"enum {{ TILE = {TILE}, MERGED = {MERGED}, EACH = {MERGED // THREADS} }};\n"
    + """
typedef unsigned long long u64;
/* An element's key is above, its place below: keys of 32 bits share a word with it. */
struct Wide { u64 key, place; };
static __device__ __forceinline__ bool before(u64 a, u64 b) { return a < b; }
static __device__ __forceinline__ bool before(const Wide &a, const Wide &b) {
    return a.key < b.key || (a.key == b.key && a.place < b.place);
}
static __device__ __forceinline__ i64 place_of(u64 e) { return (i64)(e & 0xffffffffu); }
static __device__ __forceinline__ i64 place_of(const Wide &e) { return (i64)e.place; }
static __device__ __forceinline__ void last_of_all(u64 &e) { e = ~0ull; }
static __device__ __forceinline__ void last_of_all(Wide &e) { e.key = e.place = ~0ull; }

/* Keys that order as the elements do: NaN above all others, -0 as 0. */
static __device__ __forceinline__ unsigned key_of(float x) {
    const unsigned u = __float_as_uint(x);
    return x != x ? 0xffffffffu : x == 0 ? 0x80000000u : u >> 31 ? ~u : u | 0x80000000u;
}
static __device__ __forceinline__ unsigned key_of(int x) { return (unsigned)x ^ 0x80000000u; }
static __device__ __forceinline__ unsigned key_of(unsigned char x) { return x; }
static __device__ __forceinline__ u64 key_of(i64 x) { return (u64)x ^ 1ull << 63; }
static __device__ __forceinline__ void pair(u64 &e, unsigned key, i64 place, bool turned) {
    e = (u64)(turned ? ~key : key) << 32 | (unsigned)place;
}
static __device__ __forceinline__ void pair(Wide &e, u64 key, i64 place, bool turned) { e.key = turned ? ~key : key, e.place = (u64)place; }

/* Where a sorted entry goes: to the entries for the next round, or, in the last, its element and its place to the results, which have
 * `kept` of each line and may be absent. */
template <class T, class E> struct Result {
    T *values;
    i64 *index;
    E *to;
    const T *src;
    i64 length, inner, kept, made;
    __device__ __forceinline__ i64 begin(i64 line, i64 n) const { return line / inner * n * inner + line % inner; }
    __device__ __forceinline__ void put(i64 line, i64 p, const E &e) const {
        if (to) to[line * made + p] = e;
        else if (p < kept) {
            const i64 place = place_of(e), at = begin(line, kept) + p * inner;
            if (index) index[at] = place;
            if (values) values[at] = src[begin(line, length) + place * inner];
        }
    }
};

/* Each row of a block's threads sorts `size` entries, a power of two, by Batcher's bitonic network, and puts the first `keep` of them. The
 * entries are `count` of each line: elements of src in the first round, those of `from` later. */
template <class T, class E>
__device__ void sort_tiles(const Result<T, E> &r, const E *from, i64 turned, i64 size, i64 count, i64 keep, i64 lines) {
    __shared__ E entries[TILE];
    E *const s = entries + threadIdx.y * size;
    const i64 tiles = (count + size - 1) / size, t = (i64)blockIdx.x * blockDim.y + threadIdx.y, line = t / tiles, first = t % tiles * size;
    for (i64 j = threadIdx.x; j < size; j += blockDim.x) {
        const i64 p = first + j;
        if (line >= lines || p >= count) last_of_all(s[j]);
        else if (from) s[j] = from[line * count + p];
        else pair(s[j], key_of(r.src[r.begin(line, r.length) + p * r.inner]), p, turned);
    }
    for (i64 run = 2; run <= size; run *= 2)
        for (i64 by = run / 2; by > 0; by /= 2) {
            __syncthreads();
            for (i64 q = threadIdx.x; q < size / 2; q += blockDim.x) {
                const i64 i = 2 * q - (q & (by - 1)), j = i + by;
                const E a = s[i], b = s[j];
                if (before(b, a) == ((i & run) == 0)) s[i] = b, s[j] = a;
            }
        }
    __syncthreads();
    if (line >= lines) return;
    for (i64 j = threadIdx.x; j < keep && first + j < count; j += blockDim.x) r.put(line, first / size * keep + j, s[j]);
}

/* How many of the first d entries of two sorted runs together are of run a. */
template <class E> __device__ i64 split(const E *a, i64 n, const E *b, i64 m, i64 d) {
    i64 low = d > m ? d - m : 0, high = d < n ? d : n;
    while (low < high) {
        const i64 middle = (low + high) / 2;
        if (before(b[d - 1 - middle], a[middle])) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* Runs of `run` entries, two of them made one. A block makes MERGED entries of a line. */
template <class T, class E> __device__ void merge_runs(const Result<T, E> &r, const E *from, i64 run, i64 count) {
    __shared__ E entries[MERGED];
    __shared__ i64 ends[2];
    const i64 blocks = (count + MERGED - 1) / MERGED, line = blockIdx.x / blocks, start = blockIdx.x % blocks * MERGED;
    const i64 base = start / (2 * run) * (2 * run), rest = count - base, n = rest < run ? rest : run, m = rest - n < run ? rest - n : run;
    const i64 d0 = start - base, d1 = d0 + MERGED < n + m ? d0 + MERGED : n + m;
    const E *a = from + line * count + base, *b = a + n;
    if (threadIdx.x < 2) ends[threadIdx.x] = split(a, n, b, m, threadIdx.x ? d1 : d0);
    __syncthreads();
    const i64 from_a = ends[0], of_a = ends[1] - from_a, from_b = d0 - from_a, of_b = d1 - d0 - of_a;
    for (i64 j = threadIdx.x; j < of_a + of_b; j += blockDim.x) entries[j] = j < of_a ? a[from_a + j] : b[from_b + j - of_a];
    __syncthreads();
    const E *const left = entries, *const right = entries + of_a;
    const i64 d = (i64)threadIdx.x * EACH;
    if (d >= of_a + of_b) return;
    i64 i = split(left, of_a, right, of_b, d), j = d - i;
    for (int k = 0; k < EACH && d + k < of_a + of_b; k++) {
        const bool second = i >= of_a || (j < of_b && before(right[j], left[i]));
        r.put(line, start + d + k, second ? right[j] : left[i]);
        if (second) j++;
        else i++;
    }
}

/* Where v would be put into a sorted array: before (right: behind) those that are equal. */
template <class T> __device__ __forceinline__ i64 place_in(const T *sorted, i64 n, T v, bool right) {
    const auto key = key_of(v);
    i64 low = 0, high = n;
    while (low < high) {
        const i64 middle = (low + high) / 2;
        const auto other = key_of(sorted[middle]);
        if (other < key || (right && other == key)) low = middle + 1;
        else high = middle;
    }
    return low;
}
"""
)

_KERNELS = """
extern "C" __global__ void k_sort_tiles_@(
    TYPE *values, i64 *index, ENTRY *to, const TYPE *src, i64 length, i64 inner, i64 kept, i64 made, const ENTRY *from, i64 turned,
    i64 size, i64 count, i64 keep, i64 lines
) {
    const Result<TYPE, ENTRY> r = {values, index, to, src, length, inner, kept, made};
    sort_tiles(r, from, turned, size, count, keep, lines);
}
extern "C" __global__ void k_merge_runs_@(
    TYPE *values, i64 *index, ENTRY *to, const TYPE *src, i64 length, i64 inner, i64 kept, i64 made, const ENTRY *from, i64 run, i64 count
) {
    const Result<TYPE, ENTRY> r = {values, index, to, src, length, inner, kept, made};
    merge_runs(r, from, run, count);
}
extern "C" __global__ void k_searchsorted_@(i64 *place, const TYPE *sorted, const TYPE *v, i64 length, i64 right, i64 n) {
    TL_EACH(i, n) place[i] = place_in(sorted, length, v[i], right);
}
"""


def _tile(count: int) -> int:
    # The entries of a tile for lines of so many.
    return min(1 << max(count - 1, 0).bit_length(), TILE)


class _Lines:
    """The launches that put the first of each line in order.

    Args:
        suffix: of the dtype.
        lines: how many.
        length: of each.
        inner: how far apart its elements are.
        turned: whether the greatest come first.
        kept: how many of each are wanted.
        outs: the addresses of the elements and of the places, 0 for what is not wanted.
    """

    def __init__(self, suffix: str, lines: int, length: int, inner: int, turned: int, kept: int, outs: tuple[Argument, Argument]) -> None:
        self._suffix, self._lines, self._turned, self._kept, self._outs = suffix, lines, turned, kept, outs
        self._line = In(0), length, inner, kept
        self._bytes = _ENTRIES[suffix][0]
        self._launches: list[Launch] = []
        self._scratch = [0, 0]

    def _to(self, round: int, made: int, last: bool) -> tuple[Argument, ...]:
        # Where a round puts its entries: rounds take turns with two buffers.
        if last:
            return (*self._outs, 0, *self._line, 0)
        self._scratch[round % 2] = max(self._scratch[round % 2], self._lines * made * self._bytes)
        return (0, 0, Scratch(round % 2), *self._line, made)

    def _sort(self, round: int, count: int, keep: int, made: int, last: bool) -> None:
        size = _tile(count)
        x = max(min(size // 2, THREADS), 1)
        y = THREADS // x
        source: Argument = Scratch((round - 1) % 2) if round else 0
        blocks = ceil_div(self._lines * ceil_div(count, size), y)
        args = (*self._to(round, made, last), source, self._turned, size, count, keep, self._lines)
        self._launches.append(Launch(f"k_sort_tiles_{self._suffix}", args, (blocks, 1, 1), (x, y, 1)))

    def plan(self) -> Plan:
        """All of them."""
        count, kept, round = self._line[1], self._kept, 0
        if self._lines * count * kept == 0:
            return Plan(())
        if kept <= _FEW:
            while count > TILE:
                whole = (count - 1) // TILE
                made = whole * kept + min(kept, count - whole * TILE)
                self._sort(round, count, kept, made, False)
                count, round = made, round + 1
            self._sort(round, count, kept, 0, True)
        else:
            self._sort(0, count, TILE, count, count <= TILE)
            run = TILE
            while run < count:
                round += 1
                args = (*self._to(round, count, 2 * run >= count), Scratch((round - 1) % 2), run, count)
                blocks = self._lines * ceil_div(count, MERGED)
                self._launches.append(Launch(f"k_merge_runs_{self._suffix}", args, (blocks, 1, 1)))
                run *= 2
        return Plan(tuple(self._launches), tuple(self._scratch) if any(self._scratch) else ())


def _sort(suffix: str, places_only: bool) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        outer, length, inner, descending = ints
        outs = (0, Out(0)) if places_only else (Out(0), Out(1))
        return _Lines(suffix, outer * inner, length, inner, descending, length, outs).plan()

    return plan


def _top(suffix: str) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        outer, length, inner, k, largest = ints
        return _Lines(suffix, outer * inner, length, inner, largest, k, (0, Out(0))).plan()

    return plan


def _search(suffix: str) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        length, count, right = ints
        return Plan((flat(f"k_searchsorted_{suffix}", count, Out(0), In(0), In(1), length, right),))

    return plan


def _kernels() -> dict[str, Planner]:
    planners: dict[str, Planner] = {}
    for suffix in TYPES:
        planners[name_of("sort", suffix)] = _sort(suffix, False)
        planners[name_of("argsort", suffix)] = _sort(suffix, True)
        planners[name_of("topk_index", suffix)] = _top(suffix)
        planners[name_of("searchsorted", suffix)] = _search(suffix)
    return planners


FAMILY = Family(
    "order",
    COMMON + _SOURCE + "".join(_KERNELS.replace("@", s).replace("TYPE", t).replace("ENTRY", _ENTRIES[s][1]) for s, t in TYPES.items()),
    _kernels(),
)
