"""FoXAI's callbacks of PyTorch Lightning."""

from leap_audit.foxai.callbacks.wandb_callback import WandBCallback

__all__ = ["WandBCallback"]
