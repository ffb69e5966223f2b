"""How much evidence each rule has: what it looked at, or why it could not be assessed."""

from collections import Counter

from leap_audit.findings.evidence import Evidence, labelled_answers
from leap_audit.findings.objects import removals
from leap_audit.findings.suspicion import TooLittle
from leap_audit.ingest.outputs.trial import TRIAL_PICTURES
from leap_audit.measure.experiments.score import Q
from leap_audit.text.numbers import count

__all__ = [
    "CALIBRATION_NEEDS",
    "PHOTOGRAPHS_NEEDED",
    "PICTURES_NEEDED",
    "changes",
    "erased_isolations",
    "experiments",
    "isolated_objects",
    "labelled",
    "labelled_enough",
    "located",
    "objects",
    "objects_of_several",
    "opinions",
    "opinions_checked",
    "opinions_of_classes",
    "other_preprocessings",
    "photographs",
    "prototypes",
    "prototypes_of_several",
    "removals_tried",
    "searches",
    "seeds",
    "several_classes",
    "stated_isolations",
    "surroundings",
    "trial",
]

CALIBRATION_NEEDS = 10
"""Photographs of known classes, below which the model's confidence is not judged."""
PHOTOGRAPHS_NEEDED = 5
"""Photographs below which the answers as a whole are not judged."""
PICTURES_NEEDED = 3
"""Pictures of a class below which the place of its key regions is not judged."""
_NO_LABELS = "no photograph has a label (see --labels)"


def trial(evidence: Evidence) -> str:
    """Return on how many trial pictures the model ran."""
    if evidence.model is None:
        raise TooLittle("the model was not run on trial pictures")
    return count(TRIAL_PICTURES, "trial picture")


def searches(evidence: Evidence) -> str:
    """Return how many searches for a prototype recorded their curve."""
    curves = [each for each in evidence.prototypes if len(each.curve) > 1]
    if not curves:
        raise TooLittle("no search for a prototype was recorded")
    return count(len(curves), "search", "searches")


def prototypes(evidence: Evidence) -> str:
    """Return how many prototypes there are."""
    if not evidence.prototypes:
        raise TooLittle("no prototype was made")
    return count(len(evidence.prototypes), "prototype")


def prototypes_of_several(evidence: Evidence) -> str:
    """Return how many prototypes there are, where their classes can be told from others."""
    said = prototypes(evidence)
    _require_several(evidence)
    return said


def _require_several(evidence: Evidence) -> None:
    if len(evidence.classes) < 2:
        raise TooLittle("the model has one class")


def seeds(evidence: Evidence) -> str:
    """Return how many prototypes were repeated from other seeds."""
    prototypes(evidence)
    repeated = [each for each in evidence.prototypes if each.stability is not None]
    if not repeated:
        raise TooLittle("only one seed was run (see --seeds)")
    if all(each.stability and each.stability.similarity is None for each in repeated):
        raise TooLittle("the model gives one number, which tells no two pictures apart")
    return f"{count(len(repeated), 'prototype')}, repeated"


def labelled(evidence: Evidence) -> str:
    """Return how many photographs have a label."""
    known = labelled_answers(evidence.samples)
    if not known:
        raise TooLittle(_NO_LABELS if evidence.samples else "there were no photographs")
    of_them = ", which the centroids were made of" if evidence.centroids else ""
    return f"{count(len(known), 'labelled photograph')}{of_them}"


def labelled_enough(evidence: Evidence) -> str:
    """Return how many photographs have a label, where the model gives one answer to each."""
    said = labelled(evidence)
    known = labelled_answers(evidence.samples)
    model = evidence.model
    if model is not None and (model.independent or model.places != (1, 1)):
        raise TooLittle("the model does not give one class to each photograph")
    if evidence.centroids:
        raise TooLittle("centroids and factor were made of the labelled photographs")
    if len(known) < CALIBRATION_NEEDS:
        raise TooLittle(f"it needs {CALIBRATION_NEEDS} labelled photographs; there were {said}")
    return said


def several_classes(evidence: Evidence) -> str:
    """Return how many photographs of several known classes there are."""
    said = labelled(evidence)
    known = labelled_answers(evidence.samples)
    if len(known) < PHOTOGRAPHS_NEEDED or len({each.shows for each in known}) < 2:
        raise TooLittle(
            f"it needs {PHOTOGRAPHS_NEEDED} labelled photographs of more than one class"
        )
    return said


def photographs(evidence: Evidence) -> str:
    """Return how many photographs got one answer each."""
    answered = [s for s in evidence.samples if s.predicted and s.predicted[0].share is None]
    if len(answered) < PHOTOGRAPHS_NEEDED:
        have = count(len(answered), "photograph") if answered else "none"
        raise TooLittle(f"it needs {PHOTOGRAPHS_NEEDED} photographs; there were {have}")
    return count(len(answered), "photograph")


def other_preprocessings(evidence: Evidence) -> str:
    """Return on how many photographs other preprocessings were tried."""
    readings = evidence.readings
    if readings is None or not readings.photographs:
        if evidence.embedding is not None:
            raise TooLittle("no other preprocessing is tried on an encoder")
        raise TooLittle(_NO_LABELS if evidence.samples else "there were no photographs")
    return count(readings.photographs, "labelled photograph")


def stated_isolations(evidence: Evidence) -> str:
    """Return how many isolations are of classes that the model gives."""
    stated = list(evidence.stated_classes())
    if not stated:
        raise TooLittle("no class that the model gives was isolated")
    return count(len(stated), "isolation")


def erased_isolations(evidence: Evidence) -> str:
    """Return how many isolations of classes that the model gives can be asked for their rest.

    Not those of an encoder: a cosine does not depend on the length of a vector, so that a part of
    what speaks for a direction points there nearly as well as all of it, and so does the rest.
    """
    if evidence.encoder:
        raise TooLittle(
            "the score of an encoder is a cosine: a part of the evidence is nearly as good as all "
            "of it, so the rest of the picture keeps the answer"
        )
    return stated_isolations(evidence)


def opinions(evidence: Evidence) -> str:
    """Return on how many photographs other methods were compared with the key region."""
    if not evidence.samples:
        raise TooLittle("there were no photographs")
    compared = [
        each
        for each in evidence.samples
        if any(opinion.agreement is not None for opinion in each.opinions)
    ]
    if not compared:
        raise TooLittle("no other method was asked (see --second-opinions)")
    return count(len(compared), "photograph")


def opinions_of_classes(evidence: Evidence) -> str:
    """Return on how many photographs the maps of other methods were compared between classes."""
    _require_several(evidence)
    return opinions_checked(evidence)


def opinions_checked(evidence: Evidence) -> str:
    """Return on how many photographs it was checked what the maps of other methods depend on."""
    if not evidence.samples:
        raise TooLittle("there were no photographs")
    if not any(each.opinions for each in evidence.samples):
        raise TooLittle("no other method was asked (see --second-opinions)")
    checked = [
        each
        for each in evidence.samples
        if any(o.other_class is not None or o.other_weights is not None for o in each.opinions)
    ]
    if len(checked) < PICTURES_NEEDED:
        raise TooLittle(f"it needs {PICTURES_NEEDED} photographs; there were {len(checked)}")
    return count(len(checked), "photograph")


def located(evidence: Evidence) -> str:
    """Return how many classes were isolated on enough pictures to judge where."""
    times = Counter(each.isolation.class_ for each in evidence.stated_classes())
    enough = [class_ for class_, pictures in times.items() if pictures >= PICTURES_NEEDED]
    if not enough:
        raise TooLittle(f"no class was isolated on {PICTURES_NEEDED} pictures")
    return f"{count(len(enough), 'class', 'classes')} with {PICTURES_NEEDED} or more pictures"


def experiments(evidence: Evidence) -> str:
    """Return on how many classes marks were tried, and on how many pictures too few."""
    tried = [each.pasted for each in evidence.suspicion if each.pasted is not None]
    if not tried:
        raise TooLittle("no mark could be tried on pictures of other classes")
    # The least probability of n pictures is that all of them change and none of the control.
    several = max(len(evidence.trials), 1)
    short = sum(several * 0.5**each.pictures > Q for each in tried)
    if short == len(tried) and not any(each.confirmed for each in evidence.suspicion):
        raise TooLittle("every class was tried on too few pictures to tell a mark from chance")
    said = [count(len(tried), "class", "classes")]
    if short:
        said.append(f"{short} of them on too few pictures to tell a mark from chance")
    searched = {each.class_ for each in evidence.trials if each.experiment == "search"}
    if not searched:
        said.append("no search for a trigger")
    elif len(searched) < len(tried):
        said.append(f"a trigger was searched for {len(searched)} of them")
    return "; ".join(said)


def changes(evidence: Evidence) -> str:
    """Return how many changes of whole pictures were tried."""
    tried = [each for each in evidence.trials if each.experiment == "global"]
    if not tried:
        raise TooLittle("no change of whole pictures was tried")
    return count(len(tried), "change")


def objects(evidence: Evidence) -> str:
    """Return how many objects a detector found on the photographs."""
    if not evidence.samples:
        raise TooLittle("there were no photographs")
    found = sum(len(each.detections) for each in evidence.samples)
    if not found:
        raise TooLittle("nothing was found on the photographs (see --threshold)")
    return f"{count(found, 'object')} on {count(len(evidence.samples), 'photograph')}"


def objects_of_several(evidence: Evidence) -> str:
    """Return how many objects a detector found, where they can have several names."""
    said = objects(evidence)
    _require_several(evidence)
    return said


def isolated_objects(evidence: Evidence) -> str:
    """Return how many classes have enough isolated objects to say what these depend on."""
    objects(evidence)
    times = Counter(
        each.isolation.class_
        for each in evidence.stated_classes()
        if each.photograph and each.isolation.box
    )
    enough = [class_ for class_, several in times.items() if several >= PICTURES_NEEDED]
    if not enough:
        raise TooLittle(f"no class had {PICTURES_NEEDED} isolated objects")
    return f"{count(len(enough), 'class', 'classes')} with {PICTURES_NEEDED} or more objects"


def surroundings(evidence: Evidence) -> str:
    """Return of how many classes the surroundings of objects were tried."""
    objects(evidence)
    tried = [
        each for each in evidence.suspicion if each.kind == "context" and each.pasted is not None
    ]
    if not tried:
        raise TooLittle("no class had an object, and six of other classes, to try it on")
    return f"the surroundings of {count(len(tried), 'class', 'classes')}"


def removals_tried(evidence: Evidence) -> str:
    """Return how many changes were tried on a detector's objects, and how many objects."""
    objects(evidence)
    tried = removals(evidence.trials)
    if not tried:
        raise TooLittle("no class had three objects")
    return f"{count(len(tried), 'change')} of {count(tried[0].objects, 'object')}"
