"""`vmap` of every op against a loop over the lanes: values, first derivatives, second ones of some."""

import itertools
import zlib

import numpy as np
import pytest
from op_calls import GOOD, case

import tlean as tl
from tlean.ops import all_ops, get
from tlean.ops.batching import ROUNDED

LANES = 3
#: Where arrays that are searched differ, and where numbers of one seed have parameters that do.
LOOPED = {"searchsorted", "_rand_log_gamma", "_rand_poisson"}
CALLS = {}
for _name, _k in GOOD:
    _record, _sample = get(_name), get(_name).samples()[_k]
    _sizes = [np.prod(getattr(a, "shape", a)) for a in _sample.args if a is not None]
    _own = [n for n in range(len(_sizes)) if not (_record.random and n == len(_sizes) - 1)]
    if _own and max(_sizes) < 300 and not _record.updates:
        CALLS.setdefault(_name, []).append(_k)


class Drawn:
    """A call of an op whose operands, some of them, are other ones in each lane; along the first or the last axis."""

    def __init__(self, name, turn):
        rng = np.random.default_rng(zlib.crc32(f"{name} {turn}".encode()))
        self.record, self.name = get(name), name
        arrays, self.options, self.sample = case(name, CALLS[name][rng.integers(len(CALLS[name]))])
        self.places = [k for k, a in enumerate(arrays) if a is not None]
        free = [k for k in self.places if not (self.record.random and self.record.input_names(len(arrays))[k] == "seed")]
        subsets = [s for n in range(1, len(free) + 1) for s in itertools.combinations(free, n)]
        self.own = subsets[rng.integers(len(subsets))]
        self.count, self.axis = len(arrays), int(rng.integers(2)) - 1
        self.present = [self._lanes(k, arrays[k]) if k in self.own else arrays[k] for k in self.places]
        self.flags = [k in self.own for k in self.places]
        self.floats = tuple(k for k, x in enumerate(self.present) if x.dtype == np.float64)

    def _lanes(self, k, x):
        # Other numbers in each lane, unless what the op takes is written out: sorted numbers, links, hints.
        free = x.dtype.kind == "f" and getattr(self.sample.args[k], "kind", "normal") != "values"
        return np.stack([x * (1 - 0.01 * lane) if free else x for lane in range(LANES)])

    def __call__(self, ops, *present):
        given = dict(zip(self.places, present, strict=True))
        made = ops.apply(self.name, tuple(given.get(k) for k in range(self.count)), self.options)
        return made if isinstance(made, tuple) else (made,)

    def total(self, ops, *present):
        """A number that depends on all floats of the result."""
        parts = [y for y in self(ops, *present) if y.dtype == "float64"]
        weights = [np.cos(1.7 * np.arange(np.prod(y.shape)) + 0.3).reshape(y.shape) for y in parts]
        return ops.sum(ops.concat([ops.flatten(ops.mul(y, w)) for y, w in zip(parts, weights, strict=True)]))

    def lane(self, k):
        return [x[k] if own else x for x, own in zip(self.present, self.flags, strict=True)]

    def mapped(self, f, axis=0):
        xs = [np.moveaxis(x, 0, axis) if own else x for x, own in zip(self.present, self.flags, strict=True)]
        program = tl.vmap(f, in_axes=tuple(axis if own else None for own in self.flags))
        made = program(*xs)
        names = [n.name or "" for n in program._latest.graph.nodes]
        assert self.name in LOOPED or not any(f"lane 1 of {LANES}" in n for n in names)
        return made


def same(actual, expected, bits, what):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape and actual.dtype == expected.dtype, what
    if bits:
        np.testing.assert_array_equal(actual, expected, err_msg=what)
    else:
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9, err_msg=what)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_an_op_in_every_lane(name):
    for turn in range(2):
        call = Drawn(name, turn)
        alone = tl.jit(call.__call__)
        expected = [alone(*call.lane(k)) for k in range(LANES)]
        what = f"{name}({[x.shape for x in call.present]}, {call.options}), lanes of {call.own}"
        for j, y in enumerate(call.mapped(call.__call__, call.axis)):
            same(y, np.stack([np.asarray(e[j]) for e in expected]), name not in ROUNDED, what)


DIFFERENTIABLE = [n for n in sorted(CALLS) if get(n).differentiable]


def check_first_derivatives(name):
    call = Drawn(name, 2)
    out = tl.jit(call.__call__)(*call.lane(0))
    if not call.floats or all(np.asarray(y).dtype != np.float64 for y in out):
        return
    gradient = tl.grad(call.total, argnums=call.floats)
    expected = [gradient(*call.lane(k)) for k in range(LANES)]
    inner = call.mapped(gradient)
    axes = tuple(0 if own else None for own in call.flags)
    outer = tl.grad(lambda *xs: tl.sum(tl.vmap(call.total, in_axes=axes)(*xs)), argnums=call.floats)(*call.present)
    for j, k in enumerate(call.floats):
        rows = np.stack([np.asarray(e[j]) for e in expected])
        same(inner[j], rows, False, f"{name}: vmap of grad, argument {k}")
        same(outer[j], rows if call.flags[k] else rows.sum(0), False, f"{name}: grad of vmap, argument {k}")


@pytest.mark.parametrize("part", range(8))
def test_derivatives_in_every_lane(part):
    for name in DIFFERENTIABLE[part::8]:
        check_first_derivatives(name)


SECOND = (
    "mul", "tanh", "where", "reduce_max", "softmax", "matmul", "linear", "conv2d", "_conv_grad_w", "max_pool", "layer_norm",
    "scaled_dot_product_attention", "cross_entropy", "take", "_scatter_rows", "sort", "cumsum", "batchnorm_channel_first",
)  # fmt: skip


@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives_in_every_lane(name):
    call = Drawn(name, 3)
    gradient = tl.grad(call.total, argnums=call.floats)

    def product(*xs):
        # The derivative of the gradient along itself.
        moved = iter(gradient(*xs))
        return tl.jvp(gradient, xs, [next(moved) if k in call.floats else None for k in range(len(xs))])[1]

    alone = tl.jit(product)
    expected = [alone(*call.lane(k)) for k in range(LANES)]
    for j, y in enumerate(call.mapped(product)):
        same(y, np.stack([np.asarray(e[j]) for e in expected]), False, name)


def test_every_record_is_batched():
    """Each has a rule or is batched by its parts; `test_an_op_in_every_lane` sees that none is called lane by lane."""
    without = {r.name for r in all_ops() if r.rules.batch is None and r.inputs and not r.updates}
    assert all(get(n).rules.decompose is not None for n in without)
    # Those of the tests themselves aside.
    assert {n for n in without if not n.endswith("_of_the_tests")} <= ROUNDED


def test_a_rule_that_gives_another_shape_is_named():
    @tl.defop("_wrong_batch_of_the_tests")
    class Wrong:
        """x."""

        def shape(x):
            return x

        def decompose(ops, x):
            return ops.scale(x, 1.0)

        def batch(call):
            return call.ops.sum(call.inputs[0])

    with pytest.raises(
        tl.OptionError, match=r"_?wrong_batch_of_the_tests: its batching rule must give an output of shape \(3, 2\) float64, got \(\)"
    ):
        tl.vmap(lambda ops, x: ops.apply("_wrong_batch_of_the_tests", (x,), {}))(np.ones((3, 2)))
