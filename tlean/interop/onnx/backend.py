"""tlean as a backend of ONNX (`onnx.backend.base`): what its test runner, and programs that know that interface, call.

Imports onnx; `tl.onnx` itself does so when it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx.backend.base import Backend, BackendRep
from onnx.backend.test.runner import BackendIsNotSupposedToImplementIt

from tlean.errors import DTypeError, MissingOpError

from .reading.api import OnnxProgram


class Prepared(BackendRep):  # type: ignore[misc]
    """A model that was read.

    Args:
        program: what it is here.
    """

    def __init__(self, program: OnnxProgram) -> None:
        self.program = program

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs as NumPy's arrays.

        Args:
            inputs: the arguments.
            kwargs: none.
        """
        try:
            made = self.program(*inputs)
        except (MissingOpError, DTypeError) as error:
            raise BackendIsNotSupposedToImplementIt(str(error)) from None
        return tuple(np.asarray(v) for v in (made if isinstance(made, tuple) else (made,)))


class TleanBackend(Backend):  # type: ignore[misc]
    """The backend. What the library does not have raises `BackendIsNotSupposedToImplementIt`, as the runner wants it."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Prepared:
        """A model, ready to be run.

        Args:
            model: the message.
            device: "CPU".
            kwargs: none.
        """
        try:
            return Prepared(OnnxProgram(model))
        except (MissingOpError, DTypeError) as error:
            raise BackendIsNotSupposedToImplementIt(str(error)) from None

    @classmethod
    def run_model(cls, model: Any, inputs: Sequence[Any], device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """The outputs of a model.

        Args:
            model: the message.
            inputs: the arguments.
            device: "CPU".
            kwargs: none.
        """
        return cls.prepare(model, device).run(inputs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether it runs there.

        Args:
            device: "CPU" or "CUDA".
        """
        return device == "CPU"
