"""The table of the forms in which an audit is attached; the command, docs and tests read it."""

from dataclasses import dataclass

__all__ = ["WAYS", "Way"]


@dataclass(frozen=True)
class Way:
    flag: str
    """The flag of the command line; empty for the card, which is an argument."""
    metavar: str
    about: str
    extra: str = ""
    """The extra of the package that it needs."""


WAYS: dict[str, Way] = {
    "card": Way("", "CARD", "The model card, README.md: made, or its section refreshed.", "card"),
    "onnx": Way("--onnx", "MODEL", "Write a copy of this model with the key figures in it."),
    "cyclonedx": Way("--cyclonedx", "FILE", "Write a CycloneDX ML-BOM with a model card."),
    "intoto": Way("--intoto", "FILE", "Write the result as an in-toto statement."),
    "mlflow": Way("--mlflow", "URI", "Log the folder to this tracking server.", "tracking"),
    "wandb": Way("--wandb", "ENTITY/PROJECT", "Log the folder to Weights & Biases.", "tracking"),
}
"""Name, also of the module, -> its flag and help. The two trackers are in leap_audit.tracking."""
