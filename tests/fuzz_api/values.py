"""Arguments as text: by the name of the parameter, something that fits, or something hostile."""

from __future__ import annotations

import random

GOOD_ARRAYS = [
    "array_of(2, 3)",
    "array_of(3)",
    "array_of(3, 3)",
    "array_of(2, 3, 4)",
    "array_of(1, 2, 4, 4)",
    "array_of(3, 2, 2, 2)",
    "np.float32(2.0)",
    "np.arange(6.0).reshape(2, 3)",
    "np.arange(3)",
    "np.array([True, False, True])",
    "tl.AnyTensor(array_of(2, 3))",
    "[[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]",
    "2.0",
    "np.zeros((0, 3))",
    "array_of(4, 3)",
    "np.array([0, 2, 1])",
]
BAD_ARRAYS = [
    "np.ones((2, 3), 'f2')",
    "np.ones(3, 'c16')",
    "np.array(['a', 'b', 'c'])",
    "np.array([{}, 1, 2], object)",
    "np.ma.masked_array([1.0, 2.0, 3.0], [True, False, True])",
    "np.broadcast_to(np.float32(1), (2, 3))",
    "np.ones((4, 6))[::2, ::-2]",
    "np.ones((2, 3), '>f8')",
    "np.array([2**63, 1, 2], 'u8')",
    "np.array([0, 99, -5])",
    "released()",
    "Lying(np.ones((2, 3)))",
    "Lying(np.ones(3), 3, None)",
    "np.empty((2**17, 0))",
    "np.full((2, 3), np.nan)",
    "np.full((2, 3), np.inf)",
    "np.ones((1,) * 40)",
    "np.ones(3, 'M8[s]')",
    "memoryview(np.ones((2, 3)))",
    "bytearray(12)",
    "np.zeros(3, 'V8')",
    "np.zeros(3, [('a', 'f4'), ('b', 'i4')])",
    "np.matrix([[1.0, 2.0, 3.0]])",
    "foreign(2, 3)",
    "[[1.0], [2.0, 3.0]]",
    "tl.Param(array_of(2, 3))",
    "np.ones((2, 3), np.longdouble)",
]
ANYTHING = [
    "None",
    "float('nan')",
    "float('inf')",
    "-float('inf')",
    "-1",
    "0",
    "1",
    "3",
    "2**31",
    "2**63",
    "-2**63",
    "2**200",
    "1.5",
    "-0.0",
    "1e308",
    "''",
    "'a'",
    "'float32'",
    "'\\udcff'",
    "'a\\0b'",
    "b'x'",
    "True",
    "[]",
    "()",
    "{}",
    "{'a': 1}",
    "{1: 2, 'a': 3}",
    "[1, [2, 3]]",
    "(x for x in [1, 2])",
    "object()",
    "nothing",
    "number",
    "fails",
    "type",
    "np.float64('nan')",
    "np.float32(-0.0)",
    "np.int8(-1)",
    "LyingInt(3)",
    "LyingStr('float32')",
    "NoLength()",
    "Ellipsis",
    "slice(None)",
    "1j",
    "np.dtype('f4')",
    "np.float32",
    "range(3)",
    "float",
    "deep(2000)",
    "{1, 2}",
    "tl",
    "tl.Session()",
    "layer()",
    "tl.TapeM()",
    "[None]",
    "[np.ones(3), None]",
    "'x' * 10000",
]
SHAPES = [
    "(2, 3)",
    "(6,)",
    "(3, 2)",
    "(-1,)",
    "(0,)",
    "()",
    "(2**31, 2**31)",
    "(2**62,)",
    "(-1, -1)",
    "[2, 3]",
    "(2.5,)",
    "6",
    "('a',)",
    "(1,) * 40",
]
AXES = ["0", "1", "-1", "(0, 1)", "None", "5", "-9", "(0, 0)", "()", "2**40", "[1]", "1.0"]
SIZES = ["1", "2", "3", "(2, 2)", "(1, 1)", "0", "-1", "2**31", "2**62", "(1, 2, 3, 4)", "1.5", "None", "np.int64(2)", "10**6"]
DTYPES = ["'float32'", "'float64'", "'int64'", "'bool'", "np.float32", "np.dtype('f8')", "'nonsense'", "None", "'float16'", "float"]
PROGRAMS = [
    "loss",
    "squares",
    "pair",
    "nothing",
    "number",
    "fails",
    "'cross_entropy'",
    "'mse_loss'",
    "lambda *a: a",
    "factor()",
    "nn.Linear(3, 2)",
]
PATHS = ["'file'", "''", "'no/such/file'", "'.'", "'pipe'", "'a\\0b'", "'data.npy'", "'table.csv'", "'file.png'", "'c.safetensors'"]
NUMBERS = ["0.1", "0", "1", "-1", "0.5", "2.0", "1e-8", "float('nan')", "float('inf')", "1e308", "-0.0", "np.float32(0.5)", "5e-324"]
COUNTS = ["1", "2", "3", "10", "0", "-1", "2**31", "2**70", "1.5", "np.int64(3)", "True"]
PARAMS = [
    "params()",
    "layer().parameters()",
    "tl.ParamList([array_of(2, 3)])",
    "params() * 2",
    "[]",
    "[tl.Param(array_of(0, 2))]",
    "iter(params())",
]
OPTIMS = ["used()", "tl.optim.SGD(params(), lr=0.1)", "tl.optim.Adam([tl.Param(array_of(1))])", "None", "0.1", "tl.optim.Adam"]
SPECS = [
    "[(2, 3)]",
    "[(2, 3), (2, 3)]",
    "[tl.Spec((2, 3), 'int64')]",
    "[tl.Spec((3,))]",
    "(2, 3)",
    "[2]",
    "[(2**40, 2**40)]",
    "[]",
    "[(-1, 3)]",
]
STATES = [
    "{}",
    "layer().state_dict()",
    "used().state_dict()",
    "{'seed': 1, 'epoch': 0, 'batch': 0}",
    "{'step': 'a'}",
    "tl.Rng(0).state_dict()",
]
BACKENDS = ["'eager'", "'compiled'", "'none'", "None"]
OPS = ["tl.Session()", "tl.Session(backend='compiled')", "tl.TapeM()", "tl.GraphM()", "None", "np"]
DATA = [
    "(array_of(4, 3), np.array([0, 1, 1, 0]))",
    "tl.data.Dataset(array_of(4, 3), np.array([0, 1, 1, 0]))",
    "tl.data.DataLoader((array_of(4, 3), np.array([0, 1, 1, 0])), 2)",
    "[(array_of(3), 1), (array_of(3), 0)]",
    "array_of(4, 3)",
    "iter([(array_of(4, 3), np.array([0, 1, 1, 0]))])",
    "tl.data.Batches([(array_of(4, 3), np.array([0, 1, 1, 0]))])",
    "[array_of(4, 3), array_of(4)]",
]
KEYS = [
    "0",
    "-1",
    "5",
    "slice(0, 2)",
    "[0, 1]",
    "(0, slice(None))",
    "'a'",
    "None",
    "np.array([True, False])",
    "2**70",
    "slice('a')",
    "Ellipsis",
    "[]",
]
MODELS = ["layer()", "nn.Linear(3, 2)", "nn.Sequential(nn.Linear(3, 2))", "nn.Module()", "nn.ModuleList([nn.ReLU()])", "nn.MaxPool2d(2)"]

#: Parts of a parameter's name -> what fits.
BY_NAME: list[tuple[tuple[str, ...], list[str]]] = [
    (("shapes", "specs"), SPECS),
    (("shape",), SHAPES),
    (("axis", "axes", "argnums", "perm"), AXES),
    (("dtype",), DTYPES),
    (("kernel", "stride", "padding", "dilation", "groups", "window", "size", "pad", "rows", "columns", "repeats"), SIZES),
    (("path", "folder", "file", "images_path"), PATHS),
    (("params", "parameters"), PARAMS),
    (("optimizer", "opt", "base"), OPTIMS),
    (("model", "module", "layer", "body", "shortcut", "layers"), MODELS),
    (("state", "values_by_name"), STATES),
    (("backend", "device"), BACKENDS),
    (("ops", "m", "record"), OPS),
    (("data", "dataset", "validation", "batches"), DATA),
    (
        ("loss", "program", "forward", "backward", "function", "transform", "callback", "rule", "weight_init", "bias_init", "loss_of"),
        PROGRAMS,
    ),
    (
        (
            "seed",
            "epoch",
            "number",
            "count",
            "step",
            "steps",
            "inputs",
            "outputs",
            "heads",
            "channels",
            "every",
            "iters",
            "start",
            "length",
        ),
        COUNTS,
    ),
    (
        ("lr", "eps", "decay", "momentum", "beta", "alpha", "slope", "scale", "norm", "factor", "gamma", "p", "low", "high", "mean", "std"),
        NUMBERS,
    ),
    (("index", "key", "indices", "positions", "k"), KEYS),
    (("f", "fn"), PROGRAMS),
]


def argument(rng: random.Random, name: str, refs: list[str]) -> str:
    """The text of an argument for a parameter of this name; `refs` are texts of references that fit where the call is made."""
    chance = rng.random()
    if chance < 0.25:
        return rng.choice(ANYTHING)
    if chance < 0.35:
        return rng.choice(BAD_ARRAYS)
    lower = name.lower().strip("_")
    words = {lower, *lower.split("_")}
    for names, pool in BY_NAME:
        if any(n in words for n in names) and rng.random() < 0.9:
            return rng.choice(pool)
    if refs and rng.random() < 0.8:
        return rng.choice(refs)
    return rng.choice(GOOD_ARRAYS) if rng.random() < 0.8 else rng.choice(ANYTHING)
