"""An ONNX model as a program: an operator's reader (`registry`), a function of the model, or what ONNX says that the operator is."""
