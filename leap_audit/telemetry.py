"""Turn off the telemetry of libraries, by their environment variables."""

import os

__all__ = ["SILENCE", "disable_telemetry"]

SILENCE = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime 1.32 connects to its maker unless this is set
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",  # diffusers, and older libraries of Hugging Face
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "HDF5_PLUGIN_PRELOAD": "::",  # a file may name a filter that HDF5 would load from a folder
    "DO_NOT_TRACK": "1",  # https://consoledonottrack.com
}
"""Variable -> value, read by a library when it is loaded: they are set before that."""


def disable_telemetry() -> None:
    """Set the variables in this process, and so in every process that it starts."""
    os.environ.update(SILENCE)
