"""The Cython face: another project cimports the tape and walks it at C speed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

USER = """
    # cython: language_level=3
    from libc.stdint cimport int64_t
    from tlean._core.array cimport AnyTensor
    from tlean._core.tape cimport TapeStore, append_leaf, tape_backward, tape_size, tape_value

    def grow(TapeStore store, AnyTensor value):
        cdef int64_t before = tape_size(store)
        cdef int64_t node = append_leaf(store, value, True, "from outside")
        return before, node, tape_size(store), tape_value(store, node).tolist()

    def pull(TapeStore store, int64_t out, AnyTensor seed):
        return [None if g is None else g.tolist() for g in tape_backward(store, out, seed)]
"""

BUILD = """
    from setuptools import Extension, setup
    from Cython.Build import cythonize
    extension = Extension("outsider", ["outsider.pyx"], include_dirs=[INCLUDE])
    setup(name="outsider", ext_modules=cythonize([extension], include_path=[PARENT]))
"""

CHECK = """
    import outsider
    import tlean as tl
    m = tl.TapeM()
    x = m.leaf([1.0, 2.0])
    assert outsider.grow(m.store, tl.AnyTensor([3.0, 4.0], "float32")) == (1, 1, 2, [3.0, 4.0])
    y = m.sum(m.mul(x, m.ref_of(1)))
    assert outsider.pull(m.store, y.id, tl.AnyTensor(1.0, "float32"))[:2] == [[3.0, 4.0], [1.0, 2.0]]
    print("fine")
"""


def test_cimport_from_another_project(tmp_path):
    """A project outside the tree builds against the installed .pxd files and drives the tape."""
    import tlean

    include = f"{tlean.__path__[0]}/_core"
    # Cython looks for .pxd files along sys.path; an editable install is not on it, so the folder that holds the package is named.
    parent = str(Path(tlean.__path__[0]).parent)
    (tmp_path / "outsider.pyx").write_text(textwrap.dedent(USER))
    (tmp_path / "setup.py").write_text(textwrap.dedent(BUILD).replace("INCLUDE", repr(include)).replace("PARENT", repr(parent)))
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(CHECK)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "fine", ran.stdout + ran.stderr
