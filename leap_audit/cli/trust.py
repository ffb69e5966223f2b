"""The flags of who trusts what was given: a model that is a program, links among photographs."""

from typing import Annotated

from leap_audit.cli.flags import option

__all__ = ["FollowLinks", "TrustModel"]

TrustModel = Annotated[
    bool,
    option(
        "--trust-model",
        "Options",
        "Open a model that is a program (.pt2, TorchScript, SavedModel, .keras, .h5) where this "
        "system offers no sandbox: it can then do whatever you can.",
    ),
]
FollowLinks = Annotated[
    bool,
    option(
        "--follow-links",
        "What is audited",
        "Follow links to photographs outside the given folders.",
    ),
]
