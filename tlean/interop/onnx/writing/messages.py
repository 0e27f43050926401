"""The text of a model as ONNX's messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tlean.ops import Spec

from ..package import DOMAIN, ELEMENTS, package
from .writer import Body, Function, Node

#: The version of the file format that an opset came with.
_FORMATS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10}


class Messages:
    """Makes messages, and collects the functions that nodes call.

    Args:
        opset: of ONNX's operators.
    """

    def __init__(self, opset: int) -> None:
        self.onnx = package()
        self.opset = opset
        self.functions: dict[bytes, Any] = {}
        self._names: dict[str, int] = {}

    def value(self, name: str, spec: Spec, shape: Sequence[Any] | None) -> Any:
        """What is said of an input or output."""
        return self.onnx.helper.make_tensor_value_info(name, ELEMENTS[spec.dtype], shape)

    def nodes(self, nodes: Iterable[Node]) -> list[Any]:
        """The nodes."""
        result = []
        for node in nodes:
            kind, domain = node.kind, None
            if node.function is not None:
                kind, domain = self._function(node.function), DOMAIN
            made = self.onnx.helper.make_node(kind, node.inputs, node.outputs, domain=domain)
            for key, value in node.attributes.items():
                made.attribute.append(self._attribute(key, value))
            result.append(made)
        return result

    def tensor(self, value: np.ndarray, name: str) -> Any:
        """An array."""
        return self.onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)

    def _attribute(self, key: str, value: Any) -> Any:
        if isinstance(value, Body):
            graph = self.onnx.helper.make_graph(
                self.nodes(value.nodes),
                key,
                [self.value(n, s, s.shape) for n, s in value.inputs],
                [self.value(n, s, s.shape) for n, s in value.outputs],
            )
            return self.onnx.helper.make_attribute(key, graph)
        if isinstance(value, np.ndarray):
            value = self.tensor(value, "value")
        return self.onnx.helper.make_attribute(key, value)

    def _function(self, function: Function) -> str:
        helper = self.onnx.helper
        made = helper.make_function(
            DOMAIN, "", function.inputs, function.outputs, self.nodes(function.nodes), [helper.make_opsetid("", self.opset)]
        )
        made.doc_string = function.call or ""
        key = made.SerializeToString() + function.name.encode()
        known = self.functions.get(key)
        if known is None:
            number = self._names[function.name] = self._names.get(function.name, 0) + 1
            made.name = function.name if number == 1 else f"{function.name}_{number}"
            known = self.functions[key] = made
        return str(known.name)

    def model(self, graph: Any, producer: str) -> Any:
        """The model."""
        helper = self.onnx.helper
        opsets = [helper.make_opsetid("", self.opset)]
        if self.functions:
            opsets.append(helper.make_opsetid(DOMAIN, 1))
        form = _FORMATS.get(self.opset, self.onnx.IR_VERSION)
        functions = list(self.functions.values())
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=form, functions=functions, producer_name="tlean", producer_version=producer
        )
