"""Training pictures behind an answer: neighbours, mixtures of examples, and influences."""
