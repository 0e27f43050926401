"""The method faces that the protocol implies: written at build time, so that signatures are real and importing costs nothing.

One op, four faces; what it does is said in the free functions, where editors look, and in `OpsMethods`, from which the two others take it
when they are loaded:

* `_generated/methods.py`: `OpsMethods`, the base class of Python backends; each method calls `self.apply(name, inputs, options, label)`.
* `_core/_generated/eager_ops.pxi`: the same for the compiled eager backend, with the op's record at hand instead of its name.
* `_generated/tape_methods.py`: `TapeMethods`; ids instead of references, `(tape, id)` as the result.
* `functions.py`: the free functions, which ask the argument for its backend.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tlean.ops import registry
from tlean.ops.protocol import Ops
from tlean.ops.statistics.forms import FORMS, FREE_DEFAULTS

_HEADER = '"""Generated from tlean.ops at build time; do not edit."""\n'


@dataclass(frozen=True)
class Face:
    """One public name: its parameters in order, and what is behind it."""

    name: str
    parameters: tuple[inspect.Parameter, ...]
    record: registry.OpDef | None
    doc: str
    #: Which calls are the record's, where others go through a form.
    plain: str = ""

    @property
    def signature(self) -> str:
        """`w, b, x, stride=1, *, name=None`, without annotations."""
        return self._signature({})

    @property
    def free_signature(self) -> str:
        """The same of the free function, which may have other defaults."""
        return self._signature(FREE_DEFAULTS.get(self.name, {}))

    def _signature(self, defaults: Mapping[str, Any]) -> str:
        parts, star = [], False
        for p in self.parameters:
            if p.kind is p.KEYWORD_ONLY and not star:
                parts.append("*")
            star = star or p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
            if p.kind is p.VAR_POSITIONAL:
                parts.append(f"*{p.name}")
            else:
                parts.append(p.name if p.default is p.empty else f"{p.name}={_literal(defaults.get(p.name, p.default))}")
        return ", ".join(parts)

    def by_form(self, table: str, indent: str) -> str:
        """The statement that hands what the record does not take to the form."""
        if not self.plain:
            return ""
        return f"{indent}if not ({self.plain}):\n{indent}    return {table}[{self.name!r}](self, {self.passed})\n"

    @property
    def passed(self) -> str:
        """The arguments handed on as they came: positional ones by position, keyword-only ones by keyword."""
        return ", ".join(_passed(p, p.name) for p in self.parameters)

    @property
    def inputs(self) -> str:
        """The array arguments, as a tuple expression."""
        assert self.record is not None
        if self.record.variadic:
            return f"several({self.record.name!r}, {self.record.inputs[0]})"
        return "(" + "".join(f"{n}, " for n in self.record.inputs) + ")"

    @property
    def options(self) -> list[str]:
        """The names of the options, in the order of the record."""
        assert self.record is not None
        names = {p.name for p in self.parameters}
        return [p for p in self._option_names() if p in names]

    def _option_names(self) -> list[str]:
        assert self.record is not None
        names = [p.name for p in self.parameters if p.name not in self.record.inputs and p.name != "name"]
        return [n for n in names if n in self.record.options_names] if self.plain else names


#: Ops that are another one where an option is an array: name -> (the option, the other op).
_WITH_ARRAY = {"pow": ("c", "power")}


def _other(face: Face, prefix: str, ops: str) -> str:
    # The line that hands such a call on; a plain float, the usual case, is told by its type.
    if face.name not in _WITH_ARRAY:
        return ""
    option, other = _WITH_ARRAY[face.name]
    condition = f"type({option}) is not float and hasattr({option}, 'ndim') and not isinstance({option}, Real)"
    return f"{prefix}if {condition}:\n{prefix}    return {ops}.{other}({face.passed})\n"


def _passed(p: inspect.Parameter, value: str) -> str:
    # An argument of a call, for that parameter.
    return f"{p.name}={value}" if p.kind is p.KEYWORD_ONLY else f"*{value}" if p.kind is p.VAR_POSITIONAL else value


def _literal(value: Any) -> str:
    # A default as source text; an infinity has no literal.
    return f"float({str(value)!r})" if isinstance(value, float) and value - value != 0.0 else repr(value)


def faces(internal: bool = False) -> list[Face]:
    """Every public face in the protocol's order; with `internal`, the ops that only rules call as well.

    The protocol and the records are written in different files. Raises: TypeError where they differ, which fails the build.
    """
    result = []
    aliases, composites = registry.aliases(), registry.composites()
    methods = {n: f for n, f in inspect.getmembers(Ops, inspect.isfunction) if not n.startswith("_")}
    records = {r.name: r for r in registry.all_ops(internal=False)}
    unmatched = sorted(methods.keys() ^ (records.keys() | aliases.keys() | composites.keys()))
    if unmatched:
        raise TypeError(f"every public op must have a record and an entry in the protocol, got one alone for {', '.join(unmatched)}")
    for name, function in methods.items():
        parameters = tuple(p.replace(annotation=p.empty) for p in list(inspect.signature(function).parameters.values())[1:])
        record = records.get(aliases.get(name, name))
        further = FORMS.get(name)
        if further is not None:
            _check_form(name, parameters, further.function)
        elif record is not None:
            _check(name, parameters, record)
        result.append(Face(name, parameters, record, inspect.getdoc(function) or "", further.plain if further else ""))
    if internal:
        for record in registry.all_ops():
            if record.internal:
                result.append(Face(record.name, _internal_parameters(record), record, ""))
    return result


def _internal_parameters(record: registry.OpDef) -> tuple[inspect.Parameter, ...]:
    rule = record.rules.options or record.rules.shape
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(rule).parameters.values()):
        rule = record.rules.shape
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    # Options may use other names for the shapes they get; the inputs' names are the record's.
    inputs = [inspect.Parameter(n, kind) for n in record.inputs]
    if hasattr(rule, "parameters"):
        # The rule of a formula, which takes any arguments, says what they are.
        return (*inputs, *[inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY) for n in rule.parameters[1]])
    options = [p.replace(annotation=p.empty) for p in inspect.signature(rule).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return (*inputs, *options)


def _check(name: str, parameters: tuple[inspect.Parameter, ...], record: registry.OpDef) -> None:
    named = {p.name for p in parameters} - {"name"}
    wanted = set(record.inputs) | set(record.options_names)
    raw = inspect.signature(record.rules.options).parameters.values() if record.rules.options is not None else ()
    if raw and not any(p.kind is p.VAR_KEYWORD for p in raw):
        wanted = set(record.inputs) | {p.name for p in raw if p.kind is p.KEYWORD_ONLY}
    if named != wanted:
        raise TypeError(f"{name}: the protocol and the record must have the same arguments, got {sorted(named)} and {sorted(wanted)}")
    defaults = {p.name: p.default for p in parameters if p.name in record.defaults}
    if defaults != record.defaults:
        raise TypeError(f"{name}: the protocol and the record must have the same defaults, got {defaults} and {record.defaults}")


def _check_form(name: str, parameters: tuple[inspect.Parameter, ...], function: Callable[..., Any]) -> None:
    taken = {p.name: p.default for p in list(inspect.signature(function).parameters.values())[1:]}
    if taken != (entry := {p.name: p.default for p in parameters}):
        raise TypeError(f"{name}: the protocol and the form must have the same arguments and defaults, got {entry} and {taken}")


def _docstring(text: str, indent: str) -> str:
    lines = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').splitlines()
    body = "\n".join((indent + line).rstrip() for line in lines)
    return f'{indent}r"""{body.strip()}"""\n' if len(lines) == 1 else f'{indent}"""{body.strip()}\n{indent}"""\n'


_DESCRIBE = '''
def describe(face):
    """Give the methods of another face the descriptions that they have here: a text is in a wheel once less."""
    for name, method in vars(OpsMethods).items():
        if name[:1] != "_" and name in vars(face):
            vars(face)[name].__doc__ = method.__doc__


'''


def methods() -> str:
    """The text of `_generated/methods.py`."""
    out = [_HEADER, "from __future__ import annotations\n\nfrom numbers import Real\n\n"]
    out.append("from tlean.ops import composites, forms, is_axis, several\n\n_COMPOSITES = composites()\n_FORMS = forms()\n\n")
    out.append(_DESCRIBE)
    out.append('class OpsMethods:\n    """Every op as a method that calls `self.apply`."""\n\n')
    for face in faces(internal=True):
        if face.record is None:
            out.append(f"    def {face.name}(self, {face.signature}):\n{_docstring(face.doc, '        ')}")
            out.append(f"        return _COMPOSITES[{face.name!r}](self, {face.passed})\n\n")
            continue
        label = "name" if any(p.name == "name" for p in face.parameters) else "None"
        options = "{" + ", ".join(f"{o!r}: {o}" for o in face.options) + "}"
        doc = _docstring(face.doc, "        ") if face.doc else ""
        signature = f", {face.signature}" if face.signature else ""
        body = f"        return self.apply({face.record.name!r}, {face.inputs}, {options}, {label})"
        further = _other(face, " " * 8, "self") + face.by_form("_FORMS", " " * 8)
        out.append(f"    def {face.name}(self{signature}):\n{doc}{further}{body}\n\n")
    return "".join(out)


def eager() -> str:
    """The text of `_core/_generated/eager_ops.pxi`: the methods of the compiled eager backend."""
    out = [f"# {_HEADER.strip().strip(chr(34))}\n\n"]
    every = faces(internal=True)
    named = {f.record.name: f for f in every if f.record is not None}
    records = [f.record for f in named.values() if f.record is not None]
    for name, face in named.items():
        optional = [p for p in face.parameters if p.name in face.options and p.default is not p.empty]
        defaults = "{" + ", ".join(f"{p.name!r}: {_literal(p.default)}" for p in optional) + "}"
        out.append(f"cdef OpInfo OP_{name} = OpInfo({name!r}, {tuple(face.options)!r}, {defaults})\n")
    out.append("\nOPS = {" + ", ".join(f"{r.name!r}: OP_{r.name}" for r in records) + "}\n\n\n")
    out.append('cdef class EagerOps(EagerCore):\n    """Every op, run at once; the node goes to the tape."""\n\n')
    for face in every:
        signature = f", {face.signature}" if face.signature else ""
        out.append(f"    def {face.name}(self{signature}):\n{_other(face, '        ', 'self')}")
        if face.record is None:
            out.append(f"        return composites[{face.name!r}](self, {face.passed})\n\n")
            continue
        out.append(face.by_form("composites", " " * 8))
        label = "name" if any(p.name == "name" for p in face.parameters) else "None"
        op, count = f"OP_{face.record.name}", len(face.record.inputs)
        plain = not face.options and not face.record.variadic and not face.record.integer and not face.record.optional
        if plain and count in (1, 2) and len(face.record.outputs) == 1:
            out.append(f"        return self.call{count}({op}, {', '.join(face.record.inputs)}, {label})\n\n")
        else:
            options = "(" + "".join(f"{o}, " for o in face.options) + ")"
            out.append(f"        return self.call({op}, {face.inputs}, {options}, {label})\n\n")
    return "".join(out)


def tape_methods() -> str:
    """The text of `_generated/tape_methods.py`."""
    out = [_HEADER, "from tlean._generated.methods import describe\nfrom tlean.arguments import is_node\n\n\n"]
    out.append('class TapeMethods:\n    """Every op on ids: returns the tape with the op\'s node, and its id."""\n\n')
    for face in faces():
        call = f"self._record({face.name!r}, lambda ops, ref: ops.{face.name}({_with_refs(face)}))"
        out.append(f"    def {face.name}(self, {face.signature}):\n        return {call}\n\n")
    return "".join([*out, "\ndescribe(TapeMethods)\n"])


def _written(face: Face) -> dict[str, str]:
    # The parameters' annotations, which say what is a value of the program.
    return {p.name: str(p.annotation) for p in inspect.signature(getattr(Ops, face.name)).parameters.values()}


def _arrays(face: Face) -> list[str]:
    # The parameters that are values of the program (integer inputs are not: they are given as arrays).
    if face.record is not None:
        return [n for n in face.record.inputs if n not in face.record.integer]
    # An int that may be a number is none of a node, but in the first place.
    written = _written(face)
    return [p.name for k, p in enumerate(face.parameters) if "Ref" in (text := written[p.name]) and not (k and "int" in text)]


def _references(face: Face) -> set[str]:
    # The parameters that may be references, by the protocol's annotations.
    return {name for name, text in _written(face).items() if any(kind in text for kind in ("Ref", "Index", "Mask"))}


def _with_refs(face: Face) -> str:
    # Array arguments are looked up by id (ref), options pass as they are. What a composite gets that is no id is a constant.
    inputs, written, parts = set(_arrays(face)), _written(face), []
    for p in face.parameters:
        several = p.kind is p.VAR_POSITIONAL or "Sequence[Ref]" in written[p.name]
        looked_up = f"ref({p.name})" if face.record is not None or several else f"ref({p.name}) if is_node({p.name}) else {p.name}"
        parts.append(_passed(p, looked_up if p.name in inputs else p.name))
    return ", ".join(parts)


def functions() -> str:
    """The text of `functions.py`."""
    homes = (("_generated.names", "NAMES  # noqa: F401"), ("dispatch", "backend_of"), ("ops", "several"))
    imports = "".join(f"from tlean.{home} import {name}\n" for home, name in homes)
    out = [_HEADER, f"from __future__ import annotations\n\n{imports}\n"]
    for face in faces():
        # Integers may be references too, which say where the call belongs.
        arrays = list(face.record.inputs) if face.record is not None else [p.name for p in face.parameters if p.name in _references(face)]
        variadic = face.record is not None and face.record.variadic
        several = variadic or any(p.kind is p.VAR_POSITIONAL for p in face.parameters)
        keeper = f"*{arrays[0]}" if several else ", ".join(arrays)
        out.append(f"\n\ndef {face.name}({face.free_signature}):\n{_docstring(face.doc, '    ')}")
        if variadic:
            out.append(f"    {arrays[0]} = several({face.name!r}, {arrays[0]})\n")
        keeper = ", ".join([keeper, *(o for o, _ in [_WITH_ARRAY.get(face.name, ("", ""))] if o)])
        out.append(f"    return backend_of({keeper}).{face.name}({face.passed})\n")
    return "".join(out)


def names() -> str:
    """The text of `_generated/names.py`: what `functions.py` has, without importing it."""
    return f"{_HEADER}\nNAMES = {tuple(face.name for face in faces())!r}\n"


def files() -> dict[str, Any]:
    """Every generated file: path -> text."""
    return {
        "tlean/_generated/__init__.py": '"""Method faces generated from the op registry at build time."""\n',
        "tlean/_generated/names.py": names(),
        "tlean/_generated/methods.py": methods(),
        "tlean/_generated/tape_methods.py": tape_methods(),
        "tlean/functions.py": functions(),
        "tlean/_core/_generated/eager_ops.pxi": eager(),
    }
