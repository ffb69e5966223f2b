"""The table of the rules that turn evidence into findings.

A finding is a suspicion with its figures, never a verdict. Each says how sure it is, what would
confirm it, what it cannot show, what follows from it and what to do next. A rule is a function of
`Evidence` that yields suspicions.
"""

from leap_audit.findings import basis
from leap_audit.findings.answers import (
    answers_saturated,
    confidence_unjustified,
    constant_answer,
    one_answer,
    photographs_mistaken,
    preprocessing_doubted,
    scores_do_not_move,
)
from leap_audit.findings.isolations import (
    border,
    crop_gives_another,
    erasing_changes_little,
    isolation_not_enough,
    one_corner,
)
from leap_audit.findings.opinions import (
    map_not_of_class,
    map_not_of_weights,
    methods_disagree,
)
from leap_audit.findings.prototypes import (
    class_not_reached,
    prototype_not_converged,
    prototype_unstable,
    strong_entanglement,
    target_not_first,
)
from leap_audit.findings.shortcuts import change_sways, shortcut
from leap_audit.findings.suspicion import FindingRule

__all__ = ["CAUSES", "FINDING_RULES", "FindingRule"]

CAUSES = frozenset({"preprocessing-doubted", "shortcut", "one-corner", "border", "one-answer"})
"""Rules whose findings may explain wrong or overconfident answers with their class."""

FINDING_RULES: tuple[FindingRule, ...] = (
    FindingRule(
        "constant-answer",
        "high",
        "Does the model give different answers to different pictures?",
        constant_answer,
        basis.trial,
        "The model does not look at its input, so its answers mean nothing.",
        "Do not use the model. Check its last layer and the export.",
    ),
    FindingRule(
        "scores-do-not-move",
        "high",
        "Do the scores change with the picture?",
        scores_do_not_move,
        basis.searches,
        "The model does not react to its input, so its answers mean nothing.",
        "Do not use the model. Check the preprocessing and the export.",
    ),
    FindingRule(
        "preprocessing-doubted",
        "high",
        "Is the preprocessing right?",
        preprocessing_doubted,
        basis.other_preprocessings,
        "The results of this audit may be invalid.",
        "Find out the preprocessing of the training, declare it and repeat the audit.",
    ),
    FindingRule(
        "shortcut",
        "high",
        "Does a mark alone change the answer?",
        shortcut,
        basis.experiments,
        "Pictures with the mark get this answer whatever they show.",
        "Look for the mark in the training pictures. Train again without it, or with it on all "
        "classes alike, and repeat the audit.",
    ),
    FindingRule(
        "one-corner",
        "high",
        "Does any answer depend on one corner?",
        one_corner,
        basis.located,
        "The model may have learned a mark, logo or frame instead of the object.",
        "Test it: cover the corner, and paste it into pictures of other classes.",
    ),
    FindingRule(
        "one-answer",
        "high",
        "Does the model use more than one answer?",
        one_answer,
        basis.several_classes,
        "The model does not tell these classes apart.",
        "Do not use the model. Check the preprocessing and the order of the classes.",
    ),
    FindingRule(
        "class-not-reached",
        "high",
        "Does the model recognise each class on some picture?",
        class_not_reached,
        basis.prototypes,
        "The model may never give this class.",
        "Test photographs of the class. Remove the class if the model does not need it.",
    ),
    FindingRule(
        "overconfident",
        "high",
        "Is the model's confidence justified?",
        confidence_unjustified,
        basis.labelled_enough,
        "The model is wrong more often than its probabilities suggest, so they cannot serve as a "
        "safeguard.",
        "Do not rely on a probability threshold. Calibrate the model on labelled data first.",
    ),
    FindingRule(
        "border",
        "medium",
        "Does any answer depend on the edge of the picture?",
        border,
        basis.located,
        "The model may use the background or a frame instead of the object.",
        "Test pictures of the class with other backgrounds and other crops.",
    ),
    FindingRule(
        "change-sways",
        "medium",
        "Does a change of the whole picture push answers to one class?",
        change_sways,
        basis.changes,
        "Such pictures in use, from another camera or in other light, will be answered wrongly.",
        "Test it on photographs that were taken that way. Add such changes to the training.",
    ),
    FindingRule(
        "photographs-mistaken",
        "medium",
        "Is the answer right on every labelled photograph?",
        photographs_mistaken,
        basis.labelled,
        "Expect such mistakes in use.",
        "Look at the wrong answers, then measure the error rate on a labelled test set.",
    ),
    FindingRule(
        "target-not-first",
        "medium",
        "Is each class the first answer on its own prototype?",
        target_not_first,
        basis.prototypes,
        "The model may answer with another class where this one is right.",
        "Test photographs of both classes.",
    ),
    FindingRule(
        "strong-entanglement",
        "medium",
        "Are all classes well separated from each other?",
        strong_entanglement,
        basis.prototypes,
        "Mistakes between these classes are likely.",
        "Test photographs of both classes. Add training data where they are confused.",
    ),
    FindingRule(
        "prototype-unstable",
        "medium",
        "Do repeated runs give similar prototypes?",
        prototype_unstable,
        basis.seeds,
        "The prototype shows only a part of what the model looks for.",
        "Run more seeds (--seeds) before you rely on this prototype.",
    ),
    FindingRule(
        "crop-gives-another",
        "medium",
        "Does the answer stay the same when only a part is shown?",
        crop_gives_another,
        basis.stated_isolations,
        "The answer may change with the crop of the photograph.",
        "Test several crops of each photograph, and compare the answers.",
    ),
    FindingRule(
        "answers-saturated",
        "low",
        "Do the probabilities show which answers are not certain?",
        answers_saturated,
        basis.photographs,
        "The probabilities do not show which answers are uncertain.",
        "Calibrate the model before you use its probabilities.",
    ),
    FindingRule(
        "isolation-not-enough",
        "low",
        "Is each key region enough for its answer?",
        isolation_not_enough,
        basis.stated_isolations,
        "These pictures do not explain the answer.",
        "Do not use these pictures as an explanation.",
    ),
    FindingRule(
        "erasing-changes-little",
        "low",
        "Does the answer change when the key region is erased?",
        erasing_changes_little,
        basis.stated_isolations,
        "The key region explains only a part of the answer.",
        "Read these regions as one reason of several.",
    ),
    FindingRule(
        "methods-disagree",
        "low",
        "Do other methods point to the key region?",
        methods_disagree,
        basis.opinions,
        "It is not settled what the answer to these photographs depends on.",
        "Do not rely on one of these maps alone.",
    ),
    FindingRule(
        "map-not-of-class",
        "low",
        "Do the maps of other methods depend on the class?",
        map_not_of_class,
        basis.opinions_checked,
        "These maps do not show why the model gave this class and no other.",
        "Do not read these maps as the reason for the answer.",
    ),
    FindingRule(
        "map-not-of-weights",
        "low",
        "Do the maps of other methods depend on what was learned?",
        map_not_of_weights,
        basis.opinions_checked,
        "These maps show the picture and the layers of the model, not what it learned.",
        "Do not use these maps. Check that the file has the trained weights.",
    ),
    FindingRule(
        "prototype-not-converged",
        "low",
        "Had the search for each prototype finished?",
        prototype_not_converged,
        basis.prototypes,
        "These pictures may still change.",
        "Run the audit with more steps (--steps).",
    ),
)
