"""Convert models of PyTorch, TensorFlow and Keras to ONNX. Frameworks are imported lazily."""
