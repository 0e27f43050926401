"""Products of matrices, soft maxima, norms."""

from __future__ import annotations

from typing import Any

from .rules import Call, rule
from .writer import Writer


def _turned(w: Writer, x: str, rank: int) -> str:
    return w.op("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])


@rule("matmul", "bmm", direct=True)
def _matmul(w: Writer, c: Call) -> Any:
    a, b = c.x
    # A vector is multiplied from the other side: onnxruntime fuses the transposition with the product, wrongly there.
    ranks = len(c.shape(0)), len(c.shape(1))
    if (c.options.get("transpose_a") and ranks[1] == 1 < ranks[0]) or (c.options.get("transpose_b") and ranks[0] == 1 < ranks[1]):
        return w.op("MatMul", b, a)
    if c.options.get("transpose_a") and len(c.shape(0)) > 1:
        a = _turned(w, a, len(c.shape(0)))
    if c.options.get("transpose_b") and len(c.shape(1)) > 1:
        b = _turned(w, b, len(c.shape(1)))
    return w.op("MatMul", a, b)


@rule("linear", direct=True)
def _linear(w: Writer, c: Call) -> Any:
    weight, bias, x = c.x
    if len(c.shape(2)) == 2:
        return w.op("Gemm", x, weight, bias, transB=1)
    y = w.op("MatMul", x, w.op("Transpose", weight, perm=[1, 0]))
    return w.op("Add", y, bias) if bias else y


@rule("softmax", "log_softmax", direct=True)
def _softmax(w: Writer, c: Call) -> Any:
    kind = "Softmax" if c.record.name == "softmax" else "LogSoftmax"
    if not c.shape():
        return w.reshape(w.op(kind, w.reshape(c.x[0], (1,)), axis=0), ())
    return w.op(kind, c.x[0], axis=c.options["axis"])


@rule("layer_norm")
def _layer_norm(w: Writer, c: Call) -> Any:
    x, gamma, beta = c.x
    # ONNX has eps in float32.
    if not gamma or c.dtype == "float64":
        return None
    return w.op("LayerNormalization", x, gamma, beta, axis=-1, epsilon=c.options["eps"])


@rule("batchnorm_channel_first_eval")
def _batch_norm(w: Writer, c: Call) -> Any:
    # Channels are the second axis, of a batch.
    if c.dtype == "float64" or len(c.shape()) < 3 or not c.x[1] or not c.x[2] or c.shape(1) != c.shape()[1:2] or len(c.shape()) == 3:
        return None
    return w.op("BatchNormalization", *c.x, epsilon=c.options["eps"])
