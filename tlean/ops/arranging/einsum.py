"""Sums of products over named axes: any number of operands, contracted two at a time."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from ...errors import OptionError, ShapeError, completing
from ...shapes import Shape, size
from ..registry import array, composite
from .axes import in_order

#: The name of an axis: a letter, or for an axis of an ellipsis its number from the right.
Label = Hashable
Word = tuple[Label, ...]

#: Up to so many operands every order of contractions is tried.
_FEW = 4
#: Sums of fewer products are made element by element: a matrix product of one row and one column takes longer.
_SHORT = 16


class _Operand(NamedTuple):
    x: Any
    word: Word


# Subscripts ----------------------------------------------------------------------------------------------------------------


def _word(text: str, n: int) -> Word:
    # The names of the n axes of an operand.
    before, dots, after = text.partition("...")
    letters = before + after
    if not all(c.isascii() and c.isalpha() for c in letters):
        raise OptionError(f"spec must name each axis by one letter, or several by one ellipsis, not {text!r}")
    if len(letters) != n and (not dots or len(letters) > n):
        raise ShapeError(f"spec gives {len(letters)} letters {text!r} for {n} axes")
    return (*before, *range(n - len(letters), 0, -1), *after)


def _parsed(spec: Any, shapes: Sequence[Shape]) -> tuple[list[Word], Word]:
    # The names of each operand's axes, and of the result's.
    if not isinstance(spec, str):
        raise OptionError(f"spec must be a text such as 'ij,jk->ik', not {type(spec).__name__}")
    inputs, arrow, out = spec.replace(" ", "").partition("->")
    texts = inputs.split(",")
    if len(texts) != len(shapes):
        raise OptionError(f"spec must name the axes of {len(shapes)} operands, not of {len(texts)}")
    words = [_word(text, len(shape)) for text, shape in zip(texts, shapes, strict=True)]
    dots = tuple(range(max((k for word in words for k in word if isinstance(k, int)), default=0), 0, -1))
    if not arrow:
        # The letters that occur once, in their order.
        every = [k for word in words for k in word]
        return words, (*dots, *sorted(k for k in set(every) if isinstance(k, str) and every.count(k) == 1))
    before, found, after = out.partition("...")
    result: Word = (*before, *(dots if found else ()), *after)
    if not all(k in dots or any(k in word for word in words) for k in result) or len(set(result)) < len(result):
        raise OptionError(f"the letters of the result must occur in an operand, and once in the result, not {out!r}")
    return words, result


def _sizes(words: Sequence[Word], shapes: Sequence[Shape]) -> dict[Label, int]:
    sizes: dict[Label, int] = {}
    for word, shape in zip(words, shapes, strict=True):
        for k, d in zip(word, shape, strict=True):
            known = sizes.setdefault(k, d)
            if isinstance(k, int) and 1 in (known, d):
                sizes[k] = d if known == 1 else known
            elif known != d:
                what = f"letter {k!r} must have one size" if isinstance(k, str) else "the axes of the ellipsis must broadcast"
                raise ShapeError(f"{what}, not {known} and {d}")
    return sizes


def _distinct(ops: Any, operand: _Operand, sizes: dict[Label, int]) -> _Operand:
    # The operand with each name once: the diagonal over axes of one name, and without axes that only broadcast.
    x, word = operand
    for k in dict.fromkeys(word):
        while word.count(k) > 1:
            i = word.index(k)
            j = word.index(k, i + 1)
            x = ops.diagonal(x, 0, i, j)
            word = (*(c for a, c in enumerate(word) if a not in (i, j)), k)
    kept = [a for a, k in enumerate(word) if x.shape[a] == sizes[k]]
    if len(kept) < len(word):
        x, word = ops.reshape(x, tuple(x.shape[a] for a in kept)), tuple(word[a] for a in kept)
    return _Operand(x, word)


# The order of contractions ---------------------------------------------------------------------------------------------------


def _left(words: Sequence[Word], i: int, j: int, out: Word) -> list[Word]:
    # The operands after i and j are contracted: the others, then the result, which has the names that are needed later.
    others = [w for k, w in enumerate(words) if k not in (i, j)]
    needed = set(out).union(*others)
    return [*others, tuple(k for k in dict.fromkeys((*words[i], *words[j])) if k in needed)]


def _path(words: Sequence[Word], out: Word, sizes: dict[Label, int]) -> list[tuple[int, int]]:
    """Which two operands are contracted, one contraction after the other; their result is the last of those that are left.

    Of up to four operands the order with the fewest multiplications; of more, each time the two whose result is the smallest beside them.
    """
    path = []
    while len(words) > _FEW:
        pairs = combinations(range(len(words)), 2)
        pair = min((_growth(words, *p, out, sizes), p) for p in pairs)[1]
        path.append(pair)
        words = _left(words, *pair, out)
    return path + _cheapest(words, out, sizes)[1]


def _elements(word: Collection[Label], sizes: dict[Label, int]) -> int:
    return size([sizes[k] for k in word])


def _growth(words: Sequence[Word], i: int, j: int, out: Word, sizes: dict[Label, int]) -> tuple[int, int]:
    # How many more elements there are after a contraction, and its multiplications.
    made = _elements(_left(words, i, j, out)[-1], sizes)
    return made - _elements(words[i], sizes) - _elements(words[j], sizes), _elements({*words[i], *words[j]}, sizes)


def _cheapest(words: Sequence[Word], out: Word, sizes: dict[Label, int]) -> tuple[int, list[tuple[int, int]]]:
    # The multiplications of the best order, and that order: every one is tried.
    orders = []
    for i, j in combinations(range(len(words)), 2):
        cost, rest = _cheapest(_left(words, i, j, out), out, sizes)
        orders.append((cost + _elements({*words[i], *words[j]}, sizes), [(i, j), *rest]))
    return min(orders, default=(0, []))


# Contractions ----------------------------------------------------------------------------------------------------------------


def _summed(ops: Any, operand: _Operand, needed: Collection[Label]) -> _Operand:
    # Without the axes that nothing else has.
    x, word = operand
    alone = tuple(a for a, k in enumerate(word) if k not in needed)
    return _Operand(ops.reduce_sum(x, alone), tuple(k for k in word if k in needed)) if alone else operand


def _grouped(ops: Any, operand: _Operand, groups: Sequence[Sequence[Label]]) -> Any:
    # The axes of each group as one.
    x, word = operand
    letters = [k for group in groups for k in group]
    sizes = dict(zip(word, x.shape, strict=True))
    x = in_order(ops, x, tuple(word.index(k) for k in letters))
    merged = tuple(size([sizes[k] for k in group]) for group in groups)
    return x if tuple(x.shape) == merged else ops.reshape(x, merged)


def _contracted(ops: Any, a: _Operand, b: _Operand, needed: Collection[Label]) -> _Operand:
    # The product of two operands, summed over what is not needed later.
    a, b = _summed(ops, a, {*b.word, *needed}), _summed(ops, b, {*a.word, *needed})
    batch = [k for k in a.word if k in b.word and k in needed]
    terms = [k for k in a.word if k in b.word and k not in needed]
    rows, columns = ([k for k in mine if k not in theirs] for mine, theirs in ((a.word, b.word), (b.word, a.word)))
    sizes = dict(zip((*a.word, *b.word), (*a.x.shape, *b.x.shape), strict=True))
    letters = (*batch, *rows, *columns)
    shape = tuple(sizes[k] for k in letters)
    by_element = not (rows and columns) if not terms else not (rows or columns) and size([sizes[k] for k in terms]) < _SHORT
    if by_element and batch:
        whole = (*batch, *rows, *columns, *terms)
        target = tuple(sizes[k] for k in whole)
        first, second = (_spread(ops, x, whole, target) for x in (a, b))
        y = ops.mul(first, second)
        return _Operand(ops.reduce_sum(y, tuple(range(len(letters), len(whole)))) if terms else y, letters)
    y = ops.matmul(_grouped(ops, a, [batch, rows, terms]), _grouped(ops, b, [batch, terms, columns]))
    return _Operand(y if tuple(y.shape) == shape else ops.reshape(y, shape), letters)


def _spread(ops: Any, operand: _Operand, whole: Word, target: Shape) -> Any:
    # The operand over all of the axes.
    x, word = operand
    if set(word) == set(whole):
        return in_order(ops, x, tuple(word.index(k) for k in whole))
    return ops.broadcast_to(x, target, tuple(whole.index(k) for k in word))


@composite
def einsum(ops: Any, spec: str, *operands: Any, name: str | None = None) -> Any:
    """A sum of products of arrays, by diagonals, sums and matrix products."""
    arrays = [array(ops, x, f"einsum: operands[{i}]") for i, x in enumerate(operands)]
    with completing("einsum", **{f"operands[{i}]": x for i, x in enumerate(arrays)}, spec=spec):
        if not arrays:
            raise OptionError("at least one operand is needed")
        shapes = [tuple(x.shape) for x in arrays]
        words, out = _parsed(spec, shapes)
        sizes = _sizes(words, shapes)
        parts = [_distinct(ops, _Operand(x, word), sizes) for x, word in zip(arrays, words, strict=True)]
        for i, j in _path([p.word for p in parts], out, sizes):
            a, b = parts[i], parts[j]
            parts = [p for k, p in enumerate(parts) if k not in (i, j)]
            parts.append(_contracted(ops, a, b, set(out).union(*(p.word for p in parts))))
        x, word = _summed(ops, parts[0], out)
        order = tuple(word.index(k) for k in out)
        return ops.reshape(x, tuple(x.shape), name=name) if order == tuple(range(len(order))) else ops.permute(x, order, name=name)
