"""Programs as ONNX files, and ONNX files as programs: `tl.onnx.export`, `tl.onnx.load`. Needs the package onnx."""

from .reading.api import OnnxProgram, load
from .reading.registry import operators
from .writing.api import Exported, export

__all__ = ["Exported", "OnnxProgram", "export", "load", "operators"]
