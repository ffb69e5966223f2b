"""How near other classes come to a prototype's own."""

from leap_audit.artifacts import Prototype

__all__ = ["REACHED_RANK", "shares_of_own"]

REACHED_RANK = 5
"""A prototype that puts its class behind this place has not reached it."""


def shares_of_own(prototype: Prototype) -> dict[int, float] | None:
    """Return each other class's entanglement as a share of the target's own, as listed.

    None for a prototype that missed its class: a picture that the model does not take for the
    class says nothing of the class.
    """
    own = [e.entanglement for e in prototype.entanglements if e.class_ in prototype.target]
    if prototype.rank > REACHED_RANK or max(own, default=0.0) <= 0:
        return None
    return {
        e.class_: e.entanglement / max(own)
        for e in prototype.entanglements
        if e.class_ not in prototype.target
    }
