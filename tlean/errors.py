"""The exceptions of the library, and the one formatter of their messages.

A rule that rejects its arguments states the requirement alone (``raise ShapeError("w takes 3 input channels")``); the caller of the rule
knows the op and the arguments and completes the message with `complete`. So every message reads the same:
``conv2d: w takes 3 input channels, got x: (4, 28, 28) float32, w: (8, 3, 3, 3) float32``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class TleanError(Exception):
    """Base class of every error that tlean raises on purpose."""

    #: True once the message names the op and its arguments.
    completed = False


class ShapeError(TleanError, ValueError):
    """Shapes that an op cannot take, or a value whose shape is not the one asked for."""


class OptionError(TleanError, ValueError):
    """An option outside its range, or options that contradict each other."""


class CallError(OptionError, TypeError):
    """Arguments that a program's function does not take: too many, too few, or of a name that it does not have."""


class DTypeError(TleanError, TypeError):
    """A dtype that an op or a backend does not take."""


class IndexRangeError(TleanError, IndexError):
    """An index, label or axis out of range."""


class NodeError(TleanError, IndexError):
    """A node id, tape, session or reference that is not this one's."""


class MissingOpError(TleanError, AttributeError):
    """An attribute of an array that is neither an op nor a method of NumPy's that ops make up."""


class DataError(TleanError, ValueError):
    """A data file that is not what it should be; the message names the file and what is wrong with it."""


class DeviceError(TleanError, RuntimeError):
    """A device that is missing, or a kernel that the device does not have."""


class NumericsError(TleanError, ArithmeticError):
    """A NaN or an infinity, where the caller asked for them to be found."""


class LinAlgError(TleanError, ArithmeticError, ValueError):
    """A matrix that is singular or not positive definite, or whose decomposition was not found."""


class PlanError(TleanError, RuntimeError):
    """A compiled program that failed tlean's own check, and so was not run: a fault of tlean, not of the program. Please report it."""


def describe(name: str, shape: object, dtype: str | None) -> str:
    """One argument as messages show it: ``x: (4, 28, 28) float32``."""
    return f"{name}: {shape} {dtype}" if dtype else f"{name}: {shape}"


def complete(error: TleanError, op: str, arguments: Iterable[str], options: dict[str, object] | None = None) -> TleanError:
    """The same error with a message that names the op, every argument with shape and dtype, and the options.

    An error that is already complete (it comes from an op inside this one) is returned unchanged.
    """
    if error.completed:
        return error
    parts = list(arguments)
    parts += [f"{key}={value!r}" for key, value in (options or {}).items()]
    whole = type(error)(f"{op}: {error}" + (f", got {', '.join(parts)}" if parts else ""))
    whole.completed = True
    return whole


class completing:
    """Completes the errors raised in its block with the name and the arguments of the op that they stop.

    Args:
        op: its name.
        arguments: its arguments by name: arrays are shown by shape and dtype.
    """

    op: str
    arguments: dict[str, Any]

    def __init__(self, op: str, **arguments: Any) -> None:
        self.op, self.arguments = op, arguments

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        reason = error
        if isinstance(error, TypeError | ValueError | OverflowError | NotImplementedError) and not isinstance(error, TleanError):
            # Something was met that cannot be counted or iterated with.
            reason = OptionError(f"an argument must be of a kind that the op takes ({error})")
        if isinstance(reason, TleanError) and not reason.completed:
            shaped = {n: x for n, x in self.arguments.items() if isinstance(getattr(x, "shape", None), tuple) and hasattr(x, "dtype")}
            told = [describe(n, x.shape, str(x.dtype)) for n, x in shaped.items()]
            raise complete(reason, self.op, told, {n: x for n, x in self.arguments.items() if n not in shaped}) from None
