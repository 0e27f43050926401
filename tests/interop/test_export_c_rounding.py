"""Exported programs beside their plans: two units in the last place an op, along every path; `fuzz/rounding.py` has the bound."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess

import numpy as np
import pytest
from fuzz.guests import Twins, compiler
from fuzz.rounding import Running, share
from test_guest_programs import drawn

import tlean as tl
from tlean._core.table import ISA
from tlean.interop.c_code.programs import exported

RNG = np.random.default_rng(5)
MATRIX, DATA = RNG.normal(size=(8, 8)) * 0.3, RNG.normal(size=50)
DTYPES = ("float32", "float64")
STEPS = 3
BUILDS = [
    pytest.param(cc, flags, id=f"{cc} {flags[-1]}", marks=pytest.mark.skipif(shutil.which(cc) is None, reason=f"there is no {cc} here"))
    for cc in ("gcc", "clang")
    for flags in (("-std=c99", "-O2", "-ffp-contract=off"), ("-std=c99", "-O2", "-ffp-contract=off", "-march=native"))
]


def rollout(x, us):
    a = tl.broadcast_to(MATRIX.astype(x.dtype), shape=(8, 8))

    def step(h, u):
        h = tl.tanh(a @ h) + 0.1 * u
        return h, tl.sum(h * h)

    last, costs = tl.scan(step, x, us)
    return tl.sum(costs) + tl.sum(last)


def log_density(theta):
    z = (DATA.astype(theta.dtype) - theta[0]) * tl.exp(-theta[1])
    return -0.5 * tl.sum(z * z) - 50.0 * theta[1] - 0.5 * theta[0] * theta[0]


def perceptron(w1, b1, w2, b2, x, y):
    return tl.mse_loss(tl.linear(w2, b2, tl.tanh(tl.linear(w1, b1, x))), y)


class Gradients:
    """A value with its gradients: as C, by its plan, and on the face that bounds what is between the two."""

    def __init__(self, name, f, *arrays):
        self.f, self.dtype = f, str(arrays[0].dtype)
        self.name = f"{name}_{self.dtype}"
        self.arrays = arrays
        self.c = tl.export_c(f, arrays, name=self.name, what="value_and_grad")
        self.calls, self.states = 1, []

    def planned(self):
        value, grads = tl.jit(tl.value_and_grad(self.f, argnums=tuple(range(len(self.arrays)))))(*self.arrays)
        return [value.numpy(), *(g.numpy() for g in grads)]

    def bounded(self):
        face = Running(self.dtype)
        graph = exported(self.f, self.arrays, "value_and_grad", None, "constants", None).graph
        return face, face.run(graph, [face.leaf(a) for a in self.arrays])


class Training:
    """Some steps of training: their losses, and the parameters after them."""

    def __init__(self, name, optimizer, *arrays):
        self.dtype = str(arrays[0].dtype)
        self.name, self.arrays, self.calls = f"{name}_{self.dtype}", arrays, STEPS
        rng = np.random.default_rng(3)
        self.params = [tl.Param(rng.normal(size=s).astype(self.dtype) * 0.3) for s in ((16, 8), (16,), (1, 16), (1,))]
        self.optimizer = optimizer
        self.f = lambda x, y: perceptron(*self.params, x, y)
        self.opt = self.optimizer(self.params)
        self.c = tl.export_c(self.f, arrays, name=self.name, what="step", optimizer=self.opt)
        self.exported = exported(self.f, arrays, "step", None, "constants", self.opt)
        self.states = [s.spec.shape for s in self.exported.states]
        self.kept = [k for k, s in enumerate(self.exported.states) if "_" not in s.name]

    def planned(self):
        shapes = [a.shape for a in self.arrays]
        trainer = tl.ScalarTrainer(tl.Options(dtype=self.dtype), self.params, shapes, lambda ops, *args: perceptron(*args))
        losses = [trainer.optim_step(self.opt, *self.arrays).numpy() for _ in range(STEPS)]
        return [*losses, *(p.numpy() for p in trainer.get_params())]

    def bounded(self):
        face = Running(self.dtype)
        leaves = [face.leaf(a) for a in self.arrays]
        states, losses = [face.leaf(s.begins.numpy().reshape(s.spec.shape)) for s in self.exported.states], []
        for step in range(1, STEPS + 1):
            hypers = [tuple(step if k == at else x for k, x in enumerate(numbers)) for numbers, at in self.exported.updates]
            loss, *states = face.run(self.exported.graph, [*leaves, *states, *hypers])
            losses.append(loss)
        return face, [*losses, *(states[k] for k in self.kept)]


@functools.cache
def cases():
    made = []
    for dtype in DTYPES:
        x, us, theta = RNG.normal(size=8), RNG.normal(size=(20, 8)), np.array([0.3, 0.1])
        inputs, targets = RNG.normal(size=(12, 8)).astype(dtype), RNG.normal(size=(12, 1)).astype(dtype)
        made.append(Gradients("rollout", rollout, x.astype(dtype), us.astype(dtype)))
        made.append(Gradients("density", log_density, theta.astype(dtype)))
        made.append(Training("adam", lambda ps: tl.optim.Adam(ps, lr=0.01, weight_decay=0.1), inputs, targets))
        made.append(Training("momentum", lambda ps: tl.optim.SGD(ps, lr=0.1, momentum=0.9), inputs, targets))
    # The plans run before the bounds: they share nothing, and a plan moves the parameters.
    return [(case, case.bounded(), case.planned()) for case in made]


def main_text():
    """A C program that calls every case with the numbers of a file, and writes what comes out."""
    lines = []
    for case, _, _ in cases():
        c = case.c
        real = "float" if case.dtype == "float32" else "double"
        arrays = [f"{real} a{k}[{max(1, s.size)}];" for k, (_, _, s) in enumerate((*c.inputs, *c.outputs))]
        names = ", ".join(f"a{k}" for k in range(len(arrays)))
        lines.append(f"{{ static {c.name}_state s; static {' static '.join(arrays)}")
        lines += [f"if (fread(a{k}, sizeof a{k}, 1, in) != 1) return 3;" for k in range(len(c.inputs))]
        lines += [f"{c.name}_init(&s);"] if case.states else []
        lines.append(f"for (int call = 0; call < {case.calls}; call++) {{ if ({c.name}({names}, &s)) return 4;")
        lines += [f"fwrite(a{k}, sizeof a{k}, 1, out);" for k in range(len(c.inputs), len(arrays))]
        lines.append("}")
        lines += [f"fwrite(s.{s.name}, sizeof s.{s.name}, 1, out);" for s in _kept(case)]
        lines.append("}")
    heads = "\n".join(f'#include "{case.c.name}.h"' for case, _, _ in cases())
    body = "\n    ".join(lines)
    files = 'FILE *in = fopen(args[1], "rb"), *out = fopen(args[2], "wb");'
    return f"#include <stdio.h>\n{heads}\nint main(int n, char **args) {{\n    {files} (void)n;\n    {body}\n    return fclose(out);\n}}\n"


def _kept(case):
    return [case.exported.states[k] for k in case.kept] if case.states else []


def built(folder, cc, flags, sources=None):
    """Every case compiled once, linked as a library and with the C program: (the library, the program's path)."""
    objects = []
    for case, _, _ in cases():
        (folder / f"{case.c.name}.h").write_text(case.c.header)
        path = folder / f"{case.c.name}.c"
        path.write_text((sources or {}).get(case.c.name, case.c.source))
        objects.append(str(path.with_suffix(".o")))
        subprocess.run([cc, *flags, "-fPIC", "-c", str(path), "-o", objects[-1]], check=True)
    (folder / "main.c").write_text(main_text())
    subprocess.run([cc, "-shared", *objects, "-o", str(folder / "all.so"), "-lm"], check=True)
    subprocess.run([cc, *flags, str(folder / "main.c"), *objects, "-o", str(folder / "main"), "-lm"], check=True)
    return ctypes.CDLL(str(folder / "all.so")), folder / "main"


def through_ctypes(code, case):
    """What the functions of the library make of a case."""
    c = case.c
    size = getattr(code, f"{c.name}_size")
    size.restype = ctypes.c_ulong
    state = ctypes.create_string_buffer(size())
    if case.states:
        getattr(code, f"{c.name}_init")(state)
    made = []
    for _ in range(case.calls):
        outs = [np.full(s.shape, np.nan, s.dtype) for _, _, s in c.outputs]
        arrays = [a.ctypes.data_as(ctypes.c_void_p) for a in (*case.arrays, *outs)]
        assert getattr(code, c.name)(*arrays, state) == 0
        made += outs
    at, every = 0, []
    for shape in case.states:
        every.append(np.frombuffer(state, case.dtype, int(np.prod(shape)), at).reshape(shape))
        at += every[-1].nbytes
    return made + [every[k] for k in getattr(case, "kept", ())]


def through_c(program, folder):
    """What the C program writes, for each case."""
    with (folder / "in").open("wb") as file:
        for case, _, _ in cases():
            for a in case.arrays:
                file.write(np.ascontiguousarray(a).tobytes())
    subprocess.run([str(program), str(folder / "in"), str(folder / "out")], check=True)
    data, at = (folder / "out").read_bytes(), 0
    for case, _, planned in cases():
        made = []
        for p in planned:
            made.append(np.frombuffer(data, case.dtype, p.size, at).reshape(p.shape))
            at += made[-1].nbytes
        yield made
    assert at == len(data)


def most(face, refs, planned, made):
    """The largest share of its bound that a difference is."""
    for y, p in zip(refs, planned, strict=True):
        # The bound is of the program: the plan's numbers are those of the tape, to its dtype.
        np.testing.assert_allclose(p, y.numpy(), rtol=1e-4, atol=1e-5)
    return max(share(face, y, m, p) for y, m, p in zip(refs, made, planned, strict=True))


@pytest.mark.parametrize(("cc", "flags"), BUILDS)
def test_two_units_in_the_last_place_an_op(tmp_path, cc, flags):
    code, program = built(tmp_path, cc, flags)
    for (case, bounded, planned), written in zip(cases(), through_c(program, tmp_path), strict=True):
        made = through_ctypes(code, case)
        for a, b in zip(made, written, strict=True):
            np.testing.assert_array_equal(a, b)
        assert most(*bounded, planned, made) <= 1.0, case.name


@pytest.mark.parametrize(("name", "right", "wrong"), [("rollout", "0.1", "0.10001"), ("density", "50.0", "50.001")])
def test_a_constant_that_is_slightly_off_is_beyond_the_bound(tmp_path, name, right, wrong):
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc here")
    (case, bounded, planned), *_ = [c for c in cases() if c[0].name == f"{name}_float32"]
    sources = {case.name: case.c.source.replace(f"{right}f", f"{wrong}f")}
    assert sources[case.name] != case.c.source
    code, _ = built(tmp_path, "gcc", BUILDS[0].values[1], sources)
    assert most(*bounded, planned, through_ctypes(code, case)) > 1.0


@pytest.mark.skipif(compiler() is None, reason="there is no C compiler here")
@pytest.mark.parametrize("seed", range(8))
def test_random_programs_of_loops_in_loops(tmp_path, seed):
    loss, arrays, dtype = drawn(seed)

    def f(x, z):
        return loss(Twins, x, z)

    c = tl.export_c(f, tuple(arrays), name="nest", what="value_and_grad", unroll=(32, 4)[seed // 2 % 2])
    (tmp_path / "nest.h").write_text(c.header)
    (tmp_path / "nest.c").write_text(c.source)
    more = ("-march=native",) if seed % 4 < 2 else ()
    flags = ("-std=c99", "-O0", "-ffp-contract=off", *more, "-shared", "-fPIC")
    subprocess.run([compiler(), *flags, str(tmp_path / "nest.c"), "-o", str(tmp_path / "nest.so"), "-lm"], check=True)
    code, outs = ctypes.CDLL(str(tmp_path / "nest.so")), [np.empty(s.shape, s.dtype) for _, _, s in c.outputs]
    code.nest_size.restype = ctypes.c_ulong
    state = ctypes.create_string_buffer(code.nest_size())
    assert code.nest(*(a.ctypes.data_as(ctypes.c_void_p) for a in (*arrays, *outs)), state) == 0
    value, grads = tl.jit(tl.value_and_grad(f, argnums=(0, 1)))(*arrays)
    # Each level of a sum is an op.
    face = Running(dtype, deep=True)
    refs = face.run(exported(f, tuple(arrays), "value_and_grad", None, "constants", None).graph, [face.leaf(a) for a in arrays])
    assert most(face, refs, [value.numpy(), *(g.numpy() for g in grads)], outs) <= 1.0


def several(x):
    return tl.stack([tl.exp(x), tl.tanh(x), tl.sin(x), tl.log1p(x * x), tl.erf(x), tl.cbrt(x)])


@pytest.mark.skipif(ISA == "base", reason="the plan's kernels have no fused multiply-add either")
@pytest.mark.parametrize(("cc", "flags"), [b for b in BUILDS if "native" in b.id])
def test_functions_are_contracted_where_the_processor_can(tmp_path, cc, flags):
    x = RNG.normal(size=500) * 4.0
    programs = []
    for dtype in DTYPES:
        programs.append((dtype, tl.export_c(several, x.astype(dtype), name=f"several_{dtype}")))
    for dtype, c in programs:
        (tmp_path / f"{c.name}.h").write_text(c.header)
        (tmp_path / f"{c.name}.c").write_text(c.source)
        made = tmp_path / f"{c.name}.so"
        subprocess.run([cc, *flags, "-shared", "-fPIC", str(tmp_path / f"{c.name}.c"), "-o", str(made), "-lm"], check=True)
        code, given, out = ctypes.CDLL(str(made)), x.astype(dtype), np.empty((6, 500), dtype)
        state = ctypes.create_string_buffer(1 << 16)
        assert getattr(code, c.name)(*(a.ctypes.data_as(ctypes.c_void_p) for a in (given, out)), state) == 0
        np.testing.assert_array_equal(out, tl.jit(several)(given).numpy())
