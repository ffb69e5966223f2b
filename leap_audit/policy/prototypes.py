"""The checks of prototypes and of their entanglement."""

from collections.abc import Iterator, Sequence

from leap_audit.artifacts import Prototype, Stability
from leap_audit.findings.evidence import shares_of_own
from leap_audit.policy.scope import Assessed, Assessment, NotAssessed, Scope
from leap_audit.text.numbers import count, listed, percent

__all__ = ["agreeing", "audited", "converged", "entangled", "reached", "stable"]

_NONE = NotAssessed("no prototype was made")
_ONE_SEED = NotAssessed("only one seed was run, so nothing says what chance changes; see --seeds")
_ONE_NUMBER = NotAssessed("the model gives one number, which tells no two pictures apart")
_PUSHED = NotAssessed("the prototypes of a class were pushed apart; see prototype.diversity")


def audited(scope: Scope) -> Assessment:
    coverage = scope.audit.coverage
    if scope.classes is None:
        have, of = coverage.classes_audited, coverage.classes_in_all
        return Assessed(have / max(of, 1), f"{have:,} of {count(of, 'class', 'classes')}")
    have = len(scope.classes & _audited(scope))
    of = len(scope.classes)
    return Assessed(have / of, f"{have:,} of the {count(of, 'class', 'classes')} named")


def reached(scope: Scope) -> Assessment:
    targets = scope.targets()
    if (why := _missing(scope, targets)) is not None:
        return why
    best = {target: min(made, key=lambda each: each.rank) for target, made in targets.items()}
    missed = [scope.labels.of(target) for target, each in best.items() if each.rank > 1]
    return _share(len(best) - len(missed), len(best), ("class", "classes"), missed)


def converged(scope: Scope) -> Assessment:
    targets = scope.targets()
    if (why := _missing(scope, targets)) is not None:
        return why
    made = [each for group in targets.values() for each in group]
    rising = [scope.labels.of(each.target) for each in made if not each.converged]
    return _share(len(made) - len(rising), len(made), ("prototype", "prototypes"), rising)


def stable(scope: Scope) -> Assessment:
    found = list(_stabilities(scope))
    if (why := _without_seeds(scope, found)) is not None:
        return why
    known = [(s.similarity, target) for target, s in found if s.similarity is not None]
    if not known:
        return _ONE_NUMBER
    least, target = min(known)
    return Assessed(
        least,
        f"{least:.2f}, lowest of {count(len(known), 'class', 'classes')}, for "
        f"‘{scope.labels.of(target)}’",
    )


def agreeing(scope: Scope) -> Assessment:
    found = list(_stabilities(scope))
    if (why := _without_seeds(scope, found)) is not None:
        return why
    if len(scope.audit.classes) < 2:
        return NotAssessed("the model has one class")
    mean = sum(each.agreement for _, each in found) / len(found)
    return Assessed(mean, f"{percent(mean)} on average of {count(len(found), 'class', 'classes')}")


def entangled(scope: Scope) -> Assessment:
    targets = scope.targets()
    if (why := _missing(scope, targets)) is not None:
        return why
    made = [each for group in targets.values() for each in group]
    reaching = [each for each in made if shares_of_own(each) is not None]
    if not reaching:
        return NotAssessed("no prototype reaches its class")
    reached_ = (index for each in reaching for index in each.target)
    if (why := scope.lacking(reached_, "no prototype reaches the class")) is not None:
        return why
    shares = [found for each in reaching for found in _others(scope, each)]
    if not shares:
        return NotAssessed("there is no other class, or every pair is allowed")
    share, one, other = max(shares)
    return Assessed(
        max(share, 0.0),
        f"{percent(max(share, 0.0))} of its own, between ‘{scope.labels[one]}’ and "
        f"‘{scope.labels[other]}’",
    )


def _audited(scope: Scope) -> set[int]:
    return {target[0] for target in scope.targets() if len(target) == 1}


def _missing(scope: Scope, targets: dict[tuple[int, ...], list[Prototype]]) -> NotAssessed | None:
    if not targets and scope.classes is None:
        return _NONE
    found = (index for target in targets for index in target)
    return scope.lacking(found, "no prototype was made")


def _share(good: int, of: int, thing: tuple[str, str], bad: Sequence[str]) -> Assessed:
    rest = f"; not {listed([f'‘{name}’' for name in bad])}" if bad else ""
    return Assessed(good / of, f"{good:,} of {count(of, *thing)} ({percent(good / of)}){rest}")


def _stabilities(scope: Scope) -> Iterator[tuple[tuple[int, ...], Stability]]:
    for target, made in scope.targets().items():
        yield from (
            (target, each.stability)
            for each in made
            if each.stability is not None and each.stability.faces is None
        )


def _without_seeds(
    scope: Scope, found: Sequence[tuple[tuple[int, ...], Stability]]
) -> NotAssessed | None:
    if (why := _missing(scope, scope.targets())) is not None:
        return why
    if not found:
        several = any(each.stability for made in scope.targets().values() for each in made)
        return _PUSHED if several else _ONE_SEED
    return scope.lacking((index for target, _ in found for index in target), "one seed only")


def _others(scope: Scope, prototype: Prototype) -> Iterator[tuple[float, int, int]]:
    """Yield (share of the prototype's own entanglement, its class, the other class)."""
    for class_, share in (shares_of_own(prototype) or {}).items():
        pairs = {frozenset({index, class_}) for index in prototype.target}
        if not pairs & scope.allowed:
            yield share, prototype.target[0], class_
