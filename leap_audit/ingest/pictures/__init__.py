"""Find, decode and preprocess photographs as the model expects."""
