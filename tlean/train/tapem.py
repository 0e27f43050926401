"""Small pieces for programs on a `TapeM`: parameters, constants, and the mean of a loss over samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tlean._core.array import as_tensor
from tlean.data.datasets import Dataset
from tlean.errors import NodeError, OptionError, ShapeError

__all__ = ["const", "mean_scalar_over", "mean_scalar_over_array", "mean_scalar_over_dataset", "param"]


def _backend(m: Any, method: str) -> Any:
    if not callable(getattr(m, method, None)):
        raise OptionError(f"the first argument must be a TapeM or another backend, got {m!r}")
    return m


def param(m: Any, value: Any, name: str | None = None) -> Any:
    """A leaf that takes a gradient.

    Args:
        m: a `TapeM`, or another backend with leaves.
        value: the value, of any shape.
        name: shown by `repr(tape)`.

    Returns: its reference.
    """
    return _backend(m, "leaf").leaf(value, True, name)


def const(m: Any, value: Any, name: str | None = None) -> Any:
    """A leaf that takes no gradient.

    Args:
        m: a `TapeM`, or another backend.
        value: the value, of any shape.
        name: shown by `repr(tape)`.

    Returns: its reference.
    """
    return _backend(m, "const").const(value, name)


def mean_scalar_over(m: Any, tag: str, xs: Iterable[Any], loss_of: Callable[[Any], Any]) -> Any:
    """The mean of `loss_of(x)` over samples: a left fold of `add` in their order, then `scale(1/N)`.

    Args:
        m: the backend that the losses belong to, such as a `TapeM`.
        tag: what the samples are, for messages.
        xs: the samples, anything that `loss_of` takes.
        loss_of: `loss_of(x)` records the loss of one sample: a reference of shape `()`.

    Returns: a reference of shape `()`.
    Raises: ShapeError where a loss is no scalar or there is no sample; the message names `tag`. A tape keeps what was recorded for the
        samples before that.
    """
    if not callable(loss_of):
        raise OptionError(f"{tag}: loss_of must be a function of a sample, got {loss_of!r}")
    if not hasattr(xs, "__iter__"):
        raise OptionError(f"{tag}: the samples must be an iterable, got {xs!r}")
    _backend(m, "scale")
    total, count = None, 0
    for x in xs:
        loss = loss_of(x)
        if not isinstance(getattr(loss, "shape", None), tuple):
            raise NodeError(f"{tag}: the loss of a sample must be a reference, got {type(loss).__name__} for sample {count}")
        if loss.shape != ():
            raise ShapeError(f"{tag}: the loss of a sample must be a scalar, got shape {loss.shape} for sample {count}")
        total = loss if total is None else m.add(total, loss)
        count += 1
    if total is None:
        raise ShapeError(f"{tag}: a mean needs a sample, got none")
    return m.scale(total, 1.0 / count)


def mean_scalar_over_array(m: Any, tag: str, xs: Any, loss_of: Callable[[Any], Any]) -> Any:
    """`mean_scalar_over` along the first axis of an array: `loss_of(x)` gets a NumPy view of shape `xs.shape[1:]`.

    Args:
        m, tag: as for `mean_scalar_over`.
        xs: anything array-like of shape `(n, …)`.
        loss_of: records the loss of one sample.

    Returns: a reference of shape `()`, with the same bits as `mean_scalar_over` on the list of the rows.
    Raises: ShapeError as `mean_scalar_over` does, and where `xs` has no axis.
    """
    array = xs if isinstance(xs, np.ndarray) else as_tensor(xs).numpy()
    if array.ndim == 0:
        raise ShapeError(f"{tag}: an array of samples must have a first axis, got shape ()")
    return mean_scalar_over(m, tag, (array[k] for k in range(len(array))), loss_of)


def mean_scalar_over_dataset(m: Any, tag: str, data: Dataset, loss_of: Callable[[Any], Any]) -> Any:
    """`mean_scalar_over` over a `Dataset`: `loss_of(sample)` gets a tuple, one entry for each array of the data set.

    Args:
        m, tag: as for `mean_scalar_over`.
        data: the samples.
        loss_of: records the loss of one sample.

    Returns: a reference of shape `()`, with the same bits as `mean_scalar_over` on the list of the samples.
    Raises: ShapeError as `mean_scalar_over` does.
    """
    if not isinstance(data, Dataset):
        raise OptionError(f"{tag}: a tl.data.Dataset is expected, got {data!r}")
    return mean_scalar_over(m, tag, (data[k] for k in range(len(data))), loss_of)
