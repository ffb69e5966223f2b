"""What a policy can ask of the prototypes and their entanglement."""

from collections.abc import Iterator, Sequence

from leap_audit.artifacts import Prototype, Stability
from leap_audit.findings.shares import shares_of_own
from leap_audit.policy.figures import Answer, Figure, NotAssessed, Subject
from leap_audit.text.numbers import count, listed, percent

__all__ = ["agreeing", "audited", "converged", "entangled", "reached", "stable"]

_NONE = NotAssessed("no prototype was made")
_ONE_SEED = NotAssessed("only one seed was run, so nothing says what chance changes; see --seeds")


def audited(subject: Subject) -> Answer:
    coverage = subject.audit.coverage
    if subject.classes is None:
        have, of = coverage.classes_audited, coverage.classes_in_all
        return Figure(have / max(of, 1), f"{have:,} of {count(of, 'class', 'classes')}")
    have = len(subject.classes & _audited(subject))
    of = len(subject.classes)
    return Figure(have / of, f"{have:,} of the {count(of, 'class', 'classes')} named")


def reached(subject: Subject) -> Answer:
    targets = subject.targets()
    if (why := _missing(subject, targets)) is not None:
        return why
    best = {target: min(made, key=lambda each: each.rank) for target, made in targets.items()}
    missed = [subject.labels.of(target) for target, each in best.items() if each.rank > 1]
    return _share(len(best) - len(missed), len(best), ("class", "classes"), missed)


def converged(subject: Subject) -> Answer:
    targets = subject.targets()
    if (why := _missing(subject, targets)) is not None:
        return why
    made = [each for group in targets.values() for each in group]
    rising = [subject.labels.of(each.target) for each in made if not each.converged]
    return _share(len(made) - len(rising), len(made), ("prototype", "prototypes"), rising)


def stable(subject: Subject) -> Answer:
    found = list(_stabilities(subject))
    if (why := _without_seeds(subject, found)) is not None:
        return why
    target, least = min(found, key=lambda each: each[1].similarity)
    return Figure(
        least.similarity,
        f"{least.similarity:.2f}, lowest of {count(len(found), 'class', 'classes')}, for "
        f"‘{subject.labels.of(target)}’",
    )


def agreeing(subject: Subject) -> Answer:
    found = list(_stabilities(subject))
    if (why := _without_seeds(subject, found)) is not None:
        return why
    mean = sum(each.agreement for _, each in found) / len(found)
    return Figure(mean, f"{percent(mean)} on average of {count(len(found), 'class', 'classes')}")


def entangled(subject: Subject) -> Answer:
    targets = subject.targets()
    if (why := _missing(subject, targets)) is not None:
        return why
    made = [each for group in targets.values() for each in group]
    told = [each for each in made if shares_of_own(each) is not None]
    if not told:
        return NotAssessed("no prototype reaches its class")
    reached_ = (index for each in told for index in each.target)
    if (why := subject.lacking(reached_, "no prototype reaches the class")) is not None:
        return why
    shares = [found for each in told for found in _others(subject, each)]
    if not shares:
        return NotAssessed("there is no other class, or every pair is allowed")
    share, one, other = max(shares)
    return Figure(
        max(share, 0.0),
        f"{percent(max(share, 0.0))} of its own, between ‘{subject.labels[one]}’ and "
        f"‘{subject.labels[other]}’",
    )


def _audited(subject: Subject) -> set[int]:
    return {target[0] for target in subject.targets() if len(target) == 1}


def _missing(
    subject: Subject, targets: dict[tuple[int, ...], list[Prototype]]
) -> NotAssessed | None:
    if not targets and subject.classes is None:
        return _NONE
    found = (index for target in targets for index in target)
    return subject.lacking(found, "no prototype was made")


def _share(good: int, of: int, thing: tuple[str, str], bad: Sequence[str]) -> Figure:
    rest = f"; not {listed([f'‘{name}’' for name in bad])}" if bad else ""
    return Figure(good / of, f"{good:,} of {count(of, *thing)} ({percent(good / of)}){rest}")


def _stabilities(subject: Subject) -> Iterator[tuple[tuple[int, ...], Stability]]:
    for target, made in subject.targets().items():
        yield from ((target, each.stability) for each in made if each.stability is not None)


def _without_seeds(
    subject: Subject, found: Sequence[tuple[tuple[int, ...], Stability]]
) -> NotAssessed | None:
    if (why := _missing(subject, subject.targets())) is not None:
        return why
    if not found:
        return _ONE_SEED
    return subject.lacking((index for target, _ in found for index in target), "one seed only")


def _others(subject: Subject, prototype: Prototype) -> Iterator[tuple[float, int, int]]:
    """Yield (share of the prototype's own entanglement, its class, the other class)."""
    for class_, share in (shares_of_own(prototype) or {}).items():
        pairs = {frozenset({index, class_}) for index in prototype.target}
        if not pairs & subject.allowed:
            yield share, prototype.target[0], class_
