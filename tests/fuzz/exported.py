"""Graphs as C: what a compiler makes of the exported file is as far from the plan as two units in the last place an op come to."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import tlean as tl
from tlean.interop.c_code.programs import exported

from . import oracle
from .faces import FindingError, note, plain
from .program import as_function
from .rounding import Running, share

if TYPE_CHECKING:
    from .checks import Graph

#: Programs with more elements in arguments and constants take compilers too long.
MOST = 20_000
#: The smallest file is compiled soonest; the processor's own instructions change what is contracted.
FLAGS = ("-std=c99", "-O0", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-unused")


@functools.cache
def compiler() -> str | None:
    """The C compiler of this machine."""
    return next((cc for cc in ("gcc", "clang", "cc") if shutil.which(cc)), None)


def compared(graph: Graph) -> None:
    """The outputs, and the loss with its gradients, as C."""
    program = graph.program
    size = sum(i.array(program.dtype).size for i in program.inputs)
    floats = [k for k, i in enumerate(program.arguments) if i.is_float]
    if program.uses_own or program.draws or compiler() is None or size > MOST:
        graph.count["skipped: not exported"] += 1
        return
    if not floats or any(str(graph.arrays[k].dtype) != program.dtype for k in floats):
        graph.count["skipped: not exported"] += 1
        return
    wanted = oracle.expected(program)
    if wanted is None or any(t is None for t in wanted.tolerances):
        graph.count["skipped: not exported"] += 1
        return
    _agree(graph, "value", as_function(program), None, graph.eager.values)
    if graph.has_loss:
        chosen = tuple(k for k in floats if program.arguments[k].grad)
        keys = [program.arguments[k].key for k in chosen]
        zeros = [np.zeros(graph.arrays[k].shape, program.dtype) for k in chosen]
        grads = [z if graph.grads.grads.get(key) is None else graph.grads.grads[key] for key, z in zip(keys, zeros, strict=True)]
        if chosen:
            _agree(graph, "value_and_grad", as_function(program, "loss"), chosen, [graph.grads.loss, *grads])


def _agree(graph: Graph, what: str, f: Any, wrt: tuple[int, ...] | None, planned: list[Any]) -> None:
    program, arrays = graph.program, graph.arrays
    note(f"export_c, {what}")
    c = tl.export_c(f, arrays, name="exported", what=what, wrt=wrt, unroll=(32, 4)[program.seed % 2])
    made = _called(c, arrays, ("-march=native",) if program.seed % 4 < 2 else ())
    face = Running(program.dtype, deep=True)
    try:
        refs = face.run(exported(f, arrays, what, wrt, "constants", None).graph, [face.leaf(a) for a in arrays])
    except LookupError:
        graph.count["skipped: no bound"] += 1
        return
    for k, (y, a, b) in enumerate(zip(refs, made, planned, strict=True)):
        if b.dtype.kind != "f":
            if not np.array_equal(a, b):
                raise FindingError("export_c", f"{what}, output {k}: {a.tolist()} in C, {b.tolist()} by the plan")
            continue
        part = share(face, y, a, b)
        if part > 1.0:
            raise FindingError("export_c", f"{what}, output {k} is {part:.3g} times as far from the plan as two units an op come to")
        graph.count["outputs compared with C"] += 1


def _called(c: Any, arrays: list[np.ndarray], flags: tuple[str, ...]) -> list[np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "exported.c")
        path.write_text(c.source)
        path.with_suffix(".h").write_text(c.header)
        library = path.with_suffix(".so")
        command = [str(compiler()), *FLAGS, *flags, "-shared", "-fPIC", str(path), "-o", str(library), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise FindingError("export_c", f"{compiler()} refuses the file: {done.stderr[:2000]}")
        code = ctypes.CDLL(str(library))
    code.exported_size.restype = ctypes.c_ulong
    state = ctypes.create_string_buffer(code.exported_size())
    given = [np.ascontiguousarray(a, s.dtype) for a, (_, _, s) in zip(arrays, c.inputs, strict=True)]
    outs = [np.full(s.shape, 77, s.dtype) for _, _, s in c.outputs]
    status = code.exported(*(a.ctypes.data_as(ctypes.c_void_p) for a in (*given, *outs)), state)
    if status:
        raise FindingError("export_c", f"the status is {status}, and the plan works")
    return [plain(o) for o in outs]
