"""A recorded program as an ONNX model: a rule for each record (`rules`), or its decomposition."""

from . import elements, matrices, places, running, shapes, transforms, whole, windows

__all__ = ["elements", "matrices", "places", "running", "shapes", "transforms", "whole", "windows"]
