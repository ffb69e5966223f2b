"""Read what people have and bring it to one form: a canonical ONNX graph and what we know of it."""
