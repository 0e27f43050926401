"""A failing program as a short stand-alone script that uses the public API alone."""

from __future__ import annotations

import inspect
import math
import zlib
from dataclasses import replace
from typing import Any

from tlean.errors import TleanError
from tlean.ops.registry import composites, get
from tlean.reference.interpreter import Reference

from . import own
from .guests import DRAWN
from .own import OWN
from .program import Input, Program, Step, run

_HEAD = '''"""{what}"""

import numpy as np

import tlean as tl

nan, inf = float("nan"), float("inf")


def program(ops{names}):
{body}


def loss(ops{names}):
{loss}


xs = [{arrays}]
'''


def script(program: Program, what: str) -> str:
    """The text of a script that shows what is wrong; `what` becomes its first line."""
    made = {"graph": _graph, "trainer": _trainer, "session": _session, "doors": _doors}[program.kind](program, what.partition(":")[0])
    text = " ".join(what.replace('"""', "'''").replace("\\", "/").split())
    head = _HEAD.format(
        what=text,
        names="".join(f", x{i.key}" for i in program.arguments),
        body="\n".join(f"    {line}" for line in _body(program)),
        loss="\n".join(f"    {line}" for line in _loss(program)),
        arrays=", ".join(_array(i, program.dtype) for i in program.arguments),
    )
    if program.uses_own:
        # What follows the imports of that module.
        head = head.replace("import tlean as tl\n", f"import tlean as tl\n{inspect.getsource(own).partition('import tlean as tl')[2]}", 1)
    if any(s.op in DRAWN for s in program.steps):
        # Their kernels are compiled by the fuzzer: the script runs in the source tree.
        head = head.replace("import tlean as tl\n", "import tlean as tl\nfrom tests.fuzz import guests\n", 1)
    return f"{head}{made}"


def _name(program: Program, key: int) -> str:
    return f"{'x' if any(i.key == key for i in program.inputs) else 'v'}{key}"


def _call(program: Program, s: Step) -> str:
    args = [None if a is None else _name(program, a) for a in s.args]
    options = [f"{k}={v!r}" for k, v in s.options.items()]
    if s.op == "einsum":
        return f"ops.einsum({s.options['spec']!r}, {', '.join(map(str, args))})"
    if s.op in OWN:
        return f"OWN[{s.op!r}]({', '.join(map(str, args))})"
    if s.op in DRAWN:
        return f"guests.register().{s.op.removeprefix('guest_')}({', '.join([*map(str, args), *options])})"
    if s.op in composites():
        text = f"ops.{s.op}({', '.join([*map(str, args), *options])})"
        return text if s.part is None else f"{text}[{s.part}]"
    record = get(s.op)
    if record.variadic:
        if len(args) > 12 and len(set(args)) <= 3:
            names = list(dict.fromkeys(args))
            picks = "".join(str(names.index(a)) for a in args)
            listed = f"[({', '.join(map(str, names))},)[int(k)] for k in {picks!r}]"
        else:
            listed = f"[{', '.join(map(str, args))}]"
        return f"ops.{s.op}({', '.join([listed, *options])})"
    given = [f"{n}={a}" for n, a in zip(record.inputs, args, strict=True)]
    return f"ops.{s.op}({', '.join([*given, *options])})"


def _body(program: Program) -> list[str]:
    lines = []
    for i in program.inputs:
        if i.const:
            array = _array(i, program.dtype)
            lines.append(f"x{i.key} = ops.const({array})" if i.is_float else f"x{i.key} = {array}")
    lines += [f"v{s.key} = {_call(program, s)}" for s in program.steps]
    return [*lines, f"return [{', '.join(_name(program, k) for k in program.outputs)}]"]


def _loss(program: Program) -> list[str]:
    ops = Reference("float64")
    try:
        outs = run(program, ops, {i.key: ops.const(i.array("float64")) for i in program.arguments})
    except (TleanError, KeyError, ValueError):
        outs = []
    terms = []
    for k, y in enumerate(outs):
        shape = tuple(y.shape)
        if not str(y.dtype).startswith("float"):
            continue
        if program.loss == "weighted":
            seed = zlib.crc32(f"{program.seed} {k} {shape}".encode())
            weights = f"np.random.default_rng({seed}).uniform(0.5, 1.5, {shape}).astype({program.dtype!r})"
            terms.append(f"ops.sum(ops.mul(ys[{k}], ops.const({weights})))")
        elif program.loss == "mean_square" and math.prod(shape):
            terms.append(f"ops.mean(ops.square(ys[{k}]))")
        else:
            terms.append(f"ops.sum(ys[{k}])")
    if not terms:
        return ["return ops.const(0.0)  # no output is floating-point"]
    names = ", ".join(f"x{i.key}" for i in program.arguments)
    lines = [f"ys = program(ops{', ' + names if names else ''})", f"total = {terms[0]}"]
    return [*lines, *(f"total = ops.add(total, {t})" for t in terms[1:]), "return total"]


def _array(i: Input, dtype: str) -> str:
    a = i.array(dtype)
    if i.kind == "ones":
        return f"np.ones({i.shape}, {str(a.dtype)!r})"
    if a.size <= 24:
        return f"np.array({a.tolist()}, {str(a.dtype)!r}).reshape({i.shape})"
    if i.is_float:
        return f"np.random.default_rng({i.seed}).standard_normal({i.shape}).astype({str(a.dtype)!r})"
    return f"np.array({a.ravel().tolist()}, {str(a.dtype)!r}).reshape({i.shape})"


def _specs(program: Program) -> str:
    parts = [str(i.shape) if i.dtype == "float" else f"tl.Spec({i.shape}, {i.dtype!r})" for i in program.arguments]
    return f"[{', '.join(parts)}]"


def _leaves(program: Program, face: str = "s") -> str:
    parts = []
    for n, i in enumerate(program.arguments):
        flag = "" if i.grad else ", requires_grad=False"
        parts.append(f"{face}.input(xs[{n}]{flag})" if i.is_float else f"xs[{n}]")
    return f"[{', '.join(parts)}]"


def _graph(program: Program, check: str) -> str:
    floats = [i.is_float for i in program.arguments]
    lines = [
        f"options = tl.Options(dtype={program.dtype!r})",
        "s = tl.Session(options)",
        f"refs = {_leaves(program)}",
        'print("eager values:", [np.asarray(y) for y in program(s, *refs)])',
        "found = s.backward_scalar(loss(s, *refs))",
        'print("eager gradients:", [np.asarray(found[r.id]) if getattr(r, "id", None) in found else None for r in refs])',
    ]
    compiled = [
        f"c = tl.compile_out(program, {_specs(program)}, {program.dtype!r})",
        "for _ in range(3):",
        '    print("compiled values:", [np.asarray(y) for y in c.forward(*xs)])',
        f"g = tl.compile_scalar(loss, {_specs(program)}, {program.dtype!r})",
        'print("compiled gradients:", g.value_and_grad(*xs)[1])',
    ]
    directions = f"[rng.standard_normal(x.shape) if f else None for x, f in zip(xs, {floats})]"
    more = {
        "reference": [
            "r = tl.Session(options.replace(fast_kernels=False))",
            f"refs = {_leaves(program, 'r')}",
            'print("by definition:", [np.asarray(y) for y in program(r, *refs)])',
        ],
        "transpose": [
            "rng = np.random.default_rng(0)",
            f"ts = {directions}",
            "moved = [np.asarray(m) for m in c.jvp(xs, ts)[1]]",
            "gs = [rng.standard_normal(m.shape).astype(m.dtype) for m in moved]",
            "pulled = c.vjp_with_seed(xs, gs)",
            'print("<J t, g> =", sum((m * g).sum() for m, g in zip(moved, gs)), "<t, J^T g> =", '
            "sum((np.asarray(p) * t).sum() for p, t in zip(pulled, ts) if t is not None))",
        ],
        "symmetric": [
            "rng = np.random.default_rng(0)",
            f"us, vs = {directions}, {directions}",
            "hu, hv = tl.hvp(loss, tuple(xs), tuple(us)), tl.hvp(loss, tuple(xs), tuple(vs))",
            'print("<v, H u> =", sum((np.asarray(h) * v).sum() for h, v in zip(hu, vs) if v is not None), "<u, H v> =", '
            "sum((np.asarray(h) * u).sum() for h, u in zip(hv, us) if u is not None))",
        ],
        "tapem": [
            f"m = tl.TapeM(dtype={program.dtype!r})",
            'print("TapeM:", [np.asarray(y) for y in program(m, *[m.leaf(x) if x.dtype.kind == "f" else x for x in xs])])',
        ],
        "jit": ['print("jit:", tl.jit(program)(*xs))'],
        "threads": ["tl.set_num_threads(1)", 'print("one thread:", c.forward(*xs), g.value_and_grad(*xs)[1])'],
    }
    more["definition"] = more["reference"]
    return "\n".join([*lines, *compiled, *more.get(check, [])]) + "\n"


_BOTH = [
    "",
    "",
    'for backend in ("eager", "compiled"):',
    "    try:",
    "        run(backend)",
    "    except tl.TleanError as error:",
    "        print(backend, type(error).__name__, error)",
    "",
]


def _optimizer(update: dict[str, Any], params: str) -> str:
    options = "".join(f", {k}={v!r}" for k, v in update["options"].items())
    return f"tl.optim.{update['name']}({params}{options})"


def _trainer(program: Program, check: str) -> str:
    extra, update = program.extra, program.extra["update"]
    order = [i for i in program.arguments if i.key in extra["params"]]
    rest = [i for i in program.arguments if i.key not in extra["params"]]
    place = {i.key: n for n, i in enumerate(program.arguments)}
    other = "float64" if program.dtype == "float32" else "float32"
    params = []
    for n, i in enumerate(order):
        x = f"xs[{place[i.key]}]"
        dtype = other if extra.get("mixed") and n % 2 == 0 else program.dtype if i.dtype == "float" else i.dtype
        params.append(f"tl.Param({x}, dtype={dtype!r}{'' if i.grad else ', requires_grad=False'})")
    taken = "".join(f", x{i.key}" for i in [*order, *rest])
    passed = "".join(f", x{i.key}" for i in program.arguments)
    specs = [str(i.shape) if i.dtype == "float" else f"tl.Spec({i.shape}, {i.dtype!r})" for i in rest]
    inputs = "".join(f", xs[{place[i.key]}]" for i in rest)
    made = {
        "optim": f"t.optim_step(opt{inputs}, clip_norm={update['clip']!r})",
        "sgd": f"t.step(0.01{inputs})",
        "adam": f"t.adam_step(0.01, 0.9, 0.99, 1e-8{inputs})",
        "adamw": f"t.adamw_step(0.01, 0.9, 0.99, 1e-8, 0.1{inputs})",
    }[update["how"]]
    call = {"step": made, "forward": f"t.forward({inputs[2:]})", "backward": f"t.backward({inputs[2:]})"}
    optimizer = [f"    opt = {_optimizer(update, 't.params')}"] if update["how"] == "optim" else []
    result = f"(loss(ops{passed}), program(ops{passed}))" if extra.get("aux") else f"loss(ops{passed})"
    lines = [
        "",
        "",
        "def run(backend):",
        f"    options = tl.Options(backend=backend, dtype={program.dtype!r})",
        f"    t = tl.ScalarTrainer(options, [{', '.join(params)}], [{', '.join(specs)}], lambda ops{taken}: {result})",
        *optimizer,
        *(f'    print(backend, "{n}:", {call[n]})' for n in extra.get("calls", ("step",))),
        '    print(backend, "parameters:", t.get_params())',
    ]
    return "\n".join([*lines, *_BOTH])


def _session(program: Program, check: str) -> str:
    extra, update = program.extra, program.extra["update"]
    place = {i.key: n for n, i in enumerate(program.arguments)}
    params = [i for i in program.arguments if i.key in extra["params"]]
    lines = [
        "",
        "",
        "def run(backend):",
        f"    s = tl.Session(tl.Options(backend=backend, dtype={program.dtype!r}))",
        *(f"    p{i.key} = s.param(xs[{place[i.key]}]{'' if i.grad else ', requires_grad=False'})" for i in params),
        f"    state, params = tl.AdamState(), [{', '.join(f'p{i.key}' for i in params)}]",
    ]
    if update["how"] == "optim" and params:
        lines.append(f"    opt = {_optimizer(update, 'params')}")
    moves = {
        "optim": "s.optim_step(opt, grads)",
        "sgd": "s.sgd_step_all(0.01, grads)",
        "adam": "s.adam_step_all(state, 0.01, 0.9, 0.99, 1e-8, grads)",
        "adamw": "s.adamw_step_all(state, 0.01, 0.1, 0.9, 0.99, 1e-8, grads)",
    }
    backs = {"dense": "backward_scalar_dense_all", "params": "backward_params", "scalar": "backward_scalar"}
    for k, step in enumerate(extra["steps"]):
        refs = []
        for i in program.arguments:
            x = f"xs[{place[i.key]}]"
            moved = f"{x} * {x}.dtype.type({1 - 0.05 * k})" if k else x
            flag = "" if i.grad else ", requires_grad=False"
            if i.is_float:
                refs.append(f"s.use(p{i.key})" if i in params else f"s.input({moved}{flag})")
            else:
                index = step.get("index") and i.dtype == "int64" and len(i.shape) < 2
                array = _array(replace(i, seed=i.seed + k), program.dtype)
                refs.append(f"s.input_nat{'_vec' if i.shape else ''}({array}.tolist())" if index else array)
        lines.append("    s.reset_tape()")
        if step.get("set"):
            lines.append("    for n, p in enumerate(params):")
            draw = f"np.random.default_rng(({step['seed']}, n)).standard_normal(p.shape).astype({program.dtype!r})"
            lines.append(f"        p.set({draw})")
        lines += [f"    refs = [{', '.join(refs)}]", "    ys = program(s, *refs)"]
        lines.append(f"    # of these the step took outputs {tuple(step['wanted'])}; numbers of reads come from seed {step['seed']}")
        if step["back"] != "none":
            scale = f"s.scale(loss(s, *refs), {step['scale']})" if step["scale"] != 1.0 else "loss(s, *refs)"
            if step["back"] == "seed":
                lines.append("    grads = s.backward_dense_all(ys[0], np.ones(ys[0].shape))")
            else:
                lines.append(f"    grads = s.{backs[step['back']]}({scale})")
            if step["back"] in ("dense", "seed"):
                lines.append('    print(backend, "gradients:", [np.asarray(g) for g in grads])')
            if step["update"] and params and step["back"] != "seed":
                lines.append(f"    {moves[update['how']]}")
        lines.append(f'    print(backend, "step {k}:", [np.asarray(y) for y in ys], [np.asarray(p.get()) for p in params])')
    return "\n".join([*lines, *_BOTH])


def _doors(program: Program, check: str) -> str:
    if program.extra["door"] == "param":
        return _trainer(program, check)
    specs = _specs(program) if program.extra["door"] == "spec" else f"[{', '.join(str(i.shape) for i in program.arguments)}]"
    lines = [
        f"c = tl.compile_out(program, {specs}, {program.dtype!r})",
        'print("compiled:", [np.asarray(y) for y in c.forward(*xs)])',
        's = tl.Session(tl.Options(dtype="float64"))',
        'print("expected:", [np.asarray(y) for y in program(s, *[s.input(x) if x.dtype.kind == "f" else x for x in xs])])',
    ]
    return "\n".join(lines) + "\n"
