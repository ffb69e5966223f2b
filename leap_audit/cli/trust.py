"""--trust-model: who opens formats that are programs where nothing holds them back."""

from typing import Annotated

from leap_audit.cli.flags import option

__all__ = ["TrustModel"]

TrustModel = Annotated[
    bool,
    option(
        "--trust-model",
        "Options",
        "Open a model that is a program (.pt2, TorchScript, SavedModel, .keras, .h5) where this "
        "system offers no sandbox: it can then do whatever you can.",
    ),
]
