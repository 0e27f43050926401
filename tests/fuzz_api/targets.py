"""What can be called: every public function, class and method, found by looking."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import tlean as tl
from tlean import nn

from . import world

REFS = ["ref(s, 2, 3)", "ref(s, 3)", "ref(s, 3, 3)", "ref(s)", "ref(s, 1, 2, 4, 4)", "ref(s, 0, 3)", "stale(s, 2, 3)", "foreign(2, 3)"]

#: Objects whose methods are called: (area, how one is made, what may replace an array).
OBJECTS: list[tuple[str, str, list[str]]] = [
    ("session", "tl.Session()", REFS),
    ("session", "tl.Session(backend='compiled')", REFS),
    ("session", "tl.Session(dtype='float64', check_numerics=True)", REFS),
    ("tape", "tl.Tape()", []),
    ("tape", "tl.TapeM()", [r.replace("ref(s", "tape_ref(s") for r in REFS if "stale" not in r]),
    ("array", "tl.AnyTensor(array_of(2, 3))", []),
    ("array", "tl.Session().input(array_of(2, 3))", []),
    ("array", "tl.Param(array_of(2, 3))", []),
    ("compiled", "compiled()", []),
    ("compiled", "tl.compile_out(squares, [(2, 3)])", []),
    ("compiled", "tl.GraphM()", []),
    ("compiled", "tl.grad(loss)", []),
    ("compiled", "tl.jit(squares)", []),
    ("compiled", "factor()", []),
    ("options", "tl.Options()", []),
    ("options", "tl.Rng(0)", []),
    ("train", "tl.ParamList([array_of(2, 3), array_of(2)])", []),
    ("train", "trainer()", []),
    ("train", "trainer('compiled')", []),
    ("train", "used()", []),
    ("train", "tl.optim.RMSProp(params(), momentum=0.5)", []),
    ("train", "tl.optim.StepLR(used(), 3)", []),
    ("train", "tl.optim.OneCycleLR(used(), 0.1, 10)", []),
    ("train", "tl.optim.CyclicLR(used(), 0.1, 0.2, 10)", []),
    ("train", "tl.optim.ExponentialMovingAverage(params())", []),
    ("data", "tl.data.Dataset(array_of(4, 3), np.arange(4))", []),
    ("data", "tl.data.DataLoader((array_of(4, 3), np.arange(4)), 2)", []),
    ("data", "tl.data.Batches([(array_of(4, 3), np.arange(4))])", []),
    ("data", "tl.data.augment.Augment(tl.data.augment.flip())", []),
    ("nn", "layer()", ["array_of(4, 3)"]),
    ("nn", "nn.Linear(3, 2)", ["array_of(4, 3)"]),
    ("nn", "nn.BatchNorm(3)", ["array_of(4, 3)"]),
    ("nn", "nn.Conv2d(2, 3, 3)", ["array_of(1, 2, 4, 4)"]),
    ("nn", "nn.LSTM(3, 2)", ["array_of(2, 4, 3)"]),
    ("nn", "nn.Embedding(4, 2)", ["np.arange(3)"]),
    ("nn", "nn.MultiHeadAttention(4, 2)", ["array_of(2, 3, 4)"]),
    ("nn", "nn.ModuleList([nn.Linear(3, 2)])", []),
    ("nn", "nn.ModuleDict({'a': nn.Linear(3, 2)})", []),
    ("nn", "nn.Linear(3, 2).program('mse_loss')", []),
]

#: Operators that are methods too.
DUNDERS = [
    "add",
    "sub",
    "mul",
    "truediv",
    "matmul",
    "pow",
    "getitem",
    "setitem",
    "call",
    "neg",
    "lt",
    "radd",
    "rpow",
    "array",
    "format",
    "contains",
]

# Not called: what changes the process for the calls after it, waits for the network, or is meant for the library's own tests.
LEFT_OUT = {"set_num_threads", "defop", "Ops", "Ref", "cuda", "testing", "train", "seed", "profile"}
# Nor what a subclass gives and the library calls: the rules of optimisers and schedules, the parts of layers; and what they belong to.
LEFT_OUT |= {"check", "rule", "numbers", "hyper", "kernel", "peek", "taken", "initial", "apply_rule", "rate", "momentum"}
LEFT_OUT |= {"forward", "extra", "members", "project", "cut", "start", "Schedule", "Optimizer", "Activation"}


@dataclass(frozen=True)
class Target:
    """Something to call: its area, a name, how the object is made that has it ("" for none), the text before the brackets."""

    area: str
    name: str
    made: str
    text: str
    parameters: tuple[tuple[str, str], ...]
    refs: tuple[str, ...] = ()


def _parameters(f: Callable[..., Any]) -> tuple[tuple[str, str], ...]:
    """(kind, name) of the parameters, "self" left out by `inspect` where it is bound. Kinds: must, may, key, star."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return (("star", "x"),)
    found = []
    for p in signature.parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            found.append(("star", p.name))
        elif p.kind is p.KEYWORD_ONLY:
            found.append(("mustkey" if p.default is p.empty else "key", p.name))
        elif p.kind is not p.VAR_KEYWORD:
            found.append(("must" if p.default is p.empty else "may", p.name))
    return tuple(found)


def _functions(area: str, prefix: str, room: Any, names: list[str]) -> Iterator[Target]:
    for name in names:
        value = getattr(room, name, None)
        is_error = isinstance(value, type) and issubclass(value, Exception)
        if name not in LEFT_OUT and callable(value) and not is_error and not isinstance(value, types.ModuleType):
            yield Target(area, f"{prefix}{name}", "", f"{prefix}{name}", _parameters(value))


def _public(room: Any) -> list[str]:
    return sorted(
        getattr(room, "__all__", None)
        or [n for n, v in vars(room).items() if not n.startswith("_") and getattr(v, "__module__", "") == room.__name__]
    )


def find() -> list[Target]:
    """All targets, in an order that the library alone determines."""
    from tlean.functions import NAMES

    found = list(_functions("functions", "tl.", tl, sorted(NAMES)))
    transformations = [n for n in sorted(tl.__all__) if n not in NAMES and n not in ("fit", "save", "load", "nn", "data", "optim", "tree")]
    found += _functions("transformations", "tl.", tl, transformations)
    found += _functions("files", "tl.", tl, ["save", "load"])
    found += _functions("fit", "tl.", tl, ["fit"])
    found += _functions("tree", "tl.tree.", tl.tree, ["flatten", "unflatten", "map"])
    found += _functions("nn", "nn.", nn, _public(nn))
    found += _functions("nn", "nn.init.", nn.init, _public(nn.init))
    found += _functions("optim", "tl.optim.", tl.optim, _public(tl.optim))
    found += _functions("data", "tl.data.", tl.data, _public(tl.data))
    found += _functions("data", "tl.data.augment.", tl.data.augment, _public(tl.data.augment))
    found += _functions("train", "tl.train.tapem.", tl.train.tapem, _public(tl.train.tapem))
    for area, made, refs in OBJECTS:
        one = eval(made, vars(world) | {})
        names = [n for n in dir(one) if not n.startswith("_")] + [f"__{d}__" for d in DUNDERS if f"__{d}__" in dir(one)]
        for name in names:
            # A property is read, not called; one of a program that was not called yet has no value.
            if isinstance(inspect.getattr_static(one, name, None), property):
                continue
            method = getattr(one, name)
            # What it has from Python's own classes is Python's.
            if getattr(object, name, None) is getattr(type(one), name, None) or getattr(method, "__module__", "") == "collections.abc":
                continue
            # A recurrent layer's `step` is such a part; a trainer's is not.
            if area == "nn" and name == "step":
                continue
            if name not in LEFT_OUT and callable(method) and not isinstance(method, type):
                found.append(Target(area, f"{made}.{name}", made, f"s.{name}", _parameters(method), tuple(refs)))
    return found
