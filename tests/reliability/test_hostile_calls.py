"""Arguments of another kind than a call takes: what it answers names the call, what must hold and what it got."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean import nn

VIEW = memoryview(np.ones((2, 3)))
FLAGS = np.array([True, False])


def square(ops: Any, x: Any) -> Any:
    return ops.square(x)


def graph() -> tl.GraphM:
    g = tl.GraphM()
    g.arg(0, (2,))
    return g


def used() -> tl.TapeM:
    m = tl.TapeM()
    m.leaf([1.0])
    return m


def steps(**options: Any) -> Any:
    trainer = tl.ScalarTrainer(tl.Options(backend="compiled"), [np.ones(2)], [(2,)], lambda ops, w, x: ops.sum(ops.mul(w, x)))
    return trainer.optim_step(tl.optim.Adam(trainer.params), np.ones(2), **options)


CALLS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "program by hand": (
        lambda: tl.CompiledOut(1.5, None),
        tl.OptionError,
        "CompiledOut: a program must be recorded in a GraphM.*got float",
    ),
    "program of an array": (lambda: tl.CompiledOut(np.ones(3), ()), tl.OptionError, "CompiledOut: .* got ndarray"),
    "captured": (lambda: tl.GraphM(captured=5), tl.OptionError, "GraphM: captured must be None .* got int"),
    "array copy": (lambda: tl.AnyTensor([1.0]).__array__(copy=FLAGS), tl.OptionError, "copy must be True, False or None, got ndarray"),
    "array cast": (lambda: tl.AnyTensor([1.0]).__array__("f2", copy=False), tl.OptionError, "copy=False, but reading float64 as float16"),
    "position": (lambda: tl.AnyTensor([1.0])[2**63], tl.IndexRangeError, "no such elements"),
    "node name": (lambda: tl.Session().relu([1.0], name=FLAGS), tl.OptionError, "relu: name must be a text, got ndarray"),
    "leaf name": (lambda: tl.TapeM().leaf([1.0], name=3), tl.OptionError, "leaf: name must be a text, got int"),
    "compiled node name": (
        lambda: tl.Session(backend="compiled").relu([1.0], name=3),
        tl.OptionError,
        "relu: name must be a text, got int",
    ),
    "graph node name": (lambda: graph().relu([1.0], name=3), tl.OptionError, "relu: name must be a text, got int"),
    "stack": (lambda: tl.Session().stack(VIEW), tl.ShapeError, "stack: a sequence of arrays is expected, got memoryview"),
    "concat": (lambda: tl.concat(VIEW), tl.ShapeError, "concat: a sequence of arrays is expected, got a memoryview"),
    "recorded stack": (lambda: graph().stack(VIEW), tl.ShapeError, "stack: a sequence of arrays is expected, got a memoryview"),
    "pad": (lambda: graph().pad([1.0], VIEW), tl.OptionError, "pad: an option is of another kind than the op takes"),
    "shapes": (lambda: tl.compile_out(square, VIEW), tl.ShapeError, "compile_out: shapes must be a sequence with a shape or a Spec"),
    "betas": (lambda: tl.optim.Adam([tl.Param(1.0)], betas=VIEW), tl.OptionError, "betas must be two numbers"),
    "bias rule": (lambda: nn.Linear(2, 2, bias_init=np.ones(2)), tl.OptionError, "Linear: a first value must be drawn by a rule"),
    "bias rule of a convolution": (
        lambda: nn.Conv2d(1, 2, 3, bias_init=np.ones(2)),
        tl.OptionError,
        "Conv2d: a first value must be drawn by",
    ),
    "rows": (lambda: nn.Embedding(2, 2, weight_init=np.ones(2)), tl.OptionError, "Embedding: a first value must be drawn by a rule"),
    "groups": (lambda: nn.ConvTranspose2d(2**70, 3, 2, groups=np.int64(2)), tl.ShapeError, "groups divides both channel counts"),
    "heads": (lambda: nn.MultiHeadAttention(2**70 + 1, np.int64(2)), tl.ShapeError, "heads divides size"),
    "check_finite": (lambda: steps(check_finite=[[1.0]]), tl.OptionError, "optim_step: check_finite must be True or False, got list"),
    "backend": (
        lambda: nn.Linear(2, 2).apply(None, [], [1.0]),
        tl.OptionError,
        "Linear: the first argument must be a backend or session, got NoneType",
    ),
    "bind": (lambda: nn.Linear(2, 2).bind(3), tl.OptionError, "Linear: the first argument must be a backend or session, got int"),
    "loss of a sample": (
        lambda: tl.train.tapem.mean_scalar_over(used(), "samples", [np.ones(2)], type),
        tl.NodeError,
        "samples: the loss of a sample must be a reference, got type",
    ),
    "picture of a folder": (
        lambda: used().tape.show(path="."),
        tl.OptionError,
        "show: path is a regular file, or a new one; .* is a folder",
    ),
    "picture of nothing": (lambda: used().tape.show(path=""), tl.OptionError, "show: path must be a path"),
    "leaves": (lambda: tl.tree.unflatten("*", VIEW), tl.ShapeError, "unflatten: a sequence of leaves is expected"),
    "names of classes": (
        lambda: nn.plot_confusion(np.eye(2), "a.png", names=5),
        tl.OptionError,
        "plot_confusion: the names must be a sequence",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_answer_names_the_mistake(name: str) -> None:
    call, error, words = CALLS[name]
    if "plot" in words:
        pytest.importorskip("matplotlib", reason="draws")
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("make", [tl.Session, lambda: tl.Session(backend="compiled"), tl.TapeM])
def test_a_refused_name_leaves_no_node(make: Callable[[], Any]) -> None:
    m = make()
    x = m.leaf(np.array([1.0, -2.0], "f4"))
    for bad in (lambda: m.relu(x, name=3), lambda: m.leaf([1.0], name=3), lambda: m.const([1.0], name=3)):
        with pytest.raises(tl.OptionError, match="name must be a text"):
            bad()
    y = m.relu(x, name="y")
    assert y.id == x.id + 1 and np.asarray(y).tolist() == [1.0, 0.0]


def test_the_error_of_the_callers_function_is_the_callers() -> None:
    with pytest.raises(TypeError, match=r"only .* arrays can be converted"):
        tl.tree.map(float, [np.ones(3)])
    with pytest.raises(ZeroDivisionError):
        tl.tree.map(lambda x: 1 / 0, {"a": 1})


def test_what_is_not_promised_is_not_there() -> None:
    for made, names in (
        (tl.GraphM(), ("record", "value", "variable", "slot", "inline", "needed")),
        (tl.Param([1.0]), ("assign", "assign_output", "on_device", "own_on_device", "move", "current")),
        (tl.jit(square), ("call_known", "known_arrays")),
    ):
        assert not set(names) & set(dir(made))
    with pytest.raises(TypeError, match="keep"):
        tl.jit(square)(np.ones(2), keep=FLAGS)


def test_a_picture_takes_the_place_of_a_file_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "tape.svg"
    path.write_text("before")
    text = used().tape.show(path=path)
    assert path.read_text(encoding="utf-8") == text and [p.name for p in tmp_path.iterdir()] == ["tape.svg"]
    with pytest.raises(FileNotFoundError, match="no such folder"):
        used().tape.show(path=tmp_path / "no" / "tape.svg")


# Copies and pickles ----------------------------------------------------------------------------------------------------------


def gradients(backend: str) -> Any:
    s = tl.Session(backend=backend)
    return s.backward_scalar_dense_all(s.sum(s.input([1.0, 2.0])))


STAYS: dict[str, tuple[Callable[[], Any], str]] = {
    "gradients": (lambda: gradients("eager"), r"list\(grads\)"),
    "compiled gradients": (lambda: gradients("compiled"), r"list\(grads\)"),
    "graph": (lambda: tl.compile_out(square, [(2,)]).graph, "compile_scalar, compile_out or jit"),
    "graph by hand": (graph, "compile_scalar, compile_out or jit"),
    "plan": (lambda: tl.compile_out(square, [(2,)]).plan, "pickle the compiled program"),
    "op of a reference": (lambda: tl.Session().input([1.0]).relu, "belongs to a program of this process"),
    "session": (tl.Session, "pickle its parameters"),
}


@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy])
@pytest.mark.parametrize("name", STAYS)
def test_what_belongs_to_this_process_says_so(name: str, way: Any) -> None:
    make, words = STAYS[name]
    with pytest.raises(tl.OptionError, match=f"(?s)cannot be pickled.*{words}"):
        way(make())


def test_a_pull_back_is_copied_and_not_pickled() -> None:
    factor = np.array([2.0, 3.0])
    _, pull = tl.vjp(lambda ops, x: ops.mul(x, factor), np.ones(2))
    for again in (copy.copy(pull), copy.deepcopy(pull), copy.deepcopy({"pull": pull})["pull"]):
        factor[:] = 7.0
        assert again(np.ones(2))[0].tolist() == [2.0, 3.0]
    with pytest.raises(tl.OptionError, match=r"vjp: a pull-back cannot be pickled.*call vjp where"):
        pickle.dumps(pull)
    assert repr(pull) == "<pull-back of vjp>"
    with pytest.raises(tl.OptionError, match="takes a cotangent alone"):
        pull(tl.TapeM())


TRANSFORMED: dict[str, Callable[[], Any]] = {
    "jit": lambda: tl.jit(square),
    "compile_out": lambda: tl.compile_out(square, [(2,)]),
    "jacrev": lambda: tl.jacrev(square),
    "jacfwd": lambda: tl.jacfwd(square),
}


@pytest.mark.parametrize("way", [lambda f: pickle.loads(pickle.dumps(f)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("name", TRANSFORMED)
def test_programs_of_a_modules_function_travel(name: str, way: Any) -> None:
    f, x = TRANSFORMED[name](), np.array([1.0, 3.0], "f4")
    expected = f(x).tolist()
    assert way(f)(x).tolist() == expected == f(x).tolist()


def test_a_pickler_of_functions_takes_what_was_made_of_them() -> None:
    cloudpickle = pytest.importorskip("cloudpickle", reason="pickles functions that have no name in a module")
    x = np.array([1.0, 3.0], "f4")
    for f in (tl.jit(lambda ops, x: ops.square(x)), tl.compile_out(lambda ops, x: ops.square(x), [(2,)])):
        assert pickle.loads(cloudpickle.dumps(f))(x).tolist() == [1.0, 9.0]


def test_workers_take_a_jitted_function() -> None:
    joblib = pytest.importorskip("joblib", reason="sends the function")
    f, x = tl.jit(square), np.array([1.0, 3.0], "f4")
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(f)(x) for _ in range(2))
    assert [y.tolist() for y in found] == [[1.0, 9.0]] * 2
