"""Faithfulness: checks of how far an attribution says what the model does."""
