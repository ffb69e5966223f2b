"""The vocabulary of ONNX graphs: values, shapes, weights, and nodes written as calls."""
