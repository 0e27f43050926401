"""Samples of ops as C: written, compiled in few translation units, run, and compared with what their plans make.

python tests/interop/exported_samples.py [--cc clang] [--only PATTERN] [--every N] [--sanitize]
"""

from __future__ import annotations

import argparse
import ctypes
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from tlean._core.array import as_tensor
from tlean._core.plan.plan import run
from tlean.compiler.derive import pulled_back
from tlean.compiler.graph import Graph, GraphRef
from tlean.compiler.lower import lower
from tlean.dtypes import FLOATS
from tlean.errors import OptionError
from tlean.interop.c_code import _texts
from tlean.interop.c_code.programs import Exported, Port
from tlean.ops import Spec, all_ops
from tlean.testing.ops import _drawn

FLAGS = ("-std=c99", "-ffp-contract=off", "-Wall", "-Wextra", "-Wpedantic", "-Werror")

#: Vectors of eigenvalues that lie close together are as far from those of another method as their distance says.
ITERATED, CONDITION = re.compile(r"_linalg_(eigh|svd|pinv|complement)$"), 100.0


class Call:
    """A sample's call, or its gradient, as a graph, and as C.

    Attributes:
        source, header: the texts; None where the call is refused, which `refused` says.
    """

    def __init__(self, number, record, sample, dtype, gradient, unroll=32):
        self.label = f"{record.name}{' (gradient)' if gradient else ''} {dtype} {sample.args} {sample.options}"
        self.name, self.record, self.gradient = f"f{number}", record, gradient
        rng = np.random.default_rng(number)
        graph = Graph(dtype)
        self.arrays, refs = [], []
        args = [*sample.args, *[None] * (0 if record.variadic else len(record.inputs) - len(sample.args))]
        whole = {*record.whole_inputs, *(["seed"] if record.random else [])}
        for n, a in zip(record.input_names(len(args)), args, strict=True):
            x = _drawn(a, rng)
            if x is not None:
                kept = n.partition("[")[0] in whole or x.dtype == bool
                x = x if kept else x.astype(np.float64) if x.dtype.kind in "iu" else x
                x = as_tensor(x, dtype if x.dtype.kind == "f" else None)
                self.arrays.append(x)
            refs.append(None if x is None else graph.arg(Spec(x.shape, x.dtype)))
        ids = graph._record(record, [None if r is None else r.id for r in refs], sample.options)
        graph.outputs = list(ids[: len(record.outputs)])
        graph.inputs = [v for v in graph.inputs if v is not None]
        if gradient:
            ys = [GraphRef(graph, v) for v in graph.outputs if graph.specs[v].dtype in FLOATS]
            xs = [r for r in refs if r is not None and r.dtype in FLOATS]
            if not ys or not xs:
                raise LookupError
            gs = [graph.arg(r.spec) for r in ys]
            self.arrays += [as_tensor(rng.standard_normal(r.shape), r.dtype) for r in ys]
            graph.outputs = [r.id for r in pulled_back(graph, ys, gs, xs)]
        self.graph = graph
        self.specs = [graph.specs[v] for v in graph.outputs]
        program = Exported(graph._copy())
        program.inputs = [Port(f"in{k}", "", graph.specs[v]) for k, v in enumerate(graph.inputs)]
        program.outputs = [Port(f"out{k}", "", s) for k, s in enumerate(self.specs)]
        self.refused = None
        try:
            self.source, self.header = _texts(program, self.name, unroll)
        except OptionError as error:
            self.refused = str(error)

    def expected(self):
        """What the plan makes."""
        return [t.numpy() for t in run(lower(self.graph), self.arrays, [(s.shape, s.dtype) for s in self.specs])]

    def made(self, code):
        """The status, and what the C function makes."""
        size = getattr(code, f"{self.name}_size")
        size.restype = ctypes.c_ulong
        state = ctypes.create_string_buffer(size())
        given = [np.array(a.numpy(), order="C", copy=True) for a in self.arrays]
        outs = [np.full(s.shape, 77, s.dtype) for s in self.specs]
        return getattr(code, self.name)(*(a.ctypes.data_as(ctypes.c_void_p) for a in (*given, *outs)), state), outs


def calls(only="", every=1, offset=0, records=None):
    """The calls of records' good samples, in both dtypes, with their gradients; one of `every`, from number `offset` on."""
    number = 0
    for record in all_ops() if records is None else records:
        if not record.samples or not re.search(only, record.name):
            continue
        for sample in record.samples():
            if sample.raises:
                continue
            for dtype in FLOATS:
                for gradient in (False, True) if record.differentiable else (False,):
                    number += 1
                    if (number - offset) % every:
                        continue
                    try:
                        yield Call(number, record, sample, dtype, gradient)
                    except LookupError:
                        continue


def chunks(text):
    """The definitions and macros of a file, to be written once each."""
    part = []
    for line in text.splitlines():
        if not line and not part:
            continue
        part.append(line)
        macro = part[0].startswith("#")
        ended = (
            not line.endswith("\\")
            if macro
            else line.startswith("}")
            or re.match(r"TL_[A-Z_0-9]+\(.*\)$", line)
            or (line[:1] not in (" ", "/", "}") and line.endswith(("}", ";")))
        )
        if ended:
            yield "\n".join(part)
            part = []
    yield "\n".join(part)


def unit(programs):
    """One translation unit with all of these."""
    seen, parts = set(), []
    for p in programs:
        # Tables are numbered in each file by themselves.
        source = re.sub(r"\bc(\d+)\b", rf"{p.name}_c\1", p.source.split("\n", 2)[2])
        for chunk in (*chunks(p.header), *chunks(source)):
            branch = chunk.startswith(("#if", "#else", "#endif", "#pragma"))
            name = re.search(r"^(?:static|TL_INLINE) [^(=]*?(\w+)\(", chunk, re.MULTILINE)
            key = name[1] if name else chunk
            if branch or key not in seen:
                parts.append(chunk)
                seen.add(key)
    return "\n".join(parts) + "\n"


def compiled(folder, programs, cc="gcc", flags=("-O0",)):
    """The programs in a library."""
    path = Path(folder) / f"unit_{programs[0].name}.c"
    path.write_text(unit(programs))
    made = path.with_suffix(".so")
    command = [cc, *FLAGS, *flags, "-shared", "-fPIC", str(path), "-o", str(made), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    return ctypes.CDLL(str(made))


def apart(made, expected, floor):
    """How far results are from those expected, in units in the last place of the largest number of all, at least of `floor`.

    Numbers that are no floats, and infinities and NaN, must be equal; else the distance is infinite.
    """
    finite = [np.abs(x[np.isfinite(x)]) for x in expected if x.dtype.kind == "f"]
    largest = max([floor, *(float(np.max(x, initial=0)) for x in finite)])
    worst = 0.0
    for a, b in zip(made, expected, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            return np.inf
        rest = np.isfinite(b) if b.dtype.kind == "f" else np.zeros(b.shape, bool)
        if not np.array_equal(a[~rest], b[~rest], equal_nan=b.dtype.kind == "f"):
            return np.inf
        if rest.any():
            unit = np.finfo(b.dtype).eps * max(largest, np.finfo(b.dtype).tiny)
            gap = np.max(np.abs(a[rest].astype(np.float64) - b[rest]))
            worst = max(worst, float(gap) / unit) if np.isfinite(gap) else np.inf
    return worst


def checked(folder, programs, most, **options):
    """Compile these and compare each with its plan; the distance of each kind of call, by the op's name."""
    code = compiled(folder, programs, **options)
    worst = {}
    for p in programs:
        status, made = p.made(code)
        distance = apart(made, p.expected(), 1.0 if p.gradient else 0.0)
        assert status == 0, f"status {status}: {p.label}"
        limit = most * (CONDITION if ITERATED.match(p.record.name) else 1.0)
        assert distance <= limit, f"{distance:.1f} units: {p.label}"
        key = f"{p.record.name}{' (gradient)' if p.gradient else ''}"
        worst[key] = max(worst.get(key, 0.0), distance)
    return worst


MAIN = """
#include <stdio.h>
#include <stdlib.h>
static FILE *data;
static void *room(size_t bytes, int given) {
    void *p = malloc(bytes ? bytes : 1);
    if (given && fread(p, 1, bytes, data) != bytes) exit(3);
    return p;
}
"""


def sanitized(folder, programs, cc="gcc"):
    """Run these in a separate program with arrays of exact sizes, under the sanitizers of addresses and of undefined behaviour."""
    parts, lines = [unit(programs), MAIN], []
    with (Path(folder) / "data").open("wb") as file:
        for p in programs:
            for a in p.arrays:
                file.write(np.ascontiguousarray(a.numpy()).tobytes())
            sizes = [(a.numpy().nbytes, 1) for a in p.arrays]
            sizes += [(s.size * np.dtype(s.dtype).itemsize, 0) for s in p.specs]
            args = [f"a[{k}]" for k in range(len(sizes))]
            made = " ".join(f"a[{k}] = room({n}, {given});" for k, (n, given) in enumerate(sizes))
            lines.append(f"{{ void *a[{len(sizes)}]; {p.name}_state *s = room(sizeof *s, 0); {made} {p.name}({', '.join([*args, 's'])});")
            lines.append(f"for (int k = 0; k < {len(sizes)}; k++) free(a[k]); free(s); }}")
    parts.append("\n".join(['int main(int n, char **args) { (void)n; data = fopen(args[1], "rb");', *lines, "fclose(data); return 0; }"]))
    source, made = Path(folder) / "main.c", Path(folder) / "main"
    source.write_text("\n".join(parts))
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    subprocess.run([cc, "-std=c99", "-ffp-contract=off", *flags, str(source), "-o", str(made), "-lm"], check=True)
    done = subprocess.run([str(made), str(Path(folder) / "data")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]


def main():
    """Check a share of all samples; see the text of the module."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--cc", default="gcc")
    parser.add_argument("--only", default="", help="of the ops whose names match")
    parser.add_argument("--flags", default="-O0", help="of the compiler")
    parser.add_argument("--every", type=int, default=1, help="one of so many samples")
    parser.add_argument("--most", type=float, default=32.0, help="units that a result may be off")
    parser.add_argument("--sanitize", action="store_true", help="only run them, under sanitizers")
    args = parser.parse_args()
    chosen = list(calls(args.only, args.every))
    refused = sorted({c.record.name for c in chosen if c.refused})
    kept = [c for c in chosen if not c.refused]
    worst = {}
    for first in range(0, len(kept), 300):
        with tempfile.TemporaryDirectory() as folder:
            part = kept[first : first + 300]
            if args.sanitize:
                sanitized(folder, part, args.cc)
            else:
                for key, distance in checked(folder, part, args.most, cc=args.cc, flags=args.flags.split()).items():
                    worst[key] = max(worst.get(key, 0.0), distance)
    exact = sum(w == 0 for w in worst.values())
    print(f"{len(kept)} programs agree, of {exact} of {len(worst)} kinds to the bit; refused: {', '.join(refused) or 'none'}")
    for key, distance in sorted(worst.items(), key=lambda x: -x[1])[:10]:
        print(f"{distance:8.1f} units  {key}")


if __name__ == "__main__":
    main()
