"""The tools that measure the source and its bits: that they see what they are for, and nothing else."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tlean._core.table import ISA

ROOT = next(p for p in Path(__file__).parents if (p / "tools" / "rooms.py").exists())
sys.path.insert(0, str(ROOT / "tools"))

clones, digest, imports, lines = map(importlib.import_module, ("clones", "digest", "imports", "lines"))
rooms, sizes, source = map(importlib.import_module, ("rooms", "sizes", "source"))

needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the tools ask git which files there are")


@pytest.mark.parametrize("tool", ["digest", "lines", "clones", "rooms"])
def test_help_says_what_a_tool_does(tool):
    done = subprocess.run([sys.executable, ROOT / "tools" / f"{tool}.py", "--help"], capture_output=True, text=True, check=True)
    assert f"python tools/{tool}.py" in done.stdout


# Bits ---------------------------------------------------------------------------------------------------------------------


def hashed(value, nan_bits=False):
    made = digest.Hash(nan_bits)
    made.add(value)
    return str(made)


def test_a_hash_tells_bits_apart():
    x = np.array([1.0, 2.0])
    assert hashed(x) == hashed(x.copy())
    different = [x, x.astype("float32"), x[None], np.nextafter(x, 3.0), x[::-1], [x], [x, None], {1: x}, np.array([0.0]), np.array([-0.0])]
    assert len({hashed(d) for d in different}) == len(different)


def test_nans_are_alike_unless_their_bits_count():
    a, b = np.array([np.nan]), np.array([-np.nan])
    assert a.tobytes() != b.tobytes()
    assert hashed(a) == hashed(b) and hashed(a, True) != hashed(b, True)


def test_what_raises_counts_with_its_class():
    def fails():
        raise ValueError("whatever it says")

    assert list(digest.Item("it", "float32", {"eager": fails}).lines(False)) == ["it\tfloat32\teager\tValueError"]


def test_a_digest_is_the_same_twice_and_with_other_threads(tmp_path, capsys):
    first = tmp_path / "first"
    asked = ["--isa", ISA, "--programs", "12", "--only", "sample softmax "]
    assert digest.main([*asked, "--write", str(first)]) == 0
    text = first.read_text()
    assert {line.split("\t")[3] for line in text.splitlines()} == {"reference", "eager", "compiled", "compiled vjp", "compiled jvp"}
    assert digest.main([*asked, "--threads", "2", "--parts", "1", "--compare", str(first)]) == 0
    one = text.splitlines()[-1]
    first.write_text(text.replace(one, one[:-1] + ("0" if one[-1] != "0" else "1")))
    capsys.readouterr()
    assert digest.main([*asked, "--parts", "1", "--compare", str(first)]) == 1
    shown = capsys.readouterr().out
    assert one.split("\t")[-1] in shown and "1 lines differ" in shown


def test_a_digest_of_programs(tmp_path):
    made = tmp_path / "made"
    assert digest.main(["--isa", ISA, "--programs", "10", "--only", "program ", "--parts", "1", "--write", str(made)]) == 0
    ways = {line.split("\t")[3] for line in made.read_text().splitlines()}
    assert ways >= {"drawn", "eager", "compiled", "tape", "jit", "compiled gradients"}


def test_lines_that_one_side_lacks_differ():
    old, new = ["base\ta\tfloat32\teager\t1", "avx2\ta\tfloat32\teager\t2"], ["base\tb\tfloat32\teager\t1"]
    assert [w.partition(":")[0] for w in digest.compare(old, new)] == ["base, a, float32, eager", "base, b, float32, eager"]


def test_a_child_that_dies_is_a_line_and_the_rest_goes_on(monkeypatch):
    answers = [(-11, "0\tbegin\n0\ta\tfloat32\teager\t1\n4\tbegin\n"), (0, "8\tbegin\n8\tb\tfloat32\teager\t2\n")]
    commands = []

    def run(command, **options):
        commands.append(command)
        status, text = answers[len(commands) - 1]
        return SimpleNamespace(returncode=status, stdout=text, stderr="")

    monkeypatch.setattr(digest.subprocess, "run", run)
    found = digest.run_part("base", 0, SimpleNamespace(programs=1, parts=4, threads=1, only="", nan_bits=False))
    assert [line for _, line in found] == [
        "base\ta\tfloat32\teager\t1",
        "base\titem 4\t-\tends its process\tSIGSEGV",
        "base\tb\tfloat32\teager\t2",
    ]
    assert commands[1][commands[1].index("--child") + 3] == "5"


# Lines --------------------------------------------------------------------------------------------------------------------

PYTHON = '''"""A docstring
of two lines."""

import os  # a comment

# another
def f(x):
    """Another docstring."""
    y = """a string,

    three lines"""
    return (x,
            # in between
            y, "# no comment")
'''


def test_lines_of_python():
    assert source.code_lines(PYTHON, "python") == {4, 7, 9, 11, 12, 14}


def test_lines_of_c():
    assert source.code_lines('/* a\n b */ int x; // c\n\n#define Y "/*" \\\n  2\n', "c") == {2, 4, 5}


def test_rooms_of_files():
    paths = ["tlean/tree.py", "tlean/ops/protocol/pool.py", "tlean/_core/plan.pyx", "tlean/_core/kernels/conv/conv.pyx"]
    assert [lines.room(p) for p in paths] == ["tree", "ops", "_core", "_core/kernels/conv"]


@needs_git
def test_lines_of_a_commit(capsys):
    assert lines.main(["--against", "HEAD"]) == 0
    total = capsys.readouterr().out.splitlines()[-1].split()
    assert total[0] == "total" and int(total[2]) > 1000 and int(total[4]) > 1000


# Clones -------------------------------------------------------------------------------------------------------------------

BODY = [
    "total = 0", "for x in xs:", "    if x.good:", "        total += x.size * 2", "    else:", "        total -= 1", "while total > 3:",
    "    total = step(total)", "if total < 0:", "    raise ValueError(f'{total}')", "print(total, end='')", "return [total, xs[0]]",
]  # fmt: skip


def python(rows, name="f"):
    return "\n".join([f"def {name}(xs):", *(f"    {row}" for row in rows), ""])


def found(*texts, exact=False, least=12):
    every = [line for n, text in enumerate(texts) for line in clones.lines_of(f"{n}.py", text, exact)]
    return [(g.size, [p.path for p in g.places]) for g in clones.groups(every, least)]


def test_the_same_lines_are_found():
    commented = python([row for line in BODY for row in (line, "# what it does", "")], "g")
    assert found(python(BODY), "x = 1\n" + commented, exact=True) == [(12, ["0.py", "1.py"])]
    assert found(python(BODY), commented) == [(13, ["0.py", "1.py"])]


def test_lines_of_one_shape_are_found():
    renamed = python([row.replace("total", "amount").replace("2", "7") for row in BODY])
    assert found(python(BODY), renamed) == [(13, ["0.py", "1.py"])]
    assert not found(python(BODY), renamed, exact=True)
    assert not found(python(BODY), python([row.replace("*", "+") for row in BODY]))


def test_places_in_one_file_and_groups_of_three():
    assert found(python(BODY) + python(BODY), python(BODY)) == [(13, ["0.py", "0.py", "1.py"])]


def test_a_part_of_a_larger_group_is_not_said_again_but_elsewhere_it_is():
    tail = ["assert xs", "del xs[0]", "xs.sort()[0].y"]
    long = python(BODY + tail)
    assert found(long, long) == [(16, ["0.py", "1.py"])]
    assert found(long, long, python(BODY)) == [(16, ["0.py", "1.py"]), (13, ["0.py", "1.py", "2.py"])]


def test_what_does_not_count():
    imported = "from a import (\n    b,\n    c,\n)\n" + "".join(f"import m{k}\n" for k in range(12))
    table = "X = [\n" + "".join(f'    ("n{k}", {k}),\n' for k in range(20)) + "]\n"
    brackets = python(["x = (", ")"] * 6)
    documented = '"""\n' + "\n".join(f"Line {k} of it." for k in range(20)) + '\n"""\n'
    for text in (imported, table, brackets, documented):
        assert not found(text, text), text


def test_the_lines_of_kernels_in_strings_count():
    kernel = 'S = r"""\n' + "".join(f"float y{k} = {'+'.join('x' * (k + 1))};\n" for k in range(12)) + '"""\n'
    assert found(kernel, kernel) == [(13, ["0.py", "1.py"])]


def test_what_is_covered():
    assert all(map(clones.is_covered, ["setup.py", ".ci/run", "tlean/_core/plan.pyx", "benchmarks/rows.py"]))
    assert not any(map(clones.is_covered, ["tests/ops/test_ops.py", "tlean/ops/protocol/pool.py", "tlean/_core/plan.pxd"]))


# Imports ------------------------------------------------------------------------------------------------------------------

MODULES = ["tlean/__init__.py", "tlean/ops/__init__.py", "tlean/ops/pool.py", "tlean/tree.py", "tlean/nn/__init__.py", "tlean/nn/conv.py"]
MODULES += ["tlean/_core/__init__.py", "tlean/_core/plan.pyx", "tlean/_core/tiles.pxi"]


def read_imports(path, text):
    return [(i.other, i.lazy) for i in imports.Reader(MODULES).imports(path, text)]


def test_imports_of_python():
    text = "import os\nfrom . import conv\nfrom ..ops import pool, get\nfrom ..tree import flatten\n"
    assert read_imports("tlean/nn/norm.py", text) == [
        ("os", False), ("tlean.nn.conv", False), ("tlean.ops.pool", False), ("tlean.ops", False), ("tlean.tree", False),
    ]  # fmt: skip


def test_imports_inside_functions_and_for_type_checking():
    text = "if TYPE_CHECKING:\n    from .. import tree\nelse:\n    import os\ndef f():\n    if 1:\n        from tlean import ops\n"
    assert read_imports("tlean/nn/conv.py", text) == [("os", False), ("tlean.ops", True)]
    text = "def f():\n    importlib.import_module('..tree')\nx = import_module(name)\n"
    assert read_imports("tlean/nn/conv.py", text) == [("tlean.tree", True), (imports.COMPUTED, False)]


def test_imports_of_cython():
    text = '"""from tlean import tree"""\nfrom tlean._core.plan cimport (a as b,\n    c)\ncimport cython, numpy as np\n'
    text += 'include "tiles.pxi"\ncdef extern from "x.h":\n    int y\ndef f():\n    from ..ops import pool\n'
    assert read_imports("tlean/_core/tape.pyx", text) == [
        ("tlean._core.plan", False), ("cython", False), ("numpy", False), ("tlean._core.tiles.pxi", False), ("tlean.ops.pool", True),
    ]  # fmt: skip


def made(*edges, lazy=False):
    return [imports.Import(a, b, "somewhere.py", n, lazy) for n, (a, b) in enumerate(edges)]


def test_circles_are_found_however_long():
    ring = made(("tlean.a", "tlean.b.x"), ("tlean.b.x", "tlean.c"), ("tlean.c", "tlean.a"), ("tlean.c", "tlean.d"), ("tlean.a", "numpy"))
    assert rooms.circles(rooms.file_edges(ring)) == [["tlean.a", "tlean.b.x", "tlean.c"]]
    assert rooms.circles(rooms.room_edges(ring)) == [["a", "b", "c"]]
    assert len(rooms.wrong_circles(ring)) == 8
    # Rooms can be in a circle whose files are not.
    apart = made(("tlean.a.x", "tlean.b.x"), ("tlean.b.y", "tlean.a.y"))
    assert rooms.circles(rooms.room_edges(apart)) == [["a", "b"]] and not rooms.circles(rooms.file_edges(apart))
    assert not rooms.wrong_circles(made(("tlean.a", "tlean.b"), ("tlean.a", "tlean.c"), ("tlean.b", "tlean.c")))


@pytest.mark.parametrize(
    "edge",
    [
        ("tlean.ops.pool", "tlean.nn"),
        ("tlean.nn.conv", "tlean"),
        ("tlean._core.plan", "tlean.errors"),
        ("tlean.ops.pool", "tlean._core.array"),
        ("tlean.nn.conv", "tlean._core.table"),
        ("tlean.attic", "tlean.errors"),
    ],
)
def test_a_broken_layer_is_found(edge):
    assert len(rooms.wrong_layers(made(edge))) == 1


def test_what_keeps_the_layers():
    good = made(
        ("tlean.nn.conv", "tlean.ops"), ("tlean.shapes", "tlean.errors"), ("tlean.train.fit", "tlean._core.array"), ("tlean.nn", "os")
    )
    assert not rooms.wrong_layers(good)


def test_imports_inside_functions_need_a_reason():
    lazy = made(("tlean.a", "tlean.b"), ("tlean.a", "json"), ("tlean.a", "matplotlib.figure"), lazy=True)
    assert len(rooms.wrong_lazy(lazy, {})) == 2
    assert not rooms.wrong_lazy(lazy, {("tlean.a", "tlean.b"): "a reason", ("tlean.a", "json"): "another"})
    assert len(rooms.wrong_lazy([], {("tlean.a", "tlean.b"): "a reason"})) == 1
    many = made(*((f"tlean.a{k}", "tlean.b") for k in range(6)), lazy=True)
    assert len(rooms.wrong_lazy(many, {(i.module, i.other): "a reason" for i in many})) == 1


def test_the_picture_leaves_out_what_a_longer_way_says():
    drawn = rooms.picture(made(("tlean.nn", "tlean.session"), ("tlean.session", "tlean.ops"), ("tlean.nn", "tlean.ops")))
    assert "nn --> session" in drawn and "session --> ops" in drawn and "nn --> ops" not in drawn
    text = rooms.with_picture(f"above\n{rooms.MARKERS[0]}\nold\n{rooms.MARKERS[1]}\nbelow\n", "new")
    assert text == f"above\n{rooms.MARKERS[0]}\nnew\n{rooms.MARKERS[1]}\nbelow\n"
    with pytest.raises(ValueError, match="no place"):
        rooms.with_picture("above\nbelow\n", "new")


# Sizes --------------------------------------------------------------------------------------------------------------------


def test_sizes_of_functions():
    text = "cdef class A:\n    cdef int f(self, int x) except -1:\n        if x:\n\n            return 1\n\n"
    text += '    def g(self):\n        """G."""\n'
    text += "        return (1,\n    2)\n\ncdef extern from *:\n    int h(int)\n"
    assert list(sizes.functions("a.pyx", text)) == [("f", 2, 4), ("g", 7, 4)]
    assert list(sizes.functions("a.py", "class A:\n    @b\n    def f(self):\n        def g():\n            pass\n        return g\n")) == [
        ("f", 3, 4),
        ("g", 4, 2),
    ]
    text = "#define F(x) { \\\n  x }\nstruct s { int x; };\nstatic int f(\n  int x)\n{\n  if (x) { return 1; }\n}\nint y[] = { 1 };\n"
    assert list(sizes.functions("a.h", text)) == [("f", 4, 5)]
