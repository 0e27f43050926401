"""The dtype rule of every record: whatever the dtypes of a call's operands, it is the op on converted operands, one node, on every path."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from op_calls import RECORDS, case

import tlean as tl
from tlean._core.array import as_tensor
from tlean._core.plan.plan import run
from tlean.compiler.derive import jvp_graph, vjp_graph
from tlean.compiler.graph import Graph
from tlean.compiler.lower import lower
from tlean.interpreters.dual import Dual
from tlean.interpreters.eager import EagerOps
from tlean.ops import Spec
from tlean.reference.interpreter import Reference

DTYPES = ("float32", "float64", "int64", "bool")
#: What a record says of an input that takes floats, or whatever it moves.
DRAWN = ("float", "any")
#: Calls of each record.
MOST = 16


def first_call(record):
    """The first good sample: arrays and options."""
    k = next(k for k, s in enumerate(record.samples()) if not s.raises)
    arrays, options, _ = case(record.name, k)
    return arrays, options


def kinds_of(record, count):
    names = record.input_names(count)
    return [record.dtypes.get(n) or record.dtypes.get(n.partition("[")[0], "float") for n in names]


def assignments(record, arrays):
    """Dtypes for the operands that take floats: every combination of them, or MOST of these."""
    kinds = kinds_of(record, len(arrays))
    free = [DTYPES if k in DRAWN and a is not None else (None,) for k, a in zip(kinds, arrays, strict=True)]
    every = list(itertools.product(*free))
    rng = np.random.default_rng(len(every))
    picked = range(len(every)) if len(every) <= MOST else sorted(rng.choice(len(every), MOST, replace=False))
    return [every[k] for k in picked]


def as_operand(array, dtype):
    if array is None or dtype is None:
        return None if array is None else as_tensor(array)
    # Values that every dtype holds, so that the conversion is what the test says it is.
    whole = np.clip(np.round(np.abs(array)), 0, 1) if dtype == "bool" else np.round(array * 2) if dtype == "int64" else array
    return as_tensor(np.asarray(whole).astype(dtype))


def expected_dtypes(record, tensors, default):
    """What the rule says, in NumPy's words: (of each operand as the op takes it, of the result)."""
    kinds = kinds_of(record, len(tensors))
    floats = [t.dtype for t, k in zip(tensors, kinds, strict=True) if t is not None and k in DRAWN and t.dtype.startswith("float")]
    own = np.result_type(*floats).name if floats else default
    moved = [t.dtype for t, k in zip(tensors, kinds, strict=True) if t is not None and k == "any"]
    together = own if any(d.startswith("float") for d in moved) else np.result_type(*moved).name if moved else own
    names = {"float": own, "any": together}
    return [None if t is None else names.get(k, k) for t, k in zip(tensors, kinds, strict=True)], names.get(
        record.out_dtype, record.out_dtype
    )


def planned(record, tensors, options, default):
    """The outputs (no residuals) by a plan of the call alone."""
    graph = Graph(default)
    refs = [graph.arg(None if t is None else Spec(t.shape, t.dtype)) for t in tensors]
    graph.outputs = list(graph._record(record, [None if r is None else r.id for r in refs], options))[: len(record.outputs)]
    return run(lower(graph), tensors, [(graph.specs[v].shape, graph.specs[v].dtype) for v in graph.outputs])


def bits(t):
    return t.dtype, t.shape, t.numpy().tobytes()


CHECKED = [r for r in RECORDS if not r.updates and any(k in DRAWN for k in kinds_of(r, 1 if r.variadic else len(r.inputs)))]


@pytest.mark.parametrize("record", CHECKED, ids=lambda r: r.name)
def test_every_assignment_of_dtypes(record):
    """Values, cotangents and tangents of mixed operands are those of converted ones, in the operands' dtypes; eager is compiled."""
    arrays, options = first_call(record)
    for dtypes in assignments(record, arrays):
        for default in ("float32", "float64"):
            tensors = [as_operand(a, d) for a, d in zip(arrays, dtypes, strict=True)]
            wanted, result = expected_dtypes(record, tensors, default)
            converted = [None if t is None else as_tensor(t.numpy().astype(d)) for t, d in zip(tensors, wanted, strict=True)]
            own = next((d for d, k in zip(wanted, kinds_of(record, len(wanted)), strict=True) if k == "float" and d), default)
            made = planned(record, tensors, options, default)
            alone = planned(record, converted, options, own)
            assert [bits(m) for m in made] == [bits(m) for m in alone], (dtypes, default)
            assert made[0].dtype == result, (dtypes, default)
            if len(record.outputs) == 1:
                on_the_tape(record, tensors, converted, options, default, made[0])


def on_the_tape(record, tensors, converted, options, default, value):
    ops = EagerOps(default)
    leaves = [None if t is None else ops.add_leaf(t, True) for t in tensors]
    y = ops.apply(record.name, tuple(leaves), options)
    assert bits(y.value) == bits(value)
    assert len(ops.store) == len([t for t in tensors if t is not None]) + 1, "a call is one node"
    if not value.dtype.startswith("float") or not record.differentiable:
        assert not y.requires_grad or not value.dtype.startswith("float") or not record.differentiable
        return
    seed = as_tensor(np.random.default_rng(3).standard_normal(value.shape), value.dtype)
    found = ops.store.backward(y.id, seed)
    alone = EagerOps(value.dtype)
    twins = [None if t is None else alone.add_leaf(t, True) for t in converted]
    pulled = alone.store.backward(alone.apply(record.name, tuple(twins), options).id, seed)
    for leaf, twin in zip(leaves, twins, strict=True):
        if leaf is None or not leaf.dtype.startswith("float"):
            assert leaf is None or found[leaf.id] is None
        elif pulled[twin.id] is None:
            assert found[leaf.id] is None
        else:
            assert bits(found[leaf.id]) == bits(as_tensor(pulled[twin.id].numpy().astype(leaf.dtype)))
    moves = [t is not None and t.dtype.startswith("float") for t in tensors]
    if any(moves):
        dual = Dual(EagerOps(default))
        directions = [as_tensor(np.ones(t.shape), t.dtype) if m else None for t, m in zip(tensors, moves, strict=True)]
        given = [
            None if t is None else dual.lift(dual.inner.add_leaf(t), None if d is None else dual.inner.add_leaf(d))
            for t, d in zip(tensors, directions, strict=True)
        ]
        z = dual.apply(record.name, tuple(given), options)
        assert bits(z.primal.value) == bits(value)
        same = Dual(EagerOps(value.dtype))
        given = [
            None
            if t is None
            else same.lift(same.inner.add_leaf(t), same.inner.add_leaf(as_tensor(np.ones(t.shape), t.dtype)) if m else None)
            for t, m in zip(converted, moves, strict=True)
        ]
        expected = same.apply(record.name, tuple(given), options).tangent
        assert (z.tangent is None) == (expected is None)
        assert z.tangent is None or bits(z.tangent.value) == bits(expected.value)


MIXED = [("mul", 2), ("div", 2), ("where", 3), ("matmul", 2), ("mse_loss", 2), ("concat", 2)]


def test_the_reference_agrees():
    """A mixed call means the same on the reference."""
    rng = np.random.default_rng(5)
    for name, n in MIXED:
        for dtypes in itertools.product(DTYPES, repeat=n):
            arrays = [np.asarray(np.abs(rng.normal(size=(3, 3))) * 2 + 1).astype(d) for d in dtypes]
            ops, exact = EagerOps("float64"), Reference("float64")
            options = {"axis": 0} if name == "concat" else {"transpose_a": False, "transpose_b": False} if name == "matmul" else {}
            y = ops.apply(name, tuple(ops.add_leaf(as_tensor(a)) for a in arrays), options)
            wanted = exact.apply(name, tuple(exact.const(a) for a in arrays), options).value
            assert y.value.numpy().shape == wanted.shape
            np.testing.assert_allclose(y.value.numpy().astype(float), wanted.astype(float), rtol=1e-6, err_msg=f"{name} {dtypes}")


def test_programs_of_several_dtypes():
    """Compiled programs keep their arguments' dtypes, and a gradient has its argument's."""

    def f(ops, a, b, n):
        return ops.sum(ops.mul(ops.sin(ops.mul(a, b)), n)) + ops.sum(ops.square(a))

    a, b, n = np.linspace(0, 1, 7, dtype=np.float32), np.linspace(1, 2, 7), np.arange(7)
    for program in (tl.jit(f), tl.compile_out(f, [Spec((7,), "float32"), Spec((7,), "float64"), Spec((7,), "int64")])):
        y = program(a, b, n)
        assert y.dtype == "float64"
        np.testing.assert_allclose(y.numpy(), np.sum(np.sin(a * b) * n) + np.sum(a * a), rtol=1e-6)
    value, (da, db) = tl.value_and_grad(f, (0, 1))(a, b, n)
    assert (value.dtype, da.dtype, db.dtype) == ("float64", "float32", "float64")
    wide = tl.grad(f, (0, 1))(a.astype(np.float64), b, n)
    np.testing.assert_allclose(da.numpy(), wide[0].numpy(), rtol=1e-5)
    np.testing.assert_allclose(db.numpy(), wide[1].numpy(), rtol=1e-12)
    session, compiled = tl.Session(dtype="float32"), tl.Session(dtype="float32", backend="compiled")
    found = []
    for s in (session, compiled):
        refs = [s.add_leaf(as_tensor(x)) for x in (a, b, n)]
        out = f(s, *refs)
        grads = s.backward_dense_all(out, 1.0)
        found.append([bits(out.value), bits(grads[refs[0].id]), bits(grads[refs[1].id])])
        assert refs[2].id not in s.backward_scalar(out)
    assert found[0] == found[1]


def test_a_group_has_one_dtype():
    """What depends on both dtypes is fused in two groups with a conversion between them."""
    program = tl.compile_out(
        lambda ops, a, b: ops.exp(ops.mul(ops.sin(ops.square(a)), b)), [Spec((2000,), "float32"), Spec((2000,), "float64")]
    )
    kernels = [s.kernel for s in program.plan.program.steps]
    assert kernels == ["fused(square sin)", "as_float64", "fused(mul exp)"]


def assigned(x, key, value):
    y = x.copy()
    y[key] = value
    return y


def test_values_that_are_no_references_take_the_dtype_of_the_array():
    """What is written with `x.at[key]` does not change x's dtype, unless x cannot hold it; nothing is rounded on the way."""
    cases = [("int64", 7), ("int64", 2**62 + 1), ("int64", [5]), ("float64", 0.1), ("float64", [0.1]), ("float32", 3), ("bool", True)]
    for kept, v in cases:
        for program in (tl.jit(lambda ops, x, v=v: x.at[1].set(v)), lambda x, v=v: as_tensor(x).at[1].set(v)):
            y = program(np.zeros(3, kept))
            assert y.dtype == kept
            assert y[1] == np.asarray(v, kept).reshape(())
    assert as_tensor(np.zeros(3, "int32")).at[1].set([5]).dtype == "int32"
    assert tl.jit(lambda ops, x: x.at[1].set(0.5))(np.zeros(3, "int64"))[1] == 0.5
    np.testing.assert_array_equal(as_tensor(np.arange(3.0)).at[[0, 0]].add([1, 2]), [3, 1, 2])
    assert as_tensor(np.arange(3)).at[[5, 1]].get(mode="fill").tolist() == [0, 1]


def test_integers_and_booleans_are_moved_exactly():
    """No element of an integer is rounded on its way, whatever its size."""
    x = np.array([[2**62 + 1, -(2**53) - 1, 7], [3, -1, 2**31 + 5]])
    moves = [
        (lambda ops, v: ops.permute(v, axes=(1, 0)), lambda a: a.T),
        (lambda ops, v: ops.slice(v, starts=(0, 1), stops=(2, 3)), lambda a: a[:, 1:]),
        (lambda ops, v: ops.concat([v, v], axis=1), lambda a: np.concatenate([a, a], 1)),
        (lambda ops, v: ops.stack([v, v], axis=0), lambda a: np.stack([a, a])),
        (lambda ops, v: ops.pad(v, widths=((1, 0), (0, 1)), value=1.0), lambda a: np.pad(a, ((1, 0), (0, 1)), constant_values=1)),
        (lambda ops, v: ops.broadcast_to(v, shape=(2, 2, 3)), lambda a: np.broadcast_to(a, (2, 2, 3))),
        (lambda ops, v: ops.reshape(v, (3, 2)), lambda a: a.reshape(3, 2)),
        (lambda ops, v: ops.gather_rows_nat(v, np.array([1, 0, 9])), lambda a: np.stack([a[1], a[0], 0 * a[0]])),
        (lambda ops, v: ops.detach(v), lambda a: a),
    ]
    rng = np.random.default_rng(2)
    moves += [
        (lambda ops, v: ops.permute(ops.concat([v] * 25, axis=1), axes=(1, 0)), lambda a: np.concatenate([a] * 25, 1).T),
        (lambda ops, v: ops.transpose2d(ops.broadcast_to(v, (40, 2, 3)).reshape((80, 3))), lambda a: np.tile(a, (40, 1)).T),
        (lambda ops, v: ops.transpose2d(ops.concat([ops.concat([v] * 30, axis=0)] * 30, axis=1)), lambda a: np.tile(a, (30, 30)).T),
        (
            lambda ops, v: ops.pad(ops.concat([v] * 9, axis=1), widths=((2, 2), (3, 21))),
            lambda a: np.pad(np.tile(a, (1, 9)), ((2, 2), (3, 21))),
        ),
    ]
    moves += [
        (lambda ops, v: v[::-1, [0, 2]], lambda a: a[::-1, [0, 2]]),
        (lambda ops, v: ops.take(v, np.array([[1, 0, -2]]), axis=1), lambda a: a[:, [[1, 0, -2]]]),
        (lambda ops, v: ops.take(ops.concat([v] * 64, axis=1), np.array([1, 7, 0]), axis=0, mode="drop"),
         lambda a: np.stack([np.tile(a[1], 64), np.tile(a[1] * 0, 64), np.tile(a[0], 64)])),
        (lambda ops, v: ops.take_along_axis(v, np.array([[1], [0]])), lambda a: np.take_along_axis(a, np.array([[1], [0]]), 1)),
        (lambda ops, v: v.at[[1, 0, 1], 1].set(v[[0, 0, 1], 0]), lambda a: assigned(a, ([1, 0, 1], 1), a[[0, 0, 1], 0])),
        (lambda ops, v: v.at[[1, 0, 1]].set(v[[0, 0, 1]]), lambda a: assigned(a, [1, 0, 1], a[[0, 0, 1]])),
        (lambda ops, v: v.at[:, ::-2].set(v[:, 1:]), lambda a: assigned(a, (slice(None), slice(None, None, -2)), a[:, 1:])),
        (lambda ops, v: v.at[0, 1:].set(True), lambda a: assigned(a, (0, slice(1, None)), True)),
        (lambda ops, v: v.at[[1, 1]].set([[False]]), lambda a: assigned(a, 1, False)),
        (lambda ops, v: ops.dynamic_slice(v, (1, 1), (1, 2)), lambda a: a[1:, 1:]),
        (lambda ops, v: ops.dynamic_update_slice(v, v[:1, :2], (1, -2)), lambda a: assigned(a, (1, slice(1, None)), a[0, :2])),
    ]  # fmt: skip
    for dtype in ("int64", "int32", "bool"):
        given = x.astype(dtype)
        given[1] = (rng.integers(0, 2, 3) * 2**20).astype(dtype)
        for move, expected in moves:
            session = EagerOps("float32")
            eager = move(session, session.add_leaf(as_tensor(given)))
            made = [eager.value, tl.compile_out(move, [Spec(given.shape, dtype)])(given)]
            session.by_definition = True
            made.append(move(session, session.add_leaf(as_tensor(given))).value)
            for m in made:
                assert m.dtype == dtype
                np.testing.assert_array_equal(m.numpy(), expected(given))


def test_conversions():
    """Every pair of dtypes: rounded to the nearest, cut off towards 0, whether not 0."""
    values = np.array([0.0, -0.0, 1.5, -2.7, 1e-50, 3e9, -1e30, np.nan, np.inf, 16777217.0])
    for source, target in itertools.product(("float32", "float64", "int64", "int32", "bool"), repeat=2):
        with np.errstate(all="ignore"):
            x = values.astype(source) if source in ("float32", "float64", "bool") else np.array([0, 1, -7, 2**31 - 1, 2**24 + 1], source)
        ops = EagerOps("float32")
        y = ops.apply(f"_as_{target}", (ops.add_leaf(as_tensor(x)),), {})
        exact = Reference("float64")
        wanted = exact.apply(f"_as_{target}", (exact.const(x),), {}).value
        assert y.dtype == target
        np.testing.assert_array_equal(y.value.numpy(), wanted.astype(target), err_msg=f"{source} to {target}")


def test_what_is_refused():
    """Floats where integers are taken, integers where Booleans are, and Booleans where indices are."""
    ops = EagerOps("float32")
    x = ops.leaf(np.ones((3, 2)))
    for bad, kind in ((ops.leaf(1.0), "float32"), (ops.add_leaf(as_tensor(np.array(True))), "bool")):
        with pytest.raises(tl.DTypeError, match=f"gather_row: i holds integers, not {kind}"):
            ops.gather_row(x, bad)
    with pytest.raises(tl.OptionError, match="dtype must be one of float32, float64"):
        ops.rand_uniform((3,), 1, dtype="int64")
    narrow = ops.add_leaf(as_tensor(np.array(1, np.int32)))
    np.testing.assert_array_equal(ops.gather_row(x, narrow).value.numpy(), [1, 1])


def test_created_arrays_keep_their_dtype_in_other_programs():
    """What a rule creates has the rule's dtype, not that of the program that it is copied into."""
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    for default in ("float32", "float64"):
        program = tl.compile_scalar(lambda ops, v: ops.sum(ops.log_softmax(v, axis=1)), [Spec((2, 3), "float64")], dtype=default)
        assert program.backward(x)[0].dtype == "float64"
    graphs = [
        vjp_graph(r, [Spec((2, 3), "float64")], {"axis": 1, "keepdims": False}, "float32", (True,))
        for r in CHECKED
        if r.name == "reduce_max"
    ]
    graphs.append(
        jvp_graph(next(r for r in CHECKED if r.name == "concat"), [Spec((2, 3), "float64")] * 2, {"axis": 0}, "float32", (True, False))
    )
    for graph in graphs:
        assert {s.dtype for s in graph.specs} <= {"float64", "int32", "int64"}


def test_a_dtype_option_may_be_the_dtype_of_another_value():
    """That of a float64 array is equal to "float", NumPy's name for it, and still is not the program's dtype."""
    drawn = np.asarray(tl.Session(dtype="float64", seed=1).rand_uniform((3,), 7).numpy())

    def program(ops, x):
        return ops.rand_uniform((3,), 7, dtype=x.dtype)

    s = tl.Session(dtype="float32")
    eager = program(s, s.add_leaf(tl.AnyTensor(np.ones(2)), False)).value
    for y in (eager, tl.compile_out(program, [Spec((2,), "float64")], "float32")(np.ones(2))):
        assert y.dtype == "float64"
        np.testing.assert_array_equal(y.numpy(), drawn)


def test_zeros_for_what_a_program_does_not_read_have_its_dtype():
    specs = [Spec((3,), "float32"), Spec((2,), "float64")]
    for default in ("float32", "float64"):
        compiled = tl.compile_scalar(lambda ops, x, y: ops.sum(x), specs, default)
        assert [g.dtype for g in compiled.backward(np.ones(3, "f4"), np.ones(2))] == ["float32", "float64"]
