"""What an op is: one record, looked up by name, that every backend, test and table is made from.

A record is declared by decorating a class of plain functions (no `self`)::

    @defop("matmul", samples=matmul_samples)
    class Matmul:
        def shape(a, b, *, transpose_a, transpose_b): ...                  # input shapes -> output shape, or raise ShapeError
        def kernel_params(a, b, *, transpose_a, transpose_b): ...                # what its kernel needs to know: (ints, floats)
        def vjp(ops, g, y, a, b, *, transpose_a, transpose_b): ...         # one cotangent per input, None = no gradient
        def jvp(ops, t, y, a, b, *, transpose_a, transpose_b): ...         # tangent of y; t has one tangent per input, None = zero

The positional parameters of `shape` are the op's inputs, the keyword-only ones its options. Rules call nothing but `ops`, so they run on
every backend, and derivatives of derivatives need nothing more. This module knows no device, no interpreter and no array library.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from ..arguments import each, is_reference, no_references, numbers_of_call, parameters
from ..caching import Cache
from ..dtypes import ANY, FLOAT, INTEGERS, Dtypes, IntegerForm, dtypes_of, holds_integers, integer_dtypes, lists_integers
from ..errors import DTypeError, NodeError, OptionError, ShapeError, TleanError, complete, describe
from ..shapes import Spec, as_spec

#: More elements no memory holds; sums of sizes of so many stay within the integers that kernels count with.
_MOST_ELEMENTS = 1 << 48
HOST_KERNEL = "host"  #: The kernel of every op that runs a Python function.


@dataclass(frozen=True, eq=False)
class OpDef:
    """The record of one op. Made by `defop`; never changed afterwards."""

    name: str
    inputs: tuple[str, ...]
    options_names: tuple[str, ...]
    rules: Any
    variadic: bool = False
    optional: frozenset[str] = frozenset()
    #: The kinds of the inputs that are not "float" (`tlean.dtypes`).
    dtypes: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("y",)
    residuals: tuple[str, ...] = ()
    out_dtype: str = FLOAT
    #: How it computes with integers alone; None for an op that then computes in floats, or that takes none.
    integers: IntegerForm | None = None
    kernel: str = ""
    view: bool = False
    random: bool = False
    updates: bool = False
    effects: bool = False  #: Whether a call does something beside its value, so that it runs though nothing reads that.
    broadcasts: bool = False  #: Whether its inputs may have shapes that broadcast to the output's.
    host: Callable[..., None] | None = None  #: In place of a kernel a Python function, `host(outs, ins, options)`, fills the outputs.
    cuda: Callable[..., Any] | None = None  #: Beside it `cuda(ins, outs)`: a family of kernels of a device, and their launches.
    loop: Any = None  #: The bodies of a loop (`tlean.compiler.loops`).
    aliases: tuple[str, ...] = ()
    samples: Callable[[], list[Any]] | None = None
    source: str = ""
    algebraic: bool = True
    differentiable: bool = True
    flops: Callable[..., float] | None = None
    #: What was derived from a record that is not registered (plans, rules, calls into Python): it is freed with the record.
    memo: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)
    _dtypes: dict[Any, Dtypes] = field(default_factory=dict, init=False, repr=False)  #: Of calls, by the dtypes of their operands.
    spreads: bool = field(default=False, init=False, repr=False)  #: Whether it repeats its input along axes; of a number it makes an array.

    @property
    def registered(self) -> bool:
        """Whether the op is found by its name; programs recorded elsewhere and `custom_op`s are not."""
        return _OPS.get(self.name) is self

    def kept(self, what: str, shared: Cache) -> Cache:
        """A cache of things derived from the record: `shared` for a registered op, else one that is freed with the record."""
        return shared if self.registered else self.memo.get(what) or self.memo.setdefault(what, Cache(shared.most))

    #: The inputs of integer or Boolean dtype; they never have a gradient.
    integer: frozenset[str] = field(default=frozenset(), init=False)
    #: The inputs that may be integers alone (`IntegerForm`), and so have a part in which dtype the op computes in.
    numbers: frozenset[str] = field(default=frozenset(), init=False)
    #: The inputs whose arrays and numbers are integers where all of them are: `numbers`, or what is moved.
    alike: frozenset[str] = field(default=frozenset(), init=False)

    @property
    def whole_inputs(self) -> frozenset[str]:
        """The inputs that take no floats."""
        return self.integer | self.numbers if self.integers is not None and self.integers.only else self.integer

    def __post_init__(self) -> None:
        if self.integers is not None:
            object.__setattr__(self, "numbers", frozenset(self.inputs) - set(self.dtypes) - set(self.integers.others))
        object.__setattr__(self, "alike", self.numbers or frozenset(n for n, kind in self.dtypes.items() if kind == ANY))
        object.__setattr__(self, "spreads", self.name == "broadcast_to")
        object.__setattr__(self, "integer", frozenset(n for n, dtype in self.dtypes.items() if dtype in INTEGERS))
        if self.host is not None:
            # No kernel runs, whatever record this was made from; passes know instructions by their kernel.
            object.__setattr__(self, "kernel", HOST_KERNEL)

    @property
    def internal(self) -> bool:
        """Whether the op exists for rules only (its name starts with an underscore) and is on no public interface."""
        return self.name.startswith("_")

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.rules) or ""

    @property
    def defaults(self) -> dict[str, Any]:
        """The options that may be left out, with what they are then: the defaults of the rule `options`, or else of `shape`."""
        parameters = inspect.signature(self.rules.options or self.rules.shape).parameters
        return {n: p.default for n, p in parameters.items() if n in self.options_names and p.default is not p.empty}

    def stretches(self, specs: Sequence[Spec | None], out: Spec, options: dict[str, Any]) -> bool:
        """Whether a call with these inputs stretches one to the output's shape; kernels of integers read it where it is."""
        unequal = self.broadcasts and any(s is not None and s.shape != out.shape for s in specs)
        return unequal and not self.whole(specs, options)

    def whole(self, specs: Sequence[Spec | None], options: dict[str, Any]) -> bool:
        """Whether a call computes with integers alone."""
        return self.integers is not None and self.dtypes_at(specs, options).whole

    def require_equal_shapes(self, specs: Sequence[Spec | None]) -> None:
        """Refuse a call that stretches an input. Raises: ShapeError."""
        shapes = [s.shape for s in specs if s is not None]
        if self.broadcasts and any(s != shapes[0] for s in shapes):
            names = " and ".join(self.input_names(len(specs)))
            error = ShapeError(f"{names} must have the same shape (broadcast_to stretches one explicitly)")
            raise complete(error, self.name.lstrip("_"), self.describe_arguments(tuple(specs)), {})

    def rule(self, which: str) -> Callable[..., Any] | None:
        """The rule of that name (`vjp`, `jvp`, `decompose`, …), or None."""
        return getattr(self.rules, which, None)

    def infer(self, specs: tuple[Spec | None, ...], options: dict[str, Any], dtype: str = FLOAT) -> tuple[dict[str, Any], list[Spec]]:
        """Check a call and say what it makes: the options in canonical form, and the specs of outputs, then residuals.

        Args:
            specs: of the operands, None for an absent one.
            options: as the caller wrote them.
            dtype: the program's float dtype.

        Raises: ShapeError, OptionError, DTypeError, IndexRangeError, completed with the op's name and its arguments.
        """
        shapes = tuple(None if s is None else s.shape for s in specs)
        try:
            self._check_inputs(specs)
            options = {k: v if type(v) in _PLAIN_TYPES else _plain_option(v) for k, v in options.items()}
            _check_numbers(options.values())
            canonical = self.rules.options
            clean = canonical(*shapes, **options) if canonical else options
            if clean.get("dtype", FLOAT) is None:
                clean["dtype"] = dtype
            dtypes = self.dtypes_at(specs, clean, dtype)
            if self.integers is not None:
                clean = self.integers.numbers(clean, dtypes)
            out = self.rules.shape(*shapes, **clean)
            outs = [as_spec(o, dtypes.result).resolved(dtypes.own) for o in (out if len(self.outputs) > 1 else [out])]
            if self.residuals:
                rest = self.rules.residual_specs(*shapes, **clean)
                outs += [as_spec(o, FLOAT).resolved(dtypes.own) for o in rest]
            for o in outs:
                if o.size > _MOST_ELEMENTS:
                    raise ShapeError(f"a result must have at most 2^48 elements, not {o.size}")
            return clean, outs
        except TleanError as error:
            raise complete(error, self.name.lstrip("_"), self.describe_arguments(specs), options) from None
        except (TypeError, ValueError, OverflowError, NotImplementedError) as error:
            # A rule met an option that it cannot count or iterate with. The last is what a memoryview of several axes raises.
            reason = OptionError(f"an option is of another kind than the op takes ({error})")
            raise complete(reason, self.name.lstrip("_"), self.describe_arguments(specs), options) from error

    def dtypes_at(self, specs: Iterable[Spec | None], options: dict[str, Any], dtype: str = FLOAT) -> Dtypes:
        """The dtypes of a call (`tlean.dtypes`) in programs of that float dtype; its options are in canonical form. Raises: DTypeError."""
        # What makes an array of no float operand says itself of which dtype.
        made = options.get("dtype", FLOAT)
        form = self.integers
        exact = form is not None and form.exact(options)
        key = tuple([None if s is None else s.dtype for s in specs]), dtype if made == FLOAT else made, exact
        known = self._dtypes.get(key)
        if known is None:
            names = self.input_names(len(key[0]))
            kinds = [self.dtypes.get(n) or self.dtypes.get(n.partition("[")[0], FLOAT) for n in names]
            known = integer_dtypes(form, names, kinds, *key) if form is not None else None
            known = self._dtypes[key] = known or dtypes_of(names, kinds, self.out_dtype, *key[:2])
        return known

    def _check_inputs(self, specs: tuple[Spec | None, ...]) -> None:
        if not self.variadic and len(specs) != len(self.inputs):
            raise ShapeError(f"takes {len(self.inputs)} inputs ({', '.join(self.inputs)})")
        for name, spec in zip(self.input_names(len(specs)), specs, strict=True):
            if spec is None and name not in self.optional:
                raise ShapeError(f"{name} is required")

    def input_names(self, count: int) -> tuple[str, ...]:
        """The inputs' names for a call with `count` of them (`xs[0]`, `xs[1]`, … for a variadic op)."""
        if self.variadic:
            return tuple(f"{self.inputs[0]}[{i}]" for i in range(count))
        return self.inputs

    def describe_arguments(self, specs: tuple[Spec | None, ...]) -> list[str]:
        """The arguments as error messages show them."""
        names = self.input_names(len(specs)) if self.variadic or len(specs) == len(self.inputs) else map(str, range(len(specs)))
        return [
            f"{n}: None" if s is None else describe(n, s.shape, None if s.dtype == FLOAT else s.dtype)
            for n, s in zip(names, specs, strict=True)
        ]

    def kernel_params(self, specs: tuple[Spec | None, ...], options: dict[str, Any]) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """What a kernel needs to know of this call, on any device: integers and floats. By default the size of the first input."""
        rule = self.rules.kernel_params
        shapes = tuple(None if s is None else s.shape for s in specs)
        if self.integers is not None and self.integers.kernel_params is not None and self.whole(specs, options):
            return self.integers.kernel_params(shapes, options), ()
        if rule is None:
            first = next((s for s in specs if s is not None), None)
            return (first.size if first else 1,), ()
        return numbers_of_call(self.name, rule(*shapes, **options))

    def __call__(self, *inputs: Any, name: str | None = None, **options: Any) -> Any:
        """Apply the op to references of any backend: `y = my_op(x, w, c=2.0)`; optional inputs at the end may be left out.

        Raises: NodeError unless one of the inputs is a reference, besides what the op raises.
        """
        ops = next((x.ops for x in inputs if hasattr(x, "ops")), None)
        if ops is None:
            raise NodeError(
                f"{self.name}: takes references, got {', '.join(type(x).__name__ for x in inputs) or 'nothing'}; see tl.jit for arrays"
            )
        missing = 0 if self.variadic else len(self.inputs) - len(inputs)
        return ops.apply(self, (*inputs, *[None] * missing), options, name)

    def __repr__(self) -> str:
        return f"<op {self.name}({', '.join(self.inputs)}{', *, ' + ', '.join(self.options_names) if self.options_names else ''})>"


_PLAIN_TYPES = frozenset((int, float, bool, str, type(None)))


def _plain_option(value: Any) -> Any:
    if type(value) in (tuple, list):
        return value if all(type(v) in _PLAIN_TYPES for v in value) else type(value)(_plain_option(v) for v in value)
    if hasattr(value, "ops"):
        # Its number would be a constant of the program, without a gradient.
        raise OptionError("an option is a plain number, no reference")
    # NumPy's scalars are the numbers that they are.
    if type(value).__module__ == "numpy" and hasattr(value, "item") and not hasattr(value, "__setitem__"):
        return value.item()
    # Of an array's dtype the name alone: as that array has it, float64 is equal to "float", which is the program's.
    return str(value) if isinstance(value, str) else value


def _check_numbers(values: Iterable[Any]) -> None:
    # Kernels take integers of 64 bits.
    for v in values:
        if isinstance(v, int) and not -(1 << 63) <= v < 1 << 63:
            raise OptionError(f"an integer fits 64 bits, not {v}")
        if isinstance(v, list | tuple):
            _check_numbers(v)


_OPS: dict[str, OpDef] = {}
_ALIASES: dict[str, str] = {}
_COMPOSITES: dict[str, Callable[..., Any]] = {}
_RULES = ("shape", "options", "kernel_params", "vjp", "jvp", "decompose", "of_integers", "in_parts", "residual_specs", "flops", "batch")


def defop(
    name: str,
    *,
    samples: Callable[[], list[Any]] | None = None,
    source: str = "",
    optional: tuple[str, ...] = (),
    dtypes: Mapping[str, str] | None = None,
    outputs: tuple[str, ...] = ("y",),
    residuals: tuple[str, ...] = (),
    out_dtype: str = FLOAT,
    integers: IntegerForm | None = None,
    kernel: str | Callable[..., None] | None = None,
    view: bool = False,
    random: bool = False,
    updates: bool = False,
    broadcasts: bool = False,
    aliases: tuple[str, ...] = (),
    algebraic: bool = True,
    differentiable: bool = True,
) -> Callable[[type[Any] | Rules], OpDef]:
    """Declare an op: decorate a class of rules (see the module's text) and get its `OpDef`, which is called with references of any backend.

    Args:
        name: the op's name on every backend; a leading underscore marks an op that only rules call.
        samples, source: a function that returns the `Sample`s (good and bad) that the tests run; paper and equation, where there is one.
        optional: inputs that may be None.
        dtypes: the kinds of the inputs that are not "float" (see `tlean.dtypes`), such as `{"mask": "bool"}`.
        outputs: names of the outputs; more than one only for internal ops (`shape` then returns a list).
        residuals: further outputs that only the op's own `vjp` sees, by keyword; the rule `residual_specs` gives their shapes.
        out_dtype: the kind of the output where it is not "float".
        integers: how the op computes with integers alone, where that is in integers.
        kernel: the kernel's name, where it is not the op's; or a Python function on arrays in place of one (`OpDef.host`).
        view: the output is the first input's memory under another shape; no kernel runs.
        random: an input named `seed` may be None; the backend then draws the next seed of its stream.
        broadcasts: inputs of other shapes than the output's are stretched to it, by NumPy's rule.
        updates: every output may take the memory of the input at the same place (an optimiser's step in place).
        aliases: further names of the op.
        algebraic, differentiable: whether it can be computed in exact rational arithmetic; whether any gradient is not None by definition.

    Raises: OptionError if the name is taken.
    """

    def register(cls: type[Any] | Rules) -> OpDef:
        if name in _OPS or name in _ALIASES or name in _COMPOSITES:
            raise OptionError(f"defop: the name {name!r} is taken")
        # getattr on the class gives the plain functions (no instance is ever made), inherited ones included.
        rules: Any = cls if isinstance(cls, Rules) else Rules(cls.__doc__, **{r: getattr(cls, r, None) for r in _RULES})
        if rules.shape is None:
            raise OptionError(f"defop: {name} has no rule `shape`")
        inputs, options_names, variadic = parameters(rules.shape)
        _OPS[name] = op = OpDef(
            name=name,
            inputs=inputs,
            options_names=options_names,
            rules=rules,
            variadic=variadic,
            optional=frozenset(optional),
            dtypes=dtypes or {},
            outputs=outputs,
            residuals=residuals,
            out_dtype=out_dtype,
            integers=integers,
            kernel=kernel if isinstance(kernel, str) else name,
            view=view,
            random=random,
            updates=updates,
            effects=getattr(cls, "effects", False),
            broadcasts=broadcasts,
            aliases=aliases,
            samples=samples,
            source=source,
            algebraic=algebraic,
            differentiable=differentiable,
            flops=rules.flops,
            host=kernel if callable(kernel) else None,
        )
        _ALIASES.update(dict.fromkeys(aliases, name))
        return op

    return register


class Rules:
    # The rules of one op, each a plain function or None. A comment, since __doc__ is a slot: the op's own text.
    __slots__ = ("__doc__", *_RULES)

    def __init__(self, doc: str | None, **rules: Callable[..., Any] | None) -> None:
        self.__doc__ = doc
        for key in _RULES:
            setattr(self, key, rules.get(key))


def composite(function: Callable[..., Any]) -> Callable[..., Any]:
    """Declare an op that other ops make up: `function(ops, …)`; every backend gets it as a method."""
    name = function.__name__
    if name in _OPS or name in _COMPOSITES:
        raise OptionError(f"composite: the name {name!r} is taken")
    code = inspect.unwrap(function).__code__
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except TleanError as error:
            inner = str(error).removeprefix(f"{name}: ")
            # What follows the composite's name may be an argument's, which is some op's name as well.
            message = f"{name}: {inner}" if inner.partition(": ")[0] in arguments else _named(inner, name)
            error.args = (message, *error.args[1:])
            raise

    _COMPOSITES[name] = run
    return run


def _named(message: str, name: str) -> str:
    # The message of an op inside a composite, as the composite's own.
    op, colon, rest = message.partition(": ")
    while colon and (op in _OPS or f"_{op.lstrip('_')}" in _OPS or op in _ALIASES or op in _COMPOSITES):
        message = rest
        op, colon, rest = message.partition(": ")
        colon = colon if op.startswith("_") else ""
    return f"{name}: {message}"


def several(op: str, xs: Any) -> tuple[Any, ...]:
    """The arguments of an op that takes a sequence of arrays. Raises: ShapeError for what is no sequence."""
    return tuple(each(op, "arrays", xs, ShapeError))


def whole(name: str, value: Any) -> int:
    """An option as an int. Raises: OptionError."""
    try:
        return operator.index(value)
    except TypeError:
        raise OptionError(f"{name} must be an int, not {value!r}") from None


def array(ops: Any, x: Any, needed: str = "") -> Any:
    """An argument of a composite as something with a shape and a dtype: nested lists of numbers become a leaf, integers constants.

    Raises: ShapeError for None where the argument is needed, under this name; DTypeError, NodeError, ShapeError for what is no array.
    """
    if x is None and needed:
        raise ShapeError(f"{needed} is required, got None")
    if x is None or is_reference(x):
        return x
    try:
        if isinstance(getattr(x, "shape", None), tuple) and hasattr(x, "dtype"):
            return ops._own_constant(x) if holds_integers(x) else x
        return ops._own_constant(x) if lists_integers(x) else ops.leaf(no_references(x))
    except (DTypeError, NodeError, ShapeError) as error:
        raise type(error)(f"{needed}: {error}" if needed else str(error)) from None


# Shorthands: rules that several ops share ------------------------------------------------------------------------------


def no_gradient(ops: Any, g: Any, y: Any, *inputs: Any, **options: Any) -> tuple[None, ...]:
    """The `vjp` of an op that is constant almost everywhere or has integer outputs."""
    return (None,) * len(inputs)


def no_tangent(ops: Any, t: Any, y: Any, *inputs: Any, **options: Any) -> None:
    """The `jvp` of an op that is constant almost everywhere or has integer outputs."""


def linear_jvp(name: str, arg: int = 0) -> Callable[..., Any]:
    """The `jvp` of an op that is linear in input `arg` and, almost everywhere, constant in every other: the op, applied to the tangent."""

    def jvp(ops: Any, t: Any, y: Any, *inputs: Any, **options: Any) -> Any:
        if t[arg] is None:
            return None
        return ops.apply(name, (*inputs[:arg], t[arg], *inputs[arg + 1 :]), options)

    return jvp


def multilinear_jvp(name: str, factors: tuple[int, ...], addend: int | None = None, spread: Callable[..., Any] | None = None) -> Any:
    """The `jvp` of an op that is linear in each of `factors` when the others are held, plus an optional linear `addend` (a bias).

    By the product rule the tangent is the sum over the factors of the op with that factor replaced by its tangent and without the
    addend, plus the addend's own tangent spread over the output: `spread(ops, tangent, output_shape, *inputs)`.
    """

    def jvp(ops: Any, t: Any, y: Any, *inputs: Any, **options: Any) -> Any:
        terms = []
        for k in factors:
            if t[k] is not None:
                args = [None if i == addend else t[k] if i == k else x for i, x in enumerate(inputs)]
                terms.append(ops.apply(name, tuple(args), options))
        if addend is not None and t[addend] is not None and spread is not None:
            terms.append(spread(ops, t[addend], y.shape, *inputs))
        total = None
        for term in terms:
            total = term if total is None else ops.add(total, term)
        return total

    return jvp


# Look-ups ---------------------------------------------------------------------------------------------------------------


def get(name: str | OpDef) -> OpDef:
    """The op of that name or alias (a record is returned as it is). Raises: OptionError if there is none."""
    if isinstance(name, OpDef):
        return name
    op = (_OPS.get(name) or _OPS.get(_ALIASES.get(name, ""))) if isinstance(name, str) else None
    if op is None:
        raise OptionError(f"there is no op named {name!r}")
    return op


def all_ops(internal: bool = True) -> Iterator[OpDef]:
    """Every op, in the order of declaration."""
    return (op for op in list(_OPS.values()) if internal or not op.internal)


def aliases() -> dict[str, str]:
    """Alias -> name."""
    return dict(_ALIASES)


def composites() -> dict[str, Callable[..., Any]]:
    """Name -> function, for the ops that other ops make up."""
    return dict(_COMPOSITES)
