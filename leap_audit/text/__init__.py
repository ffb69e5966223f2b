"""Names, numbers and lists as text for a reader."""
