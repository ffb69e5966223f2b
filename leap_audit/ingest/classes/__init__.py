"""The names of the classes: read from files, matched to the outputs, chosen as targets."""
