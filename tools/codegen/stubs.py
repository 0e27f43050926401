"""Type stubs of the generated faces: what an editor shows and what mypy checks a user's program against."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

from tlean.arguments import literals
from tlean.ops.protocol import Ops
from tools.codegen.faces import Face, faces

_HEADER = "# Generated from tlean.ops at build time; do not edit.\n"
_TYPES = "from tlean.ops.protocol import Index, Ints, Mask, Ref\n"
#: The types of options that are one of a few words.
_OPTIONS = {name for name in vars(literals) if name[0].isupper()} - {"Literal", "TypeAlias", "TYPE_CHECKING"}

_EAGER_HEAD = """
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np
from tlean._core.array import AnyTensor, DType
from tlean._core.refs import RefBase
from tlean.ops.protocol import Index, Ints, Mask, Ref

P = ParamSpec("P")
R = TypeVar("R")

class TensorRef(RefBase):
    @property
    def id(self) -> int | None: ...
    @property
    def ops(self) -> Any: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> DType: ...
    @property
    def requires_grad(self) -> bool: ...
    @property
    def value(self) -> AnyTensor: ...
    def numpy(self) -> np.ndarray: ...
    def item(self, index: Any = ...) -> Any: ...
#METHODS

def without_tape(function: Any, *arguments: Any) -> Any: ...
class no_grad(contextlib.AbstractContextManager[Any]):
    def __enter__(self) -> no_grad: ...
    def __exit__(self, *exc: object) -> None: ...
    def __call__(self, f: Callable[P, R]) -> Callable[P, R]: ...

def recording() -> bool: ...
def install(
    instantiate: Any, make_spec: Any, stream_seed: Any, find_record: Any, records: Any, composite_functions: Any
) -> None: ...

def forget_instances() -> None: ...
def body_among(ops: Any, args: Sequence[Any]) -> Any: ...

class ParamBase:
    _tensor: AnyTensor
    _version: int
    name: str | None
    requires_grad: bool | None

def use(self: Any, p: Any) -> TensorRef: ...
def run_plan(run: Any, plan: Any, tensors: Any, out_specs: Any, cap: int = 0, changes: Any = None) -> list[Any]: ...

class EagerCore:
    store: Any
    _uses: Any
    check_numerics: bool
    thread_cap: int
    by_definition: bool
    stream_position: int
    session_seed: Any
    generation: int
    def __init__(self, dtype: str = ..., store: Any = ..., seed: int = ...) -> None: ...
    @property
    def dtype(self) -> FloatName: ...
    def use_store(self, store: Any) -> None: ...
    def reset_tape(self) -> None: ...
    def leaf(self, value: Any, requires_grad: bool = ..., name: str | None = ...) -> TensorRef: ...
    def const(self, value: Any, name: str | None = ...) -> TensorRef: ...
    def add_leaf(self, value: AnyTensor, requires_grad: bool = ..., name: str | None = ...) -> TensorRef: ...
    def ref_of(self, node: Any) -> TensorRef: ...
    def custom_node(self, value: AnyTensor, parents: Any, backward: Any, requires_grad: bool, name: str | None = ...) -> TensorRef: ...
    def require(self, ref: Any) -> TensorRef: ...
    def get_value(self, ref: Any) -> AnyTensor: ...
    def sweep(self, out: int, seed: AnyTensor, free_interior: bool = ..., aside: Sequence[int] = ...) -> list[AnyTensor | None]: ...
    def next_seed(self) -> int: ...
    def apply(self, op: Any, inputs: Any, options: dict[str, Any], name: str | None = ...) -> Any: ...

class EagerOps(EagerCore):
"""


def _annotated(face: Face, change: Callable[[str], str]) -> str:
    # The protocol's own annotations (they are text), changed to what the face takes.
    text = {p.name: str(p.annotation) for p in inspect.signature(getattr(Ops, face.name)).parameters.values()}
    parts, star = [], False
    for p in face.parameters:
        if p.kind is p.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        default = "" if p.default is p.empty else " = ..."
        parts.append(f"{p.name}: {change(text[p.name])}{default}")
    return ", ".join(parts)


def _result(face: Face, one: str) -> str:
    written = str(inspect.signature(getattr(Ops, face.name)).return_annotation)
    return written.replace("Ref", one)


def _words(lines: list[str]) -> list[str]:
    # The import of the types of options that the lines name.
    named = set(re.findall(r"\w+", "".join(lines)))
    return [f"from tlean.arguments.literals import {', '.join(sorted(named & _OPTIONS))}\n"]


def _same(text: str) -> str:
    return text


def _ids(text: str) -> str:
    return text.replace("Ref", "int")


def _arrays(text: str) -> str:
    # Free functions take references and plain arrays.
    return text.replace("Ref", "Any")


def methods() -> str:
    """The text of `_generated/methods.pyi`."""
    lines = [f"    def {f.name}(self, {_annotated(f, _same)}) -> {_result(f, 'Any')}: ...\n" for f in faces()]
    out = [_HEADER, "from collections.abc import Sequence\nfrom typing import Any\n\n", *_words(lines), _TYPES]
    out.append("\ndef describe(face: type) -> None: ...\n\nclass OpsMethods:\n")
    out.append("    def apply(self, op: Any, inputs: Any, options: dict[str, Any], name: str | None = ...) -> Any: ...\n")
    return "".join([*out, *lines, "    def __getattr__(self, name: str) -> Any: ...\n"])


#: NumPy's methods, which `RefBase` has in another form than the op of the name.
_NUMPY = ("sum", "mean", "max", "min", "argmax", "argmin", "var", "std", "cumsum", "reshape", "flatten", "astype")
#: What no reference is the first argument of.
_NO_METHODS = ("concat", "stack", "rand_uniform", "bernoulli_mask", "einsum", "zeros", "ones", "full", "eye", "arange", "linspace")


def _methods_of_refs() -> str:
    # Every op as a method of its first argument.
    out = []
    for f in faces():
        if f.name not in _NUMPY + _NO_METHODS and not f.name.startswith("random_"):
            rest = _annotated(f, _same).partition(", ")[2]
            out.append(f"    def {f.name}(self, {rest}) -> {_result(f, 'TensorRef')}: ...\n")
    return "".join(out)


def eager() -> str:
    """The text of `_core/eager/eager.pyi`."""
    lines = [f"    def {f.name}(self, {_annotated(f, _same)}) -> {_result(f, 'TensorRef')}: ...\n" for f in faces()]
    head = _EAGER_HEAD.lstrip("\n").replace("#METHODS\n", _methods_of_refs()).replace(_TYPES, "".join(_words(lines)) + _TYPES)
    return "".join([_HEADER, head, *lines])


def tape_methods() -> str:
    """The text of `_generated/tape_methods.pyi`."""
    lines = [f"    def {f.name}(self, {_annotated(f, _ids)}) -> tuple[Self, {_result(f, 'int')}]: ...\n" for f in faces()]
    out = [_HEADER, "from collections.abc import Sequence\nfrom typing import Any, Self\n\n", *_words(lines)]
    out.append("from tlean.ops.protocol import Index, Ints, Mask\n\nclass TapeMethods:\n")
    return "".join([*out, *lines])


def functions() -> str:
    """The text of `functions.pyi`."""
    lines = [f"def {f.name}({_annotated(f, _arrays)}) -> {_result(f, 'Any')}: ...\n" for f in faces()]
    out = [_HEADER, "from collections.abc import Sequence\nfrom typing import Any\n\n", *_words(lines)]
    return "".join([*out, "from tlean.ops.protocol import Index, Ints, Mask\n\n", *lines, "\nNAMES: tuple[str, ...]\n"])


def files() -> dict[str, str]:
    """Every stub: path -> text."""
    return {
        "tlean/_generated/methods.pyi": methods(),
        "tlean/_generated/tape_methods.pyi": tape_methods(),
        "tlean/functions.pyi": functions(),
        "tlean/_core/eager/eager.pyi": eager(),
    }
