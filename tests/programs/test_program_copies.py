"""Transformations, jitted and compiled programs are copied and pickled."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from captured_programs import ONES

import tlean as tl


def cube(ops, x):
    """Σ x³ of the module, so that it pickles by name."""
    return ops.sum(ops.mul(ops.square(x), x))


MADE = [
    tl.jit(cube),
    tl.grad(cube),
    tl.value_and_grad(cube, argnums=(0,)),
    tl.jacrev(cube),
    tl.jacfwd(cube),
    tl.hessian(cube),
    tl.compile_scalar(cube, [(3,)], "float64"),
    tl.compile_out(cube, [(3,)], "float64"),
]


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda f: pickle.loads(pickle.dumps(f))], ids=["deepcopy", "copy", "pickle"])
@pytest.mark.parametrize("f", MADE, ids=lambda f: getattr(f, "__name__", type(f).__name__))
def test_programs_are_copied(f, again):
    made = again(f)
    assert type(made) is type(f)
    expected, found = tl.tree.flatten(f(ONES))[0], tl.tree.flatten(made(ONES))[0]
    assert [np.asarray(e).tolist() for e in expected] == [np.asarray(m).tolist() for m in found]


def test_another_process_takes_them(tmp_path):
    (tmp_path / "programs.py").write_text("def cube(ops, x):\n    return ops.sum(ops.mul(ops.square(x), x))\n")
    program = (
        "import multiprocessing, numpy, tlean, programs\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        for f in (tlean.jit(programs.cube), tlean.grad(programs.cube), tlean.compile_scalar(programs.cube, [(3,)])):\n"
        "            print(numpy.asarray(pool.apply(f, (numpy.ones(3),))).sum())\n"
    )
    (tmp_path / "main.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(tl.__file__).parent.parent), str(tmp_path)])}
    done = subprocess.run([sys.executable, str(tmp_path / "main.py")], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3.0", "9.0", "3.0"]


def test_what_has_no_name_says_so():
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(tl.jit(lambda ops, x: x))
    g = tl.GraphM()
    built = g.build(g.exp(g.arg(0, (3,))))
    with pytest.raises(tl.OptionError, match="recorded by hand"):
        copy.deepcopy(built)
