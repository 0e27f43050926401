"""Modules are imported by several threads at once: by statements, and by the first use of a name."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tlean.later import BEFORE, BELOW_OPS

ROOT = Path(__file__).parents[2] / "tlean"
#: What is imported by one thread, or by what has one lock: programs, a device, the reference's definitions.
ALONE = {"cli", "cuda", "reference"}
MODULES = {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in ROOT.rglob("*.py")}


def imports(name: str) -> set[str]:
    """The modules of the library that one imports when it is imported itself."""
    file, found = MODULES[name], set[str]()
    package = ["tlean", *name.split(".")]
    package = package if file.stem == "__init__" else package[:-1]

    def walk(body: list[ast.stmt]) -> None:
        for n in body:
            if isinstance(n, ast.If):
                walk(n.orelse if "TYPE_CHECKING" in ast.unparse(n.test) else [*n.body, *n.orelse])
            elif isinstance(n, ast.Try | ast.With):
                walk(n.body)
            elif isinstance(n, ast.Import):
                found.update(a.name for a in n.names)
            elif isinstance(n, ast.ImportFrom):
                base = ".".join([*package[: len(package) - n.level + 1], *([n.module] if n.module else [])]) if n.level else n.module or ""
                found.add(base)
                found.update(f"{base}.{a.name}" for a in n.names)

    walk(ast.parse(file.read_text(encoding="utf-8")).body)
    return {m for f in found if (m := f.removeprefix("tlean.")) in MODULES and m != f}


def before(name: str) -> set[str]:
    """What is whole when a module is run."""
    parts = name.split(".")
    direct = {r for k in range(len(parts)) for r in BEFORE.get(".".join(parts[: k + 1]), "").split()}
    return direct.union(*map(before, direct)) if direct else direct


def test_a_package_is_whole_before_others_import_parts_of_it() -> None:
    """A package whose own lines import its parts."""
    eager = {p for p, f in MODULES.items() if f.stem == "__init__" and p and any(i.startswith(f"{p}.") for i in imports(p))}
    wrong = []
    for name in MODULES:
        room = name.partition(".")[0]
        if name in ("", "__init__") or room in ALONE or room in BELOW_OPS:
            continue
        for i in imports(name):
            above = [".".join(i.split(".")[:k]) for k in range(1, i.count(".") + 1)]
            outside = [p for p in above if p in eager and p.partition(".")[0] not in {room, *BELOW_OPS, *ALONE}]
            wrong += [(name, p) for p in outside if p not in before(name)]
    assert not wrong


def test_what_comes_before_comes_before_nothing_that_it_needs() -> None:
    assert all(name not in before(name) and name.partition(".")[0] not in before(name.partition(".")[0]) for name in BEFORE)
    assert BEFORE.keys() <= MODULES.keys()
    assert all(MODULES[room].stem == "__init__" for rooms in BEFORE.values() for room in rooms.split())


PROGRAM = """
    import faulthandler, random, sys, threading, traceback
    faulthandler.dump_traceback_later(100, exit=True)
    random.seed(int(sys.argv[1]))
    import tlean as tl
    sys.setswitchinterval(1e-5)
    rooms = "array_api data distributed fft linalg mcmc nn optim random scipy solvers sparse stats testing train".split()
    names = [*rooms, *"onnx Session grad vmap scan custom_op fixed_point cubic_spline fit relu export_c jit".split()]
    rooms += "autodiff custom implicit interop.onnx interpolation loops session tape".split()
    modules = [f"tlean.{r}" for r in rooms]
    barrier, wrong = threading.Barrier(8), []

    def run(each, use):
        barrier.wait()
        for one in random.sample(each, len(each)):
            try:
                use(one)
            except BaseException:
                wrong.append(traceback.format_exc())

    def state(name):
        exec(f"import {name}")

    threads = [threading.Thread(target=run, args=((names, lambda n: getattr(tl, n)) if k % 2 else (modules, state))) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit("".join(wrong[:2]) or 0)
"""


@pytest.mark.parametrize("seed", range(30))
def test_statements_and_first_uses_in_eight_threads(seed: int) -> None:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
