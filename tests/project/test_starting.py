"""`import tlean` loads names and no rooms, and whatever a program does first finds what it needs."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import tlean as tl
from tlean import later

#: Modules of Python's own that take long and that no program needs before it computes.
_HEAVY = (
    "argparse ast asyncio dis email http inspect json logging multiprocessing pathlib pickle subprocess tokenize unittest urllib zipfile"
)


def _output(program: str, *arguments: str) -> str:
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True).stdout


def test_import_loads_names_and_no_rooms() -> None:
    program = "import sys, numpy; before = set(sys.modules); import tlean; print(*(set(sys.modules) - before))"
    loaded = set(_output(program).split())
    assert not loaded & {"torch", "scipy", *_HEAVY.split()}
    own = [name for name in loaded if name.startswith("tlean.")]
    # The core's arrays, the methods that they share with NumPy's, and what these need.
    allowed = {"_core", "_generated", "_moved", "arrays", "cuda", "dtypes", "errors", "later"}
    allowed |= {"arguments", "locks", "rng", "shapes", "tree"}
    assert {name.split(".")[1] for name in own} <= allowed
    assert len(own) < 40


#: What a program does first -> a room that it must not load for it.
_FIRST = {
    "tl.AnyTensor": "ops",
    "tl.from_dlpack(x) + 1": "optim",
    "tl.from_dlpack(x).add(tl.from_dlpack(x))": "optim",
    "np.sin(tl.from_dlpack(x))": "optim",
    "tl.from_dlpack(x)[1:]": "optim",
    "tl.from_dlpack(x).__array_namespace__().abs(tl.from_dlpack(x))": "optim",
    "tl.Rng(0).normal((2,))": "optim",
    "tl.relu(x)": "session",
    "tl.jit(lambda a: tl.linalg.cholesky(a[:2, None] * a[None, :2] + np.eye(2, dtype=np.float32)))(x)": "session",
    "tl.jit(lambda a: (a.T @ a, a.at[0].set(2.0), np.cumsum(a), a == 1))(x)": "session",
    "tl.grad(lambda a: (a[1:] ** 2).sum())(x).add(tl.from_dlpack(x))": "session",
    "tl.scan(lambda c, v: (c + v, c), x[0], x)": "session",
    "tl.Session().input(x).sum()": "nn",
    "tl.Tape().leaf(x)": "nn",
    "tl.TapeM().leaf(x)": "nn",
    "tl.nn.Linear(3, 2)": "train",
    "tl.tree.flatten([x])": "ops",
    "tl.no_grad()": "optim",
    "from tlean.session.base import Session; Session(dtype='float64').input([[1.0]])[0].T": "nn",
    "from tlean.autodiff import grad; grad(lambda a: a.sum())(x).add(tl.ones((3,)))": "session",
    "from tlean.data import Batches": "train",
}
#: A child for each statement, so that NumPy is imported once: prints what went wrong and what each loaded.
_CHILDREN = """
import json, os, sys, traceback
import numpy as np, tlean as tl
x = np.ones(3, np.float32)
for k, first in enumerate(json.loads(sys.argv[1])):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        error = None
        try:
            exec(first)
        except BaseException:
            error = traceback.format_exc()
        print(json.dumps([first, error, [name for name in sys.modules if name.startswith("tlean.")]]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each first use has a separate process by a fork")
def test_anything_may_be_the_first() -> None:
    lines = _output(_CHILDREN, json.dumps(list(_FIRST))).splitlines()
    results = {first: (error, loaded) for first, error, loaded in map(json.loads, lines)}
    assert results.keys() == _FIRST.keys()
    assert not {first: error for first, (error, _) in results.items() if error}
    assert not [first for first, room in _FIRST.items() if f"tlean.{room}" in results[first][1]]


#: A child in which threads use everything for the first time at once: prints what went wrong.
_THREADS = """
import json, sys, threading
import numpy as np, tlean as tl
sys.setswitchinterval(1e-5)
x, errors = np.ones(3, np.float32), []
statements = json.loads(sys.argv[1])
barrier = threading.Barrier(len(statements))
def run(statement):
    barrier.wait()
    try:
        exec(statement, {"tl": tl, "np": np, "x": x})
    except BaseException as error:
        errors.append([statement, repr(error)])
threads = [threading.Thread(target=run, args=(statement,), daemon=True) for statement in statements]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(60)
    if thread.is_alive():
        errors.append("a thread waits for ever")
print(json.dumps(errors))
"""


def test_threads_may_be_the_first_together() -> None:
    statements = [s for s in _FIRST if not s.startswith("from ")] + ["tl.ScalarTrainer", "tl.mcmc", "tl.stats.norm", "tl.sparse", "tl.fit"]
    assert json.loads(_output(_THREADS, json.dumps(statements))) == []


def test_an_interruption_waits_for_a_whole_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Half of the ops declared, and the next import of them would find the first names taken.
    (tmp_path / "interrupted_room.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\nvalue = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    attribute, _ = later.names(__name__, {}, {"room_value": "interrupted_room"})
    # A job in the background may have been told to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        attribute("room_value")
    assert sys.modules.pop("interrupted_room").value == 3
    with pytest.raises(KeyboardInterrupt):
        later.function("interrupted_room", "value")()
    assert sys.modules.pop("interrupted_room").value == 3
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_no_module_waits_for_a_name_of_the_package() -> None:
    # A module that is imported asks the package for no name that it imports later: that waits for other imports, which may wait for this.
    loaded = {name.split(".")[1] for name in _output("import sys, tlean; print(*sys.modules)").split() if name.startswith("tlean.")}
    root, wrong = Path(tl.__file__).parent, []
    for path in set(root.rglob("*.py")) - {root / "__init__.py"}:
        package = "." * len(path.relative_to(root).parts)
        for names in re.findall(rf"^from (?:tlean|{re.escape(package)}) import (.+)$", path.read_text(), re.MULTILINE):
            wrong += [f"{path}: {name}" for name in names.split(", ") if name.split(" as ")[0] not in loaded]
    assert not wrong


def test_every_public_name_is_there() -> None:
    assert set(tl.__all__) <= set(dir(tl))
    assert not [name for name in tl.__all__ if not hasattr(tl, name)]
    with pytest.raises(AttributeError, match="module 'tlean' has no attribute 'no_such_name'"):
        _ = tl.no_such_name  # type: ignore[attr-defined]


def test_types_are_read_where_python_runs() -> None:
    # Tools that make options of a program out of its types read them so.
    for function in [*filter(inspect.isfunction, (getattr(tl, name) for name in tl.__all__)), tl.Options.__init__, tl.Rng.normal]:
        typing.get_type_hints(function)
    assert typing.get_type_hints(tl.Options.__init__)["dtype"] == typing.Literal["float32", "float64"] | str
