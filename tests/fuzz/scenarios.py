"""Whole programs: a graph from the registry or a network, and what is done with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tlean.ops import OpDef
from tlean.ops.samples import Arr

from .draw import WEIGHTS, Builder, records
from .networks import NETWORKS, composite_step
from .own import OWN
from .program import Program

#: What a graph may be put through beside the eager and the compiled run: name -> how often.
CHECKS = {
    "again": 0.6,
    "threads": 0.35,
    "fork": 0.2,
    "reference": 0.8,
    "jit": 0.2,
    "functional": 0.12,
    "strided": 0.12,
    "tapem": 0.25,
    "tape": 0.12,
    "seed": 0.35,
    "transpose": 0.7,
    "symmetric": 0.5,
    "definition": 0.15,
    "concurrent": 0.06,
    "nested": 0.15,
    "captured": 0.25,
    "mapped": 0.1,
    "export_c": 0.05,
}
#: Checks of numbers, not of bits.
NUMBERS = ("reference", "definition", "transpose", "symmetric", "export_c")
KINDS = {"graph": 0.56, "network": 0.1, "trainer": 0.13, "session": 0.15, "doors": 0.06}


def draw_program(seed: int, index: int, among: Sequence[OpDef] | None = None) -> Program:
    """Program number `index` of the job with that seed.

    Args:
        among: the records to draw from, whose order counts; None for every public one, as they were declared.
    """
    rng = np.random.default_rng((seed, index))
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    dtype = ("float32", "float64")[rng.integers(2)]
    large = rng.random() < 0.03
    builder = Builder(rng, dtype, 120_000 if large else 4_096)
    # Numbers without bounds: eager and compiled give the same bits for them too.
    builder.wild = rng.random() < 0.06
    if kind == "network" or (kind in ("trainer", "session") and rng.random() < 0.3):
        outputs = NETWORKS[rng.integers(len(NETWORKS))](builder)
    else:
        # Every record comes up as the one that a program is drawn around.
        outputs = _graph(builder, index, large, 60 if kind == "graph" else 25, among or records())
    program = Program(
        "graph" if kind == "network" else kind,
        dtype,
        tuple(builder.inputs),
        tuple(builder.steps),
        tuple(outputs),
        loss=str(rng.choice(["weighted", "sum", "mean_square"], p=[0.5, 0.35, 0.15])),
        seed=int(rng.integers(1 << 30)),
    )
    if program.kind == "graph":
        able = {c: p for c, p in CHECKS.items() if not builder.wild or c not in NUMBERS}
        return replace(program, checks=tuple(c for c, p in able.items() if rng.random() < p))
    program = program.with_extra(batch=tuple(builder.batch))
    return _EXTRA[program.kind](program, rng)


# Graphs -------------------------------------------------------------------------------------------------------------------


def _graph(builder: Builder, index: int, large: bool, longest: int, known: Sequence[OpDef]) -> list[int]:
    rng = builder.rng
    low, high = ((1, 3), (4, 10), (11, 25), (26, 60))[rng.choice(4, p=[0.2, 0.4, 0.25, 0.15])]
    length = min(int(rng.integers(low, high + 1)), longest)
    for _ in range(rng.integers(1, 4)):
        builder.input(_first_shape(rng, large))
    weights = np.array([WEIGHTS.get(r.name, 1.0) for r in known])
    weights /= weights.sum()
    forced = known[index % len(known)]
    at = int(rng.integers(length))
    number = tries = 0
    while number < length and tries < 4 * length:
        tries += 1
        if number == at:
            builder.draw(forced)
        elif rng.random() < 0.12:
            MOTIFS[rng.integers(len(MOTIFS))](builder)
        else:
            builder.draw(known[rng.choice(len(known), p=weights)])
        number += 1
    if not builder.steps:
        builder.draw(forced)
    if rng.random() < 0.1:
        builder.input(_first_shape(rng, False))
    return _outputs(builder)


def _first_shape(rng: np.random.Generator, large: bool) -> tuple[int, ...]:
    if large:
        return ((256, 300), (70_000,), (8, 64, 64), (40, 2000))[rng.integers(4)]
    if rng.random() < 0.04:
        return ((0,), (0, 3), (2, 0), (3, 0, 2))[rng.integers(4)]
    sizes = [1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 16, 17, 33, 64]
    rank = int(rng.choice(5, p=[0.1, 0.25, 0.35, 0.2, 0.1]))
    return tuple(int(rng.choice(sizes if rank < 3 else sizes[:11])) for _ in range(rank))


def _outputs(builder: Builder) -> list[int]:
    rng = builder.rng
    made = [s.key for s in builder.steps]
    consts = {i.key for i in builder.inputs if i.const}
    inputs = [i.key for i in builder.inputs if i.key not in consts]
    outputs = [made[-1]] if made else inputs[:1]
    # What nothing has used, and some others.
    used = {a for s in builder.steps for a in s.args}
    outputs += [k for k in made[:-1] if k not in used and rng.random() < 0.5]
    outputs += [int(made[rng.integers(len(made))]) for _ in range(rng.integers(0, 4)) if made]
    if inputs and rng.random() < 0.08:
        outputs.append(inputs[rng.integers(len(inputs))])
    outputs = list(dict.fromkeys(outputs))[:8]
    if rng.random() < 0.08:
        outputs.append(outputs[rng.integers(len(outputs))])
    return [int(k) for k in outputs]


# Motifs: structure that independent draws make seldom -----------------------------------------------------------------------


def _any(builder: Builder) -> int:
    pool = builder.floats()
    return builder.pick(pool) if pool else builder.input((2, 3))


def _chain(builder: Builder, key: int | None, *calls: tuple[str, dict[str, Any]]) -> int | None:
    for op, options in calls:
        if key is None:
            return None
        key = builder.step(op, [key], **options)
    return key


def _sum_of_sum(builder: Builder) -> None:
    key = _any(builder)
    rank = len(builder.specs[key].shape)
    inner = ("reduce_sum", {"axis": int(builder.rng.integers(rank))}) if rank and builder.rng.random() < 0.5 else ("sum", {})
    _chain(builder, key, inner, (("sum", "mean")[builder.rng.integers(2)], {}))


def _spread_of_spread(builder: Builder) -> None:
    shapes = [(1,), (1, 1), (2, 2), (3, 1, 4)][builder.rng.integers(2) :][:3]
    _chain(builder, _any(builder), ("sum", {}), *(("broadcast_to", {"shape": s}) for s in shapes[:2]))


def _view_beside_value(builder: Builder) -> None:
    rng = builder.rng
    key = _any(builder)
    op = ("exp", "tanh", "square", "sigmoid")[rng.integers(4)]
    a = _chain(builder, key, (op, {}))
    f = _chain(builder, a, (("flatten", {}), ("reshape", {"shape": (-1, 1)}), ("detach", {}))[rng.integers(3)])
    if f is None:
        return
    other = builder.fitted(builder.specs[f].shape, _NORMAL)
    q = _chain(builder, other, (("square", "sin", "relu")[rng.integers(3)], {}))
    if q is not None and builder.specs[q].shape == builder.specs[f].shape:
        builder.step(("mul", "add", "sub")[rng.integers(3)], [q, f])


def _wide(builder: Builder) -> None:
    rng = builder.rng
    shape = ((3,), (1,), (2, 2))[rng.integers(3)]
    count = int(rng.integers(60, 140)) if rng.random() < 0.3 else int(rng.integers(2, 20))
    few = [builder.input(shape, grad=bool(rng.integers(2)), const=False) for _ in range(rng.integers(1, 4))]
    args = [few[rng.integers(len(few))] for _ in range(count)]
    builder.step(("concat", "stack")[rng.integers(2)], args, axis=0)


def _own(builder: Builder) -> None:
    # An op of the user's own.
    rng = builder.rng
    key = _any(builder)
    shape = builder.specs[key].shape
    name = str(rng.choice(list(OWN)))
    args = [key]
    if name == "own_product":
        args.append(builder.fitted(shape, _NORMAL))
    elif name == "own_pick":
        if not shape or not shape[0]:
            return
        count = int(rng.integers(0, 5))
        args.append(builder.input((count,), Arr((count,), "int", 0, shape[0])))
    builder.step(name, args, -1)


MOTIFS: list[Callable[[Builder], Any]] = [_sum_of_sum, _spread_of_spread, _view_beside_value, _wide, composite_step, _own]
_NORMAL = Arr(())


# What trainers, sessions and doors do --------------------------------------------------------------------------------------

OPTIMIZERS: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {"lr": 0.01},
        {"lr": 0.02, "weight_decay": 0.1},
        {"lr": 0.01, "momentum": 0.5, "nesterov": True},
        {"lr": 0.01, "maximize": True},
    ],
    "MomentumSGD": [{"lr": 0.01}, {"lr": 0.01, "momentum": 0.7, "dampening": 0.2}],
    "AdaGrad": [{"lr": 0.01}, {"lr": 0.02, "lr_decay": 0.1, "initial_accumulator_value": 0.1}],
    "RMSProp": [
        {"lr": 0.01},
        {"lr": 0.01, "momentum": 0.5},
        {"lr": 0.01, "centered": True},
        {"lr": 0.01, "centered": True, "momentum": 0.3},
    ],
    "Adam": [{"lr": 0.01}, {"lr": 0.01, "amsgrad": True}, {"lr": 0.01, "weight_decay": 0.1}],
    "AdamW": [{"lr": 0.01}, {"lr": 0.02, "weight_decay": 0.3, "betas": (0.8, 0.9)}],
    "Adadelta": [{"lr": 0.5}],
}


def _params(program: Program, rng: np.random.Generator) -> list[int]:
    # Which floating-point inputs are parameters: the first, and others; batches of samples are data.
    floats = [i.key for i in program.arguments if i.is_float]
    floats = [k for k in floats if k not in program.extra.get("batch", ())] or floats
    return [k for n, k in enumerate(floats) if n == 0 or rng.random() < 0.6]


def _update(rng: np.random.Generator) -> dict[str, Any]:
    how = str(rng.choice(["optim", "sgd", "adam", "adamw"], p=[0.6, 0.15, 0.15, 0.1]))
    name = str(rng.choice(list(OPTIMIZERS)))
    forms = OPTIMIZERS[name]
    clip = None if rng.random() < 0.6 else float(rng.choice([0.0, 0.01, 1.0, 100.0]))
    return {"how": how, "name": name, "options": forms[rng.integers(len(forms))], "clip": clip}


def _trainer(program: Program, rng: np.random.Generator) -> Program:
    calls = [str(rng.choice(["step", "step", "forward", "backward"])) for _ in range(rng.integers(2, 6))]
    mixed = rng.random() < 0.12
    return program.with_extra(
        params=_params(program, rng), update=_update(rng), calls=calls, mixed=mixed, aux=bool(rng.integers(2)), save=rng.random() < 0.2
    )


def _session(program: Program, rng: np.random.Generator) -> Program:
    steps = []
    count = len(program.outputs)
    for _ in range(rng.integers(2, 6)):
        wanted = (
            tuple(range(count)) if rng.random() < 0.6 else tuple(sorted({int(k) for k in rng.integers(count, size=rng.integers(1, 3))}))
        )
        steps.append(
            {
                "wanted": wanted,
                "scale": float(rng.choice([1.0, 1.0, 2.0, 0.5])),
                "before": bool(rng.random() < 0.3),
                "back": str(rng.choice(["dense", "params", "scalar", "seed", "none"], p=[0.5, 0.25, 0.1, 0.05, 0.1])),
                "no_grad": bool(rng.random() < 0.1),
                "set": bool(rng.random() < 0.1),
                "read": int(rng.integers(0, 5)),
                "update": bool(rng.random() < 0.8),
                "index": bool(rng.random() < 0.5),
                "seed": int(rng.integers(1 << 30)),
            }
        )
    return program.with_extra(params=_params(program, rng), update=_update(rng), steps=steps)


def _doors(program: Program, rng: np.random.Generator) -> Program:
    other = "float64" if program.dtype == "float32" else "float32"
    inputs = tuple(replace(i, dtype=other) if i.is_float and rng.random() < 0.5 else i for i in program.inputs)
    return replace(program, inputs=inputs).with_extra(
        door=str(rng.choice(["spec", "param", "call"])), params=_params(program, rng), update=_update(rng)
    )


_EXTRA: dict[str, Callable[[Program, np.random.Generator], Program]] = {"trainer": _trainer, "session": _session, "doors": _doors}
