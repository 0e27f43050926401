"""A digest of the library's bits: one line with a hash for each sample and each drawn program, dtype, way to run it and instruction set.

    python tools/digest.py --write before.txt       # on the old tree
    python tools/digest.py --compare before.txt     # on the new one: lists the lines that differ, and fails if there are any

What is hashed, with SHA-256 (its first 16 hexadecimal digits):

- every good sample of every record of the registry, in both dtypes: outputs, cotangents and tangents;
- programs drawn by `tests.fuzz` with fixed seeds: graphs on a session, on an explicit tape, compiled and under `tl.jit`; trainers and
  sessions, eager and compiled, with all that can be read after each call;
- the reference's outputs for each sample, once.

A line is `instruction set, what, dtype, way, hash`, separated by tabs. Arrays count with dtype, shape and exact bytes, except that all NaNs
are alike (`--nan-bits` tells them apart: their sign and payload depend on the order in which a compiler puts operands). What raises
contributes the class of the error, not its text. The line `drawn` of a program says what was drawn: where it differs, the rest must.

Each instruction set runs in child processes with TLEAN_ISA set; its kernels must be built in this clone. The result depends on none of
`--threads`, `--workers` and `--parts`. Compare what one machine wrote: NumPy and the C library compute by processor.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

ISAS = ("base", "avx2", "avx512")
DTYPES = ("float32", "float64")
#: The seed of the job whose programs are drawn.
SEED = 13
#: Seconds that one child process may take.
LIMIT = 900


# Hashes -------------------------------------------------------------------------------------------------------------------


class Hash:
    """SHA-256 of values of any kind: arrays by their bytes, containers by their entries, all else by its text."""

    def __init__(self, nan_bits: bool) -> None:
        self._sha, self._nan_bits = hashlib.sha256(), nan_bits

    def add(self, value: Any) -> None:
        """Append a value."""
        import numpy as np

        if isinstance(value, dict):
            value = sorted(value.items())
        if isinstance(value, tuple | list):
            self._text(f"{len(value)} entries")
            for entry in value:
                self.add(entry)
        elif value is None or isinstance(value, str | int | float):
            self._text(repr(value))
        else:
            array = np.array(value.numpy() if hasattr(value, "numpy") else value)
            if array.dtype.kind == "f" and not self._nan_bits:
                array[np.isnan(array)] = np.nan
            self._text(f"{array.dtype} {array.shape}")
            self._sha.update(array.tobytes())

    def _text(self, text: str) -> None:
        self._sha.update(text.encode() + b"\0")

    def __str__(self) -> str:
        return self._sha.hexdigest()[:16]


class Item:
    """One sample or program in one dtype; `ways` are functions that run it and return what is hashed."""

    def __init__(self, what: str, dtype: str, ways: dict[str, Callable[[], Any]]) -> None:
        self.what, self.dtype, self.ways = what, dtype, ways

    def lines(self, nan_bits: bool) -> Iterator[str]:
        """`what, dtype, way, hash` for each way."""
        for way, run in self.ways.items():
            try:
                digest = Hash(nan_bits)
                digest.add(run())
            except Exception as error:
                yield f"{self.what}\t{self.dtype}\t{way}\t{type(error).__name__}"
            else:
                yield f"{self.what}\t{self.dtype}\t{way}\t{digest}"


# Samples ------------------------------------------------------------------------------------------------------------------


class Call:
    """A sample of a record in one dtype: its arrays, and the ways to run it."""

    def __init__(self, record: Any, number: int, sample: Any, dtype: Any) -> None:
        import numpy as np

        self.record, self.options, self.dtype = record, dict(sample.options), dtype
        self.rng = np.random.default_rng(zlib.crc32(f"{record.name} {number}".encode()))
        arrays = [self._array(a) for a in sample.args]
        if not record.variadic:
            arrays += [None] * (len(record.inputs) - len(arrays))
        names = record.input_names(len(arrays))
        # A literal array of a float input may be written in integers.
        self.arrays = [
            a.astype(dtype) if a is not None and a.dtype.kind in "iu" and n.partition("[")[0] not in record.whole_inputs else a
            for a, n in zip(arrays, names, strict=True)
        ]
        self.present = [a for a in self.arrays if a is not None]

    def _array(self, declared: Any) -> Any:
        import numpy as np

        from tests.fuzz.program import Input
        from tlean.ops.samples import Arr

        if declared is None:
            return None
        arr = declared if isinstance(declared, Arr) else Arr(tuple(declared))
        kind = {"int": "int64", "int32": "int32", "bool": "bool"}.get(arr.kind, "float")
        if arr.kind == "values" and np.asarray(arr.data).dtype.kind != "f":
            kind = "bool" if np.asarray(arr.data).dtype.kind == "b" else "int64"
        seed = int(self.rng.integers(1 << 30))
        return Input(0, tuple(arr.shape), kind, arr.kind, arr.low, arr.high, arr.data, seed).array(self.dtype)

    def cotangent(self, y: Any) -> Any:
        """Random numbers like an output, zeros for integers; always the same ones."""
        import numpy as np

        if not str(y.dtype).startswith("float"):
            return np.zeros(tuple(y.shape), str(y.dtype))
        return np.random.default_rng(5).standard_normal(tuple(y.shape)).astype(self.dtype)

    def eager(self) -> Any:
        """Outputs on a session; the gradients of the first floating-point output."""
        import tlean as tl

        s = tl.Session(tl.Options(dtype=self.dtype, seed=0))
        refs = [a if a is None or a.dtype.kind != "f" else s.input(a, requires_grad=True) for a in self.arrays]
        result = s.apply(self.record.name, tuple(refs), dict(self.options))
        outputs = list(result) if isinstance(result, tuple) else [result]
        leaves = [r for r in refs if isinstance(r, tl.TensorRef)]
        y = next((y for y in outputs if str(y.dtype).startswith("float")), None)
        if y is None or not leaves or not y.requires_grad:
            return outputs, None
        grads = s.backward_dense_all(y, self.cotangent(y))
        return outputs, [s.grad(grads, r) for r in leaves]

    def program(self, ops: Any, *xs: Any) -> Any:
        """The call as a program of the arrays that are there."""
        arguments = iter(xs)
        inputs = tuple(None if a is None else next(arguments) for a in self.arrays)
        result = ops.apply(self.record.name, inputs, dict(self.options))
        return list(result) if isinstance(result, tuple) else [result]

    def _compiled(self) -> Any:
        import tlean as tl
        from tlean.ops import Spec

        specs = [Spec(a.shape, str(a.dtype)) for a in self.present]
        return tl.compile_out(self.program, specs, self.dtype, seed=0)

    def compiled(self) -> Any:
        """Outputs of the compiled program."""
        return self._compiled().forward(*self.present)

    def pulled(self) -> Any:
        """Its cotangents."""
        out = self._compiled()
        return out.vjp_with_seed(self.present, [self.cotangent(y) for y in out.forward(*self.present)])

    def pushed(self) -> Any:
        """Its tangents."""
        import numpy as np

        rng = np.random.default_rng(7)
        moves = [rng.standard_normal(a.shape).astype(self.dtype) if a.dtype.kind == "f" else None for a in self.present]
        return self._compiled().jvp(self.present, moves)

    def reference(self) -> Any:
        """The reference's outputs, in this dtype."""
        import tlean as tl

        result = tl.backends.Reference(self.dtype, 0).apply(self.record.name, tuple(self.arrays), dict(self.options))
        return [y.value for y in (result if isinstance(result, tuple) else (result,))]


def samples(reference: bool) -> Iterator[tuple[str, Callable[[], Item]]]:
    """(name, what makes the item) of every good sample in both dtypes; on the reference alone, or in all other ways."""
    from tlean.ops import all_ops

    def item(record: Any, number: int, sample: Any, dtype: str) -> Item:
        call = Call(record, number, sample, dtype)
        ways = {"eager": call.eager, "compiled": call.compiled, "compiled vjp": call.pulled, "compiled jvp": call.pushed}
        return Item(f"sample {record.name} {number}", dtype, {"reference": call.reference} if reference else ways)

    for record in sorted(all_ops(), key=lambda r: r.name):
        for number, sample in enumerate(record.samples() if record.samples else ()):
            if not sample.raises:
                for dtype in DTYPES:
                    yield f"sample {record.name} {number}", functools.partial(item, record, number, sample, dtype)


# Programs -----------------------------------------------------------------------------------------------------------------


def program(index: int) -> Item:
    """Program number `index` of the fuzzer."""
    import tlean as tl
    from tests.fuzz import faces, lockstep
    from tests.fuzz.draw import records
    from tests.fuzz.program import as_function
    from tests.fuzz.scenarios import draw_program

    # In the order of names, so that it does not matter which module declares a record, or when.
    drawn = draw_program(SEED, index, sorted(records(), key=lambda r: r.name))
    arrays = drawn.arrays()

    def identity() -> Any:
        steps = [(s.op, list(s.args), str(sorted(s.options.items())), s.part) for s in drawn.steps]
        return drawn.kind, steps, list(drawn.outputs), [i.array(drawn.dtype) for i in drawn.inputs], drawn.loss, str(drawn.extra)

    def read(result: Any) -> Any:
        return result.values, result.loss, list(result.grads.items())

    ways: dict[str, Callable[[], Any]] = {"drawn": identity}
    if drawn.kind in ("trainer", "session") or drawn.extra.get("door") == "param":
        ways |= {b: functools.partial(lockstep.log_of, drawn, b) for b in lockstep.BACKENDS}
    else:
        ways |= {
            "eager": lambda: read(faces.eager(drawn)),
            "tape": lambda: read(faces.eager(drawn, ops=faces.Explicit(drawn.dtype))),
            "compiled": lambda: faces.Compiled(drawn).forward(arrays),
            "compiled gradients": lambda: read(faces.Compiled(drawn).gradients(arrays)),
            "jit": lambda: tl.jit(as_function(drawn), seed=0)(*arrays),
        }
    return Item(f"program {index} {drawn.kind}", drawn.dtype, ways)


def items(isa: str, programs: int, only: str = "") -> list[Callable[[], Item]]:
    """Every item of an instruction set whose name contains `only`; "reference" is the set of those that run no kernel."""
    pairs = list(samples(isa == "reference"))
    if isa != "reference":
        pairs += [(f"program {i}", functools.partial(program, i)) for i in range(programs)]
    return [make for name, make in pairs if only in name]


# Processes ----------------------------------------------------------------------------------------------------------------


def child(isa: str, part: int, first: int, arguments: argparse.Namespace) -> int:
    """Print `number of the item, line` for every item of a part, from number `first` on."""
    import tlean as tl

    if ROOT not in Path(tl.__file__).resolve().parents:
        sys.exit(f"digest: this is a tlean from elsewhere: {tl.__file__}")
    tl.set_num_threads(arguments.threads)
    for number, make in enumerate(items(isa, arguments.programs, arguments.only)):
        if number % arguments.parts == part and number >= first:
            print(f"{number}\tbegin", flush=True)
            for line in make().lines(arguments.nan_bits):
                print(f"{number}\t{line}", flush=True)
    return 0


def run_part(isa: str, part: int, arguments: argparse.Namespace) -> list[tuple[int, str]]:
    """(number of the item, line) of one part. A child that a signal ends is a line, and the rest runs in another child."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TLEAN_")}
    environment |= {"MALLOC_PERTURB_": "165", "PYTHONHASHSEED": "0"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    if isa != "reference":
        environment["TLEAN_ISA"] = isa
    lines: list[tuple[int, str]] = []
    first = part
    while True:
        command = [sys.executable, __file__, "--child", isa, str(part), str(first), "--programs", str(arguments.programs)]
        command += ["--parts", str(arguments.parts), "--threads", str(arguments.threads), "--only", arguments.only]
        command += ["--nan-bits"] if arguments.nan_bits else []
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT)
        output = [line.split("\t", 1) for line in done.stdout.splitlines()]
        lines += [(int(number), f"{isa}\t{line}") for number, line in output if line != "begin"]
        if done.returncode >= 0:
            break
        last = int(output[-1][0]) if output else first
        lines.append((last, f"{isa}\titem {last}\t-\tends its process\t{signal.Signals(-done.returncode).name}"))
        first = last + 1
    if done.returncode:
        raise ChildProcessError(f"the child for {isa} failed:\n{done.stderr[-2000:]}")
    return lines


def measure(arguments: argparse.Namespace) -> list[str]:
    """Every line: instruction sets in the order requested, samples by name, programs by number."""
    sets = ["reference", *arguments.isa]
    with ThreadPoolExecutor(arguments.workers) as pool:
        parts = {isa: [pool.submit(run_part, isa, p, arguments) for p in range(arguments.parts)] for isa in sets}
        return [line for isa in sets for _, line in sorted((e for p in parts[isa] for e in p.result()), key=lambda e: e[0])]


def compare(old: list[str], new: list[str]) -> list[str]:
    """What differs, a line each. Instruction sets that one of the two lacks altogether are left out."""
    both = {line.split("\t")[0] for line in old} & {line.split("\t")[0] for line in new}
    before, after = (
        {line.rpartition("\t")[0]: line.rpartition("\t")[2] for line in lines if line.split("\t")[0] in both} for lines in (old, new)
    )
    wrong = []
    for key in before | after:
        if before.get(key) != after.get(key):
            wrong.append(f"{key.replace(chr(9), ', ')}: {before.get(key, 'not there')} -> {after.get(key, 'not there')}")
    return wrong


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns: 1 where lines differ, 2 where a child process fails (no kernels of that instruction set), else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=500, help="programs to draw (500)")
    parser.add_argument("--isa", default=",".join(ISAS), help=f"instruction sets, separated by commas ({','.join(ISAS)})")
    parser.add_argument("--threads", type=int, default=1, help="threads of the kernels (1)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="child processes at a time (one for each processor)")
    parser.add_argument("--parts", type=int, default=4, help="child processes for each instruction set in all (4)")
    parser.add_argument("--nan-bits", action="store_true", help="sign and payload of NaNs count")
    parser.add_argument("--only", default="", metavar="TEXT", help="only samples and programs with this in their names: 'sample conv2d '")
    parser.add_argument("--most", type=int, default=40, help="list at most so many lines that differ (40)")
    parser.add_argument("--child", nargs=3, metavar=("ISA", "PART", "FIRST"), help=argparse.SUPPRESS)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", type=Path, metavar="FILE", help="write the lines to this file")
    action.add_argument("--compare", type=Path, metavar="FILE", help="compare with the lines of this file")
    arguments = parser.parse_args(argv)
    if arguments.child:
        isa, part, first = arguments.child
        return child(isa, int(part), int(first), arguments)
    arguments.isa = arguments.isa.split(",")
    if not set(arguments.isa) <= set(ISAS):
        parser.error(f"instruction sets are {', '.join(ISAS)}")
    old = None
    if arguments.compare:
        old = [line for line in arguments.compare.read_text().splitlines() if arguments.only in line.split("\t")[1]]
    started = time.monotonic()
    try:
        lines = measure(arguments)
    except ChildProcessError as error:
        print(f"digest: {error}", file=sys.stderr)
        return 2
    raised = sum(line.rpartition("\t")[2].endswith("Error") for line in lines)
    whole = Hash(arguments.nan_bits)
    whole.add(lines)
    print(f"{len(lines)} lines, of which {raised} raise, in {time.monotonic() - started:.0f} s; all together {whole}", file=sys.stderr)
    if old is not None:
        wrong = compare(old, lines)
        print("\n".join([*wrong[: arguments.most], f"{len(wrong)} lines differ from {arguments.compare}"]))
        return int(bool(wrong))
    if arguments.write:
        arguments.write.write_text("\n".join(lines) + "\n")
    else:
        print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
