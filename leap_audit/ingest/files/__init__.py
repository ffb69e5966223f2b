"""Files of models: recognised, checked for what they claim, and read."""
