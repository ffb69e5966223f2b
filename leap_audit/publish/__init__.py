"""The output folder, written out of sight and put in place at once."""
