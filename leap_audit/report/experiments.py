"""What the report says of experiments: what was done to the pictures that it shows."""

from leap_audit.artifacts import CHANGED_WHOLE, Audit, EvidencePicture

__all__ = ["step", "whole_changed"]

WHOLE = {"covered": "Taken back", "pasted": "Changed", "trigger": "The change"}
"""What pictures of a change of the whole picture are called, and not after their roles."""


def step(audit: Audit, picture: EvidencePicture) -> str:
    """Return the heading of a picture of an experiment."""
    of_change = any(
        picture.image == each.image
        for row in audit.suspicion
        if row.kind in CHANGED_WHOLE
        for each in row.pictures
    )
    plain = picture.role.capitalize()
    return WHOLE.get(picture.role, plain) if of_change else plain


def whole_changed(audit: Audit) -> bool:
    """Return whether the audit tried a change of the whole picture on some class."""
    return any(row.kind in CHANGED_WHOLE for row in audit.suspicion)
