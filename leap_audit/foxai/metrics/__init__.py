"""FoXAI's metrics: insertion, deletion and Focus, of the model's answers."""

from leap_audit.foxai.metrics.focus import focus
from leap_audit.foxai.metrics.insertion_deletion_metrics import deletion, insertion

__all__ = ["deletion", "focus", "insertion"]
