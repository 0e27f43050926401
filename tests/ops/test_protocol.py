"""The protocol against the records: the same ops, the same parameters, the same defaults, and an entry for each in one form."""

from __future__ import annotations

import inspect
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tlean as tl
from tlean._generated.methods import OpsMethods
from tlean.interpreters.eager import EagerOps
from tlean.ops import all_ops, composites, forms, registry
from tlean.ops.protocol import Ops
from tools.codegen import faces

METHODS = {n: f for n, f in inspect.getmembers(Ops, inspect.isfunction) if not n.startswith("_")}
PUBLIC = {r.name: r for r in all_ops(internal=False)}
SECTIONS = ("Args", "Returns", "Raises", "Derivative", "Source", "Example")


def parameters(function):
    return dict(inspect.signature(function).parameters)


def test_the_protocol_is_complete():
    assert set(METHODS) == set(PUBLIC) | set(registry.aliases()) | set(composites())


@pytest.mark.parametrize("name", sorted(METHODS))
def test_parameters(name):
    own = parameters(METHODS[name])
    own.pop("self")
    label = own.pop("name")
    assert label.kind is label.KEYWORD_ONLY
    assert label.default is None
    # After any number of arrays, options are named.
    several = any(p.kind is p.VAR_POSITIONAL for p in own.values())
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in own.values()) or several
    target = registry.aliases().get(name, name)
    if target in composites():
        theirs = parameters(composites()[target])
        theirs.pop(next(iter(theirs)))
        theirs.pop("name", None)
        assert list(own) == list(theirs)
        assert {n: p.default for n, p in own.items()} == {n: p.default for n, p in theirs.items()}
        return
    if name in forms():
        theirs = parameters(forms()[name])
        theirs.pop("ops"), theirs.pop("name")
        assert {n: p.default for n, p in own.items()} == {n: p.default for n, p in theirs.items()}
        return
    record = PUBLIC[target]
    rule = parameters(record.rules.options or record.rules.shape)
    options = {n: p for n, p in rule.items() if p.kind is p.KEYWORD_ONLY}
    assert set(own) == set(record.inputs) | (set(options) or set(record.options_names))
    assert [n for n in own if n in record.inputs] == list(record.inputs)
    for n, p in options.items():
        assert own[n].default == p.default
    for n in record.inputs:
        assert (own[n].default is None) <= (n in record.optional or record.random)


@pytest.mark.parametrize("name", sorted(set(METHODS) - set(registry.aliases())))
def test_entries(name):
    """One sentence, then the sections in order; every argument is described."""
    text = inspect.getdoc(METHODS[name])
    assert re.match(r"[^\n]+\.$", text.splitlines()[0])
    found = re.findall(rf"^({'|'.join(SECTIONS)}):", text, re.M)
    assert found == [s for s in SECTIONS if s in found]
    assert found[:2] == ["Args", "Returns"]
    described = {n for names in re.findall(r"^    ([a-z_0-9, ]+):", text, re.M) for n in names.split(", ")}
    assert described == set(parameters(METHODS[name])) - {"self", "name"}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_face_describes_the_op(name):
    text = inspect.getdoc(METHODS[name])
    assert [inspect.getdoc(getattr(face, name)) for face in (tl, OpsMethods, EagerOps, tl.Tape) if hasattr(face, name)][1:] == [text] * 3


@pytest.mark.parametrize("name", sorted(set(METHODS) & set(registry.aliases())))
def test_aliases(name):
    target = registry.aliases()[name]
    assert inspect.getdoc(METHODS[name]) == f"Alias of `{target}`." or target in inspect.getdoc(METHODS[name])
    # A record that has further forms has them under its own name.
    assert set(parameters(METHODS[name])) <= set(parameters(METHODS[target]))
    assert target in forms() or list(parameters(METHODS[name])) == list(parameters(METHODS[target]))


MISMATCHES = {
    "an entry without a record": ("def nothing_like_it(self, x, *, name=None): ...", "got one alone for nothing_like_it"),
    "another input": ("def relu(self, z, *, name=None): ...", "relu: .* the same arguments"),
    "an option too many": ("def softmax(self, x, axis=-1, width=1, *, name=None): ...", "softmax: .* the same arguments"),
    "another default": ("def softmax(self, x, axis=0, *, name=None): ...", "softmax: .* the same defaults"),
}


@pytest.mark.parametrize("case", MISMATCHES)
def test_a_mismatch_fails_the_build(case, monkeypatch):
    entry, error = MISMATCHES[case]
    names: dict = {}
    exec(entry, names)
    name = next(n for n in names if n != "__builtins__")
    monkeypatch.setattr(Ops, name, names[name], raising=False)
    with pytest.raises(TypeError, match=error):
        faces.files()


def test_a_record_without_an_entry_fails_the_build(monkeypatch):
    monkeypatch.delattr(next(c for c in Ops.__mro__ if "softmax" in vars(c)), "softmax")
    with pytest.raises(TypeError, match="got one alone for softmax"):
        faces.files()


def test_the_tables_are_up_to_date(tmp_path):
    # In a separate process: other tests declare ops, too.
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-m", "tools.tables", str(tmp_path)], cwd=root, check=True)
    for table in tmp_path.iterdir():
        assert (root / "docs" / table.name).read_text() == table.read_text(), "run: make docs"


COMPOSITE_CALLS = {
    "nll_loss": ([[-1.0, -2.0], [-0.5, -1.0]], [0, 1], [1.0, 3.0]),
    "einsum": ("ij,jk->ik", [[1.0, 2.0]], [[3.0], [4.0]]),
    "global_avg_pool2d_chw": ([[[1.0, 2.0]]],),
    "global_avg_pool2d_nchw": ([[[[1.0, 2.0]]]],),
    **dict.fromkeys(("glu", "hardtanh", "relu6"), ([[0.5, 0.0]],)),
    "l1_loss": ([1.0, 2.0], [3.0, 5.0]),
    "huber_loss": ([1.0, 2.0], [3.0, 5.0]),
    **{f: ([1.0, 2.0], [3.0, 5.0]) for f in ("smooth_l1_loss", "poisson_nll_loss", "pairwise_distance", "cosine_similarity")},
    **{f: ([1.0, 2.0], [1.0, -1.0]) for f in ("hinge_embedding_loss", "soft_margin_loss")},
    **{f: ([0.25, 0.5], [0.0, 1.0]) for f in ("binary_cross_entropy", "kl_div")},
    "gaussian_nll_loss": ([1.0, 2.0], [3.0, 5.0], [1.0, 2.0]),
    "margin_ranking_loss": ([1.0, 2.0], [3.0, 5.0], [1.0, -1.0]),
    "soft_cross_entropy": ([[1.0, 2.0]], [[0.25, 0.75]], [1.0, 2.0]),
    "multilabel_soft_margin_loss": ([[1.0, 2.0]], [[0.0, 1.0]], [1.0, 2.0]),
    "cosine_embedding_loss": ([[1.0, 2.0]], [[3.0, 5.0]], [1.0]),
    "triplet_margin_loss": ([[1.0]], [[3.0]], [[2.0]]),
    "batch_stats": ([[1.0, 2.0], [3.0, 4.0]],),
    "take_along_axis": ([[1.0, 2.0]], [[1, 0]]),
    "put_along_axis": ([[1.0, 2.0]], [[1]], [[3.0]]),
    "gather_nd": ([[1.0, 2.0]], [[0, 1]]),
    "scatter_nd": ([1.0, 2.0], [[0, 1], [0, 0]], [1, 2]),
    **{f"segment_{kind}": ([[1.0], [2.0]], [1, 1], 2) for kind in ("sum", "mean", "max", "min")},
    "topk": ([1.0, 3.0, 2.0], 2),
    "glu": ([[1.0, 2.0, 3.0, 4.0]],),
    **{f: ([1.0, -8.0, 9.0],) for f in ("hardtanh", "relu6")},
    "median": ([1.0, 3.0, 2.0, 5.0],),
    "quantile": ([1.0, 3.0, 2.0], 0.25),
    "argmin": ([1.0, 2.0],),
    "std": ([[1.0, 2.0]],),
    "norm": ([[3.0, 4.0]],),
    "diff": ([1.0, 4.0, 9.0], 1, -1, 0.0),
    "dynamic_slice": ([1.0, 2.0], [1], [1]),
    **{f: ([[1.0, 2.0]],) for f in ("squeeze", "flip", "diagonal", "diag", "trace")},
    "expand_dims": ([1.0, 2.0], 0),
    "moveaxis": ([[1.0, 2.0]], 0, 1),
    "swapaxes": ([[1.0, 2.0]], 0, 1),
    **{f: ([[1.0, 2.0]], 2) for f in ("roll", "tile", "repeat")},
    "meshgrid": ([1.0, 2.0], [3.0]),
    "pad_by": ([1.0, 2.0], [(1, 1)]),
    "rms_norm": ([[1.0, 2.0]], [1.0, 3.0]),
    "group_norm": ([[1.0, 2.0]], 1, [1.0, 3.0], [1.0, 2.0]),
    "instance_norm": ([[[1.0, 2.0]]], [2.0], [1.0]),
    "unfold": ([[1.0, 2.0, 3.0]], (2,)),
    "split": ([1.0, 2.0], 2),
    "chunk": ([1.0, 2.0, 3.0], 2),
    "outer": ([1.0, 2.0], [3.0, 4.0]),
    "kron": ([1.0, 2.0], [3.0, 4.0]),
    "tensordot": ([[1.0, 2.0]], [[3.0], [4.0]], 1),
    "dynamic_update_slice": ([1.0, 2.0], [3.0], [1]),
    "astype": ([[1.5, -2.5]], "int64"),
    "zeros": ([2, 3],),
    "ones": ([2, 3], "bool"),
    "full": ([2, 2], [1.0, 2.0]),
    "eye": (2, 3),
    "arange": (2, 9, 3),
    "linspace": (0.0, 1.0, 5),
    "zeros_like": ([[1.0, 2.0]],),
    "ones_like": ([[1, 2]],),
    "full_like": ([[1.0, 2.0]], [[3.0], [4.0]], None, [2, 2]),
    "one_hot": ([[0, 2]], 3),
    **{f: ([[1.0, 2.0, 3.0]], (2,)) for f in ("adaptive_avg_pool", "adaptive_max_pool", "max_pool_with_indices")},
    "max_unpool": ([[1.0, 2.0]], [[3, 0]], (2,)),
    **{f"random_{f}": ([3], [1.0], [2.0], 5) for f in ("uniform", "normal", "gumbel")},
    "random_truncated_normal": ([3], [1.0], [2.0], [-1.0], [2.0], 5),
    "random_exponential": ([3], [1.0], 5),
    "random_gamma": ([0.5, 2.0], [3, 2], [1.0], 5),
    "random_beta": ([0.5, 2.0], [1.0], [3, 2], 5),
    "random_dirichlet": ([0.5, 2.0], [3], 5),
    **{f"random_{f}": ([0.5, 0.25], [3, 2], 5) for f in ("bernoulli", "poisson")},
    "random_randint": (0, 9, [3], 5),
    "random_permutation": ([1.0, 2.0, 3.0], 0, 5),
    "random_choice": ([1.0, 2.0, 3.0], [2], True, [0.5, 0.25, 0.25], 5),
    "random_categorical": ([0.5, 2.0], [3], 5),
    "random_multinomial": (4, [0.5, 2.0], [3], 5),
    **{
        f"linalg_{f}": ([[4.0, 1.0], [2.0, 3.0]],)
        for f in (
            "inv",
            "det",
            "slogdet",
            "logdet",
            "lu",
            "lu_factor",
            "eigh",
            "eigvalsh",
            "svd",
            "svdvals",
            "qr",
            "pinv",
            "matrix_norm",
            "cond",
        )
    },
    **{f"linalg_{f}": ([[2.0, 1.0], [0.0, 4.0]], [4.0, 8.0]) for f in ("solve", "solve_triangular", "lstsq")},
    "linalg_matrix_power": ([[2.0, 1.0], [0.0, 4.0]], 3),
    **{f"linalg_{f}": ([1.0, 2.0, 3.0], [0.0, 1.0, -1.0]) for f in ("cross", "vecdot")},
    "linalg_cholesky": ([[4.0, 2.0], [2.0, 10.0]],),
    "linalg_expm": ([[1.0, 0.0], [0.0, 2.0]],),
    **{f"fft_{f}": ([[[1.0, 2.0], [3.0, -1.0]]],) for f in ("fft", "ifft", "irfft", "fft2", "ifft2", "irfft2", "fftn", "ifftn", "irfftn")},
    **{f"fft_{f}": ([[1.0, 2.0, 4.0]],) for f in ("rfft", "rfft2", "rfftn", "fftshift", "ifftshift")},
    **{f"fft_{f}": (5, 0.5) for f in ("fftfreq", "rfftfreq")},
    "fft_mul": ([[1.0, 2.0]], [3.0, -1.0]),
    "linalg_cholesky_solve": ([4.0, 8.0], [[2.0, 0.0], [1.0, 4.0]]),
    "interpolate": ([[[1.0, 2.0]]], 3),
    "grid_sample": ([[[[1.0, 2.0]]]], [[[[0.5, 0.0]]]]),
    "affine_grid": ([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]], (1, 1, 2, 2)),
    **{f: ([[[1.0]], [[2.0]], [[3.0]], [[4.0]]], 2) for f in ("pixel_shuffle",)},
    "pixel_unshuffle": ([[[1.0, 2.0], [3.0, 4.0]]], 2),
    **{f: ([[[1.0], [2.0], [3.0], [4.0]]], 2) for f in ("channel_shuffle", "local_response_norm")},
    "fold": ([[1.0, 2.0], [3.0, 4.0]], (3,), (2,)),
    **{f: ([[1.0, 2.0]], 0.5, 3) for f in ("alpha_dropout", "feature_dropout")},
    "multi_margin_loss": ([[1.0, 2.0]], [0], [1.0, 2.0]),
    "multilabel_margin_loss": ([[1.0, 2.0, 0.5]], [[1, -1, 0]]),
    "ctc_loss": ([[[-1.0, -2.0]], [[-0.5, -1.0]]], [[1]], [2], [1]),
    "embedding_bag": ([[1.0, 2.0], [3.0, 4.0]], [1, 0, 1], [0, 1]),
    **{f: ([1.0, -2.0, 0.25],) for f in ("sinc", "frac", "deg2rad", "rad2deg", "hardsigmoid", "hardshrink", "softshrink", "tanhshrink")},
    **{f"nan{f}": ([1.0, math.nan, 3.0],) for f in ("_to_num", "sum", "prod", "max", "min", "mean", "var", "std", "median")},
    **{f: ([1.0, 2.0], [3.0, 1.0]) for f in ("fmax", "fmin", "heaviside", "trapezoid", "cumulative_trapezoid", "polyval")},
    **{f: ([1.0, 2.0], [3.0, 1.0]) for f in ("convolve", "correlate", "cartesian_prod", "ediff1d")},
    **{f: ([1.0, 2.0], [3.0, 1.0], [0.5, 2.0]) for f in ("addcmul", "addcdiv", "addr")},
    "lp_pool": ([[3.0, 4.0, 1.0]], 3.0, (2,)),
    "lerp": ([1.0, 2.0], [3.0, 1.0], 0.25),
    "threshold": ([1.0, 2.0], 1.5, 0.0),
    "nanquantile": ([1.0, math.nan, 3.0], 0.25),
    **{f: ([[1.0, 0.0, 2.0]],) for f in ("count_nonzero", "cov", "corrcoef", "pdist", "normalize", "rot90", "unwrap", "vander")},
    **{f: ([[1.0, 0.0, 2.0]],) for f in ("histogram", "block_diag", "diag_embed", "linalg_matrix_rank")},
    "cummin": ([2.0, 1.0, 3.0], 0),
    "kthvalue": ([2.0, 1.0, 3.0], 2),
    "interp": ([1.5], [1.0, 2.0], [3.0, 5.0]),
    "bincount": ([0, 2, 2], 3),
    "addmm": ([[1.0]], [[1.0, 2.0]], [[3.0], [4.0]]),
    "addmv": ([1.0], [[1.0, 2.0]], [3.0, 4.0]),
    **{f: ([[1.0]], [[[1.0, 2.0]]], [[[3.0], [4.0]]]) for f in ("baddbmm", "addbmm")},
    "cdist": ([[1.0, 2.0]], [[3.0, 1.0]]),
    **{f: ([1.0, 2.5], [0.5, 0.75]) for f in ("gammainc", "gammaincc", "gammaincinv", "gammainccinv", "stdtr", "stdtrit")},
    **{f: ([1.0, 2.5], [2.0, 0.5], [0.5, 0.75]) for f in ("betainc", "betaincc", "betaincinv", "betainccinv")},
    "linalg_multi_dot": ([[[1.0, 2.0], [0.0, 3.0]], [[4.0, 5.0], [0.0, 6.0]]],),
}


def values(made):
    """A result as nested lists."""
    if isinstance(made, tuple):
        return [values(m) for m in made]
    return np.asarray(getattr(made, "value", getattr(made, "primal", made))).tolist()


@pytest.mark.parametrize("name", sorted(composites()))
def test_composites_take_nested_lists(name):
    """Nested lists of numbers are arrays to a composite, as they are to an op."""
    arguments = COMPOSITE_CALLS[name]
    # Text and numbers stay what they are; nested lists have no dtype and are computed in float32, as Python numbers are.
    arrays = [np.array(a) if isinstance(a, list) else a for a in arguments]
    arrays = [a.astype("float32") if isinstance(a, np.ndarray) and a.dtype == "float64" else a for a in arrays]
    expected = values(getattr(tl, name)(*arrays))
    assert values(getattr(tl, name)(*arguments)) == expected
    compiled = tl.jit(lambda ops: getattr(ops, name)(*arguments))()
    assert values(compiled) == expected
    dual = getattr(tl.backends.Dual(tl.Session()), name)(*arguments)
    assert values(tuple(d.primal for d in dual) if isinstance(dual, tuple) else dual.primal) == expected


@pytest.mark.parametrize("name", sorted(composites()))
def test_composites_take_ids(name):
    """On the explicit tape, whose shapes are equal, a composite of ids is that of references."""
    written = list(parameters(METHODS[name]).values())[1:]
    tape, m = tl.Tape(dtype="float64", seed=1), tl.TapeM(dtype="float64", seed=1)
    ids, refs = [], []

    def both(values):
        nonlocal tape
        tape, i = tape.leaf(values)
        return i, m.leaf(values)

    for k, value in enumerate(COMPOSITE_CALLS[name]):
        p = next((p for p in written[: k + 1] if p.kind is p.VAR_POSITIONAL), written[min(k, len(written) - 1)])
        pair = value, value
        if "Sequence[Ref]" in str(p.annotation):
            pair = tuple(zip(*map(both, value), strict=True))
        elif "Ref" in str(p.annotation) and isinstance(value, list):
            pair = both(value)
        ids.append(pair[0])
        refs.append(pair[1])
    expected = getattr(m, name)(*refs)
    tape, made = getattr(tape, name)(*ids)
    assert repr(values(tuple(map(tape.get_value, made)) if isinstance(made, tuple) else tape.get_value(made))) == repr(values(expected))


WRONG_CALLS = {
    "l1_loss": lambda ops: ops.l1_loss([1.0, 2.0], [1.0, 2.0, 3.0]),
    "huber_loss": lambda ops: ops.huber_loss([1.0, 2.0], [1.0, 2.0, 3.0]),
    "nll_loss": lambda ops: ops.nll_loss([[1.0, 2.0]], [0], [1.0, 2.0, 3.0]),
    "batch_stats": lambda ops: ops.batch_stats([1.0]),
    "take_along_axis": lambda ops: ops.take_along_axis([[1.0]], [[0]], 5),
    "segment_sum": lambda ops: ops.segment_sum([[1.0]], [[0.5]], 2),
    "dynamic_slice": lambda ops: ops.dynamic_slice([1.0, 2.0], [0], [5]),
    "linspace": lambda ops: ops.linspace(0, 1, -1),
    "zeros": lambda ops: ops.zeros(-1),
    "one_hot": lambda ops: ops.one_hot([0.5], 2),
}


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_an_error_inside_a_composite_names_the_composite(name):
    backends = (tl.Session, lambda: tl.Session(backend="compiled"), tl.backends.Reference, lambda: tl.backends.Dual(tl.Session()))
    for run in (*(lambda f, b=b: f(b()) for b in backends), lambda f: tl.jit(f)(), lambda f: f(tl)):
        with pytest.raises(tl.TleanError, match=rf"^{name}: ") as caught:
            run(lambda ops: WRONG_CALLS[name](ops))
        inner = str(caught.value).split(": ")[1]
        assert inner not in METHODS and not inner.startswith("_"), caught.value


OPTIONS = {
    "axis": [(lambda ops, x, v=v: ops.reduce_sum(x, v)) for v in (0.5, True, "0", (0, 0.5))]
    + [(lambda ops, x, v=v: ops.softmax(x, v)) for v in (0.5, True, None)]
    + [lambda ops, x: ops.argmax(x, 1.0), lambda ops, x: ops.concat([x, x], False), lambda ops, x: ops.take(x, [0], 0.5)]
    + [lambda ops, x: ops.cumsum(x, np.ones(1)), lambda ops, x: ops.one_hot([0], 2, axis=True)],
    "name": [lambda ops, x: ops.relu(x, name=3), lambda ops, x: ops.l1_loss(x, x, name=b"loss"), lambda ops, x: ops.zeros(3, name=x)],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_of_another_kind_is_named(option):
    x = np.ones((2, 3))
    faces = {
        "session": lambda f: f(s := tl.Session(), s.input(x)),
        "compiled session": lambda f: f(s := tl.Session(backend="compiled"), s.input(x)),
        "tape": lambda f: f(*tl.Tape().leaf(x)),
        "jit": lambda f: tl.jit(lambda ops, x: f(ops, x))(x),
        "dual": lambda f: tl.jvp(lambda ops, x: f(ops, x), (x,), (x,)),
        "reference": lambda f: f(r := tl.backends.Reference(), r.leaf(x)),
        "values": lambda f: f(tl, x),
    }
    for face, run in faces.items():
        for call in OPTIONS[option]:
            if face == "tape" and call is OPTIONS["axis"][-4]:
                # A list of ids is what it takes.
                continue
            with pytest.raises(tl.OptionError, match=rf"^\w+: {option} must be"):
                run(call)


def test_what_is_no_array_is_reported_with_op_and_argument():
    for run in (lambda f: f(tl.Session()), lambda f: tl.jit(f)()):
        with pytest.raises(tl.DTypeError, match="matmul: b: "):
            run(lambda ops: ops.matmul([[1.0]], [["a"]]))
