"""The Cython face: other projects build against the header and the .pxd files, and add kernels, nodes and ops. docs/cython.md."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import tomllib
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean._core.table import ISA, ISAS, KERNELS
from tlean.ops import registry
from tlean.testing import check_op

pytest.importorskip("Cython", reason="other projects are built with Cython")
pytest.importorskip("setuptools", reason="other projects are built with setuptools")
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "cython_op"
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
#: A module in C that was built for another ABI.
STRANGER = """
    #define TL_ABI 99
    #include "tlean.h"
    static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "stranger", 0, -1, 0, 0, 0, 0, 0};
    PyMODINIT_FUNC PyInit_stranger(void) { return tl_import() < 0 ? NULL : PyModule_Create(&definition); }
"""
BUILD = """
    from setuptools import Extension, setup
    from Cython.Build import cythonize
    names = {"scaled_tanh.kernels": "scaled_tanh/kernels.pyx"}
    names |= {name: f"{name}.pyx" for name in ("guest", "cube")}
    modules = [Extension(name, [path], include_dirs=[INCLUDE]) for name, path in names.items()]
    stranger = Extension("stranger", ["stranger.c"], include_dirs=[INCLUDE])
    setup(name="guests", ext_modules=[*cythonize(modules, include_path=[PARENT]), stranger])
"""


def shipped() -> set[Path]:
    """The headers and `.pxd` files that are in a wheel, from the root of the tree."""
    tomls = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = [(package, p) for package, ps in tomls["tool"]["setuptools"]["package-data"].items() for p in ps]
    files = {f for package, p in patterns if package != "*" for f in (ROOT / package.replace(".", "/")).glob(p)}
    return {f.relative_to(ROOT) for f in files if f.suffix in (".h", ".pxd")}


@pytest.fixture(scope="module", autouse=True)
def _ops_go_with_the_module():
    """What the guests register is theirs alone: other tests walk all ops."""
    before = set(registry._OPS)
    yield
    for name in set(registry._OPS) - before:
        del registry._OPS[name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example and a guest are built, against this tree."""
    folder = tmp_path_factory.mktemp("guests")
    shutil.copytree(EXAMPLE / "scaled_tanh", folder / "scaled_tanh", ignore=shutil.ignore_patterns("*.c", "*.so", "__pycache__"))
    shutil.copy(ROOT / "tests" / "interop" / "guest.pyx", folder)
    # As where a wheel is installed: without the core's own files.
    for file in shipped():
        (folder / "installed" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / "installed" / file)
    (folder / "cube.pyx").write_text("\n".join(_blocks("cython")[:2]))
    (folder / "stranger.c").write_text(textwrap.dedent(STRANGER))
    include = folder / "installed" / Path(tl.get_include()).relative_to(ROOT)
    build = textwrap.dedent(BUILD).replace("INCLUDE", repr(str(include))).replace("PARENT", repr(str(folder / "installed")))
    (folder / "setup.py").write_text(build)
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--parallel", "2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=_plain_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "docs" / "cython.md").read_text(), re.MULTILINE | re.DOTALL)


def _plain_environment() -> dict[str, str]:
    # Without optimisation it is built sooner.
    return os.environ | {"CFLAGS": "-O0 -g0"}


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def guest(folder: Path) -> Any:
    return _load("guest", folder / f"guest{SUFFIX}")


# The interface ------------------------------------------------------------------------------------------------------------


def test_fields_of_the_core_are_not_shipped(folder: Path) -> None:
    """What a guest may read of an array or a tape is what the table's functions say."""
    assert {f for f in shipped() if f.suffix == ".pxd"} == {Path("tlean/__init__.pxd")}
    # Both were built with nothing else.
    assert all((folder / f"{name}{SUFFIX}").exists() for name in ("guest", "cube"))


def test_another_abi_is_refused_when_the_module_is_imported(folder: Path, guest: Any) -> None:
    with pytest.raises(ImportError, match=rf"for ABI 99 of tlean, and tlean {tl.__version__} has ABI {guest.ABI}: build the module again"):
        _load("stranger", folder / f"stranger{SUFFIX}")
    with pytest.raises(ImportError, match=rf"for ABI 99 of tlean, and tlean {tl.__version__} has ABI {guest.ABI}: build them again"):
        tl.register_kernels({"guest_of_old:f64": guest.SUMS}, abi=99)


@pytest.mark.skipif(shutil.which("g++") is None, reason="the header is compiled as C++, too")
def test_the_header_is_cpp_too(tmp_path: Path) -> None:
    (tmp_path / "guest.cpp").write_text('#include "tlean.h"\nint main() { return tl_import(); }\n')
    include = [f"-I{tl.get_include()}", f"-I{sysconfig.get_path('include')}"]
    command = ["g++", "-std=c++14", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *include, "guest.cpp"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_example_passes_its_tests(folder: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(EXAMPLE / "tests")]
    environment = _plain_environment() | {"PYTHONPATH": f"{folder}:{Path(tl.__file__).parents[1]}"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_op_of_the_page(folder: Path) -> None:
    names: dict[str, Any] = {"kernels": _load("cube", folder / f"cube{SUFFIX}"), "__name__": __name__}
    exec(_blocks("py")[1].replace("from . import kernels\n", ""), names)
    check_op(names["Cube"], [tl.testing.Sample((tl.testing.Arr((3, 4)),), {"c": -2.0})], reference=lambda x, *, c: c * x**3)
    assert KERNELS["cube:f64"] == names["kernels"].KERNELS["cube:f64"]
    # float32 has no kernel: it is computed by the parts.
    assert names["Cube"](tl.TapeM().leaf([2.0]), c=2.0).tolist() == [16.0]


# Kernels ------------------------------------------------------------------------------------------------------------------


def op(name: str, **more: Any) -> Any:
    """2·x by the guest's kernel of that name."""
    rules = {
        "shape": lambda x, *, what=0: x,
        "kernel_params": lambda x, *, what=0: ((int(np.prod(x)), what), ()),
        "vjp": lambda ops, g, y, x, *, what=0: (ops.scale(g, 2.0),),
        "jvp": lambda ops, t, y, x, *, what=0: None if t[0] is None else ops.scale(t[0], 2.0),
        **more,
    }
    return tl.defop(name)(type("Guest", (), rules))


@pytest.fixture(scope="module")
def trouble(guest: Any) -> Any:
    tl.register_kernels({"_guest_trouble:f64": guest.TROUBLE}, abi=guest.ABI)
    return op("_guest_trouble")


TROUBLES = [
    (1, tl.ShapeError, "trouble: x is not what the guest wants"),
    (2, ZeroDivisionError, "in the guest"),
    (3, OverflowError, "left by the guest"),
    (103, tl.OptionError, "guest_trouble.*: a kernel that returns TL_RAISED must have noted an exception by .*, got none"),
    (102, MemoryError, "guest_trouble"),
    (101, tl.IndexRangeError, "guest_trouble: an index or label is out of range, got x: "),
    # Statuses that only kernels of ours return, and one that is none.
    *[(100 + status, tl.OptionError, "guest_trouble.*must return a status of kernel.h, got") for status in (4, 5, 256, 257, 333)],
]


@pytest.mark.parametrize(("what", "error", "said"), TROUBLES)
def test_kernels_that_fail(trouble: Any, what: int, error: type[Exception], said: str) -> None:
    x, before = np.ones(3), len(KERNELS)
    tape = tl.TapeM(dtype="float64")
    leaf = tape.leaf(x)
    with pytest.raises(error, match=said):
        trouble(leaf, what=what)
    # A program, a loop in one, and a kernel that is long enough to run without the GIL.
    compiled = tl.compile_out(lambda ops, x: ops.exp(trouble(ops.sin(x), what=what)), [(3,)], dtype="float64")
    with pytest.raises(error, match=said):
        compiled(x)
    with pytest.raises(error, match=said):
        tl.jit(lambda x: tl.fori_loop(0, 2, lambda i, c: trouble(c, what=what), x))(x)
    with pytest.raises(error, match=said):
        trouble(tape.leaf(np.ones(1_000_000)), what=what)
    assert len(tape.tape) == 2 and len(KERNELS) == before
    assert trouble(leaf).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(("number", "numbers"), list(enumerate([None, (3,), ((1.5,), ()), (("a",), ()), ((1 << 70,), ())])))
def test_numbers_that_no_kernel_takes(trouble: Any, number: int, numbers: Any) -> None:
    class Op:
        """One with the kernel of another."""

        def shape(x):
            return x

        def kernel_params(x):
            return numbers

    odd = tl.defop(f"_odd_numbers_{number}", kernel="_guest_trouble")(Op)
    with pytest.raises(tl.OptionError, match=r"_odd_numbers.*: kernel_params must return"):
        tl.jit(lambda x: odd(x))(np.ones(3))


def test_a_dtype_without_a_kernel(trouble: Any) -> None:
    with pytest.raises(tl.DeviceError, match="there is no CPU kernel '_guest_trouble' for float32"):
        trouble(tl.TapeM().leaf([1.0]))
    with pytest.raises(tl.DeviceError, match="there is no CPU kernel '_guest_trouble' for float32"):
        tl.compile_out(lambda ops, x: trouble(x), [(3,)])(np.ones(3))


def test_threads_and_scratch(guest: Any) -> None:
    tl.register_kernels({"_guest_sums:f64": guest.SUMS}, abi=guest.ABI)
    sums, x = op("_guest_sums"), np.random.default_rng(0).normal(size=20_500)
    wanted = np.concatenate([np.cumsum(x[k : k + 1000]) for k in range(0, x.size, 1000)])
    before = tl.get_num_threads()
    try:
        for threads in (1, 3):
            tl.set_num_threads(threads)
            assert guest.threads() == threads
            assert sums(tl.TapeM(dtype="float64").leaf(x)).numpy().tobytes() == wanted.tobytes()
            assert tl.jit(lambda x: sums(x))(x).numpy().tobytes() == wanted.tobytes()
    finally:
        tl.set_num_threads(before)


def test_loops_that_do_not_add_are_not_told_to(guest: Any) -> None:
    table = {"_guest_double:f64": guest.TROUBLE}
    tl.register_kernels(table, loops={"_guest_double:f64": guest.DOUBLE}, abi=guest.ABI)

    def back(ops: Any, g: Any, y: Any, x: Any, *, what: int = 0) -> tuple[Any]:
        # −2·(−g): a group of two, the guest's last.
        return (double(ops.neg(ops.neg(g))),)

    double = op("_guest_double", vjp=back, decompose=lambda ops, x, *, what=0: ops.scale(x, 2.0))
    check_op(double, [tl.testing.Sample((tl.testing.Arr((7,)),), {})], dtypes=("float64",))
    tape = tl.TapeM(dtype="float64")
    x = tape.leaf([1.0, 2.0])
    loss = tape.sum(tape.add(tape.add(double(x), tape.square(x)), double(tape.scale(x, 3.0))))
    assert tape.backward_scalar(loss)[x.id].tolist() == [10.0, 12.0]
    assert tl.jit(tl.grad(lambda x: tl.sum(double(x) + x * x + double(3.0 * x))))(np.array([1.0, 2.0])).tolist() == [10.0, 12.0]


REFUSED = [
    ({"kernels": {"guest": 1}}, "a name must be '<kernel>:<f32|f64|i64|i32|b8>', got 'guest'"),
    ({"kernels": {"guest:f16": 1}}, "a name must be '<kernel>.*got 'guest:f16'"),
    ({"kernels": {"guest:f32": 0}}, "'guest:f32' must be the address of a function, got 0"),
    ({"kernels": {"guest:f32": "1"}}, "'guest:f32' must be the address of a function, got '1'"),
    ({"kernels": {"tanh:f32": 1}}, "the name 'tanh:f32' is taken"),
    ({"kernels": {"tanh:i64": 1}}, "kernels come before the ops that use them, got 'tanh:i64'"),
    ({"kernels": {"guest:f32": 1}, "loops": {"guest:f64": 1}}, "a loop belongs to a kernel of its name, got 'guest:f64' without one"),
    ({"kernels": {"base": {"base": {"guest:f32": 1}}}}, "kernels for base must be names and addresses"),
    ({"kernels": {"base": {"guest:f32": 1}, "avx2": 5}}, "kernels must be a dictionary, got int"),
    ({"kernels": {"sse9": {"guest:f32": 1}}}, "an instruction set must be one of avx512, avx2, base, got 'sse9'"),
    ({"kernels": [1]}, "kernels must be a dictionary, got list"),
    ({"kernels": {"guest:f32": 1}, "accumulates": 2}, "accumulates must be True or False"),
]


@pytest.mark.parametrize(("call", "said"), REFUSED)
def test_what_is_not_registered(guest: Any, call: dict[str, Any], said: str) -> None:
    before = dict(KERNELS)
    with pytest.raises(tl.OptionError, match=said):
        tl.register_kernels(call.pop("kernels"), abi=guest.ABI, **call)
    assert before == KERNELS


def test_a_kernel_is_registered_once_and_for_the_best_instruction_set(guest: Any) -> None:
    table = {isa: {"_guest_sets:f64": guest.SUMS + k} for k, isa in enumerate(ISAS)}
    tl.register_kernels(table, abi=guest.ABI)
    assert KERNELS["_guest_sets:f64"] == guest.SUMS + ISAS.index(ISA)
    with pytest.raises(tl.OptionError, match="the name '_guest_sets:f64' is taken"):
        tl.register_kernels(table, abi=guest.ABI)
    assert guest.find("tanh:f32")[0] == KERNELS["tanh:f32"]
    for name in ("tanhh:f32", "matmul:f32"):
        with pytest.raises(tl.OptionError, match=f"there is no (kernel|loop) '{name}'"):
            guest.find(name)
    assert guest.too_many_inputs() == 3


# Products and arrays ------------------------------------------------------------------------------------------------------


def test_products_are_those_of_the_ops(guest: Any) -> None:
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        for ta, tb in ((False, False), (True, False), (False, True), (True, True)):
            a = tl.AnyTensor(rng.normal(size=(3, 7, 9) if ta else (3, 9, 7)).astype(dtype))
            b = tl.AnyTensor(rng.normal(size=(3, 5, 7) if tb else (3, 7, 5)).astype(dtype))
            result = guest.product(a, b, ta, tb)
            wanted = np.matmul(a.numpy().swapaxes(1, 2) if ta else a.numpy(), b.numpy().swapaxes(1, 2) if tb else b.numpy())
            assert np.allclose(result.numpy(), wanted, rtol=1e-4, atol=1e-5)
            ours = tl.TapeM(dtype=dtype)
            same = ours.matmul(ours.leaf(a), ours.leaf(b), transpose_a=ta, transpose_b=tb)
            assert result.numpy().tobytes() == same.numpy().tobytes()
        x, w, b = (tl.AnyTensor(rng.normal(size=s).astype(dtype)) for s in ((2, 4, 9, 8), (6, 2, 3, 3), (6,)))
        y, pull = tl.vjp(lambda x, w, b: tl.conv2d(w, b, x, stride=2, padding=1, groups=2), x, w, b)
        g = tl.AnyTensor(rng.normal(size=y.shape).astype(dtype))
        dx, dw, _ = pull(g)
        for result, wanted in zip(guest.convolutions(x, w, b, g, 2, 1), (y, dx, dw), strict=True):
            assert result.numpy().tobytes() == wanted.numpy().tobytes()


def test_arguments_that_are_none(guest: Any) -> None:
    ints = tl.AnyTensor(np.ones((1, 2, 2), np.int64))
    for call in (
        lambda: guest.product(ints, ints, False, False),
        lambda: guest.convolutions(*[tl.AnyTensor(np.ones((1, 1, 2)))] * 4, 0, 0),
    ):
        with pytest.raises(RuntimeError, match="3"):
            call()
    assert guest.view(tl.AnyTensor([[1.5, 2.0]], "float32")) == ([1, 2], 2, 0, 1.5)
    with pytest.raises(tl.DTypeError, match=r"an array of tlean is expected .*got ndarray"):
        guest.view(np.ones(3))


# Tapes --------------------------------------------------------------------------------------------------------------------


def test_a_tape_grows_and_is_differentiated(guest: Any) -> None:
    m = tl.TapeM()
    x = m.leaf([1.0, 2.0])
    assert guest.grow(m, tl.AnyTensor([3.0, 4.0], "float32")) == (1, 1, 2, [3.0, 4.0])
    y = m.sum(m.mul(x, m.ref_of(1)))
    assert guest.pull(m, y.id, tl.AnyTensor(1.0, "float32"))[:2] == [[3.0, 4.0], [1.0, 2.0]]
    with pytest.raises(tl.NodeError, match="a TapeM or an eager session of the CPU is expected, got list"):
        guest.grow([], tl.AnyTensor([3.0], "float32"))
    with pytest.raises(tl.NodeError, match="there is no node 9"):
        guest.pull(m, 9, tl.AnyTensor(1.0, "float32"))


@pytest.mark.parametrize("make", [lambda: tl.TapeM(dtype="float64"), lambda: tl.Session(dtype="float64")], ids=["tape", "session"])
def test_a_node_with_two_functions_in_c(guest: Any, make: Any) -> None:
    m, owners = make(), list[Any]()
    x, c = m.leaf([1.0, 2.0]), m.leaf([3.0, 4.0], False)
    y = guest.multiply(m, (x, c), (2,), 2, owners)
    z = guest.multiply(m, (y, y.id), (2,), 2)
    grads = m.backward(z, [1.0, 1.0]) if isinstance(m, tl.TapeM) else guest.pull(m, z.id, tl.AnyTensor([1.0, 1.0], "float64"))
    assert z.tolist() == [9.0, 64.0] and np.array(grads[x.id]).tolist() == [18.0, 64.0]
    assert guest.gil_was_held() == 0
    # The node keeps its owner, and goes with its tape.
    kept = weakref.ref(owners.pop())
    assert kept() is not None
    if isinstance(m, tl.TapeM):
        assert "multiply = custom" in repr(m.tape)
        (contribution,) = m.tape.get_node(y.id).backward(tl.AnyTensor([1.0, 1.0], "float64"))
        assert contribution[0] == x.id and contribution[1].tolist() == [3.0, 4.0]
        with pytest.raises(tl.ShapeError, match="multiply: a cotangent must be"):
            m.tape.get_node(y.id).backward(tl.AnyTensor([1.0], "float64"))
    del m, x, c, y, z, grads
    assert kept() is None


def test_nodes_that_are_refused(guest: Any) -> None:
    m = tl.TapeM(dtype="float64")
    x, other = m.leaf([1.0]), tl.TapeM(dtype="float64").leaf([1.0])
    with pytest.raises(tl.ShapeError, match="there are fewer than no elements"):
        guest.multiply(m, (x, x), (1,), -1)
    with pytest.raises(
        tl.OptionError, match="multiply: a function that returns TL_RAISED must have noted an exception by tl_fail or tl_raised"
    ):
        guest.multiply(m, (x, x), (1,), -2)
    for inputs in ((x, other), (x, 7), [x, x], (x,) * 33):
        with pytest.raises(tl.NodeError):
            guest.multiply(m, inputs, (1,), 1)
    with pytest.raises(tl.ShapeError, match="at least 0"):
        guest.multiply(m, (x, x), (-1,), 0)
    assert len(m.tape) == 1
    y = guest.multiply(m, (x, x), (1,), 1, with_backward=False)
    assert not y.requires_grad
    with tl.no_grad():
        z = guest.multiply(m, (x, x), (1,), 1)
    assert z.tolist() == [1.0] and len(m.tape) == 2
