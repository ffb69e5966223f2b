"""The rules that turn measurements into findings: one small function each, one table of all.

A finding is a suspicion with its figures, never a verdict. `limits` says what would confirm it
or what it cannot show.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from leap_audit.artifacts import Finding, Prototype, Severity
from leap_audit.findings.measurements import Measurements, Seen
from leap_audit.findings.numbers import count, listed, percent
from leap_audit.findings.place import border, one_corner
from leap_audit.findings.readings import doubt

__all__ = ["RULES", "Rule"]

REACHED_RANK = 5
ERASED_SHARE = 0.5
ENTANGLED_SHARE = 0.8


@dataclass(frozen=True)
class Rule:
    """A question asked of every audit. `id` starts the id of each finding it makes."""

    id: str
    severity: Severity
    question: str
    check: Callable[[Measurements], Iterator[tuple[str, str, str, str]]]
    """Yields (what is concerned, title, evidence, limits) for each suspicion."""

    def findings(self, measured: Measurements) -> Iterator[Finding]:
        """Yield the findings of this rule."""
        for concerned, title, evidence, limits in self.check(measured):
            name = f"{self.id}:{concerned}" if concerned else self.id
            yield Finding(
                id=name, severity=self.severity, title=title, evidence=evidence, limits=limits
            )


def preprocessing_doubted(measured: Measurements) -> Iterator[tuple[str, str, str, str]]:
    readings = measured.readings
    if readings is not None and (better := doubt(readings)) is not None:
        yield (
            "",
            "The preprocessing may be wrong",
            f"Of {count(readings.photographs, 'photograph')} of known classes, the model answers "
            f"{readings.right} with their class as this audit shows them, and {better.right} with "
            f"{better.text}. By chance that happens with a probability of {percent(better.p)}.",
            "Everything else in this report was measured with the doubtful preprocessing. The "
            "model's own evaluation code would tell; then run the audit again.",
        )


def class_not_reached(measured: Measurements) -> Iterator[tuple[str, str, str, str]]:
    for target, replicates in measured.replicates().items():
        best = min(replicates, key=lambda each: each.rank)
        if best.rank > REACHED_RANK:
            label = measured.labels.of(target)
            yield (
                _key(target),
                f"No picture could be found that the model calls ‘{label}’",
                f"The best of {count(len(replicates), 'prototype')} puts the class at place "
                f"{best.rank} of {len(measured.classes)}, with a probability of "
                f"{percent(best.prob)}.",
                "Either the model hardly uses this class, or the search was too short. More steps, "
                "another seed, and photographs of the class would tell.",
            )


def target_not_first(measured: Measurements) -> Iterator[tuple[str, str, str, str]]:
    for target, replicates in measured.replicates().items():
        if min(each.rank for each in replicates) > REACHED_RANK:
            continue
        beaten = [each for each in replicates if each.rank > 1]
        if beaten:
            worst = max(beaten, key=lambda each: each.rank)
            label = measured.labels.of(target)
            yield (
                _key(target),
                f"On its own prototype, ‘{label}’ is not the model's first answer",
                f"Of the prototypes made for the class ({len(replicates)}), the model calls "
                f"{len(beaten)} something else; the class stands at place {worst.rank} there, "
                f"with a probability of {percent(worst.prob)}.{_winner(measured, worst)}",
                "A class may be a shade of another one. Photographs of both, counted as right or "
                "wrong, would show whether the model mixes them up in use.",
            )


def prototype_not_converged(measured: Measurements) -> Iterator[tuple[str, str, str, str]]:
    rising = [each for each in measured.prototypes if not each.converged]
    if rising:
        yield (
            "",
            f"{count(len(rising), 'prototype')} had not settled when the search ended",
            f"The logit was still changing at the last step for "
            f"{listed([measured.labels.of(each.target) for each in rising])} "
            f"({len(rising)} of {len(measured.prototypes)} prototypes).",
            "The pictures may still change. A run with more steps would show whether they do.",
        )


def isolation_not_enough(measured: Measurements) -> Iterator[tuple[str, str, str, str]]:
    seen = list(measured.isolations())
    failed = [each for each in seen if not each.isolation.enough]
    if failed:
        yield (
            "",
            f"{count(len(failed), 'isolation fails its', 'isolations fail their')} own check",
            f"On {len(failed)} of {count(len(seen), 'isolation')}, no region of at most "
            f"60\u00a0% of the picture kept enough of the class's probability: "
            f"{_where(measured, failed)}.",
            "These pictures must not be used to explain the answer. The class may be spread over "
            "the whole picture, or the search may have missed its region.",
        )


def erasing_changes_little(measured: Measurements) -> Iterator[tuple[str, str, str, str]]:
    seen = [each for each in measured.isolations() if each.isolation.enough]
    failed = [
        each for each in seen if each.isolation.prob_delete >= ERASED_SHARE * each.isolation.prob
    ]
    if failed:
        yield (
            "",
            f"{count(len(failed), 'isolation')} can be erased without losing the class",
            f"On {len(failed)} of {count(len(seen), 'isolation')} that passed the first check, the "
            f"class keeps at least half of its probability when the region is erased: "
            f"{_where(measured, failed)}.",
            "The region is sufficient but not necessary: other parts of the picture carry the "
            "class as well, and the isolation does not show them.",
        )


def strong_entanglement(measured: Measurements) -> Iterator[tuple[str, str, str, str]]:
    for target, replicates in measured.replicates().items():
        close: dict[int, float] = {}
        for prototype in replicates:
            own = [e.entanglement for e in prototype.entanglements if e.class_ in target]
            # A picture that the model does not take for the class says nothing of the class.
            if prototype.rank > REACHED_RANK or not own or max(own) <= 0:
                continue
            for other in prototype.entanglements:
                share = other.entanglement / max(own)
                if other.class_ not in target and share >= ENTANGLED_SHARE:
                    close[other.class_] = max(close.get(other.class_, 0.0), share)
        if close:
            order = sorted(close, key=lambda index: (-close[index], index))
            names = [f"‘{measured.labels[index]}’ ({percent(close[index])})" for index in order]
            yield (
                _key(target),
                f"‘{measured.labels.of(target)}’ is hard to tell from "
                f"‘{measured.labels[order[0]]}’",
                f"The prototype's features point almost as much to {listed(names)} as to the "
                f"class itself (entanglement as a share of the class's own; the line is drawn at "
                f"{percent(ENTANGLED_SHARE)}).",
                "Expected between classes that look alike. Where they do not, mistakes are to be "
                "expected between them: photographs of both would show how many.",
            )


RULES: tuple[Rule, ...] = (
    Rule("class-not-reached", "high", "Can each class be reached at all?", class_not_reached),
    Rule(
        "preprocessing-doubted",
        "high",
        "Is the model right more often with another preprocessing?",
        preprocessing_doubted,
    ),
    Rule("one-corner", "high", "Is a class decided in one corner?", one_corner),
    Rule("border", "medium", "Is a class decided at the edge of the picture?", border),
    Rule(
        "target-not-first",
        "medium",
        "Is each class the first answer on its own prototype?",
        target_not_first,
    ),
    Rule(
        "strong-entanglement",
        "medium",
        "Is a class hard to tell from another one?",
        strong_entanglement,
    ),
    Rule(
        "isolation-not-enough",
        "low",
        "Does each isolated region carry its class?",
        isolation_not_enough,
    ),
    Rule(
        "erasing-changes-little",
        "low",
        "Does erasing the region take the class away?",
        erasing_changes_little,
    ),
    Rule(
        "prototype-not-converged",
        "low",
        "Had each prototype settled?",
        prototype_not_converged,
    ),
)


def _winner(measured: Measurements, prototype: Prototype) -> str:
    others = [e for e in prototype.entanglements if e.class_ not in prototype.target]
    if not others:
        return ""
    first = max(others, key=lambda each: each.logit)
    if first.logit <= prototype.logit:
        return ""
    return f" Ahead of it: ‘{measured.labels[first.class_]}’ ({percent(first.prob)})."


def _where(measured: Measurements, seen: list[Seen]) -> str:
    return listed([f"‘{measured.labels[e.isolation.class_]}’ on {e.picture}" for e in seen])


def _key(target: tuple[int, ...]) -> str:
    return "+".join(str(index) for index in target)
