"""How a batch is cut, and in what order the sums over its parts are made: the rules that fix the bits.

A batch of N rows is cut into B blocks. With B = m·2^k (m odd) it is cut into m parts first, part i being the rows from ⌊i·N/m⌋ on, and each
part k times into halves, the first half being the shorter one. Sums over blocks go by neighbouring pairs: ((b0 + b1) + (b2 + b3)) + ….
A rank has a run of 2^j blocks, or all of them: what it sums alone is a part of that tree, so the tree is the same for every number of
ranks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from tlean.arguments import whole
from tlean.errors import OptionError


def cut(rows: int, blocks: int) -> list[slice]:
    """The rows of each block.

    Args:
        rows: N.
        blocks: B.
    """
    odd = blocks
    while odd % 2 == 0:
        odd //= 2
    bounds = [i * rows // odd for i in range(odd + 1)]
    while len(bounds) <= blocks:
        halves = [a + (b - a) // 2 for a, b in itertools.pairwise(bounds)]
        bounds = sorted([*bounds, *halves])
    return [slice(a, b) for a, b in itertools.pairwise(bounds)]


def pairwise(items: Sequence[Any], add: Callable[[Any, Any], Any]) -> Any:
    """The sum by neighbouring pairs.

    Args:
        items: one or more.
        add: the sum of two.
    """
    level = list(items)
    while len(level) > 1:
        pairs = [add(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def share(blocks: Any, ranks: int) -> int:
    """How many blocks each rank has.

    Args:
        blocks: how many there are; None: one for each rank.
        ranks: the number of ranks.

    Raises: OptionError unless it is a power of two, or there is one rank.
    """
    if blocks is None:
        return 1
    whole("distributed: blocks", blocks, 1)
    each = blocks // ranks
    if each * ranks != blocks or (each & (each - 1) and ranks > 1):
        raise OptionError(f"distributed: each rank must have 1, 2, 4, 8, ... blocks, got {blocks} blocks for {ranks} ranks")
    return int(each)


def own_rows(rows: int, rank: int, ranks: int, blocks: int | None = None) -> slice:
    """The rows of a batch that a rank has.

    Args:
        rows: N.
        rank: which.
        ranks: of how many.
        blocks: how many there are in all; None: one for each rank.
    """
    each = share(blocks, ranks)
    parts = cut(rows, each * ranks)[rank * each : (rank + 1) * each]
    return slice(parts[0].start, parts[-1].stop)
