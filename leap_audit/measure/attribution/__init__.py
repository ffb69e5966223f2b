"""MethodValues: how much each pixel contributes to a score."""
