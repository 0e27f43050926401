"""Wrong arguments of every method of sessions, tapes, references, indices and gradients: errors of tlean's alone."""

from __future__ import annotations

import copy
import inspect
import pickle
import random

import numpy as np
import pytest

import tlean as tl
from tlean._generated.methods import OpsMethods

OPS = {n for n in dir(OpsMethods) if not n.startswith("_")} | {n for n in dir(tl.Tape) if hasattr(OpsMethods, n) and n[0] != "_"}
OPERATORS = [f"__{n}__" for n in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "matmul", "rmatmul")]
PROTOCOL = ["__getitem__", "__len__", "__bool__", "__index__", "__contains__", "__copy__", "__deepcopy__", "__repr__"]


class BadIndex:
    def __index__(self):
        return "x"


def junk():
    released = tl.AnyTensor([1.0])
    released.release()
    session, tape = tl.Session(), tl.TapeM()
    arrays = [np.ones(2), np.ones((2, 3)), np.array(1), np.array("a"), np.array([None]), np.ones(2, complex), np.ones((0, 2)), released]
    foreign = [session, tape, tl.Tape(), session.input([1.0]), tape.leaf([1.0]), tl.Param([1.0]), tl.AdamState()]
    numbers = [3, -1, 10**30, 1.5, float("nan"), True, np.float32(2), np.datetime64("2020")]
    rest = [None, "abc", b"x", [], [1, 2], [None], [[1, [2]]], {}, {1: 2}, (1,), set(), object(), BadIndex(), Ellipsis, slice(None), int]
    return [*arrays, *foreign, *numbers, *rest, memoryview(np.ones(2))]


def targets():
    made = {}
    for backend in ("eager", "compiled"):
        s = tl.Session(backend=backend)
        x = s.input([1.0, 2.0])
        loss = s.sum(s.use(s.param([1.0, 2.0])) * x)
        grads = s.backward_scalar_dense_all(loss)
        made |= {f"{backend} session": s, f"{backend} reference": x, f"{backend} gradients": grads}
        made |= {f"{backend} index": s.input_nat(1), f"{backend} indices": s.input_nat_vec([1])}
    m = tl.TapeM()
    made |= {"TapeM": m, "its reference": m.leaf([1.0, 2.0]), "Tape": tl.Tape().leaf([1.0, 2.0])[0], "graph": tl.GraphM().arg(0, (2,))}
    return made


def binds(f, args):
    try:
        inspect.signature(f).bind(*args)
    except TypeError:
        return False
    except ValueError:
        # Operators of compiled classes have no signature; they take one argument.
        return len(args) == 1
    return True


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    # Some calls write a file of the name that they are given.
    monkeypatch.chdir(tmp_path)


def only_ours(call, *args):
    try:
        call(*args)
    except tl.TleanError as error:
        assert len(str(error)) > 8
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}, of {args!r}")


@pytest.mark.parametrize("name", targets())
def test_errors_are_ours(name):
    rng = random.Random(name)
    kind = type(targets()[name])
    members = [n for n in dir(kind) if n not in OPS and (not n.startswith("_") or n in OPERATORS or n in PROTOCOL)]
    # A program that a TapeM runs raises what it likes.
    members = [n for n in members if n not in ("run", "eval", "exec") and callable(getattr(kind, n))]
    assert len(members) >= 2
    for member in members:
        values = junk()
        calls = [(), *[(v,) for v in values], *[tuple(rng.choices(values, k=n)) for n in (2,) * 12 + (3,) * 12 + (5, 6, 7) * 3]]
        for args in calls:
            f = getattr(targets()[name], member)
            if binds(f, args):
                only_ours(f, *args)


FACES = {
    "eager": (tl.Session, lambda s: s.leaf(np.ones((2, 2)))),
    "compiled": (lambda: tl.Session(backend="compiled"), lambda s: s.leaf(np.ones((2, 2)))),
    "Tape": (lambda: tl.Tape().leaf(np.ones((2, 2)))[0], lambda t: 0),
    "graph": (tl.GraphM, lambda g: g.arg(len(g._arguments), (2, 2))),
    "functions": (lambda: tl, lambda t: np.ones((2, 2), np.float32)),
}


@pytest.mark.parametrize("name", FACES)
def test_errors_of_ops_are_ours(name):
    rng = random.Random(name)
    make, good = FACES[name]
    kind = tl.Session if name == "functions" else type(make())
    face = make()
    for op in sorted(n for n in OPS if hasattr(kind, n) and hasattr(face, n)):
        values = junk()
        calls = [(None,), (rng.choice(values),)]
        for _ in range(8):
            calls += [
                (good, rng.choice(values)),
                (good, good, rng.choice(values)),
                tuple(rng.choice([good, good, *values]) for _ in range(4)),
            ]
        face = make()
        for args in calls:
            args = tuple(good(face) if a is good else a for a in args)
            if binds(getattr(face, op), args):
                only_ours(getattr(face, op), *args)


@pytest.mark.parametrize("make", [tl.Session, tl.Tape, tl.TapeM, tl.TapeM.run, tl.Node, tl.require_grad, tl.dense_to_dict])
def test_what_makes_them(make):
    rng = random.Random(7)
    values = [v for v in junk() if v is not int]
    for args in [*[(v,) for v in values], *[tuple(rng.choices(values, k=2)) for _ in range(60)]]:
        if binds(make, args):
            only_ours(make, *args)
    for word in ("dtype", "device", "tape", "parents", "backward", "name", "requires_grad", "num_threads", "seed", "backend", "no_such"):
        first = [[1.0]] if make is tl.Node else []
        for v in values:
            try:
                inspect.signature(make).bind(*first, **{word: v})
            except TypeError:
                continue
            only_ours(lambda v=v, word=word, first=first: make(*first, **{word: v}))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: tl.Tape(device=None), tl.OptionError, "Tape: device must be 'cpu', 'cuda' or 'cuda:<number>', got None"),
        (lambda: tl.TapeM(tape=3), tl.NodeError, "TapeM: the tape to continue must be a Tape, got int"),
        (lambda: tl.TapeM().backward_scalar(None), tl.NodeError, "backward_scalar: a node id must be an int, got NoneType"),
        (lambda: tl.TapeM.run(3), tl.OptionError, "TapeM.run: the program must be a function, got int"),
        (lambda: tl.Session().get_nat(3), tl.NodeError, "get_nat: an index that input_nat made is expected, got int"),
        (lambda: tl.Session().optim_step(None, {}), tl.OptionError, "optim_step: an optimiser of tl.optim is expected, got NoneType"),
        (lambda: tl.Session(backend="compiled").optim_step(None, {}), tl.OptionError, "optim_step: an optimiser of tl.optim"),
        (lambda: tl.Session().sgd_step_all(0.1, 3), tl.OptionError, "gradients must be what a backward pass returned"),
        (lambda: tl.Session(speed=3), tl.OptionError, "there is no option 'speed'; the options are backend, device"),
        (lambda: tl.Session().input([1.0], requires_grad="no"), tl.OptionError, "input: requires_grad must be True or False, got str"),
        (lambda: tl.Session().use_all(3), tl.OptionError, "use_all: a sequence of parameters is expected, got int"),
        (lambda: tl.Session().init_rng(1.5), tl.OptionError, "init_rng: the seed must be an int of 64 bits, got 1.5"),
        (lambda: tl.Tape().leaf([1.0])[0].backward(0.5, 1.0), tl.NodeError, "backward: a node id must be an int, got float"),
        (lambda: tl.Tape().leaf([1.0])[0].unary("f", 0, None, None), tl.OptionError, "unary f: forward must be a function, got NoneType"),
        (lambda: tl.Node([1.0], 3), tl.NodeError, "Node: a sequence of parents' ids is expected, got int"),
        (lambda: tl.Node([1.0], (0,), 3), tl.OptionError, "Node: backward must be a function, got int"),
        (
            lambda: tl.TapeM().leaf([1.0])["a"],
            tl.DTypeError,
            "an index must be an int, a slice or an array of integers or Booleans, got str",
        ),
        (lambda: tl.gather_row(memoryview(np.ones((2, 3))), 1.5), tl.DTypeError, "gather_row: i: .*x: memoryview"),
        (lambda: tl.no_grad()(3), tl.OptionError, "no_grad: it decorates a plain function, got 3"),
    ],
)
def test_they_name_the_call_and_the_mistake(call, error, text):
    with pytest.raises(error, match=text.replace("[", r"\[").replace("(", r"\(") if ".*" not in text else text):
        call()


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_gradients_of_another_kind_or_session(backend):
    s, other = tl.Session(backend=backend), tl.Session(backend=backend)
    losses = [x.sum(x.use(x.param([1.0]))) for x in (s, other)]
    mine, theirs = s.backward_scalar_dense_all(losses[0]), other.backward_scalar_dense_all(losses[1])
    for wrong, error in ((theirs, tl.NodeError), (3, tl.OptionError), ("abc", tl.OptionError), (None, tl.OptionError)):
        for call in (lambda: s.sgd_step_all(0.1, wrong), lambda: s.grad(wrong, losses[0])):  # noqa: B023
            with pytest.raises(error):
                call()
    with pytest.raises(tl.NodeError, match="no gradient of node 2"):
        mine[2]
    s.sgd_step_all(0.1, mine)


def test_sessions_and_tapes_are_not_pickled_and_say_so():
    tape = tl.Tape().leaf([1.0])[0]
    for made in (tl.Session(), tl.Session(backend="compiled"), tl.TapeM(), tape):
        with pytest.raises(tl.OptionError, match="cannot be pickled"):
            pickle.dumps(made)
    for made in (tl.Session(), tl.Session(backend="compiled"), tl.TapeM()):
        with pytest.raises(tl.OptionError, match="copied"):
            copy.deepcopy(made)
    # A tape is a value.
    assert copy.copy(tape) is tape and copy.deepcopy({"a": tape})["a"] is tape


def test_no_grad_as_a_decorator():
    m = tl.TapeM()
    x = m.leaf([1.0, 2.0])

    @tl.no_grad()
    def square(y, *, times=1.0):
        """Doc."""
        return y * y * times

    assert square(x, times=2.0).id is None and square.__name__ == "square" and square.__doc__ == "Doc."
    assert square(x).numpy().tolist() == [1.0, 4.0] and (x * x).id is not None and len(m.tape) == 2
    with pytest.raises(tl.ShapeError):
        square(np.ones(3) * x)
    assert (x + x).id is not None

    def numbers():
        yield 1

    with pytest.raises(tl.OptionError, match="plain function"):
        tl.no_grad()(numbers)
