"""The table of the rules that turn evidence into findings.

A finding is a suspicion with its figures, never a verdict. Each says how sure it is, what would
confirm it, and what it cannot show. A rule is a function of `Evidence` that yields suspicions.
"""

from leap_audit.findings.answers import (
    answers_saturated,
    constant_answer,
    one_answer,
    photographs_mistaken,
    preprocessing_doubted,
    scores_do_not_move,
)
from leap_audit.findings.isolations import (
    border,
    erasing_changes_little,
    isolation_not_enough,
    one_corner,
)
from leap_audit.findings.prototypes import (
    class_not_reached,
    prototype_not_converged,
    prototype_unstable,
    strong_entanglement,
    target_not_first,
)
from leap_audit.findings.suspicion import FindingRule

__all__ = ["FINDING_RULES", "FindingRule"]

FINDING_RULES: tuple[FindingRule, ...] = (
    FindingRule(
        "constant-answer",
        "high",
        "Does the model answer different pictures differently?",
        constant_answer,
    ),
    FindingRule(
        "scores-do-not-move",
        "high",
        "Do the model's scores move with what it is shown?",
        scores_do_not_move,
    ),
    FindingRule(
        "preprocessing-doubted",
        "high",
        "Is the model right more often with another preprocessing?",
        preprocessing_doubted,
    ),
    FindingRule("one-corner", "high", "Is a class decided in one corner?", one_corner),
    FindingRule("one-answer", "high", "Does the model have more than one answer?", one_answer),
    FindingRule(
        "class-not-reached", "high", "Can each class be reached at all?", class_not_reached
    ),
    FindingRule("border", "medium", "Is a class decided at the edge of the picture?", border),
    FindingRule(
        "photographs-mistaken",
        "medium",
        "Is every photograph of a known class answered with it?",
        photographs_mistaken,
    ),
    FindingRule(
        "target-not-first",
        "medium",
        "Is each class the first answer on its own prototype?",
        target_not_first,
    ),
    FindingRule(
        "strong-entanglement",
        "medium",
        "Is a class hard to tell from another one?",
        strong_entanglement,
    ),
    FindingRule(
        "prototype-unstable",
        "medium",
        "Does every seed give a class the same face?",
        prototype_unstable,
    ),
    FindingRule(
        "answers-saturated",
        "low",
        "Do the model's probabilities tell sure from unsure?",
        answers_saturated,
    ),
    FindingRule(
        "isolation-not-enough",
        "low",
        "Does each isolated region carry its class?",
        isolation_not_enough,
    ),
    FindingRule(
        "erasing-changes-little",
        "low",
        "Does erasing the region take the class away?",
        erasing_changes_little,
    ),
    FindingRule(
        "prototype-not-converged",
        "low",
        "Had each prototype settled?",
        prototype_not_converged,
    ),
)
