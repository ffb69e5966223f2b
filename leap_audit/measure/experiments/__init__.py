"""Experiments on a model: cover, paste and change parts of pictures, and count the answers."""
