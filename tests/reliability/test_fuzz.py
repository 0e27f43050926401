"""The program fuzzer: a short job in every test run, and that it finds what is planted."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from fuzz import checks, faces, shrink
from fuzz.draw import records
from fuzz.isolate import examine, examine_apart
from fuzz.job import Job
from fuzz.program import Input, Program, Step
from fuzz.scenarios import draw_program
from fuzz.script import script

HERE = Path(__file__).parents[1]


@functools.cache
def drawn(index):
    return draw_program(0, index)


def python(*arguments, **changes):
    return subprocess.run(
        [sys.executable, *arguments], cwd=HERE, env={**os.environ, **changes}, capture_output=True, text=True, timeout=300, check=False
    )


def ran(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def graph(*steps, shape=(2, 3), outputs=None, checks=(), dtype="float64"):
    made = tuple(Step(k + 1, *s) for k, s in enumerate(steps))
    return Program("graph", dtype, (Input(0, shape),), made, outputs or (len(steps),), checks=checks)


def test_a_hundred_programs(tmp_path):
    ran(python("-m", "fuzz", "--programs", "100", "--seed", "1", "--quiet", "--out", str(tmp_path), "--shrink", "5"))


# Drawing ------------------------------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_programs():
    text = "from fuzz.scenarios import draw_program; import zlib; print([zlib.crc32(repr(draw_program(3, i)).encode()) for i in range(30)])"
    assert eval(ran(python("-c", text, PYTHONHASHSEED="1"))) == [zlib.crc32(repr(draw_program(3, i)).encode()) for i in range(30)]


def test_every_public_record_is_drawn():
    known = records()
    found = {s.op for i in range(3 * len(known)) for s in drawn(i).steps}
    assert {r.name for r in known} <= found


def test_programs_are_of_every_kind_and_size():
    programs = [drawn(i) for i in range(300)]
    assert {p.kind for p in programs} == {"graph", "trainer", "session", "doors"}
    assert {p.dtype for p in programs} == {"float32", "float64"}
    assert {"nested", "captured"} <= {c for p in programs for c in p.checks}
    assert {k: any(p.uses_own for p in programs if p.kind == k) for k in ("graph", "session")} == {"graph": True, "session": True}
    lengths = [len(p.steps) for p in programs]
    assert min(lengths) == 1 and max(lengths) >= 60
    assert any(0 in i.shape for p in programs for i in p.inputs)
    assert any(len(s.args) > 64 for p in programs for s in p.steps)
    assert any(p.uses_stream for p in programs) and any(len(p.outputs) != len(set(p.outputs)) for p in programs)


def test_an_integer_that_an_op_made_is_an_index_on_every_face():
    steps = (("argmax", (0,), {}), ("gather_scalar", (0, 1), {}))
    made = graph(*steps, shape=(5,), outputs=(2,), checks=("tape", "tapem"))
    assert not examine(made).check


# A fault in the library -----------------------------------------------------------------------------------------------------

WRONG = """
import sys
from pathlib import Path
import tlean as tl
from tlean.ops.samples import Sample, good

@tl.defop("doubtful", samples=lambda: [good((2, 3)), good(())])
class Doubtful:
    "sin(x), with a derivative that forward mode does not agree with."
    def shape(x):
        return x
    def vjp(ops, g, y, x):
        return (ops.mul(g, ops.sin(x)),)
    def jvp(ops, t, y, x):
        return None if t[0] is None else ops.mul(t[0], ops.cos(x))
    def decompose(ops, x):
        return ops.sin(x)

from fuzz.job import Job
from fuzz.draw import records
job = Job(0, 0, 1, workers=1, limit=30.0, seconds=None, out=Path(sys.argv[1]), show=False)
count = len(records())
# The programs that are drawn around the last record.
job.left = [k * count + count - 1 for k in range(12)]
report = job.run(shrink_seconds=10.0)
print([[s.op for s in f.small.steps] for f in report.found if f.outcome.check == "transpose"])
"""


def test_a_record_that_is_new_is_drawn_and_its_wrong_rule_found(tmp_path):
    out = ran(python("-c", WRONG, str(tmp_path)))
    assert "['doubtful']" in out, out


# Faults planted in a face ---------------------------------------------------------------------------------------------------


def plant(monkeypatch, op, act):
    """The compiled run of a program with that op goes wrong."""
    right = faces.Compiled.forward

    def forward(self, arrays):
        values = right(self, arrays)
        return act(values) if any(s.op == op for s in self.program.steps) else values

    monkeypatch.setattr(faces.Compiled, "forward", forward)


def last_bit(values):
    return [np.nextafter(v, np.inf, dtype=v.dtype) if v.dtype.kind == "f" else v for v in values]


def test_one_bit_is_a_finding_and_shrinks_to_its_op(monkeypatch):
    plant(monkeypatch, "tanh", last_bit)
    index = next(i for i in range(1000) if _has(drawn(i), "tanh", 8))
    program = drawn(index)
    found = examine_apart([program], 30.0)
    assert found.check == "compiled" and "differ" in found.text
    small = shrink.shrink(program, lambda p: examine_apart([p], 30.0).signature == found.signature, 30.0)
    assert [s.op for s in small.steps] == ["tanh"] and len(small.inputs) == len(small.outputs) == 1
    assert np.prod(small.inputs[0].shape) == 1


def _has(program, op, least):
    return program.kind == "graph" and len(program.steps) >= least and any(s.op == op for s in program.steps)


def test_a_signal_and_a_hang_are_findings_and_the_job_goes_on(monkeypatch, tmp_path):
    # A signal that sanitizers leave alone.
    plant(monkeypatch, "sigmoid", lambda values: os.kill(os.getpid(), signal.SIGABRT))
    plant(monkeypatch, "erf", lambda values: time.sleep(60))
    job = Job(0, 0, 0, workers=2, limit=3.0, seconds=None, out=tmp_path, show=False)
    ill = {op: [i for i in range(290) if _has(drawn(i), op, 1) and not _has(drawn(i), other, 1)][:2]
           for op, other in (("sigmoid", "erf"), ("erf", "sigmoid"))}  # fmt: skip
    job.left = sorted([*ill["sigmoid"], *ill["erf"], *(i for i in range(290) if drawn(i).kind == "graph" and len(drawn(i).steps) < 4)][:9])
    every = set(job.left)
    report = job.run(most=0)
    assert report.programs == len(every)
    found = {f.index: f.outcome.check for f in report.found}
    assert [found[i] for i in ill["sigmoid"]] == ["signal"] * 2 and [found[i] for i in ill["erf"]] == ["hang"] * 2


def test_what_fails_only_after_others_is_a_finding(monkeypatch, tmp_path):
    # As memory that one program corrupts and another dies of.
    seen = set()
    right = faces.Compiled.forward

    def forward(self, arrays):
        seen.add(self.program.seed)
        return last_bit(right(self, arrays)) if len(seen) > 5 else right(self, arrays)

    monkeypatch.setattr(faces.Compiled, "forward", forward)
    job = Job(0, 0, 0, workers=1, limit=30.0, seconds=None, out=tmp_path, show=False)
    job.left = [i for i in range(290) if drawn(i).kind == "graph" and len(drawn(i).steps) < 5][:6]
    last = job.left[-1]
    (found,) = [f for f in job.run(shrink_seconds=20.0).found if f.index == last]
    assert found.outcome.check == "compiled" and "after 5 other programs" in found.note


# Checks -------------------------------------------------------------------------------------------------------------------


def test_bits_are_compared():
    zero = np.zeros(2)
    with pytest.raises(faces.FindingError, match="2 of 2"):
        checks.same("x", "zeros of both signs", zero, -zero)
    with pytest.raises(faces.FindingError, match="float32"):
        checks.same("x", "dtypes", zero, zero.astype("float32"))
    nan = np.array([np.nan, 1.0])
    checks.same("x", "NaNs of both signs", nan, np.copysign(nan, [-1.0, 1.0]))


def test_an_error_of_python_is_a_finding():
    def wrong():
        raise KeyError(3)

    with pytest.raises(faces.FindingError, match="KeyError"):
        checks.attempt("a run", wrong)


def test_a_wrong_value_is_off_the_reference(monkeypatch):
    program = graph(("exp", (0,)), ("mul", (1, 1)), checks=("reference",))
    assert examine(program).check == ""
    right = faces.eager

    def wrong(program, *args, **options):
        result = right(program, *args, **options)
        result.values = [v * 1.001 for v in result.values]
        return result

    monkeypatch.setattr(faces, "eager", wrong)
    monkeypatch.setattr(faces.Compiled, "forward", lambda self, arrays: wrong(self.program, backward=False).values)
    assert examine(program).check == "reference"


def test_chaos_is_skipped_and_counted():
    # A comparison of a value with what differs from it by rounding alone.
    program = graph(("exp", (0,)), ("log", (1,)), ("equal", (0, 2)), checks=("reference",))
    outcome = examine(program)
    assert outcome.check == "" and outcome.count["skipped: chaotic output"] == 1


@pytest.mark.parametrize("kind", ["graph", "trainer", "session", "doors"])
def test_scripts_run(kind, tmp_path):
    picked = [p for i in range(60) if (p := drawn(i)).kind == kind][:4]
    text = "\n".join(
        f"def script{k}():\n" + "\n".join(f"    {line}" for line in script(p, "what").split("\n")) for k, p in enumerate(picked)
    )
    calls = "".join(f"\ntry: script{k}()\nexcept tlean.TleanError as e: print(e)" for k in range(len(picked)))
    file = tmp_path / "scripts.py"
    file.write_text(f"import tlean\n{text}{calls}\n")
    ran(python(str(file), PYTHONPATH=os.pathsep.join(sys.path)))
