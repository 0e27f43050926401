"""The ways to run a graph: each gives the outputs, the loss and the gradients as NumPy arrays."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tlean as tl
from tlean.ops.registry import all_ops

from .program import Program, as_function, loss_of, run


class FindingError(Exception):
    """Something that is wrong with the library.

    Attributes:
        check: the name of what does not hold; shrinking keeps it.
    """

    def __init__(self, check: str, text: str) -> None:
        super().__init__(f"{check}: {text}")
        self.check, self.text = check, text

    def __reduce__(self) -> Any:
        return type(self), (self.check, self.text)


# Where a child process says what it is at, for the parent to read when the child is gone.
_stage: Any = None


def watch(memory: Any) -> None:
    """Say what runs in this shared memory from now on."""
    global _stage
    _stage = memory


def note(what: str) -> None:
    """Say what runs now."""
    if _stage is not None:
        _stage[:] = what.encode()[: len(_stage)].ljust(len(_stage))


@dataclass
class Result:
    """What a run gave; `grads` by the inputs' keys, None where there is no gradient."""

    values: list[np.ndarray]
    loss: np.ndarray | None = None
    grads: dict[int, np.ndarray | None] = field(default_factory=dict)


def seeded(make: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Make a face whose random stream is that of seed 0, as the session's is; where it takes no seed it has that stream anyway."""
    return make(*args, **options, seed=0) if "seed" in inspect.signature(make).parameters else make(*args, **options)


def plain(x: Any) -> np.ndarray:
    """A copy of a value of any face as a NumPy array."""
    return np.array(x.numpy() if hasattr(x, "numpy") else x)


def session_of(program: Program, **options: Any) -> Any:
    return tl.Session(tl.Options(**{"dtype": program.dtype, "seed": 0, **options}))


def enter(program: Program, ops: Any, arrays: list[np.ndarray]) -> dict[int, Any]:
    """The arguments as leaves; integers as they are."""
    refs: dict[int, Any] = {}
    for i, a in zip(program.arguments, arrays, strict=True):
        if not i.is_float:
            refs[i.key] = a
        elif isinstance(ops, tl.Session):
            refs[i.key] = ops.input(a, requires_grad=i.grad)
        else:
            refs[i.key] = ops.leaf(a, requires_grad=i.grad)
    return refs


def eager(program: Program, arrays: list[np.ndarray] | None = None, ops: Any = None, backward: bool = True) -> Result:
    """On a tape, op by op: a session (the default) or a `TapeM`."""
    ops = session_of(program) if ops is None else ops
    refs = enter(program, ops, program.arrays() if arrays is None else arrays)
    outs = run(program, ops, refs)
    result = Result([plain(y) for y in outs])
    loss = loss_of(program, ops, outs) if backward else None
    if loss is not None:
        result.loss = plain(loss)
        found = ops.backward_scalar(loss)
        for i in program.arguments:
            g = found.get(refs[i.key].id) if i.is_float and i.grad else None
            result.grads[i.key] = None if g is None else plain(g)
    return result


def eager_pull(program: Program, seed: np.ndarray) -> dict[int, np.ndarray]:
    """The cotangents of the arguments that take one, for one of the only output."""
    s = session_of(program)
    refs = enter(program, s, program.arrays())
    (y,) = run(program, s, refs)
    found = s.backward_dense_all(y, seed)
    return {i.key: plain(found[refs[i.key].id]) for i in program.arguments if i.is_float and i.grad}


class _Ref:
    # A node of an explicit tape as a reference.
    def __init__(self, tape: Any, id: int) -> None:
        value = tape.get_value(id)
        self.id, self.shape, self.dtype, self.value = id, value.shape, value.dtype, value

    def numpy(self) -> np.ndarray:
        return self.value.numpy()


#: Ops whose inputs broadcast.
BROADCAST = frozenset(r.name for r in all_ops() if r.broadcasts)


@functools.cache
def record_of(op: str) -> Any:
    """The record of that name; None for what has none."""
    return next((r for r in all_ops() if r.name == op), None)


@functools.cache
def _whole_inputs(op: str) -> frozenset[str]:
    # The names of an op's integer inputs.
    found = {r.name: r for r in all_ops()}.get(op)
    return frozenset() if found is None else frozenset(found.integer)


class Explicit:
    """An explicit `Tape` as a face: it is threaded through, and now and then an old one is continued another way."""

    def __init__(self, dtype: str) -> None:
        self.tape = seeded(tl.Tape, dtype=dtype)
        self.count = 0

    def leaf(self, value: Any, requires_grad: bool = True) -> _Ref:
        self.tape, i = self.tape.leaf(value, requires_grad=requires_grad)
        return _Ref(self.tape, i)

    def const(self, value: Any) -> _Ref:
        self.tape, i = self.tape.const(value)
        return _Ref(self.tape, i)

    def backward_scalar(self, loss: _Ref) -> dict[int, Any]:
        return self.tape.backward_scalar(loss.id)

    def _of_one_shape(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        # An explicit tape stretches nothing by itself.
        shapes = [tuple(a.shape) for a in options.values() if isinstance(a, _Ref)]
        if name not in BROADCAST or len(set(shapes)) <= 1:
            return options
        whole = np.broadcast_shapes(*shapes)
        result = dict(options)
        for key, a in options.items():
            if isinstance(a, _Ref) and tuple(a.shape) != whole:
                self.tape, i = self.tape.broadcast_to(a.id, whole)
                result[key] = _Ref(self.tape, i)
        return result

    def __getattr__(self, name: str) -> Any:
        if not hasattr(self.tape, name):
            raise AttributeError(name)

        def method(*args: Any, **options: Any) -> Any:
            def given(x: Any) -> Any:
                return [given(k) for k in x] if isinstance(x, list) else x.id if isinstance(x, _Ref) else x

            # A tape's ids are plain ints: where an op takes integers an int is the number itself, and what an op made goes in by its value.
            whole = _whole_inputs(name)
            options = {k: v.value if k in whole and isinstance(v, _Ref) else v for k, v in options.items()}
            options = self._of_one_shape(name, options)
            before = self.tape
            after, made = getattr(before, name)(*map(given, args), **{k: given(v) for k, v in options.items()})
            self.count += 1
            if self.count % 5 == 0 and before.size:
                before.const(1.0)  # a fork, which is never read
            self.tape = after
            return tuple(_Ref(after, i) for i in made) if isinstance(made, tuple) else _Ref(after, made)

        return method


class Compiled:
    """A graph compiled for its outputs and for its loss, kept for further calls."""

    def __init__(self, program: Program) -> None:
        self.program = program
        specs = [i.spec() for i in program.arguments]
        self.out = seeded(tl.compile_out, as_function(program), specs, program.dtype)
        self._specs = specs
        self._scalar: Any = None

    def forward(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        return [plain(y) for y in self.out.forward(*arrays)]

    def gradients(self, arrays: list[np.ndarray], fresh: bool = False) -> Result:
        """The loss and its gradients; `fresh` compiles again, so that the random stream begins again."""
        if self._scalar is None or fresh:
            self._scalar = seeded(tl.compile_scalar, as_function(self.program, "loss"), self._specs, self.program.dtype)
        value, grads = self._scalar.value_and_grad(*arrays)
        keys = [i.key for i in self.program.arguments]
        return Result([], plain(value), {k: None if g is None else plain(g) for k, g in zip(keys, grads, strict=True)})
