"""The prototypes of two audits side by side, with what each shares with other classes."""

from collections.abc import Iterator, Sequence

from leap_audit.artifacts import Audit, Entanglement, Prototype
from leap_audit.compare.classes import Classes
from leap_audit.compare.record import EntanglementPair, PrototypePair
from leap_audit.compare.sides import Gallery
from leap_audit.compare.statistics import apart_by_chance

__all__ = ["compared", "expected_by_chance", "pair_prototypes"]


def pair_prototypes(
    old: Audit,
    new: Audit,
    classes: Classes,
    galleries: tuple[Gallery, Gallery],
    *,
    same_method: bool,
) -> tuple[PrototypePair, ...]:
    """Return the prototypes of both audits by their targets, those that changed most first."""
    then: dict[tuple[object, ...], Prototype] = {}
    for each in old.prototypes:
        target = classes.target(each.target)
        then[(target, each.replicate) if target else (each.target, each.replicate, "old")] = each
    now: dict[tuple[object, ...], Prototype] = {
        (each.target, each.replicate): each for each in new.prototypes
    }
    pairs = [
        _pair(then.get(key), now.get(key), classes, galleries, same_method)
        for key in dict.fromkeys([*now, *then])
    ]
    return tuple(sorted(pairs, key=_weight))


def compared(pairs: Sequence[PrototypePair]) -> list[tuple[PrototypePair, EntanglementPair]]:
    """Return the entanglements that have a range in both audits, each with its prototype."""
    return [
        (pair, each)
        for pair in pairs
        for each in pair.entanglements
        if each.state in ("changed", "within")
    ]


def expected_by_chance(pairs: Sequence[PrototypePair]) -> float:
    """Return how many of the `compared` would be called changed if only the seeds differed."""
    return sum(apart_by_chance(*pair.seeds) for pair, _ in compared(pairs))


def _pair(
    old: Prototype | None,
    new: Prototype | None,
    classes: Classes,
    galleries: tuple[Gallery, Gallery],
    same_method: bool,
) -> PrototypePair:
    name = classes.new.of(new.target) if new else classes.old.of(old.target) if old else ""
    return PrototypePair(
        name=name,
        old=galleries[0].prototype(old) if old else None,
        new=galleries[1].prototype(new) if new else None,
        entanglements=tuple(_entanglements(old, new, classes, same_method)) if old and new else (),
        seeds=(_seeds(old), _seeds(new)),
    )


def _seeds(prototype: Prototype | None) -> int:
    return len(prototype.stability.logits) if prototype and prototype.stability else 1


def _entanglements(
    old: Prototype, new: Prototype, classes: Classes, same_method: bool
) -> Iterator[EntanglementPair]:
    then: dict[int | tuple[int], Entanglement] = {
        classes.to_new.get(each.class_, (each.class_,)): each for each in old.entanglements
    }
    now: dict[int | tuple[int], Entanglement] = {each.class_: each for each in new.entanglements}
    for key in dict.fromkeys([*now, *then]):
        before, after = then.get(key), now.get(key)
        state, gap = _judged(before, after, same_method)
        name = classes.new[key] if isinstance(key, int) else classes.old[key[0]]
        yield EntanglementPair.model_validate(
            {
                "name": name,
                "state": state,
                "own": key in new.target,
                "old": before,
                "new": after,
                "gap": gap,
            }
        )


def _judged(
    old: Entanglement | None, new: Entanglement | None, same_method: bool
) -> tuple[str, float]:
    if old is None or new is None:
        return "not listed", 0.0
    if not same_method:
        return "other method", 0.0
    if old.low is None or old.high is None or new.low is None or new.high is None:
        return "one seed", 0.0
    gap = max(new.low - old.high, 0.0) or -max(old.low - new.high, 0.0)
    return ("changed" if gap else "within"), gap


def _weight(pair: PrototypePair) -> tuple[float, ...]:
    """Sorts a prototype that one audit has not last, and before it by how much changed."""
    if pair.old is None or pair.new is None:
        return 1, 0, 0
    reached = (pair.old.rank == 1) != (pair.new.rank == 1)
    return 0, -reached, -sum(abs(each.gap) for each in pair.entanglements)
