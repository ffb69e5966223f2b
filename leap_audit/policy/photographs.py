"""What a policy can ask of the photographs."""

from leap_audit.findings.answered import answered
from leap_audit.policy.figures import Answer, Figure, NotAssessed, Subject
from leap_audit.text.numbers import count, percent, wilson

__all__ = ["accuracy", "shown"]


def shown(subject: Subject) -> Answer:
    number = len(subject.audit.samples)
    return Figure(number, count(number, "photograph"))


def accuracy(subject: Subject) -> Answer:
    model = subject.audit.model
    if model.places != (1, 1) or model.independent:
        several = "a map" if model.places != (1, 1) else "several classes at once"
        return NotAssessed(f"the model answers with {several}, and one known class cannot judge it")
    known = [each for each in answered(subject.audit.samples) if subject.concerns([each.shows])]
    if (why := subject.lacking((each.shows for each in known), "no photograph")) is not None:
        return why
    if not known:
        return NotAssessed("no photograph's class is known; see --labels")
    right = sum(each.right for each in known)
    low, high = wilson(right, len(known))
    return Figure(
        right / len(known),
        f"{right:,} of {count(len(known), 'photograph')} ({percent(right / len(known))}; 95 % "
        f"interval {percent(low)} to {percent(high)})",
        low,
        high,
    )
