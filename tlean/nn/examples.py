"""Gradients of a model's parameters, one for each example of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlean import tree
from tlean.autodiff.derived import DerivedProgram, scalar_of, variables
from tlean.autodiff.products import with_aux
from tlean.autodiff.vmap import checked_axes, mapped
from tlean.compiler.derive import pulled_back
from tlean.compiler.graph import Graph
from tlean.errors import OptionError
from tlean.param import Param
from tlean.programs.recorder import Recorder

from ..arguments.literals import Backend
from .bound import Bound
from .module import Module


def per_sample_grad(
    loss: Callable[..., Any], params: Any, in_axes: Any = 0, has_aux: bool = False, backend: Backend = "compiled", seed: int | None = None
) -> DerivedProgram:
    """The gradient of a loss by the parameters of a model for each example of a batch, in one call.

    A weight's gradients are one batched product, a kernel's one grouped convolution; no example is computed by itself.

    Args:
        loss: `loss(*example)`, or `loss(ops, *example)`, is the loss of one example, a scalar, or `(scalar, aux)` with `has_aux`. It calls
            the model, with arrays that lack the axis of the batch.
        params: a model, for all of its parameters, or a tree of parameters such as `model.named_parameters()`. Frozen ones count too.
        in_axes: the axes of the batch, as for `vmap`.
        has_aux: whether the loss returns something beside the scalar.
        backend, seed: as for `value_and_grad`.

    Returns: a program of batches; it returns the gradients in the structure of `params` (a list for a model), each with the examples as its
        first axis, or `(gradients, aux)`. Parameters are read at each call.
    Raises: OptionError for something that is no parameter, or for a loss in which running statistics move; what `vmap` raises.

    Example:
        >>> model = tl.nn.Linear(3, 2)
        >>> gradients = tl.per_sample_grad(lambda x, y: tl.cross_entropy(model(x), y), model)
        >>> [g.shape for g in gradients(np.ones((5, 3), "float32"), np.zeros(5, int))]
        [(5, 2, 3), (5, 2)]
    """
    chosen = params.parameters() if isinstance(params, Module) else params
    held, structure = tree.flatten(chosen)
    wrong = next((p for p in held if not isinstance(p, Param)), None)
    if wrong is not None:
        raise OptionError(
            f"per_sample_grad: params must be a model or a tree of its parameters, got {type(wrong).__name__}; of a loss with arrays as"
            " arguments, vmap(grad(loss), in_axes=(None, 0)) are the gradients"
        )
    recorder = Recorder("per_sample_grad", loss)
    checked_axes("per_sample_grad", "in_axes", in_axes)

    def one(graph: Graph, *example: Any, **keywords: Any) -> Any:
        # Each parameter under a separate identity: the variable of this differentiation.
        read = Bound(graph, {})
        refs = [variables(graph, read.value(p)) for p in held]
        bound = Bound(graph, dict(zip(held, refs, strict=True)))
        y, aux = with_aux("per_sample_grad", recorder(bound, *example, **keywords), has_aux, "scalar")
        if bound.updates:
            raise OptionError(
                "per_sample_grad: running statistics do not move where each example is computed by itself; call the model in evaluation"
                " mode (eval())"
            )
        y = scalar_of("per_sample_grad", graph, y)
        found = tree.dual(tree.unflatten(structure, pulled_back(graph, [y], [graph._full(shape=(), value=1.0, dtype=y.dtype)], refs)))
        return (found, aux) if has_aux else found

    def record(graph: Graph, *batch: Any, **keywords: Any) -> Any:
        return mapped("per_sample_grad", graph, one, batch, keywords, in_axes, 0)

    made_by = (per_sample_grad, (loss, params, in_axes, has_aux, backend, seed))
    return DerivedProgram("per_sample_grad", record, backend, recorder, seed, made_by)
