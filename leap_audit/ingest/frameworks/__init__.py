"""Models of PyTorch, TensorFlow and Keras as ONNX. Frameworks are imported lazily."""
