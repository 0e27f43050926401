"""`tl.export_c`: a program as one C file, which needs nothing but a compiler of C99."""

from __future__ import annotations

import os
import re
from typing import Any, Literal

import numpy as np

from tlean import arguments
from tlean.errors import OptionError
from tlean.files import as_path, replacing
from tlean.ops import Spec, all_ops
from tlean.programs.executable import signed_seed
from tlean.programs.recorder import name_of
from tlean.rng import op_seed

from ..program_file import SavedProgram

# Each declares what it writes.
from . import draws as _draws  # noqa: F401
from . import elements as _elements  # noqa: F401
from . import factors as _factors  # noqa: F401
from . import moves as _moves  # noqa: F401
from . import order as _order  # noqa: F401
from . import products as _products  # noqa: F401
from . import running as _running  # noqa: F401
from . import spectra as _spectra  # noqa: F401
from . import sums as _sums  # noqa: F401
from . import windows as _windows  # noqa: F401
from .bodies import write_program
from .loops import assigned
from .maths import PREAMBLE, functions
from .programs import Exported, Port, exported
from .steps import hyper_value
from .values import C_TYPES, Value, in_memory
from .writer import SMALL, Writer, check_written, prepared, written


def refused_ops() -> list[str]:
    """The names of the library's ops that have no C, nor parts that do."""
    return sorted(r.name for r in all_ops() if r.rules.decompose is None and not r.updates and not any(written(r, d) for d in C_TYPES))


_WHAT = ("value", "value_and_grad", "step")


class CProgram:
    """A program in C.

    Attributes:
        name: of the function; its structure is `<name>_state`.
        source, header: the text of the two files.
        inputs, outputs: its arguments in order: (name, what it is, `Spec`).
    """

    def __init__(self, name: str, source: str, header: str, inputs: list[Port], outputs: list[Port]) -> None:
        self.name, self.source, self.header = name, source, header
        self.inputs: tuple[tuple[str, str, Spec], ...] = tuple((p.name, p.what, p.spec) for p in inputs)
        self.outputs: tuple[tuple[str, str, Spec], ...] = tuple((p.name, p.what, p.spec) for p in outputs)

    def seeds(self, seed: int, call: int = 0) -> np.ndarray:
        """The seeds that `tl.jit(f, seed=seed)` takes at its call number `call`, as the argument `seeds` of a program with random ops.

        Raises: OptionError for a seed that is no int of 64 bits, or a call that is no int of at least 0.
        """
        seed, call = arguments.seed("seeds", seed), arguments.whole("seeds: call", call, 0)
        count = sum(spec.size for name, _, spec in self.inputs if name == "seeds")
        return np.array([signed_seed(op_seed(seed, call * count + k)) for k in range(count)], np.int64)

    def __repr__(self) -> str:
        return f"<C program {self.name}: {len(self.inputs)} inputs, {len(self.outputs)} outputs, {len(self.source)} characters>"


def export_c(
    f: Any,
    specs: Any = None,
    *,
    name: str | None = None,
    what: Literal["value", "value_and_grad", "step"] = "value",
    path: str | os.PathLike[str] | None = None,
    wrt: int | tuple[int, ...] | None = None,
    parameters: Literal["constants", "arguments"] = "constants",
    optimizer: Any = None,
    unroll: int = SMALL,
) -> CProgram:
    """A program as one C file and a header: its value, its value with gradients, or a step of training.

        tl.export_c(loss, (tl.Spec((8,)),), name="loss", what="value_and_grad", path="loss.c")

    The file is C99 and needs <math.h>, <stdint.h> and <string.h> alone. It allocates nothing: what a call needs is in a structure that its
    caller gives it, so calls with different structures may run at the same time.

    Args:
        f: a program, `f(*args)` or `f(ops, *args)`, or a model.
        specs: for each argument a `Spec`, a shape, an array, or a list, tuple or dict of Specs and arrays. What
            `tl.load_program` returns has its own.
        name: of the C function; by default that of f.
        what: "value", "value_and_grad" of a program that returns one float of shape `()`, or "step", which also moves the parameters.
        path: of the C file, which ends in `.c`; the header is beside it. By default nothing is written.
        wrt: the numbers of the arguments whose gradients are wanted; by default the parameters, where they are arguments, else every
            argument of floats.
        parameters: "constants", as they are now, or "arguments", which follow those of f. Those of a step are in its structure.
        optimizer: of a step: a `tl.optim.SGD`, `Adam` or `AdamW`, whose rates are constants.
        unroll: up to how many elements an array is variables, without a loop.

    Returns: the texts, with the arguments of the function.
    Raises: OptionError that lists every op for which there is no C, for other options than these; what a folder raises that
        is not there or cannot be written to;
        ShapeError for a gradient of what is no scalar; what the program's ops raise.

    Example:
        >>> c = tl.export_c(lambda x: tl.sum(x * x), tl.Spec((3,)), name="square", what="value_and_grad")
        >>> [name for name, what, spec in c.outputs]
        ['out0', 'grad_in0']
    """
    name = _identifier((f.title if isinstance(f, SavedProgram) else name_of(f)) if name is None else name, name is None)
    if what not in _WHAT:
        raise OptionError(f"export_c: what must be one of {', '.join(_WHAT)}, got {what!r}")
    if parameters not in ("constants", "arguments"):
        raise OptionError(f"export_c: parameters must be 'constants' or 'arguments', got {parameters!r}")
    if type(unroll) is not int or not 1 <= unroll <= 1024:
        raise OptionError(f"export_c: unroll must be an int from 1 to 1024, got {unroll!r}")
    if specs is None and isinstance(f, SavedProgram):
        specs = f.specs
    elif specs is None:
        raise OptionError("export_c: specs must say the shape of each argument, got None")
    program = exported(f, specs, what, wrt, parameters, optimizer)
    source, header = _texts(program, name, unroll)
    if path is not None:
        target = as_path("export_c: path", path)
        if target.suffix != ".c" or re.search(r'["\\\x00-\x1f]', target.stem):
            raise OptionError(f"export_c: the path must end in .c, and its name be one that #include takes, got {str(path)!r}")
        source = source.replace(f'#include "{name}.h"', f'#include "{target.stem}.h"')
        # Both are written before either takes its place.
        with replacing("export_c: the target", target) as code, replacing("export_c: the target", target.with_suffix(".h")) as beside:
            # A name that is no text of Unicode is in the file by its bytes.
            code.write_text(source, encoding="utf-8", errors="surrogateescape")
            beside.write_text(header, encoding="utf-8")
    return CProgram(name, source, header, program.inputs, program.outputs)


def _identifier(name: str, any_name: bool) -> str:
    if not isinstance(name, str):
        raise OptionError(f"export_c: name must be a text, got {type(name).__name__}")
    made = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") if any_name else name
    if any_name and (not made or made[0].isdigit() or _taken(made)):
        made = f"program_{made}".rstrip("_")
    if not re.fullmatch(r"[A-Za-z_]\w*", made, re.ASCII) or _taken(made):
        raise OptionError(f"export_c: name must be one that C takes for a function, got {name!r}")
    return made


def _taken(name: str) -> bool:
    # Whether C, C++, the headers that the file includes or the file itself has a name.
    return name in _RESERVED or _FAMILIES.match(name) is not None


_FAMILIES = re.compile(
    r"_[_A-Z]|(?i:tl)_|U?INT(\d|_)|FP_|HUGE_VAL|MATH_|M_[A-Z]|(mem|str|is|to)[a-z]+$|u?int\w*_t$|[bc]\d+$"
    r"|(S?CHAR|U?CHAR|U?SHRT|U?INT|U?LONG|U?LLONG|FLT|L?DBL|EXIT|RAND|SIG|LC)_[A-Z]"
)
_ELEMENTARY = """
    acos asin atan atan2 cos sin tan acosh asinh atanh cosh sinh tanh exp exp2 expm1 frexp ilogb ldexp log log10 log1p log2 logb
    modf scalbn scalbln cbrt fabs hypot pow sqrt erf erfc lgamma tgamma ceil floor nearbyint rint lrint llrint round lround
    llround trunc fmod remainder remquo copysign nan nextafter nexttoward fdim fmax fmin fma j0 j1 jn y0 y1 yn gamma drem
    significand sincos exp10 pow10 scalb"""

#: The words of C and C++, what their headers define, and the names that the file has itself.
_RESERVED = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline int long register restrict
    return short signed sizeof static struct switch typedef union unsigned void volatile while main step alignas alignof and
    and_eq asm bitand bitor bool catch char8_t char16_t char32_t class compl concept consteval constexpr constinit const_cast
    co_await co_return co_yield decltype delete dynamic_cast explicit export false friend mutable namespace new noexcept not
    not_eq nullptr operator or or_eq private protected public reinterpret_cast requires static_assert static_cast template this
    thread_local throw true try typeid typename using virtual wchar_t xor xor_eq linux unix NAN INFINITY NULL EOF errno assert
    offsetof size_t ssize_t ptrdiff_t float_t double_t fpclassify isfinite signbit math_errhandling signgam abs labs llabs div
    ldiv abort exit atexit malloc calloc realloc free printf fprintf sprintf snprintf scanf puts putchar getchar fopen fclose
    fread fwrite fflush fgets fputs fgetc fputc getc putc ungetc gets perror remove rename rewind fseek ftell tmpfile tmpnam setbuf
    setvbuf feof ferror clearerr stdin stdout stderr BUFSIZ atof atoi atol atoll raise sleep pause link unlink environ time clock
    rand srand random qsort bsearch system getenv read write open close select signal index rindex bcmp
    bcopy bzero""".split()  # noqa: SIM905
    + [f"{name}{kind}" for name in _ELEMENTARY.split() for kind in ("", "f", "l")]
)


def _texts(program: Exported, name: str, unroll: int) -> tuple[str, str]:
    # The file and its header.
    graph = prepared(program.graph)
    check_written(graph)
    writer = Writer(unroll)
    given = [in_memory(p.spec.dtype, p.spec.size, p.name) for p in program.inputs if p.name != "seeds"]
    seeds = [Value("int64", 1, (f"seeds[{k}]",)) for k in range(len(program.seeds))]
    states = [in_memory(s.spec.dtype, s.spec.size, f"s->{s.name}") for s in program.states]
    if program.updates:
        writer.add("const double step = (double)(s->step + 1);")
    hypers = [hyper_value(numbers, at, "step") for numbers, at in program.updates]
    made = write_program(writer, graph, [*given, *states, *hypers, *seeds])
    outs = [in_memory(p.spec.dtype, p.spec.size, p.name) for p in program.outputs]
    assigned(writer, [*outs, *states], made)
    writer.add(*(["s->step += 1;"] if program.updates else []), "return 0;")
    begins = _beginning(program, writer, name)
    body = writer.text()
    helpers = "\n".join(writer.helpers.values())
    maths = functions(helpers + body)
    parts = [
        f'/* {name}: written by tlean. Compile it with -ffp-contract=off. */\n#include "{name}.h"\n{PREAMBLE}',
        *(part for part in (maths, helpers, _tables(writer.constants, body)) if part),
        f"{_signature(program, name)} {{\n    {_unread(program)}\n{body}\n}}\n",
        f"unsigned long {name}_size(void) {{ return (unsigned long)sizeof({name}_state); }}\n",
        *begins,
    ]
    return "\n".join(parts), _header(program, writer, name)


def _tables(constants: dict[str, str], body: str) -> str:
    # The constant arrays that are read.
    return "\n".join(text for name, text in constants.items() if re.search(rf"\b{name}\b", body))


def _beginning(program: Exported, writer: Writer, name: str) -> list[str]:
    # The function that sets the state.
    if not program.states:
        return []
    beginning = Writer(0, "b")
    for state in program.states:
        flat = state.begins.numpy().reshape(-1)
        target = in_memory(state.spec.dtype, state.spec.size, f"s->{state.name}")
        if not flat.any():
            beginning.add(f"memset({target.array}, 0, sizeof {target.array});")
        elif flat.size:
            beginning.copy(target, beginning.constant(state.begins))
    beginning.add("s->step = 0;")
    lines = "\n".join(beginning.lines)
    return ["\n".join(beginning.constants.values()), f"void {name}_init({name}_state *s) {{\n{lines}\n}}\n"]


def _signature(program: Exported, name: str) -> str:
    args = [f"const {C_TYPES[p.spec.dtype]} *restrict {p.name}" for p in program.inputs]
    args += [f"{C_TYPES[p.spec.dtype]} *restrict {p.name}" for p in program.outputs]
    return f"int {name}({', '.join([*args, f'{name}_state *restrict s'])})"


def _unread(program: Exported) -> str:
    # Compilers warn of arguments that are not read.
    empty = [p for p in program.outputs if not p.spec.size]
    return " ".join(f"(void){name};" for name in (*(p.name for p in (*program.inputs, *empty)), "s"))


def _header(program: Exported, writer: Writer, name: str) -> str:
    guard = f"TLEAN_EXPORTED_{name}_H"
    members = [
        f"{C_TYPES[s.spec.dtype]} {s.name}[{max(s.spec.size, 1)}]; /* {_comment(s.what)}, {_shape(s.spec)} */" for s in program.states
    ]
    members += ["int64_t step;"] if program.states else []
    members += writer.members or ([] if members else ["char unused;"])
    lines = "\n".join(f"    {m}" for m in members)
    ports = "\n".join(f" *   {p.name:12}{_comment(p.what)}, {_shape(p.spec)} {p.spec.dtype}" for p in (*program.inputs, *program.outputs))
    init = f"\n/* What the state begins with. */\nvoid {name}_init({name}_state *s);\n" if program.states else ""
    kept = "State and scratch memory of calls" if program.states else "Scratch memory of a call; nothing is kept in it from call to call"
    prototype = _signature(program, name).replace("*restrict ", "*")
    return f"""\
/* Written by tlean. */
#ifndef {guard}
#define {guard}
#include <stdint.h>
#ifdef __cplusplus
extern "C" {{
#endif

/* {kept}. Calls at the same time need one each. */
typedef struct {{
{lines}
}} {name}_state;
{init}
/* Returns 0, 1 for an index out of range, 2 for a matrix that cannot be factored. Arrays lie in row-major order and do not overlap.
 *
{ports}
 */
{prototype};

/* The bytes of the structure. */
unsigned long {name}_size(void);

#ifdef __cplusplus
}}
#endif
#endif
"""


def _comment(text: str) -> str:
    # A text of the program's in a comment: names of parameters may be anything.
    return re.sub(r"[\x00-\x1f\x7f\u2028\u2029]", " ", text).replace("*/", "* /").replace("/*", "/ *")


def _shape(spec: Spec) -> str:
    return "a number" if spec.shape == () else " x ".join(map(str, spec.shape))
