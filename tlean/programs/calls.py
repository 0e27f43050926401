"""The arguments of a call of a program: arrays, which become inputs, and what is no array, which is part of the program."""

from __future__ import annotations

import operator
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tlean import tree
from tlean._core.array import AnyTensor
from tlean._core.eager.eager import ParamBase
from tlean._core.refs import RefBase
from tlean.errors import OptionError

from .recorder import Recorder


class Static:
    """An argument that is part of the program. Two are equal where programs made with them are the same.

    Args:
        value: compared by value, type included; functions and other objects that can be called are compared by identity.
        what: the argument, for messages.

    Raises: OptionError for something that is not hashable.
    """

    __slots__ = ("_hash", "_key", "value")

    def __init__(self, value: Any, what: str) -> None:
        self.value: Any = value
        try:
            self._key = _key(value)
            self._hash = hash(self._key)
        except TypeError:
            raise OptionError(f"{what} is static, so it must be hashable, got {type(value).__name__}") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash


def _key(value: Any) -> Any:
    if isinstance(value, tuple):
        return (type(value), tuple(map(_key, value)))
    if isinstance(value, float):
        # 0.0 and -0.0 make two programs, and a NaN is itself.
        return (type(value), value.hex())
    if isinstance(value, types.MethodType):
        return (types.MethodType, id(value.__self__), id(value.__func__))
    return (type(value), id(value) if callable(value) else value)


def is_static(value: Any) -> bool:
    """Whether a leaf of a keyword argument is part of the program: a string, a Boolean, something to call."""
    if isinstance(value, str | bool):
        return True
    return callable(value) and not isinstance(value, RefBase | AnyTensor | ParamBase) and not hasattr(value, "__array__")


class Form(NamedTuple):
    """The arguments of a call without their arrays: programs are kept by it."""

    structure: tree.Structure
    #: (place among the leaves, argument).
    statics: tuple[tuple[int, Static], ...] = ()
    has_keywords: bool = False

    def build(self, arrays: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(arguments, keyword arguments) with these in the places of the arrays."""
        leaves = list(arrays)
        for k, static in self.statics:
            leaves.insert(k, static.value)
        whole = tree.unflatten(self.structure, leaves)
        return whole if self.has_keywords else (whole, {})

    def names(self) -> list[str]:
        """What messages call each array: "argument 0", "argument 'scale'"."""
        children = self.structure[2]
        where = [f"argument {k}" for k in range(len(children))]
        if self.has_keywords:
            where = [f"argument {k}" for k in range(len(children[0][2]))] + [f"argument {k!r}" for k in children[1][1]]
            children = (*children[0][2], *children[1][2])
        names = [name for name, child in zip(where, children, strict=True) for _ in range(tree.count(child))]
        fixed = {k for k, _ in self.statics}
        return [name for k, name in enumerate(names) if k not in fixed]


#: Keyword arguments of these types are inputs as they are.
_ARRAYS = frozenset((int, float, np.ndarray, AnyTensor))


def taken_apart(name: str, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[list[Any], Form]:
    """(arrays and other leaves that become inputs, form) of a call's arguments.

    Args:
        name: of the program, for messages.
        args: some of them `Static`.
        keywords: what `is_static` says is made `Static`.
    """
    if not keywords:
        leaves, structure = tree.flatten(args)
        has_keywords = False
    else:
        marked = {k: _marked(name, k, v) for k, v in keywords.items()}
        leaves, structure = tree.flatten((args, marked))
        has_keywords = True
    statics = tuple([(k, x) for k, x in enumerate(leaves) if type(x) is Static])
    return [x for x in leaves if type(x) is not Static] if statics else leaves, Form(structure, statics, has_keywords)


def _marked(name: str, keyword: str, value: Any) -> Any:
    if type(value) in _ARRAYS:
        return value
    return tree.map(lambda x: Static(x, f"{name}: argument {keyword!r}") if is_static(x) else x, value)


class StaticArguments:
    """Which arguments of a program are static: by number or by name. Where its signature tells both, either means the other.

    Args:
        name: of the transformation, for messages.
        recorder: of the program.
        argnums: an int or several, counted without `ops`.
        argnames: a name or several.

    Raises: OptionError for something else, or for what the program does not have.
    """

    def __init__(self, name: str, recorder: Recorder, argnums: Any, argnames: Any) -> None:
        self._name, self._recorder = name, recorder
        numbers = argnums if isinstance(argnums, tuple | list) else () if argnums is None else (argnums,)
        try:
            self._numbers = tuple(operator.index(k) for k in numbers)
        except TypeError:
            raise OptionError(f"{name}: static_argnums must be an int or several, got {argnums!r}") from None
        self._names = tuple(argnames) if isinstance(argnames, tuple | list) else () if argnames is None else (argnames,)
        if not all(isinstance(n, str) for n in self._names):
            raise OptionError(f"{name}: static_argnames must be a name or several, got {argnames!r}")
        unknown = [n for n in self._names if not recorder.takes(n)]
        if unknown:
            raise OptionError(f"{name}: static_argnames names {unknown[0]!r}, which {recorder.shown()} does not have")

    def __bool__(self) -> bool:
        return bool(self._numbers or self._names)

    def mark(self, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call, with those that are static as `Static`."""
        named = self._recorder.positional(len(args), keywords)
        count = max(len(args), len(named))
        numbers = set()
        for k in self._numbers:
            if not -count <= k < count:
                raise OptionError(f"{self._name}: static_argnums names argument {k}, the program has {count}")
            numbers.add(k % count)
        names = {*self._names, *(named[k] for k in numbers if k < len(named))}
        numbers |= {k for k, n in enumerate(named) if n in names}
        marked = tuple(Static(a, f"{self._name}: argument {k}") if k in numbers else a for k, a in enumerate(args))
        return marked, {k: Static(a, f"{self._name}: argument {k!r}") if k in names else a for k, a in keywords.items()}
