"""Isolation: the part of a picture that carries a class."""
