"""Trees: lists, tuples and dictionaries (sorted by key) with arrays or references at the leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: The structure of a tree, hashable: "*" for a leaf, None for no leaf, (kind, keys, children) for a container.
Structure = Any


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves from left to right, and the structure that `unflatten` needs. None counts as no leaf."""
    leaves: list[Any] = []

    def walk(node: Any) -> Structure:
        if node is None:
            return None
        if isinstance(node, dict):
            keys = tuple(sorted(node))
            return ("dict", keys, tuple(walk(node[k]) for k in keys))
        if isinstance(node, tuple) and hasattr(node, "_fields"):
            return (type(node), node._fields, tuple(walk(v) for v in node))
        if isinstance(node, list | tuple):
            return ("list" if isinstance(node, list) else "tuple", len(node), tuple(walk(v) for v in node))
        leaves.append(node)
        return "*"

    return leaves, walk(tree)


def unflatten(structure: Structure, leaves: Any) -> Any:
    """The tree of that structure with these leaves. Raises: ValueError if there are too few or too many."""
    rest = iter(leaves)
    missing = object()

    def build(s: Structure) -> Any:
        if s is None:
            return None
        if s == "*":
            leaf = next(rest, missing)
            if leaf is missing:
                raise ValueError("unflatten: there are fewer leaves than the structure has")
            return leaf
        kind, keys, children = s
        made = [build(c) for c in children]
        if kind == "dict":
            return dict(zip(keys, made, strict=True))
        if kind == "list":
            return made
        return tuple(made) if kind == "tuple" else kind(*made)

    tree = build(structure)
    if next(rest, missing) is not missing:
        raise ValueError("unflatten: there are more leaves than the structure has")
    return tree


def map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """The tree with `function` applied to every leaf (and the leaves at the same place in `rest`)."""
    leaves, structure = flatten(tree)
    others = [flatten(t)[0] for t in rest]
    return unflatten(structure, [function(*xs) for xs in zip(leaves, *others, strict=True)])
