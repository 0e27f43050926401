"""Trainers and sessions, eager and compiled, with the same calls; and doors: numbers of another dtype than the program's."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

import tlean as tl

from . import oracle
from .checks import Graph, attempt, poison, same
from .faces import Compiled, FindingError, plain, seeded, session_of
from .program import Input, Program, as_function, loss_of, run

BACKENDS = ("eager", "compiled")


def run_program(program: Program, count: Counter[str]) -> None:
    """Put a program of any kind through its checks. Raises: FindingError."""
    if program.kind == "graph":
        Graph(program, count).run()
        return
    tl.set_num_threads(2)
    {"trainer": trainer, "session": session, "doors": doors}[program.kind](program, count)
    count[f"kind: {program.kind}"] += 1


def _compare(check: str, what: str, found: list[tuple[list[Any], str]]) -> bool:
    """Whether to go on: the logs of two backends agree. Raises: FindingError unless both raise the same or give the same bits."""
    (a, wrong), (b, refused) = found
    if wrong or refused:
        if wrong.partition(":")[0] != refused.partition(":")[0]:
            raise FindingError("error", f"{what}: eager {wrong or 'works'}; compiled {refused or 'works'}")
        return False
    if len(a) != len(b):
        raise FindingError(check, f"{what}: {len(a)} values eagerly, {len(b)} compiled")
    for k, ((name, x), (other, y)) in enumerate(zip(a, b, strict=True)):
        if name != other:
            raise FindingError(check, f"{what}: value {k} is {name} eagerly, {other} compiled")
        if x is not None and y is not None and not (x.any() or y.any()) and x.shape == y.shape:
            continue
        same(check, f"{name}, {what}, eager and compiled", x, y)
    return True


def _moved(i: Input, program: Program, k: int) -> np.ndarray:
    # The argument in step k: other numbers every time.
    a = i.array(program.dtype)
    if k % 2 and program.kind == "trainer" and i.key in program.extra.get("batch", ()):
        # Every other batch is a last, smaller one.
        a = a[: max(1, len(a) // 2)]
    return a * a.dtype.type(1 - 0.05 * k) if i.is_float else a


def _optimizer(update: dict[str, Any], params: Any) -> Any:
    return getattr(tl.optim, update["name"])(params, **update["options"]) if update["how"] == "optim" else None


# Trainers -----------------------------------------------------------------------------------------------------------------


class _Trainer:
    # One trainer of the pair and its optimiser.
    def __init__(self, program: Program, backend: str) -> None:
        extra = program.extra
        by_key = {i.key: i for i in program.arguments}
        chosen = [by_key[k] for k in extra["params"] if k in by_key]
        self.program = program
        self.inputs = [i for i in program.arguments if i.key not in extra["params"]]
        if any(k in extra["params"] for k in extra.get("batch", ())):
            # A batch that is trained keeps its size.
            self.program = program.with_extra(batch=())
        keys = [i.key for i in [*chosen, *self.inputs]]

        def loss(ops: Any, *refs: Any) -> Any:
            outs = run(program, ops, dict(zip(keys, refs, strict=True)))
            total = loss_of(program, ops, outs)
            return (total, outs) if extra.get("aux") else total

        values = [i.array(program.dtype) for i in chosen]
        if extra.get("mixed"):
            # Every other parameter of the other float dtype.
            other = "float64" if program.dtype == "float32" else "float32"
            values = [tl.Param(v, f"p{n}", dtype=other if n % 2 == 0 else program.dtype) for n, v in enumerate(values)]
        elif extra.get("door") == "param":
            values = [tl.Param(v, f"p{n}", dtype=str(v.dtype)) for n, v in enumerate(values)]
        options = tl.Options(backend=backend, dtype=program.dtype, seed=3)
        self.made = tl.ScalarTrainer(options, values, [i.spec() for i in self.inputs], loss, [i.grad for i in chosen])
        self.optimizer = _optimizer(extra["update"], self.made.params)

    def call(self, name: str, k: int) -> list[Any]:
        """One call and everything that can be read after it."""
        t, update = self.made, self.program.extra["update"]
        arrays = [_moved(i, self.program, k) for i in self.inputs]
        log: list[Any] = []
        if name == "forward":
            log.append(("the loss", plain(t.forward(*arrays))))
        elif name == "backward":
            grads = t.backward(*arrays)
            log += [(f"gradient {n}", None if g is None else plain(g)) for n, g in enumerate(grads)]
        elif update["how"] == "optim":
            log.append(("the loss", plain(t.optim_step(self.optimizer, *arrays, clip_norm=update["clip"]))))
        elif update["how"] == "sgd":
            log.append(("the loss", plain(t.step(0.01, *arrays))))
        elif update["how"] == "adam":
            log.append(("the loss", plain(t.adam_step(0.01, 0.9, 0.99, 1e-8, *arrays))))
        else:
            log.append(("the loss", plain(t.adamw_step(0.01, 0.9, 0.99, 1e-8, 0.1, *arrays))))
        if self.program.extra.get("aux") and t.aux is not None:
            log += [(f"aux {n}", plain(a)) for n, a in enumerate(t.aux)]
        return log + [(f"parameter {n}", plain(p)) for n, p in enumerate(t.get_params())]


def _trainable(program: Program) -> bool:
    # A loss that is a number, and a parameter.
    if not {i.key for i in program.arguments} & set(program.extra["params"]):
        return False
    graph = tl.GraphM(program.dtype)
    outs = run(program, graph, {i.key: graph.arg(n, replace(i, dtype=i.dtype if not i.is_float else "float").spec())
                                for n, i in enumerate(program.arguments)})  # fmt: skip
    return any(str(y.dtype).startswith("float") for y in outs)


def trainer(program: Program, count: Counter[str]) -> None:
    """An eager and a compiled trainer: losses, gradients, aux and parameters after every call."""
    able, wrong = attempt("recording the loss", lambda: _trainable(program))
    if wrong or not able:
        count["skipped: no loss or no parameter"] += 1
        return
    found = [attempt(f"the {b} ScalarTrainer", lambda b=b: _Trainer(program, b)) for b in BACKENDS]
    if any(w for _, w in found):
        if found[0][1].partition(":")[0] != found[1][1].partition(":")[0]:
            raise FindingError("error", f"ScalarTrainer: eager {found[0][1] or 'works'}; compiled {found[1][1] or 'works'}")
        count["skipped: both raise"] += 1
        return
    pair = [t for t, _ in found]
    for k, name in enumerate(program.extra.get("calls", ("step", "step"))):
        poison([i.array(program.dtype).size for i in program.arguments])
        logs = [attempt(f"{t.made.options.backend} {name}", lambda t=t, name=name, k=k: t.call(name, k)) for t in pair]
        if not _compare("trainer", f"call {k} ({name})", logs):
            count["skipped: both raise"] += 1
            return
    if program.extra.get("save") and program.extra["update"]["how"] != "optim":
        # The state of the compiled trainer goes on in a new eager one.
        fresh = _Trainer(program, "eager")
        fresh.made.load_state_dict(pair[1].made.state_dict())
        _compare("trainer", "a step after load_state_dict", [attempt("a step", lambda t=t: t.call("step", 9)) for t in (fresh, pair[1])])


# Sessions -----------------------------------------------------------------------------------------------------------------


class _Session:
    # One session of the pair with its parameters.
    def __init__(self, program: Program, backend: str) -> None:
        self.program = program
        self.session = tl.Session(tl.Options(backend=backend, dtype=program.dtype, seed=5))
        chosen = [i for i in program.arguments if i.key in program.extra["params"]]
        self.params = {i.key: self.session.param(i.array(program.dtype), name=f"x{i.key}", requires_grad=i.grad) for i in chosen}
        update = program.extra["update"]
        self.optimizer = _optimizer(update, list(self.params.values())) if self.params else None
        self.state = tl.AdamState()

    def step(self, k: int, plan: dict[str, Any]) -> list[Any]:
        """Record, read, differentiate, read, update; everything that was read."""
        s, program = self.session, self.program
        rng = np.random.default_rng(plan["seed"])
        log: list[Any] = []
        s.reset_tape()
        if plan.get("set"):
            for n, p in enumerate(self.params.values()):
                p.set(np.random.default_rng((plan["seed"], n)).standard_normal(p.shape).astype(program.dtype))
        refs: dict[int, Any] = {}
        for i in program.arguments:
            if i.key in self.params:
                refs[i.key] = s.use(self.params[i.key])
            elif i.is_float:
                refs[i.key] = s.input(_moved(i, program, k), requires_grad=i.grad)
            else:
                refs[i.key] = self._index(replace(i, seed=i.seed + k), plan)
        wanted = tuple(p for p in plan["wanted"] if p < len(program.outputs)) or (0,)
        if plan.get("no_grad"):
            with tl.no_grad():
                log += [("an output under no_grad", plain(y)) for y in run(program, s, refs, wanted)]
        outs = run(program, s, refs, wanted)
        if plan["before"]:
            n = int(rng.integers(len(outs)))
            log.append((f"output {wanted[n]}, before", plain(outs[n])))
        loss = loss_of(program, s, outs, plan["scale"])
        if loss is not None and plan["back"] == "seed":
            y = next(y for y in outs if str(y.dtype).startswith("float"))
            grads = s.backward_dense_all(y, rng.standard_normal(tuple(y.shape)))
            log += [(f"gradient of x{key}", plain(s.grad(grads, refs[key]))) for key in self.params]
        elif loss is not None and plan["back"] != "none":
            self._backward(loss, plan, rng, log)
        for n in rng.permutation(len(outs)):
            log.append((f"output {wanted[n]}", plain(outs[n])))
        if loss is not None and rng.random() < 0.5:
            log.append(("the loss", plain(loss)))
        return log + [(f"parameter x{key}", plain(p.get())) for key, p in self.params.items()]

    def _index(self, i: Input, plan: dict[str, Any]) -> Any:
        # Integers of this step, as an array or as an index of the session that is set before ops read it.
        a, s = i.array(self.program.dtype), self.session
        if not plan.get("index") or i.key in self.program.outputs or i.dtype != "int64" or a.ndim > 1 or (a.size and a.min() < 0):
            return a
        if not a.ndim:
            ref = s.input_nat(0)
            s.set_nat(ref, int(a))
            return ref
        ref = s.input_nat_vec([0] * len(a))
        s.set_nat_vec(ref, a.tolist())
        return ref

    def _backward(self, loss: Any, plan: dict[str, Any], rng: np.random.Generator, log: list[Any]) -> None:
        s = self.session
        if plan["back"] == "params":
            grads = s.backward_params(loss)
            names = {p: key for key, p in self.params.items()}
            log += sorted(((f"gradient of x{names[p]}", plain(g)) for p, g in grads.items()), key=lambda e: e[0])
        elif plan["back"] == "scalar":
            grads = s.backward_scalar(loss)
            log.append(("nodes with a gradient", np.array(sorted(grads))))
            log += [(f"gradient of node {i}", plain(grads[i])) for i in sorted(grads)]
        else:
            grads = s.backward_scalar_dense_all(loss)
            log.append(("how many gradients", np.array([len(grads)])))
            for i in rng.integers(len(grads), size=plan["read"]):
                log.append((f"gradient of node {i}", plain(grads[int(i)])))
        if not plan["update"] or not self.params:
            return
        update = self.program.extra["update"]
        if self.optimizer is not None:
            s.optim_step(self.optimizer, grads)
        elif update["how"] == "sgd":
            s.sgd_step_all(0.01, grads)
        elif update["how"] == "adam":
            s.adam_step_all(self.state, 0.01, 0.9, 0.99, 1e-8, grads)
        else:
            s.adamw_step_all(self.state, 0.01, 0.1, 0.9, 0.99, 1e-8, grads)


def session(program: Program, count: Counter[str]) -> None:
    """An eager and a compiled session: all that is read in every step."""
    pair = [_Session(program, b) for b in BACKENDS]
    for k, plan in enumerate(program.extra["steps"]):
        poison([i.array(program.dtype).size for i in program.arguments])
        logs = [attempt(f"the {b} session", lambda s=s, k=k, plan=plan: s.step(k, plan)) for s, b in zip(pair, BACKENDS, strict=True)]
        if not _compare("session", f"step {k}", logs):
            count["skipped: both raise"] += 1
            return


def log_of(program: Program, backend: str) -> list[tuple[str, Any]]:
    """Everything that can be read after every call of a program's trainer or session on one backend. Raises: what the calls raise."""
    if program.kind == "session":
        one = _Session(program, backend)
        return [entry for k, plan in enumerate(program.extra["steps"]) for entry in one.step(k, plan)]
    made = _Trainer(program, backend)
    return [entry for k, name in enumerate(program.extra.get("calls", ("step", "step"))) for entry in made.call(name, k)]


# Doors --------------------------------------------------------------------------------------------------------------------


def doors(program: Program, count: Counter[str]) -> None:
    """Numbers of another float dtype than the program's: right, or refused by a tlean error; never read as what they are not."""
    if program.extra["door"] == "param":
        trainer(program, count)
        return
    arrays = program.arrays()
    if program.extra["door"] == "call":
        # Inputs of a call are cast to what the plan takes.
        own = replace(program, inputs=tuple(replace(i, dtype="float") if i.is_float else i for i in program.inputs))
        if program.uses_stream:
            return
        compiled, wrong = attempt("compile_out", lambda: Compiled(own))
        if wrong:
            raise FindingError("error", f"compile_out raises {wrong}")
        cast = [a.astype(program.dtype) if a.dtype.kind == "f" else a for a in arrays]
        for k, (x, y) in enumerate(zip(compiled.forward(arrays), compiled.forward(cast), strict=True)):
            same("doors", f"output {k} for inputs of another dtype, and for the same cast before", x, y)
        return
    specs = [i.spec() for i in program.arguments]
    made, wrong = attempt(
        "a Spec of another dtype", lambda: seeded(tl.compile_out, as_function(program), specs, program.dtype).forward(*arrays)
    )
    if wrong:
        count["doors: refused"] += 1
        return
    wanted = oracle.expected(replace(program, dtype="float32"))
    if wanted is None:
        count["skipped: not finite"] += 1
        return
    # The reference draws every random number in one dtype; here each is drawn in that of its op.
    known = [] if program.draws else zip(made, wanted.values, wanted.tolerances, strict=True)
    for k, (y, e, tol) in enumerate(known):
        off = oracle.off_by(plain(y), e)
        if tol is not None and off > 4 * tol:
            raise FindingError("doors", f"output {k} of a program with Specs of another dtype is off the reference by {off:.3g}")
    _mixed(program, arrays, made)


def _mixed(program: Program, arrays: list[np.ndarray], made: list[Any]) -> None:
    # Operands of several dtypes: the same bits eagerly and compiled, gradients in their values' dtypes.
    s = session_of(program)
    refs = [s.add_leaf(tl.AnyTensor(a), True) for a in arrays]
    for k, (x, y) in enumerate(zip(as_function(program)(s, *refs), made, strict=True)):
        same("doors", f"output {k} of operands of several dtypes, eager and compiled", plain(x.value), plain(y))
    s = session_of(program)
    refs = [s.add_leaf(tl.AnyTensor(a), True) for a in arrays]
    grads = s.backward_scalar(as_function(program, "loss")(s, *refs))
    specs = [i.spec() for i in program.arguments]
    _, compiled = seeded(tl.compile_scalar, as_function(program, "loss"), specs, program.dtype).value_and_grad(*arrays)
    for k, (ref, a, g) in enumerate(zip(refs, arrays, compiled, strict=True)):
        if a.dtype.kind == "f":
            eager = grads.get(ref.id)
            same("doors", f"gradient {k} of operands of several dtypes", np.zeros_like(a) if eager is None else plain(eager), plain(g))
        elif ref.id in grads or g is not None:
            raise FindingError("doors", f"argument {k}, {a.dtype}, has a gradient")
