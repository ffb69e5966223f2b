"""The one table of rules that turn measurements into findings.

A finding is a suspicion with its figures, never a verdict. Each says how sure one may be, what
would confirm it, and what it cannot show. A rule is a small function of `Measurements` that
yields a `Suspicion` for each thing it suspects.
"""

from leap_audit.findings.answers import (
    answers_saturated,
    constant_answer,
    one_answer,
    photographs_mistaken,
    preprocessing_doubted,
    scores_do_not_move,
)
from leap_audit.findings.classes import (
    class_not_reached,
    prototype_not_converged,
    prototype_unstable,
    strong_entanglement,
    target_not_first,
)
from leap_audit.findings.place import border, one_corner
from leap_audit.findings.regions import erasing_changes_little, isolation_not_enough
from leap_audit.findings.suspicion import Rule

__all__ = ["RULES", "Rule"]

RULES: tuple[Rule, ...] = (
    Rule(
        "constant-answer",
        "high",
        "Does the model answer different pictures differently?",
        constant_answer,
    ),
    Rule(
        "scores-do-not-move",
        "high",
        "Do the model's scores move with what it is shown?",
        scores_do_not_move,
    ),
    Rule(
        "preprocessing-doubted",
        "high",
        "Is the model right more often with another preprocessing?",
        preprocessing_doubted,
    ),
    Rule("one-corner", "high", "Is a class decided in one corner?", one_corner),
    Rule("one-answer", "high", "Does the model have more than one answer?", one_answer),
    Rule("class-not-reached", "high", "Can each class be reached at all?", class_not_reached),
    Rule("border", "medium", "Is a class decided at the edge of the picture?", border),
    Rule(
        "photographs-mistaken",
        "medium",
        "Is every photograph of a known class answered with it?",
        photographs_mistaken,
    ),
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
        "prototype-unstable",
        "medium",
        "Does every seed give a class the same face?",
        prototype_unstable,
    ),
    Rule(
        "answers-saturated",
        "low",
        "Do the model's probabilities tell sure from unsure?",
        answers_saturated,
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
