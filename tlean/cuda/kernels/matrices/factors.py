"""Cholesky and LU factors, triangular systems, and what is solved and read with factors.

Matrices of up to `WIDE` rows are done by a warp each, in one launch. Larger ones go block by block: a block of the diagonal, or a panel of
columns, by few threads, and what is left minus a product, by all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ....errors import ShapeError
from ..plan import COMMON, Address, Argument, ByInputs, Family, In, Launch, Out, Plan, Planner, Scratch, ceil_div, flat
from .source import AT_ONCE, COLUMNS, COMMON_PARTS, LARGE, MOST_AXES, PANEL, SMALL, WIDE

#: As of `PARTS` in `ops.matrices.factors`.
_ROWS = 4


def _batch(sizes: Sequence[int], steps: Sequence[int]) -> tuple[int, ...]:
    rest = MOST_AXES - len(sizes)
    if rest < 0:
        raise ShapeError(f"CUDA: matrices must have at most {MOST_AXES} axes of a batch that cannot be merged, not {len(sizes)}")
    return (*(1,) * rest, *sizes, *(0,) * rest, *steps)


class _Call(NamedTuple):
    # The numbers of a call; see `ops.matrices.factors.numbers`.
    matrices: int
    n: int
    k: int
    lower: bool
    transpose: bool
    unit: bool
    part: int
    sizes: Sequence[int]
    steps_a: Sequence[int]
    steps_b: Sequence[int]

    @staticmethod
    def of(ints: Sequence[int]) -> _Call:
        axes = ints[7]
        runs = [ints[8 + j * axes : 8 + (j + 1) * axes] for j in range(3)]
        lower, transpose, unit = map(bool, ints[3:6])
        return _Call(ints[0], ints[1], ints[2], lower, transpose, unit, ints[6], *runs)

    @property
    def a(self) -> tuple[int, ...]:
        return _batch(self.sizes, self.steps_a)

    @property
    def b(self) -> tuple[int, ...]:
        return _batch(self.sizes, self.steps_b)

    @property
    def words(self) -> int:
        # Floats of the factors of a matrix.
        return 2 * self.n * (self.n + 1)

    def dense(self, each: int) -> tuple[int, ...]:
        # Of an array with a matrix of so many entries for each of the call's.
        return _batch([self.matrices], [each])

    def factors(self, given: bool) -> tuple[Address, tuple[int, ...]]:
        # Where factors are: the last input, which has a's batch, or the first buffer.
        if not given:
            return Scratch(0), self.dense(self.words)
        square = max(self.n * self.n, 1)
        return In(1 if self.k == 0 else 2), _batch(self.sizes, [step // square * self.words for step in self.steps_a])


def _small(function: str, c: _Call, *args: Argument) -> Launch:
    return Launch(function, (*args, c.matrices), (ceil_div(c.matrices, AT_ONCE), 1, 1), (WIDE, AT_ONCE, 1))


def _minus(
    c: _Call, to: Address, to_step: int, to_part: tuple[int, ...], a: Address, a_batch: tuple[int, ...], a_part: tuple[int, ...],
    b_part: tuple[int, ...], sizes: tuple[int, int, int], lower: bool = False,
) -> Launch:  # fmt: skip
    # What `to` has minus a product of a and another part of `to`.
    blocks = c.matrices * ceil_div(sizes[0], WIDE) * ceil_div(sizes[1], WIDE)
    args = (to, to_step, to_part, a, a_batch, a_part, to, to_step, b_part, *sizes, int(lower))
    return Launch("k_block_minus", args, (blocks, 1, 1), (WIDE, 8, 1))


def _block(
    c: _Call, x: Address, step: int, x_part: tuple[int, ...], t: Address, batch: tuple[int, ...], t_part: tuple[int, ...], w: int,
    columns: int, back: bool, unit: bool,
) -> Launch:  # fmt: skip
    args = (x, step, x_part, t, batch, t_part, w, columns, int(back), int(unit))
    return Launch("k_solve_block", args, (c.matrices * ceil_div(columns, COLUMNS), 1, 1), (COLUMNS, 1, 1))


def cholesky(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    c = _Call.of(ints)
    n, square = c.n, c.n * c.n
    if n <= WIDE:
        return Plan((_small("k_cholesky_small", c, Out(0), In(0), c.a, n),) if n else ())
    launches = [flat("k_symmetric", c.matrices * square, Out(0), In(0), c.a, n)]
    dense = c.dense(square)
    for p in range(0, n, WIDE):
        w, rest = min(WIDE, n - p), max(n - p - WIDE, 0)
        launches.append(Launch("k_cholesky_block", (Out(0), Scratch(0), n, p, w), (c.matrices, 1, 1), (WIDE, 1, 1)))
        if rest:
            # The rows below are the columns of a system, and what is left is minus their products.
            corner, below = p * (n + 1), (p + w) * n + p
            launches.append(
                _block(c, Out(0), square, (below, 1, n), Out(0), dense, (corner, n, 1), w, rest, False, False),
            )
            after = ((p + w) * (n + 1), n, 1)
            launches.append(_minus(c, Out(0), square, after, Out(0), dense, (below, n, 1), (below, 1, n), (rest, rest, w), True))
    launches.append(flat("k_refuse", c.matrices * square, Out(0), Scratch(0), square))
    return Plan(tuple(launches), (4 * c.matrices,))


def _factored(c: _Call, to: Address, pivots: Address) -> list[Launch]:
    # The factors of a.
    n = c.n
    if n <= WIDE:
        return [_small("k_factors_small", c, to, In(0), c.a, n)]
    launches = [flat("k_words_start", c.matrices * c.words, to, In(0), c.a, n)]
    dense = c.dense(c.words)
    for p in range(0, n, WIDE):
        w, rest = min(WIDE, n - p), max(n - p - WIDE, 0)
        launches.append(Launch("k_factors_panel", (to, pivots, n, p, w), (c.matrices, 1, 1), (PANEL, 1, 1)))
        launches.append(flat("k_swap_rows", c.matrices * (n - w), to, pivots, n, p, w))
        if rest:
            corner, right, below = p * (n + 1), p * n + p + w, (p + w) * n + p
            launches.append(_block(c, to, c.words, (right, n, 1), to, dense, (corner, n, 1), w, rest, False, True))
            after = ((p + w) * (n + 1), n, 1)
            launches.append(_minus(c, to, c.words, after, to, dense, (below, n, 1), (right, n, 1), (rest, rest, w)))
    return launches


def lu_factors(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    c = _Call.of(ints)
    return Plan(tuple(_factored(c, Out(0), Scratch(0))) if c.n else (), (4 * c.matrices * c.n,) if c.n > WIDE else ())


def _solved(c: _Call, x: Address, t: Address, batch: tuple[int, ...], turned: bool, back: bool, unit: bool) -> list[Launch]:
    # x solved with a triangle of t, block by block.
    n, k, launches = c.n, c.k, []
    row, column = (1, n) if turned else (n, 1)
    blocks = [(p, min(WIDE, n - p)) for p in range(0, n, WIDE)]
    for p, w in reversed(blocks) if back else blocks:
        launches.append(_block(c, x, n * k, (p * k, k, 1), t, batch, (p * (row + column), row, column), w, k, back, unit))
        first, rest = (0, p) if back else (p + w, n - p - w)
        if rest:
            part = (first * row + p * column, row, column)
            launches.append(_minus(c, x, n * k, (first * k, k, 1), t, batch, part, (p * k, k, 1), (rest, k, w)))
    return launches


def _refused(c: _Call, t: Address, batch: tuple[int, ...], flags: Address) -> list[Launch]:
    # NaN where the diagonal of t has a zero.
    entries = c.n * c.k
    return [
        flat("k_zeros_on_diagonal", c.matrices, flags, t, batch, c.n),
        flat("k_refuse", c.matrices * entries, Out(0), flags, entries),
    ]


def solve_triangular(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    c = _Call.of(ints)
    n, k, back = c.n, c.k, c.lower == c.transpose
    if n * k == 0:
        return Plan(())
    if n <= WIDE:
        flags = (0, int(c.transpose), int(back), int(c.unit))
        return Plan((_small("k_solve_small", c, Out(0), In(0), c.a, In(1), c.b, n, k, *flags),))
    launches = [flat("k_put_sides", c.matrices * n * k, Out(0), In(1), c.b, 0, c.a, n, k, 0)]
    launches += _solved(c, Out(0), In(0), c.a, c.transpose, back, c.unit)
    return Plan((*launches, *([] if c.unit else _refused(c, In(0), c.a, Scratch(0)))), (4 * c.matrices,))


def _lu_solve(ints: Sequence[int], floats: Sequence[float], present: Sequence[bool]) -> Plan:
    c = _Call.of(ints)
    n, k = c.n, c.k
    if n * k == 0:
        return Plan(())
    # Buffers: factors that are not given, pivots, flags, sides whose rows are out of order.
    words, batch = c.factors(present[2])
    launches = [] if present[2] else _factored(c, Scratch(0), Scratch(1))
    scratch = (0 if present[2] else 4 * c.matrices * c.words, 4 * c.matrices * n, 4 * c.matrices, 4 * c.matrices * n * k)
    if n <= WIDE:
        flags = (1, int(c.transpose), 0, 0)
        launches.append(_small("k_solve_small", c, Out(0), words, batch, In(1), c.b, n, k, *flags))
        return Plan(tuple(launches), scratch[:1])
    entries = c.matrices * n * k
    if c.transpose:
        launches.append(flat("k_put_sides", entries, Scratch(3), In(1), c.b, 0, batch, n, k, 0))
        launches += _solved(c, Scratch(3), words, batch, True, False, False) + _solved(c, Scratch(3), words, batch, True, True, True)
        launches.append(flat("k_put_sides", entries, Out(0), Scratch(3), c.dense(n * k), words, batch, n, k, 1))
    else:
        launches.append(flat("k_put_sides", entries, Out(0), In(1), c.b, words, batch, n, k, 0))
        launches += _solved(c, Out(0), words, batch, False, False, True) + _solved(c, Out(0), words, batch, False, True, False)
    return Plan((*launches, *_refused(c, words, batch, Scratch(2))), scratch)


def _lu_read(ints: Sequence[int], floats: Sequence[float], present: Sequence[bool]) -> Plan:
    c = _Call.of(ints)
    words, batch = c.factors(present[1])
    launches = [] if present[1] else _factored(c, Scratch(0), Scratch(1))
    y, rows = (0, Out(0)) if c.part == _ROWS else (Out(0), 0)
    launches.append(Launch("k_read_factors", (y, rows, words, batch, c.n, c.part), (c.matrices, 1, 1), (PANEL, 1, 1)))
    return Plan(tuple(launches), () if present[1] else (4 * c.matrices * max(c.words, 1), 4 * c.matrices * max(c.n, 1)))


_KERNELS: dict[str, Planner] = {
    "cholesky": cholesky,
    "solve_triangular": solve_triangular,
    "lu_factors": lu_factors,
    "lu_solve": ByInputs(_lu_solve),
    "lu_read": ByInputs(_lu_read),
    "lu_rows": ByInputs(_lu_read),
}
FAMILY = Family("matrices", COMMON + COMMON_PARTS + SMALL + LARGE, _KERNELS)
