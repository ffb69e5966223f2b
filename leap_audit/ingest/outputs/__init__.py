"""The outputs of a model: where the class scores are, and what they mean."""
