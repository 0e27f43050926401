"""CUDA C of the user's own: what a `tl.custom_op` runs on a device, as expressions for each element or as whole kernels.

Both kinds say what an op's forward, backward and jvp are there. `code_of` makes a family and its launch of one call, which are compiled,
loaded and run as those of the library's ops.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..dtypes import SUFFIX
from ..errors import DeviceError, OptionError
from ..ops import Spec
from ..shapes import size
from .kernels.convert import TYPES
from .kernels.plan import COMMON, THREADS, Argument, Family, In, Launch, Out, Plan, ceil_div, flat

FORWARD, BACKWARD, JVP = "forward", "backward", "jvp"
#: How the types of parameters may be written.
_WRITTEN = {
    "float": "float", "i64": "i64", "long long": "i64", "long long int": "i64", "int64_t": "i64", "int": "int", "int32_t": "int",
    "unsigned char": "unsigned char", "bool": "unsigned char", "uint8_t": "unsigned char",
}  # fmt: skip
_FUNCTION = re.compile(r"(extern\s*\"C\"\s*)?__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)")
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Called:
    """One call of a custom op, as its code sees it.

    Attributes:
        name: of the op.
        which: FORWARD, BACKWARD or JVP.
        shapes: of the op's inputs.
        floats: the numbers of the inputs that have derivatives.
        moving: the numbers of the outputs that have derivatives.
        outputs: how many there are.
        options: of the call.
    """

    name: str
    which: str
    shapes: tuple[tuple[int, ...], ...]
    floats: tuple[int, ...]
    moving: tuple[int, ...]
    outputs: int
    options: Mapping[str, Any]

    @property
    def numbers(self) -> dict[str, int | float]:
        """The options that are numbers."""
        return {k: v if isinstance(v, float) else int(v) for k, v in self.options.items() if isinstance(v, int | float)}


def _typed(specs: Sequence[Spec]) -> list[str]:
    return [TYPES[SUFFIX[s.dtype]] for s in specs]


def _family(name: str, text: str) -> Family:
    # The name is that of the op, for the compiler's messages, and of the text.
    readable = re.sub(r"\W", "_", name)
    return Family(f"custom_{readable}_{hashlib.sha256(text.encode()).hexdigest()[:16]}", text, {})


# Expressions -------------------------------------------------------------------------------------------------------------------


@lru_cache(64)
def _kernels_of(source: str) -> dict[str, tuple[bool, list[_Parameter]]]:
    text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.S)
    return {name: (bool(c), [_parameter(p) for p in given.split(",") if p.strip()]) for c, name, given in _FUNCTION.findall(text)}


@dataclass(frozen=True)
class Expressions:
    """C expressions of one element. Made by `tl.cuda.elementwise`, which says what they may use."""

    inputs: tuple[str, ...]
    forward: tuple[str, ...]
    backward: tuple[str | None, ...] | None
    jvp: tuple[str | None, ...] | None
    prelude: str

    def has(self, which: str) -> bool:
        """Whether there is code for FORWARD, BACKWARD or JVP."""
        return getattr(self, which) is not None

    def code_of(self, ins: Sequence[Spec], outs: Sequence[Spec], **call: Any) -> tuple[Family, Plan]:
        """The family and the launch of a call.

        Args:
            ins, outs: what the kernel reads and what it makes, in the order of the op's records.
            call: see `Called`.

        Raises: OptionError where the expressions do not fit the op; DeviceError for shapes that they cannot compute.
        """
        called = Called(**call)
        names, values = self._names(called), self._values(called)
        n = max(s.size for s in (*ins, *outs))
        for s in ins:
            if s.size not in (1, n):
                raise DeviceError(f"{called.name}: CUDA expressions take inputs of one shape or of one element, got {called.shapes}")
        types, made = _typed(ins), _typed(outs)
        used = {name for value in values for name in _NAME.findall(value or "")}
        numbers = {k: v for k, v in called.numbers.items() if k in used}
        lines = [f"const {t} {name} = at_{name}[{'tl_i' if s.size == n else 0}];" for t, name, s in zip(types, names, ins, strict=True)]
        for k, (value, t, spec) in enumerate(zip(values, made, outs, strict=True)):
            if value is not None and spec.size != n:
                raise DeviceError(
                    f"{called.name}: the CUDA expression of an output of shape {spec.shape} is of one element, but inputs have {n}; "
                    "write a kernel (tl.cuda.kernel) where elements are summed"
                )
            within = "" if spec.size == n else f"if (tl_i < {spec.size}) "
            lines.append(f"{within}to{k}[tl_i] = ({t})({'0' if value is None else value});")
        parameters = [f"{t} *to{k}" for k, t in enumerate(made)] + [f"const {t} *at_{name}" for t, name in zip(types, names, strict=True)]
        parameters += [f"{'float' if isinstance(v, float) else 'i64'} {k}" for k, v in numbers.items()]
        body = "\n        ".join(lines)
        head = f'extern "C" __global__ void k_custom({", ".join([*parameters, "i64 tl_n"])})'
        text = f"{COMMON}\n{self.prelude}\n{head} {{\n    TL_EACH(tl_i, tl_n) {{\n        {body}\n    }}\n}}\n"
        pointers: list[Argument] = [*map(Out, range(len(outs))), *map(In, range(len(ins)))]
        return _family(called.name, text), Plan((flat("k_custom", n, *pointers, *numbers.values()),))

    def _names(self, called: Called) -> list[str]:
        if len(self.inputs) != len(called.shapes):
            raise OptionError(f"{called.name}: the CUDA expressions are of {len(self.inputs)} inputs, the op got {len(called.shapes)}")
        clash = {*self.inputs} & {*called.options}
        if clash:
            raise OptionError(f"{called.name}: an input of the CUDA expressions and an option have the same name, {min(clash)!r}")
        one = called.outputs == 1
        if called.which == FORWARD:
            return list(self.inputs)
        if called.which == JVP:
            return [*self.inputs, *(f"t_{self.inputs[k]}" for k in called.floats)]
        gs = ["g" if one else f"g{k}" for k in called.moving]
        return [*gs, *("out" if one else f"out{k}" for k in range(called.outputs)), *self.inputs]

    def _values(self, called: Called) -> list[str | None]:
        # The expressions of what is made: for backward of the inputs that have derivatives, for jvp of such outputs.
        given: Sequence[str | None] = getattr(self, called.which)
        wanted = len(called.shapes) if called.which == BACKWARD else called.outputs
        if len(given) != wanted:
            raise OptionError(f"{called.name}: {called.which} has {len(given)} CUDA expressions, it needs {wanted}")
        texts = {*called.options} - {*called.numbers}
        for value in given:
            used = texts & set(_NAME.findall(value or ""))
            if used:
                raise OptionError(f"{called.name}: a CUDA expression uses the option {min(used)!r}, which is no number")
        if called.which == FORWARD:
            return list(given)
        return [given[k] for k in (called.floats if called.which == BACKWARD else called.moving)]


def elementwise(
    inputs: str | Sequence[str],
    forward: str | Sequence[str],
    backward: str | Sequence[str | None] | None = None,
    jvp: str | Sequence[str | None] | None = None,
    prelude: str = "",
) -> Expressions:
    """CUDA C for a `tl.custom_op` whose outputs are computed element by element.

    Args:
        inputs: the names that expressions call the elements of the inputs by, as a list or as one text ("x y").
        forward: the value as an expression of C, or one for each output. It may use the inputs, options that are numbers, and functions of
            CUDA and of the prelude; floats are `float`, so `expf`, not `exp`.
        backward: the cotangent of each input, None where it is zero; it may also use the cotangent `g` and the value `out` (`g0`, `out0`, …
            of several outputs).
        jvp: the tangent of each output; it may use the tangents of the inputs, `t_x` of x.
        prelude: C that comes before: functions and constants.

    Inputs of one element count for all. Expressions are of inputs of one shape; what is summed needs `tl.cuda.kernel`.

    Raises: OptionError for names that are none.

    Example:
        >>> soft = tl.cuda.elementwise("x", "x / (1 + fabsf(x))", "g / ((1 + fabsf(x)) * (1 + fabsf(x)))")
        >>> soft.inputs
        ('x',)
    """
    names = tuple(inputs.replace(",", " ").split() if isinstance(inputs, str) else inputs)
    for name in names:
        taken = re.fullmatch(r"g\d*|out\d*|to\d+|tl_\w*|t_\w+|at_\w+", name) if isinstance(name, str) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name) or taken or names.count(name) > 1:
            raise OptionError(f"cuda.elementwise: inputs must be different names of C, other than g, out and t_x, got {name!r}")

    def several(value: Any, what: str) -> tuple[Any, ...] | None:
        if value is None:
            return None
        found = tuple(value) if isinstance(value, list | tuple) else (value,)
        if not all(isinstance(v, str) or (v is None and what != FORWARD) for v in found):
            raise OptionError(f"cuda.elementwise: {what} must be a C expression or a sequence of them, got {value!r}")
        return found

    made = several(forward, FORWARD)
    if not made:
        raise OptionError("cuda.elementwise: forward must have an expression, got none")
    return Expressions(names, made, several(backward, BACKWARD), several(jvp, JVP), prelude)


# Whole kernels -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Parameter:
    # A parameter of a kernel: its type without `const`, whether it is an address, whether it is one of constants, its name.
    type: str
    pointer: bool
    constant: bool
    name: str

    def __str__(self) -> str:
        return f"{'const ' * self.constant}{self.type} {'*' * self.pointer}{self.name}"


def _parameter(text: str) -> _Parameter:
    words = [w for w in re.findall(r"\w+|\*|&", text) if w not in ("__restrict__", "restrict", "__restrict")]
    name = words.pop() if len(words) > 1 and words[-1] not in ("*", "&") else ""
    type = " ".join(w for w in words if w not in ("const", "*"))
    return _Parameter(_WRITTEN.get(type, type), "*" in words, "const" in words, name)


@dataclass(frozen=True)
class Kernels:
    """Kernels in CUDA C. Made by `tl.cuda.kernel`, which says what they get."""

    source: str
    forward: str
    backward: str | None
    jvp: str | None
    threads: Callable[..., Any] | None
    numbers: Callable[..., Mapping[str, int | float]] | None

    def has(self, which: str) -> bool:
        """Whether there is a kernel for FORWARD, BACKWARD or JVP."""
        return getattr(self, which) is not None

    @property
    def functions(self) -> dict[str, tuple[bool, list[_Parameter]]]:
        """The kernels of the source by name: whether they are `extern "C"`, and their parameters."""
        return _kernels_of(self.source)

    def code_of(self, ins: Sequence[Spec], outs: Sequence[Spec], **call: Any) -> tuple[Family, Plan]:
        """The family and the launch of a call; see `Expressions.code_of`.

        Raises: OptionError where the kernel's parameters are not those of the call.
        """
        called = Called(**call)
        name = getattr(self, called.which)
        parameters = self.functions[name][1]
        types = [*_typed(outs), *_typed(ins)]
        arrays, rest = parameters[: len(types)], parameters[len(types) :]
        wanted = [_Parameter(t, True, k >= len(outs), "") for k, t in enumerate(types)]
        fits = len(arrays) == len(types) and not any(p.pointer for p in rest)
        for p, w in zip(arrays, wanted, strict=False):
            fits = fits and p.pointer and p.type == w.type and (w.constant or not p.constant)
        if not fits:
            raise OptionError(
                f"{called.name}: the CUDA function {name!r} must take {', '.join(map(str, wanted))}, then numbers; it takes "
                f"{', '.join(map(str, parameters)) or 'nothing'}"
            )
        known: dict[str, Any] = {"n": outs[0].size, **called.numbers}
        if self.numbers is not None:
            known |= self.numbers(*called.shapes, **called.options)
        arguments: list[Argument] = [*map(Out, range(len(outs))), *map(In, range(len(ins)))]
        arguments += [self._number(called.name, name, p, known) for p in rest]
        grid, block = self._grid(called, outs[0].size)
        text = f'{COMMON}\n#line 1 "{called.name}"\n{self.source}\n'
        return _family(called.name, text), Plan((Launch(name, tuple(arguments), grid, block),))

    @staticmethod
    def _number(op: str, function: str, parameter: _Parameter, known: Mapping[str, Any]) -> int | float:
        # The value of a parameter that is a number.
        if parameter.type not in ("i64", "float"):
            raise OptionError(f"{op}: numbers of the CUDA function {function!r} must be i64 (long long) or float, got {parameter}")
        value = known.get(parameter.name)
        if not isinstance(value, int | float) or (parameter.type == "i64" and int(value) != value):
            raise OptionError(
                f"{op}: {parameter} of the CUDA function {function!r} must be n, an option or in numbers=, which have "
                f"{', '.join(f'{k}={v!r}' for k, v in known.items())}"
            )
        return int(value) if parameter.type == "i64" else float(value)

    def _grid(self, called: Called, n: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        found = n if self.threads is None else self.threads(*called.shapes, **called.options)
        rows = (
            found if isinstance(found, tuple) and len(found) == 2 else (ceil_div(found, THREADS), THREADS) if isinstance(found, int) else ()
        )
        sides = [(*((side,) if isinstance(side, int) else side), 1, 1)[:3] for side in rows]
        if len(sides) != 2 or not all(isinstance(v, int) and v >= 0 for side in sides for v in side) or not 0 < size(sides[1]) <= 1024:
            raise OptionError(f"{called.name}: threads= must give a number of threads, or (blocks, threads of a block), got {found!r}")
        return sides[0], sides[1]


def kernel(
    source: str,
    forward: str,
    backward: str | None = None,
    jvp: str | None = None,
    threads: Callable[..., Any] | None = None,
    numbers: Callable[..., Mapping[str, int | float]] | None = None,
) -> Kernels:
    """CUDA C for a `tl.custom_op`, as kernels.

    A kernel gets addresses of what it makes, then of what it reads, then numbers, by the names of its parameters: `n`, the elements of the
    first array that it makes, options of the call, and those of `numbers`. Floats are `float`, int64 `i64` (`long long`), int32 `int`,
    Booleans `unsigned char`; `TL_EACH(i, n)` is a loop over this thread's elements. What it is asked to make it must write wholly.

    Args:
        source: the text. Kernels are `extern "C" __global__ void`.
        forward: the name of the kernel that makes the outputs of the inputs.
        backward: of the one that makes the cotangents of the float inputs, of the cotangents of the float outputs, the outputs, the inputs.
        jvp: of the one that makes the tangents of the float outputs, of the inputs and the tangents of the float inputs.
        threads: `threads(*input_shapes, **options)` gives the number of threads, or (blocks, threads of a block), each a number or up to
            three; by default there is a thread for each element of the first array that is made.
        numbers: `numbers(*input_shapes, **options)` gives further numbers by name.

    Raises: OptionError for a name that is no kernel of the source, or one that is not `extern "C"`.

    Example:
        >>> text = 'extern "C" __global__ void twice(float *y, const float *x, i64 n) { TL_EACH(i, n) y[i] = 2 * x[i]; }'
        >>> tl.cuda.kernel(text, "twice").forward
        'twice'
    """
    made = Kernels(source, forward, backward, jvp, threads, numbers)
    for name in (forward, backward, jvp):
        if name is not None and name not in made.functions:
            has = ", ".join(made.functions) or "none"
            raise OptionError(f"cuda.kernel: {name!r} must be a __global__ function of the source, which has {has}")
        if name is not None and not made.functions[name][0]:
            raise OptionError(f'cuda.kernel: {name!r} must be declared extern "C" __global__ void, got it without extern "C"')
    return made
