"""Explanations by features and by examples, under LFXAI's names."""
