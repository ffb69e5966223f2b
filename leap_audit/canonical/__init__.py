"""Any ONNX graph in one form: one opset, static shapes, constants folded, and checked."""
