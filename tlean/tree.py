"""Trees: lists, tuples and dictionaries (in an order of their keys, not of insertion) with arrays or references at the leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import arguments
from .errors import OptionError, ShapeError

#: The structure of a tree, hashable: "*" for a leaf, None for no leaf, (kind, keys, children) for a container.
Structure = Any


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves from left to right, and the structure that `unflatten` needs. None counts as no leaf."""
    leaves: list[Any] = []

    def walk(node: Any) -> Structure:
        if node is None:
            return None
        if isinstance(node, dict):
            keys = _ordered(node)
            return ("dict", keys, tuple(walk(node[k]) for k in keys))
        if isinstance(node, tuple) and hasattr(node, "_fields"):
            return (type(node), node._fields, tuple(walk(v) for v in node))
        if isinstance(node, list | tuple):
            return ("list" if isinstance(node, list) else "tuple", len(node), tuple(walk(v) for v in node))
        leaves.append(node)
        return "*"

    return leaves, walk(tree)


def unflatten(structure: Structure, leaves: Any) -> Any:
    """The tree of that structure with these leaves. Raises: ShapeError if there are too few or too many."""
    rest = arguments.each("unflatten", "leaves", leaves, ShapeError)
    missing = object()

    def build(s: Structure) -> Any:
        if s is None:
            return None
        if isinstance(s, str) and s == "*":
            leaf = next(rest, missing)
            if leaf is missing:
                raise ShapeError("unflatten: there are fewer leaves than the structure has")
            return leaf
        if not isinstance(s, tuple) or len(s) != 3:
            raise OptionError(f"unflatten: the structure must be one that flatten gave, got {type(s).__name__}")
        kind, keys, children = s
        made = [build(c) for c in children]
        if kind == "dict":
            return dict(zip(keys, made, strict=True))
        if kind == "list":
            return made
        return tuple(made) if kind == "tuple" else kind(*made)

    tree = build(structure)
    if next(rest, missing) is not missing:
        raise ShapeError("unflatten: there are more leaves than the structure has")
    return tree


def _ordered(keys: Any) -> tuple[Any, ...]:
    # Any hashable keys, in one order however they were inserted.
    kinds = {type(k) for k in keys}
    if len(kinds) == 1 and kinds <= {str, int, bytes}:
        return tuple(sorted(keys))
    return tuple(sorted(keys, key=lambda k: (type(k).__qualname__, repr(k))))


def describe(structure: Structure) -> str:
    """A structure as messages show it: `[*, {'a': *}]`, with a star for each leaf."""
    if structure is None or structure == "*":
        return str(structure)
    kind, keys, children = structure
    inside = [describe(c) for c in children]
    if kind == "dict":
        return "{" + ", ".join(f"{k!r}: {c}" for k, c in zip(keys, inside, strict=True)) + "}"
    if kind == "list":
        return f"[{', '.join(inside)}]"
    if kind == "tuple":
        return f"({', '.join(inside)}{',' if len(inside) == 1 else ''})"
    return f"{kind.__name__}({', '.join(f'{k}={c}' for k, c in zip(keys, inside, strict=True))})"


def map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """The tree with `function` applied to every leaf (and the leaves at the same place in `rest`)."""
    arguments.function("map", "the function", function)
    leaves, structure = flatten(tree)
    others = [flatten(t)[0] for t in rest]
    for other in others:
        if len(other) != len(leaves):
            raise ShapeError(f"map: the trees must have one number of leaves, got {len(leaves)} and {len(other)}")
    return unflatten(structure, [function(*xs) for xs in zip(leaves, *others, strict=True)])
