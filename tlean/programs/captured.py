"""What a program reaches beside its arguments: found in its code, so that a kept plan can look there again before each call.

`Captured` follows a function without running it: the cells of its closure, the globals that its code names, its defaults, `self` and the
attributes that its code reads, the functions among these likewise. Every such place becomes part of a `Guard`. Arrays and parameters that
the program hands to an op become further inputs of the plan. `docs/captured_values.md` says what cannot be found.
"""

from __future__ import annotations

import collections
import functools
import inspect
import os
import sys
import types
import weakref
from array import array as typed_array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor, as_tensor
from tlean._core.eager.eager import ParamBase
from tlean._core.plan.guard import Guard
from tlean._core.refs import RefBase
from tlean.errors import OptionError

from .reads import IDENTITY, defaults, holds_values, is_empty, is_fixed, reads
from .recorder import name_of

#: Immutable values that are compared, not identified.
_PLAIN = (int, float, complex, str, bytes, np.generic, slice, range, frozenset, np.dtype)
#: What may be read of an array without reading its numbers.
_METADATA = frozenset((IDENTITY, "shape", "dtype", "ndim", "size", "device", "requires_grad", "name"))
#: Kinds of places that say how something is built, no value of the user's.
_FORM = ("keys", "length", "code")
_STRUCTURE = (types.ModuleType, list, dict, tuple, types.CodeType)
#: Containers with more items are told apart by identity and length alone, and so is what lies deeper than this.
_MOST_ITEMS = 1000
_DEEPEST = 50
#: Arrays up to this many bytes are compared where a program computes with them in Python.
_MOST_BYTES = 1 << 24


def is_array(value: Any) -> bool:
    """Whether a captured value becomes an input of the plan."""
    return isinstance(value, np.ndarray | AnyTensor | ParamBase)


def check_capture() -> bool:
    """Whether kept programs are traced again at every call, to see that they still are what they were."""
    return os.environ.get("TLEAN_CHECK_CAPTURE", "") not in ("", "0")


class _Place:
    # Where a value was found: how to read it again, or nothing for a value that stays.
    __slots__ = ("key", "kind", "owner")

    def __init__(self, kind: str, owner: Any, key: Any = None) -> None:
        self.kind, self.owner, self.key = kind, owner, key


class _Array:
    # An array or parameter: its slot, how often code reads its numbers, whether code may read them without naming it.
    __slots__ = ("name", "reads", "slot", "value", "whole")

    def __init__(self, value: Any, slot: int, name: str) -> None:
        self.value, self.slot, self.name, self.reads, self.whole = value, slot, name, 0, False


class Captured:
    """What a program reaches, and which of it the plan takes as inputs.

    Args:
        program: the user's function (or several); None for a program that is written by hand.
        frozen: only arrays are read again, all else stays as it was.
        own: copy arrays at each call in any case: a device reads them later.
    """

    def __init__(self, program: Any = None, frozen: bool = False, own: bool = False) -> None:
        self.guard: Any = Guard()
        self.is_frozen = frozen
        self._own = own
        #: Whether a plan takes arrays that the program captures.
        self.takes_inputs: bool = False
        #: name → value of what stays as it was.
        self.frozen: dict[str, Any] = {}
        self._places: set[tuple[str, int, Any]] = set()
        self._seen: set[tuple[int, int]] = set()
        #: By identity.
        self._arrays: dict[int, _Array] = {}
        #: The arrays that values of the graph were made of, by the value; and the values, by the identity of the array.
        self._bound: dict[int, Any] = {}
        self._numbers: dict[int, list[int]] = {}
        self._handed: dict[int, int] = {}
        #: The arrays that further inputs were made of, with their dtypes in the program, until `settle`.
        self.given: list[tuple[Any, str]] = []
        # What was looked at stays alive, so that an identity means one object.
        self._alive: list[Any] = []
        if program is not None:
            self._callable(program, "", 0)

    def follow(self, value: Any) -> None:
        """Look at what an argument that is part of the program captures, too."""
        self._value(_Place("fixed", value), name_of(value), value, (), 0, True)

    # Places -----------------------------------------------------------------------------------------------------------------

    def _add(self, place: _Place, name: str, value: Any) -> None:
        key = (place.kind, id(place.owner), place.key)
        if key in self._places:
            return
        self._places.add(key)
        self._alive.append(place.owner)
        if is_array(value):
            self.guard.add(place.kind, place.owner, place.key, "array", self._array(name, value).slot, name)
            return
        plain = isinstance(value, _PLAIN) or value is None or (isinstance(value, tuple) and _is_plain(value))
        if not self.is_frozen:
            kind = "attribute" if place.kind == "code" else place.kind
            self.guard.add(kind, place.owner, place.key, "equals" if plain else "is", value, name)
        elif place.kind not in _FORM and (plain or not (callable(value) or isinstance(value, _STRUCTURE))):
            self.frozen.setdefault(name, value)

    def _array(self, name: str, value: Any) -> _Array:
        found = self._arrays.get(id(value))
        if found is None:
            found = self._arrays[id(value)] = _Array(value, self.guard.slot(value), name)
        return found

    def _value(self, place: _Place, name: str, value: Any, attributes: Sequence[str], depth: int, whole: bool = False) -> None:
        # A value that code reads, with the attributes that it reads of it; `whole`: it may, as it has the object that holds the value.
        if is_array(value):
            self._add(place, name, value)
            array = self._array(name, value)
            if whole:
                array.whole = True
            elif not attributes or attributes[0] not in _METADATA:
                array.reads += 1
            return
        if place.kind != "fixed":
            self._add(place, name, value)
        if isinstance(value, RefBase) or depth > _DEEPEST or attributes[:1] == (IDENTITY,):
            return
        if attributes:
            self._attribute(name, value, attributes, depth)
        else:
            self._whole(name, value, depth)

    def _attribute(self, name: str, value: Any, attributes: Sequence[str], depth: int) -> None:
        # Code reads `value.attribute`; a property's code is followed, a method's too.
        attribute, rest = attributes[0], attributes[1:]
        if value is None or isinstance(value, _PLAIN) or (isinstance(value, types.ModuleType) and is_fixed(value.__name__)):
            return
        label = f"{name}.{attribute}" if name else attribute
        try:
            static = inspect.getattr_static(value, attribute)
        except AttributeError:
            # It is made by `__getattr__`, or by the program itself later on.
            self._whole(name, value, depth)
            return
        if isinstance(value, types.ModuleType | type):
            if not isinstance(static, property):
                self._value(_Place("attribute", value, attribute), label, getattr(value, attribute), rest, depth + 1)
            return
        if isinstance(static, property):
            self._code(static.fget, f"{label}.", depth + 1, value)
        elif isinstance(static, staticmethod):
            self._callable(static.__func__, f"{label}.", depth + 1)
        elif isinstance(static, classmethod):
            self._code(static.__func__, f"{label}.", depth + 1, type(value))
        elif isinstance(static, functools.cached_property):
            # Not yet computed: what its code reads.
            self._code(static.func, f"{label}.", depth + 1, value)
        elif isinstance(static, types.FunctionType) and attribute not in getattr(value, "__dict__", {}):
            self._add(_Place("attribute", type(value), attribute), label, static)
            if is_fixed(static.__module__):
                self._whole(name, value, depth)
            else:
                self._code(static, f"{label}.", depth + 1, value)
        elif isinstance(static, types.MethodDescriptorType | types.WrapperDescriptorType):
            self._whole(name, value, depth)
        else:
            try:
                found = getattr(value, attribute)
            except AttributeError:
                return
            self._value(_Place("attribute", value, attribute), label, found, rest, depth + 1)

    def _whole(self, name: str, value: Any, depth: int) -> None:
        # Anything of the value may be read: it is handed on, or called.
        if value is None or isinstance(value, (*_PLAIN, types.ModuleType)):
            return
        key = (id(value), -1)
        if key in self._seen or depth > _DEEPEST:
            return
        self._seen.add(key)
        self._alive.append(value)
        if isinstance(value, dict | types.MappingProxyType):
            self._dict(name, value, depth)
        elif isinstance(value, list | tuple | collections.deque):
            self._sequence(name, value, depth)
        elif isinstance(value, set | bytearray | typed_array) or (isinstance(value, memoryview) and value.ndim == 1):
            self._fixed_content(name, value)
        elif isinstance(value, weakref.ref):
            self._whole(name, value(), depth)
        elif isinstance(value, type):
            for base in value.__mro__:
                if not is_fixed(base.__module__):
                    self._class(name, value, base, {}, depth)
        elif isinstance(value, types.FunctionType | types.MethodType | functools.partial) or _wrapped(value) is not None:
            self._callable(value, f"{name}." if name else "", depth)
        else:
            self._object(name, value, depth)

    def _dict(self, name: str, value: Mapping[Any, Any], depth: int) -> None:
        if len(value) > _MOST_ITEMS:
            self._add(_Place("length", value), f"len({name})", len(value))
            return
        self._add(_Place("keys", value), f"the keys of {name}", tuple(value))
        for key, item in value.items():
            self._value(_Place("key", value, key), f"{name}[{key!r}]", item, (), depth + 1, True)

    def _sequence(self, name: str, value: Any, depth: int) -> None:
        fixed = isinstance(value, tuple)
        if not fixed:
            self._add(_Place("length", value), f"len({name})", len(value))
        if len(value) <= _MOST_ITEMS:
            for k, item in enumerate(value):
                self._value(_Place("fixed", item) if fixed else _Place("item", value, k), f"{name}[{k}]", item, (), depth + 1, True)

    def _fixed_content(self, name: str, value: Any) -> None:
        if len(value) <= _MOST_ITEMS:
            self._add(_Place("keys", value), f"the elements of {name}", tuple(value))

    def _object(self, name: str, value: Any, depth: int) -> None:
        # All attributes of an object of the user's own, of a layer, or of a library's container; the code that runs when it is called.
        kind = type(value)
        if is_fixed(kind.__module__) and not (hasattr(kind, "__tlean_unwatched__") or holds_values(kind)):
            return
        inside = getattr(value, "__dict__", None)
        if isinstance(inside, dict):
            self._dict_of(name, kind, inside, depth)
        for base in kind.__mro__:
            slots = base.__dict__.get("__slots__", ())
            for attribute in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, attribute) and not attribute.startswith("__"):
                    self._value(
                        _Place("attribute", value, attribute), f"{name}.{attribute}", getattr(value, attribute), (), depth + 1, True
                    )
            if not is_fixed(base.__module__) or "__tlean_unwatched__" in base.__dict__:
                self._class(name, value, base, inside or {}, depth)

    def _dict_of(self, name: str, kind: type[Any], inside: dict[str, Any], depth: int) -> None:
        self._add(_Place("keys", inside), f"the attributes of {name or 'self'}", tuple(inside))
        unwatched = getattr(kind, "__tlean_unwatched__", ())
        for attribute, item in inside.items():
            if attribute in unwatched:
                continue
            self._value(_Place("key", inside, attribute), f"{name}.{attribute}", item, (), depth + 1, True)

    def _class(self, name: str, value: Any, base: type[Any], inside: dict[str, Any], depth: int) -> None:
        for attribute, item in list(vars(base).items()):
            if attribute in ("__call__", "forward") and isinstance(item, types.FunctionType) and not isinstance(value, type):
                self._code(item, f"{name}.{attribute}.", depth + 1, value)
                continue
            shared = isinstance(item, (*_PLAIN, list, dict, tuple)) or is_array(item)
            if shared and attribute not in inside and not attribute.startswith("__") and getattr(value, attribute, None) is item:
                self._value(_Place("attribute", value, attribute), f"{name}.{attribute}", item, (), depth + 1, True)

    # Code -------------------------------------------------------------------------------------------------------------------

    def _callable(self, f: Any, prefix: str, depth: int) -> None:
        if depth > _DEEPEST:
            return
        if isinstance(f, types.MethodType):
            if is_fixed(getattr(f.__func__, "__module__", None)):
                self._whole(prefix.rstrip("."), f.__self__, depth)
            else:
                self._code(f.__func__, prefix, depth, f.__self__)
        elif isinstance(f, types.FunctionType):
            self._code(f, prefix, depth)
        elif isinstance(f, functools.partial):
            self._callable(f.func, prefix, depth + 1)
            for k, item in enumerate(f.args):
                self._value(_Place("fixed", item), f"{prefix}args[{k}]", item, (), depth + 1)
            self._whole(f"{prefix}keywords", f.keywords, depth + 1)
        elif _wrapped(f) is not None:
            rules = getattr(f, "__tlean_rules__", ())
            if rules:
                self._add(_Place("attribute", f, "__tlean_rules__"), f"the rules of {name_of(f)}", rules)
            for function in (_wrapped(f), *rules):
                self._callable(function, prefix, depth + 1)
        else:
            self._whole(prefix.rstrip("."), f, depth)

    def _code(self, f: Any, prefix: str, depth: int, own: Any = None) -> None:
        if not isinstance(f, types.FunctionType):
            if callable(f):
                self._callable(f, prefix, depth)
            return
        key = (id(f), id(own))
        if key in self._seen or depth > _DEEPEST:
            return
        self._seen.add(key)
        self._alive += (f, own)
        if is_fixed(f.__module__, f.__code__.co_filename):
            # A library's function stays as it is, but what it was made with may be the user's.
            for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
                if not is_empty(cell):
                    self._value(_Place("cell", cell), prefix + name, cell.cell_contents, (), depth + 1, True)
            return
        self._add(_Place("code", f, "__code__"), f"the code of {f.__qualname__}", f.__code__)
        cells = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))
        first = f.__code__.co_varnames[0] if f.__code__.co_argcount else None
        for name, attributes in reads(f.__code__):
            label = prefix + name
            if name == first and name not in cells:
                if own is not None:
                    self._value(_Place("fixed", own), name if not prefix else prefix.rstrip("."), own, attributes, depth)
            elif name in cells:
                if not is_empty(cells[name]):
                    self._value(_Place("cell", cells[name]), label, cells[name].cell_contents, attributes, depth)
            elif name in f.__globals__:
                self._value(_Place("key", f.__globals__, name), label, f.__globals__[name], attributes, depth)
        if own is not None and "super" in f.__code__.co_names:
            self._inherited(f, prefix, depth, own)
        for name, value in defaults(f):
            self._value(_Place("fixed", value), prefix + name, value, (), depth)
        self._add(_Place("code", f, "__defaults__"), f"the defaults of {f.__qualname__}", f.__defaults__)
        if f.__kwdefaults__:
            self._whole(f"{prefix}defaults", f.__kwdefaults__, depth)

    def _inherited(self, f: types.FunctionType, prefix: str, depth: int, own: Any) -> None:
        # The methods of base classes that `super()` may mean.
        for base in (own if isinstance(own, type) else type(own)).__mro__[1:]:
            for name in f.__code__.co_names:
                method = vars(base).get(name)
                method = method.__func__ if isinstance(method, classmethod) else method
                if isinstance(method, types.FunctionType):
                    self._add(_Place("attribute", base, name), f"{base.__name__}.{name}", getattr(base, name))
                    self._code(method, f"{prefix}super().{name}.", depth + 1, own)

    # Inputs -----------------------------------------------------------------------------------------------------------------

    def bind(self, number: int, value: Any) -> None:
        """Value `number` of the graph was made of this array."""
        self._bound[number] = value
        self._numbers.setdefault(id(value), []).append(number)

    def computed_with(self, number: int) -> None:
        """What is recorded depends on the numbers of the array that value `number` of the graph was made of."""
        array = self._arrays.get(id(self._bound.get(number)))
        if array is not None:
            array.reads += 1

    def settle(self) -> None:
        """Let go of the arrays that were traced with."""
        self.given = []

    def same(self, value: Any, spec: Any, specs: Sequence[Any]) -> int | None:
        """The value of the graph that this array has as that spec already, or None."""
        return next((k for k in self._numbers.get(id(value), ()) if specs[k] == spec), None)

    def inputs(self, graph: Any) -> Iterator[int]:
        """The values of a traced program that are inputs: arrays and parameters that other objects hold too.

        An array that the program has made itself is a constant: no one can reach it to change it.
        """
        returned = _returned(graph)
        for number, value in list(self._bound.items()):
            known = self._arrays.get(id(value))
            if known is not None:
                self._hand(value)
            elif isinstance(value, np.ndarray):
                base = self._base(value)
                if base is not None:
                    # A view: of this very array.
                    self.guard.add("fixed", base, None, "array", self._arrays[id(base)].slot, "")
                    self._hand(base)
                elif sys.getrefcount(value) <= _references():
                    continue
            elif not isinstance(value, ParamBase):
                continue
            if number in graph.constants:
                slot = -1 if known is None else known.slot
                self.takes_inputs = True
                # A plan may return it, or write to the memory of a parameter that it also moves.
                copy = self._own or number in returned or (self.is_frozen and isinstance(value, ParamBase))
                self.guard.input(slot, value, graph.specs[number].dtype, copy)
                self.given.append((value, graph.specs[number].dtype))
                yield number
        self._computed_with()
        self._bound, self._numbers, self._arrays, self._handed, self._alive = {}, {}, {}, {}, []

    def as_traced(self) -> list[AnyTensor]:
        """The further inputs as they were when the program was traced: for a program that changes what it reads."""
        return [as_tensor(v._tensor if isinstance(v, ParamBase) else v, dtype) for v, dtype in self.given]

    def _hand(self, value: Any) -> None:
        self._handed[id(value)] = self._handed.get(id(value), 0) + 1

    def _base(self, value: np.ndarray) -> Any:
        # The captured array that this one is a view of.
        base = value.base
        while base is not None:
            if id(base) in self._arrays:
                return base
            base = getattr(base, "base", None)
        return None

    def _computed_with(self) -> None:
        # An array that the code reads more often than ops were given it: the program computes with its numbers in Python.
        for key, array in self._arrays.items():
            value = array.value
            # A model that is handed on holds parameters that the program gets as arguments: only those that code names are its reads.
            count = array.reads if isinstance(value, ParamBase) else max(array.reads, array.whole)
            if count <= self._handed.get(key, 0):
                continue
            if self.is_frozen:
                self.frozen.setdefault(array.name, value)
            elif isinstance(value, ParamBase):
                self.guard.version(array.slot, value._version)
            elif isinstance(value, AnyTensor):
                self.guard.add("fixed", value, None, "array", array.slot, array.name)
            elif value.nbytes <= _MOST_BYTES and value.dtype != object:
                self.guard.content(array.slot, value.tobytes())


def changed(name: str) -> OptionError:
    """The error for a kept program whose function makes another program by now."""
    return OptionError(
        f"{name}: TLEAN_CHECK_CAPTURE: the function makes another program than the one that was kept; what it captures has changed where"
        " no call looks: pass it as an argument"
    )


def same_program(a: Any, b: Any) -> bool:
    """Whether two traced graphs are the same program: the same ops on the same inputs and constants."""
    return _form(a) == _form(b)


def _form(graph: Any) -> Any:
    # A graph with its values numbered in the order in which they appear, so that equal programs are equal.
    number: dict[int | None, int] = {None: -1}
    specs = [None if i is None else graph.specs[i] for i in graph.inputs]
    for i in graph.inputs:
        number.setdefault(i, len(number))
    constants = []

    def of(value: int | None) -> int:
        if value not in number and value in graph.constants:
            constants.append((graph.specs[value], graph.constants[value].numpy().tobytes()))
        return number.setdefault(value, len(number))

    nodes = []
    for node in graph.nodes:
        inputs = tuple(of(i) for i in node.inputs)
        nodes.append((_name(node.record), inputs, tuple(of(i) for i in node.outputs), repr(sorted(node.options.items()))))
    return graph.dtype, specs, nodes, [of(v) for v in graph.outputs], constants


def _name(record: Any) -> Any:
    # Calls of `tl.debug` are numbered, so that none is taken for another; a loop around them is told by its bodies.
    if not record.effects:
        return record.name
    return record.name.partition(" #")[0] if record.loop is None else (record.loop.title, *map(_form, record.loop.bodies))


def _returned(graph: Any) -> set[int]:
    # The values whose memory an output may be: outputs, and what they are views of.
    found = {v for v in graph.outputs if v is not None}
    for node in reversed(graph.nodes):
        if found.intersection(node.outputs) and node.record.view:
            found.update(i for i in node.inputs if i is not None)
    return found


@functools.cache
def _references() -> int:
    # What `sys.getrefcount` says of an array that a dictionary and a loop's variable hold.
    held = {0: np.empty(0)}
    count = 0
    for _, value in list(held.items()):
        count = sys.getrefcount(value)
    return count


def _wrapped(value: Any) -> Any:
    # What a transformed or decorated function was made of.
    return getattr(value, "__dict__", {}).get("__wrapped__")


def _is_plain(value: tuple[Any, ...]) -> bool:
    return all(v is None or isinstance(v, _PLAIN) or (isinstance(v, tuple) and _is_plain(v)) for v in value)
