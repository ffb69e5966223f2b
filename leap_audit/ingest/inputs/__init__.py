"""The inputs of a model: which takes the picture, and what the others hold."""
