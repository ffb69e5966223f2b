"""Find the class scores among a model's outputs, and determine what they mean."""
