"""Trees: containers with arrays or references at the leaves.

Containers are lists, tuples, NamedTuples, dictionaries (in an order of their keys, not of insertion), `OrderedDict` (in its own order),
`defaultdict`, dataclasses, None, which has no leaf, and what `register` adds. `unflatten` gives back the same types.
"""

from __future__ import annotations

import collections
import dataclasses
import operator
from collections.abc import Callable
from typing import Any

from . import arguments
from .errors import OptionError, ShapeError

#: The structure of a tree, hashable: "*" for a leaf, None for no leaf, (kind, data, children) for a container.
Structure = Any


@dataclasses.dataclass(frozen=True)
class _Container:
    # How trees of one type are taken apart and put together. The structure has `kind`, what `split` says, and the children's own.
    kind: type[Any]
    split: Callable[[Any], tuple[Any, Any]]  # node -> (data, children)
    join: Callable[[Any, list[Any]], Any]  # data, children -> node
    show: Callable[[Any, list[str]], str]


def _keyed(kind: type[Any], title: str = "") -> Callable[[Any, list[str]], str]:
    def show(keys: Any, inside: list[str]) -> str:
        items = "{" + ", ".join(f"{k!r}: {c}" for k, c in zip(keys, inside, strict=True)) + "}"
        return f"{title}({items})" if title else items

    return show


def _named(kind: type[Any]) -> Callable[[Any, list[str]], str]:
    return lambda fields, inside: f"{kind.__name__}({', '.join(f'{f}={c}' for f, c in zip(fields, inside, strict=False))})"


def _ordered(keys: Any) -> tuple[Any, ...]:
    # Any hashable keys, in one order however they were inserted.
    kinds = {type(k) for k in keys}
    if len(kinds) == 1 and kinds <= {str, int, bytes}:
        return tuple(sorted(keys))
    return tuple(sorted(keys, key=lambda k: (type(k).__qualname__, repr(k))))


def _split_dict(node: Any) -> tuple[Any, Any]:
    keys = _ordered(node)
    return keys, [node[k] for k in keys]


def _split_default(node: Any) -> tuple[Any, Any]:
    keys = _ordered(node)
    return (node.default_factory, keys), [node[k] for k in keys]


_LIST = _Container(list, lambda v: (len(v), v), lambda n, made: made, lambda n, inside: f"[{', '.join(inside)}]")
_TUPLE = _Container(
    tuple,
    lambda v: (len(v), v),
    lambda n, made: tuple(made),
    lambda n, inside: f"({', '.join(inside)}{',' if len(inside) == 1 else ''})",
)
_DICT = _Container(dict, _split_dict, lambda keys, made: dict(zip(keys, made, strict=True)), _keyed(dict))
_ORDERED = _Container(
    collections.OrderedDict,
    lambda v: (tuple(v), list(v.values())),
    lambda keys, made: collections.OrderedDict(zip(keys, made, strict=True)),
    _keyed(collections.OrderedDict, "OrderedDict"),
)
_DEFAULT = _Container(
    collections.defaultdict,
    _split_default,
    lambda data, made: collections.defaultdict(data[0], zip(data[1], made, strict=True)),
    lambda data, inside: _keyed(collections.defaultdict, "defaultdict")(data[1], inside),
)

#: type → how its trees are taken apart; None for a leaf. Types that were met are added.
_CONTAINERS: dict[type[Any], _Container | None] = {
    list: _LIST,
    tuple: _TUPLE,
    dict: _DICT,
    collections.OrderedDict: _ORDERED,
    collections.defaultdict: _DEFAULT,
}
_MOST_TYPES = 4096


def _container(kind: type[Any]) -> _Container | None:
    # Of a type that was not met before.
    found = next((_CONTAINERS[base] for base in kind.__mro__ if base in _REGISTERED), None)
    if found is None:
        if issubclass(kind, collections.OrderedDict):
            found = _ORDERED
        elif issubclass(kind, collections.defaultdict):
            found = _DEFAULT
        elif issubclass(kind, dict):
            found = _DICT
        elif issubclass(kind, tuple):
            fields = getattr(kind, "_fields", None)
            found = _TUPLE if fields is None else _Container(kind, lambda v: (fields, v), lambda n, made: kind(*made), _named(kind))
        elif issubclass(kind, list):
            found = _LIST
        elif dataclasses.is_dataclass(kind) and not _describes_an_array(kind):
            found = _dataclass(kind)
    if len(_CONTAINERS) < _MOST_TYPES:
        _CONTAINERS[kind] = found
    return found


def _describes_an_array(kind: type[Any]) -> bool:
    # A `Spec`, or an array of another library's.
    return hasattr(kind, "__array__") or {"shape", "dtype"} <= {*dir(kind), *(f.name for f in dataclasses.fields(kind))}


def _dataclass(kind: type[Any]) -> _Container:
    # A field with `metadata={"static": True}` is part of the structure.
    fields = dataclasses.fields(kind)
    moving = tuple(f.name for f in fields if not f.metadata.get("static"))
    fixed = tuple(f.name for f in fields if f.metadata.get("static"))

    def split(node: Any) -> tuple[Any, Any]:
        data = tuple(getattr(node, n) for n in fixed)
        for name, value in zip(fixed, data, strict=True):
            _hashable(f"the static field {kind.__name__}.{name}", value)
        return (moving, data), [getattr(node, n) for n in moving]

    def join(data: Any, made: list[Any]) -> Any:
        # Without `__init__`, which may check or convert what a trace has no numbers for.
        node: Any = object.__new__(kind)
        for name, value in zip((*moving, *fixed), (*made, *data[1]), strict=True):
            object.__setattr__(node, name, value)
        return node

    return _Container(kind, split, join, lambda data, inside: _named(kind)(data[0], inside))


def _hashable(what: str, value: Any) -> None:
    try:
        hash(value)
    except TypeError:
        raise OptionError(f"tree: {what} must be hashable, got {type(value).__name__}") from None


_REGISTERED: set[type[Any]] = set()
#: Types whose cotangents are written in another form than the derivatives by their leaves, and what turns one into the other and back.
_DUALS: dict[type[Any], Callable[[Any], Any]] = {}


def register(kind: type[Any], flatten: Callable[[Any], tuple[Any, Any]], unflatten: Callable[[Any, Any], Any]) -> type[Any]:
    """Take objects of a type, and of its subclasses, for trees.

    Args:
        kind: the type.
        flatten: `flatten(node) -> (children, data)`: a sequence of trees, and what else there is, which must be hashable: programs are
            kept by it.
        unflatten: `unflatten(data, children) -> node`. Children may be references, or any other objects.

    Returns: the type.
    Raises: OptionError for something that is no type or no function, or a type that is a tree already.

    Example:
        >>> class Point:
        ...     def __init__(self, x, y):
        ...         self.x, self.y = x, y
        >>> _ = tl.tree.register(Point, lambda p: ((p.x, p.y), None), lambda data, xy: Point(*xy))
        >>> tl.grad(lambda p: p.x * p.y)(Point(2.0, 3.0)).x.item()
        3.0
    """
    if not isinstance(kind, type):
        raise OptionError(f"tree.register: a type is expected, got {type(kind).__name__}")
    arguments.function("tree.register", "flatten", flatten)
    arguments.function("tree.register", "unflatten", unflatten)
    if kind in _REGISTERED or kind in (list, tuple, dict, collections.OrderedDict, collections.defaultdict, type(None)):
        raise OptionError(f"tree.register: {kind.__name__} must be a type that is no tree yet")

    def split(node: Any) -> tuple[Any, Any]:
        parts = flatten(node)
        if not isinstance(parts, tuple) or len(parts) != 2:
            raise OptionError(f"tree: flatten of {kind.__name__} must return (children, data), got {type(parts).__name__}")
        children, data = parts
        _hashable(f"the data of {kind.__name__}", data)
        return data, list(arguments.each(f"tree: flatten of {kind.__name__}", "children", children))

    container = _Container(kind, split, unflatten, lambda data, inside: f"{kind.__name__}({', '.join(inside)})")
    _REGISTERED.add(kind)
    # Its subclasses may have been met as leaves.
    for known in [k for k in _CONTAINERS if issubclass(k, kind)]:
        del _CONTAINERS[known]
    _CONTAINERS[kind] = container
    return kind


def register_dual(kind: type[Any], turn: Callable[[Any], Any]) -> None:
    """Say how a cotangent of a registered type is written.

    Args:
        kind: the type.
        turn: what makes of the derivatives by the leaves, in an object of the type, the cotangent; its own inverse.
    """
    _DUALS[kind] = turn


def dual(tree: Any) -> Any:
    """The derivatives by the leaves of a tree as its cotangent, or a cotangent as these derivatives.

    It is the tree itself unless it holds an object whose cotangents take another form: a `ComplexArray`, whose cotangent is the
    conjugate.
    """
    return _turned(tree) if _DUALS and tree is not None else tree


def _turned(node: Any) -> Any:
    kind = type(node)
    if kind in _DUALS:
        return _DUALS[kind](node)
    container = _CONTAINERS[kind] if kind in _CONTAINERS else _container(kind)
    if node is None or container is None:
        return node
    data, children = container.split(node)
    made = [_turned(c) for c in children]
    return container.join(data, made) if any(a is not b for a, b in zip(made, children, strict=True)) else node


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves from left to right, and the structure that `unflatten` needs. None counts as no leaf."""
    leaves: list[Any] = []
    return leaves, _walk(tree, leaves)


def _walk(node: Any, leaves: list[Any]) -> Structure:
    # No closure that calls itself: such a cycle would hold the leaves until Python looks for garbage.
    if node is None:
        return None
    kind = type(node)
    container = _CONTAINERS[kind] if kind in _CONTAINERS else _container(kind)
    if container is None:
        leaves.append(node)
        return "*"
    data, children = container.split(node)
    return (container.kind, data, tuple([_walk(c, leaves) for c in children]))


def unflatten(structure: Structure, leaves: Any) -> Any:
    """The tree of that structure with these leaves. Raises: ShapeError if there are too few or too many."""
    given = list(arguments.each("unflatten", "leaves", leaves, ShapeError))
    build, expected = _builder(structure, 0)
    if len(given) != expected:
        raise ShapeError(f"unflatten: there are {'fewer' if len(given) < expected else 'more'} leaves than the structure has")
    return build(given)


def builder(structure: Structure) -> Callable[[Any], Any]:
    """`unflatten` of one structure for many lists of leaves, of which each is as long as it should be."""
    return _builder(structure, 0)[0]


def _builder(structure: Structure, first: int) -> tuple[Callable[[Any], Any], int]:
    # What puts a tree together whose first leaf has that place among all, and the place behind its last.
    if structure is None:
        return (lambda leaves: None), first
    if isinstance(structure, str) and structure == "*":
        return operator.itemgetter(first), first + 1
    known = isinstance(structure, tuple) and len(structure) == 3 and isinstance(structure[0], type)
    container = (_CONTAINERS.get(structure[0]) or _container(structure[0])) if known else None
    if container is None:
        raise OptionError(f"unflatten: the structure must be one that flatten gave, got {type(structure).__name__}")
    join, data, parts, last = container.join, structure[1], [], first
    for child in structure[2]:
        part, last = _builder(child, last)
        parts.append(part)
    if tuple(structure[2]) == ("*",) * len(parts):
        # Leaves alone, as most programs return.
        return (lambda leaves: join(data, list(leaves[first:last]))), last
    return (lambda leaves: join(data, [part(leaves) for part in parts])), last


def count(structure: Structure) -> int:
    """The number of leaves of a structure."""
    if structure is None:
        return 0
    return 1 if isinstance(structure, str) else sum(count(c) for c in structure[2])


def describe(structure: Structure) -> str:
    """A structure as messages show it: `[*, {'a': *}]`, with a star for each leaf."""
    if structure is None or isinstance(structure, str):
        return str(structure)
    kind, data, children = structure
    container = _CONTAINERS.get(kind) or _container(kind)
    assert container is not None
    return container.show(data, [describe(c) for c in children])


def map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """The tree with `function` applied to every leaf (and the leaves at the same place in `rest`)."""
    arguments.function("map", "the function", function)
    leaves, structure = flatten(tree)
    others = [flatten(t)[0] for t in rest]
    for other in others:
        if len(other) != len(leaves):
            raise ShapeError(f"map: the trees must have one number of leaves, got {len(leaves)} and {len(other)}")
    return unflatten(structure, [function(*xs) for xs in zip(leaves, *others, strict=True)])
