"""A recorded program as an ONNX model: a rule for each record (`rules`), or its decomposition."""

from . import draws, elements, factors, matrices, places, repeats, running, shapes, special, transforms, windows

__all__ = ["draws", "elements", "factors", "matrices", "places", "repeats", "running", "shapes", "special", "transforms", "windows"]
