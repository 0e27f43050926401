"""`associative_scan`: all running results of an operation in a number of steps that grows with the logarithm of their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlean import tree
from tlean.arguments import flag
from tlean.errors import DTypeError, ShapeError
from tlean.programs.recorder import Recorder
from tlean.programs.running import backend_itself
from tlean.shapes import normalize_axis

from .bodies import called, leaf, spec_of


def associative_scan(f: Callable[..., Any], xs: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All running results of an associative operation: x0, f(x0, x1), f(f(x0, x1), x2), …, in about 2 log₂ n calls of f on many entries.

    It is made of other ops, whose number grows with log n; where f is cheap, `scan` takes less memory.

    Args:
        f: `f(a, b)`, or `f(ops, a, b)`, combines entries at the same places of two trees of arrays; it must be associative.
        xs: a tree of arrays of one length along `axis`.
        reverse: from the last entry to the first.
        axis: the axis to go along.

    Returns: a tree like `xs`.
    Raises: ShapeError where the lengths differ or there is no such axis.

    Example:
        >>> tl.associative_scan(lambda a, b: a * b, np.array([1.0, 2.0, 3.0, 4.0])).tolist()
        [1.0, 2.0, 6.0, 24.0]
    """
    recorder = Recorder("associative_scan", f)
    backward = flag("associative_scan", "reverse", reverse)

    def record(program: Any, xs: Any) -> Any:
        ops = backend_itself(program)
        leaves, structure = tree.flatten(xs)
        refs = [leaf(ops, x) for x in leaves]
        axes = [normalize_axis(axis, len(r.shape)) for r in refs]
        if len({r.shape[a] for r, a in zip(refs, axes, strict=True)}) > 1:
            lengths = " and ".join(str(r.shape[a]) for r, a in zip(refs, axes, strict=True))
            raise ShapeError(f"associative_scan: xs must have one length along the axis, got {lengths}")

        def cut(parts: list[Any], start: int | None, stop: int | None, step: int | None) -> list[Any]:
            return [p[(slice(None),) * a + (slice(start, stop, step),)] for p, a in zip(parts, axes, strict=True)]

        def combined(left: list[Any], right: list[Any]) -> list[Any]:
            made = recorder(program, tree.unflatten(structure, left), tree.unflatten(structure, right))
            found, got = tree.flatten(made)
            if got != structure:
                raise ShapeError(f"associative_scan: f must return the structure of its arguments, got {tree.describe(got)}")
            refs = [leaf(ops, x) for x in found]
            for r, x in zip(refs, left, strict=True):
                if spec_of(r) != spec_of(x):
                    kind = ShapeError if tuple(r.shape) != tuple(x.shape) else DTypeError
                    wanted = f"{tuple(x.shape)} {x.dtype}"
                    raise kind(
                        f"associative_scan: f must return the shapes and dtypes of its arguments, {wanted}, got {tuple(r.shape)} {r.dtype}"
                    )
            return refs

        def running(parts: list[Any]) -> list[Any]:
            count = parts[0].shape[axes[0]]
            if count < 2:
                return parts
            odd = running(combined(cut(parts, None, -1, 2), cut(parts, 1, None, 2)))
            even = cut(parts, None, 1, None)
            if count > 2:
                later = combined(odd if count % 2 else cut(odd, None, -1, None), cut(parts, 2, None, 2))
                even = [ops.concat([e, x], axis=a) for e, x, a in zip(even, later, axes, strict=True)]
            return [_interleaved(ops, e, o, a) for e, o, a in zip(even, odd, axes, strict=True)]

        if not refs:
            return xs
        made = running(cut(refs, None, None, -1) if backward else refs)
        return tree.unflatten(structure, cut(made, None, None, -1) if backward else made)

    return called("associative_scan", (f,), record, xs)


def _interleaved(ops: Any, even: Any, odd: Any, axis: int) -> Any:
    # The entries of both in turn; there may be one even entry more.
    n, shape = odd.shape[axis], list(even.shape)
    key = (slice(None),) * axis
    pairs = [ops.reshape(x, shape=(*shape[:axis], n, 1, *shape[axis + 1 :])) for x in (even[(*key, slice(0, n))], odd)]
    both = ops.reshape(ops.concat(pairs, axis=axis + 1), shape=(*shape[:axis], 2 * n, *shape[axis + 1 :]))
    return both if shape[axis] == n else ops.concat([both, even[(*key, slice(n, n + 1))]], axis=axis)
