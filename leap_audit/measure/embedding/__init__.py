"""What the vectors of an encoder say of it: their spread, neighbours, duplicates and changes."""
