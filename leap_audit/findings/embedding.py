"""Rules on an encoder's vectors, and on labels that look wrong."""

from collections.abc import Iterator

from leap_audit.artifacts import DuplicatePair, EmbeddingAudit, EmbeddingChange
from leap_audit.findings.evidence import Evidence
from leap_audit.findings.suspicion import Suspicion, TooLittle, evidence_pictures
from leap_audit.text.names import shortened
from leap_audit.text.numbers import count, percent

__all__ = [
    "MILD",
    "change_loses",
    "classes_not_apart",
    "duplicates",
    "embedding_changes",
    "embedding_classes",
    "embedding_lengths",
    "embedding_pictures",
    "few_directions",
    "hubs",
    "judged_samples",
    "labels_doubted",
    "length_of_quality",
    "vectors_alike",
    "worst_mild",
]

ALIKE = 0.98
"""Mean cosine of different pictures from which their vectors are alike."""
FEW, FEW_SHARE = 3.0, 0.15
"""Effective rank below which vectors lie in few directions, and the share of the possible one."""
SKEWED, ABOVE_USUAL = 1.0, 1.25
"""Skewness from which there are hubs, and how far above that of points without hubs."""
OFTEN = 4
"""How many times its even share a hub is among the nearest."""
LINKED, CHANCE = 0.5, 0.01
LOST = 0.5
"""The share of pictures found again below which a change loses them."""
MILD = (
    "darker by 0.2",
    "brighter by 0.2",
    "contrast halved",
    "contrast by 1.6",
    "blurred, 2 % of the side",
    "noise of 0.05",
    "JPEG of quality 50",
    "pixels of 2 × 2",
)
"""Changes after which people still see the same picture."""
_PICTURES_ALONE = "The pictures of this audit; others may lie otherwise."


def vectors_alike(evidence: Evidence) -> Iterator[Suspicion]:
    """All pictures get nearly the same vector; a trial asks whether they are told apart at all."""
    found = evidence.embedding
    if found is None or found.mean_cosine < ALIKE:
        return
    least = _best_mild(found)
    lost = _collapsed(found)
    trial = (
        "No change of the pictures was tried."
        if least is None
        else f"Tried: after the mildest change ({least.change}) {least.found} of "
        f"{least.pictures} pictures are still nearest to themselves."
    )
    title = "A part that all vectors share hides the differences between pictures"
    sure = "Confidence: high; the pictures are still told apart by what is left."
    if lost or least is None:
        title = f"The encoder gives all pictures {'' if lost else 'nearly '}the same vector"
        sure = "Confidence: high, it is a measured figure."
    yield Suspicion(
        title=title,
        evidence=f"Two different pictures have a cosine of {found.mean_cosine:.4f} on average, "
        f"and {found.still:,} of {found.dimensions:,} dimensions do not move. {trial}",
        sure=sure,
        confirm="Compare the vectors of pictures from the training set; check the preprocessing.",
        limits=_PICTURES_ALONE,
        severity="high" if lost else "medium" if least is None else "low",
        consequence=""
        if lost
        else "Thresholds on the cosine of these vectors mean little: they differ in late digits.",
        action="" if lost else "Subtract the mean vector before you compare, or whiten.",
        confirmed=True,
        figures={"mean_cosine": found.mean_cosine, "still": found.still},
    )


def few_directions(evidence: Evidence) -> Iterator[Suspicion]:
    """The vectors lie in a line or a plane of their space."""
    found = evidence.embedding
    if found is None or _collapsed(found) or (found.mean_cosine >= ALIKE and not found.changes):
        return  # what is left of them is, or may be, rounding
    if found.effective_rank >= min(FEW, FEW_SHARE * found.possible_rank):
        return
    yield Suspicion(
        title=f"The vectors use {found.effective_rank:.1f} of {found.possible_rank:,} directions",
        evidence=f"The effective rank of the vectors of {found.pictures:,} pictures, less their "
        f"mean, is {found.effective_rank:.2f}; {found.still:,} of {found.dimensions:,} dimensions "
        "do not move.",
        sure="Confidence: high, it is a measured figure.",
        confirm="Measure it on more pictures, of more kinds.",
        limits="Pictures that differ in one way alone have such vectors in every encoder.",
        confirmed=True,
        figures={"effective_rank": found.effective_rank},
    )


def hubs(evidence: Evidence) -> Iterator[Suspicion]:
    """A few pictures are among the nearest of many."""
    found = evidence.embedding
    if found is None or not found.hubs or _collapsed(found):
        return
    first = found.hubs[0]
    if (
        found.hubness < max(SKEWED, ABOVE_USUAL * found.hubness_usual)
        or first.times < OFTEN * found.neighbours
    ):
        return
    cured = found.hubness_centred < 0.5 * found.hubness
    yield Suspicion(
        title=f"A few pictures are among the nearest of many: one of {first.times}",
        evidence=f"Of each picture the {found.neighbours} nearest were counted. "
        f"{shortened(first.picture.file)} is among them {first.times} times, "
        f"{found.neighbours} would be even. The skewness is {found.hubness:.2f}; points without "
        f"hubs had {found.hubness_usual:.2f} at most. Tried: with the mean vector taken off it is "
        f"{found.hubness_centred:.2f}.",
        sure="Confidence: medium; it is more than such points have by chance.",
        confirm="Count it on the pictures that will be searched.",
        limits=_PICTURES_ALONE,
        action="Subtract the mean vector before you search." if cured else "",
        confirmed=True,
        pictures=evidence_pictures(
            [(e.picture.image, f"among the nearest of {e.times} others") for e in found.hubs]
        ),
        figures={"hubness": found.hubness, "usual": found.hubness_usual},
    )


def duplicates(evidence: Evidence) -> Iterator[Suspicion]:
    """The same picture lies in two folders, under two classes, or twice in one."""
    found = evidence.embedding
    if found is None:
        return
    under_two = [each for each in found.duplicates if each.classes_differ]
    across = [each for each in found.duplicates if each.across and not each.classes_differ]
    within = [each for each in found.duplicates if not each.across and not each.classes_differ]
    if under_two:
        yield _duplicates(
            under_two,
            "two-classes",
            f"{count(len(under_two), 'picture lies', 'pictures lie')} under two classes",
            "One of the two labels is wrong, or both are true.",
            "Look at each pair, and give both the same label.",
        )
    if across:
        yield _duplicates(
            across,
            "two-folders",
            f"{count(len(across), 'picture lies', 'pictures lie')} in two folders",
            "Where one folder is for training and one for testing, the test measures what was "
            "learned by heart.",
            "Take one of each pair out before you measure anything on these folders.",
        )
    if within:
        yield _duplicates(
            within,
            "one-folder",
            f"{count(len(within), 'picture lies', 'pictures lie')} twice in a folder",
            "A picture that lies there twice counts twice in every figure.",
            "Take one of each pair out.",
        )


def _duplicates(
    pairs: list[DuplicatePair], detail: str, title: str, consequence: str, action: str
) -> Suspicion:
    first = pairs[0]
    equal = sum(each.equal for each in pairs)
    return Suspicion(
        title=title,
        evidence=f"First {shortened(first.first.file)} and {shortened(first.second.file)}: the "
        f"cosine of their vectors is {first.cosine:.3f}. Tried: the pictures themselves were "
        f"compared; of {count(len(pairs), 'pair')} {equal} are equal to the last pixel, and the "
        f"details of all correlate by {min(e.correlation for e in pairs):.2f} or more.",
        sure="Confidence: high; the pictures themselves were compared.",
        confirm="Look at both pictures of each pair.",
        limits="Only the nearest neighbours of each picture were compared, as the model sees "
        "them; copies that were turned or cut more are not found.",
        detail=detail,
        severity="low" if detail == "one-folder" else None,
        consequence=consequence,
        action=action,
        confirmed=True,
        pictures=evidence_pictures(
            [
                (picture.image, shortened(picture.file))
                for each in pairs
                for picture in (each.first, each.second)
            ]
        ),
        figures={"pairs": float(len(pairs)), "equal": float(equal)},
    )


def length_of_quality(evidence: Evidence) -> Iterator[Suspicion]:
    """The length of the vectors follows the sharpness or the contrast of the pictures."""
    found = evidence.embedding
    for each in () if found is None else found.lengths:
        if abs(each.correlation) < LINKED or max(each.p, each.trial_p) > CHANCE:
            continue
        more = "longer" if each.correlation > 0 else "shorter"
        less = "shorter" if each.correlation > 0 else "longer"
        changed = each.shorter if each.correlation > 0 else each.longer
        yield Suspicion(
            title=f"Vectors are {more} the more {each.quality} a picture has",
            evidence=f"The rank correlation over {each.pictures} pictures is "
            f"{each.correlation:+.2f} (by chance p = {each.p:.3f}). Tried: {each.quality} was "
            f"taken from each picture itself, and {changed} of {each.pictures} vectors became "
            f"{less}.",
            sure="Confidence: high; between pictures and within them it is the same.",
            confirm="Measure it on pictures of one thing, sharp and blurred.",
            limits=_PICTURES_ALONE,
            detail=each.quality,
            confirmed=True,
            figures={"correlation": each.correlation, "changed": float(changed)},
        )


def classes_not_apart(evidence: Evidence) -> Iterator[Suspicion]:
    """Neighbours are of the same class no more often than by chance."""
    found = evidence.embedding
    if found is None or found.agreement is None or found.agreement_chance is None:
        return
    if found.agreement > found.agreement_chance:
        return
    yield Suspicion(
        title="The nearest pictures are of the same class no more often than by chance",
        evidence=f"Of the nearest pictures {percent(found.agreement)} are of the same class; with "
        f"the classes shuffled it is up to {percent(found.agreement_chance)}. The cosine is "
        f"{found.same_class or 0:.2f} within classes and {found.different_class or 0:.2f} between.",
        sure="Confidence: high with many pictures of each class, low with a few.",
        confirm="Add pictures of each class, and check the preprocessing.",
        limits="The encoder may tell apart what the folders do not say.",
        confirmed=True,
        figures={"agreement": found.agreement, "chance": found.agreement_chance},
    )


def change_loses(evidence: Evidence) -> Iterator[Suspicion]:
    """A mild change of a picture makes it nearer to another than to itself."""
    found = evidence.embedding
    worst = None if found is None else worst_mild(found)
    if found is None or worst is None or worst.high >= LOST or _collapsed(found):
        return
    yield Suspicion(
        title=f"Pictures are not found again after a mild change: {worst.change}",
        evidence=f"Tried on {worst.pictures} pictures: after this change {worst.found} are "
        "still nearer to themselves than to every other picture (95 % interval "
        f"{percent(worst.low)} to {percent(worst.high)}); the median cosine with themselves is "
        f"{worst.cosine:.2f}.",
        sure="Confidence: high; it was tried.",
        confirm="Take the same thing with another camera, and compare.",
        limits="The change was made by a program, after the picture had its size.",
        detail=worst.change.replace(" ", "-"),
        confirmed=True,
        figures={"found": float(worst.found), "cosine": worst.cosine},
    )


def labels_doubted(evidence: Evidence) -> Iterator[Suspicion]:
    """Photographs whose label a layer that was fitted without them contradicts."""
    doubted = evidence.doubted
    if not doubted:
        return
    labels = evidence.labels
    first = doubted[0]
    yield Suspicion(
        title=f"{count(len(doubted), 'photograph looks', 'photographs look')} mislabelled",
        evidence=f"Of {evidence.judged:,} photographs. A linear layer was fitted to the features "
        f"without each of them. First {shortened(first.picture.file)}: labelled "
        f"‘{labels[first.known]}’ ({percent(first.prob_known)}), taken for "
        f"‘{labels[first.suggested]}’ ({percent(first.prob_suggested)}). At most 1 % of such a "
        "list is expected by chance.",
        sure=f"Confidence: medium; q is {max(each.q for each in doubted):.2g} or less.",
        confirm="Look at each of them: the label can be right, and the features wrong.",
        limits="Wrong labels that many photographs share, or that look like their label, are not "
        "found.",
        classes=tuple(sorted({k for e in doubted for k in (e.known, e.suggested)})),
        pictures=evidence_pictures(
            [
                (
                    e.picture.image,
                    f"labelled ‘{labels[e.known]}’, taken for ‘{labels[e.suggested]}’",
                )
                for e in doubted
            ]
        ),
        figures={"doubted": float(len(doubted)), "judged": float(evidence.judged)},
    )


def worst_mild(found: EmbeddingAudit) -> EmbeddingChange | None:
    """Return the mild change after which the fewest pictures are found again."""
    mild = [each for each in found.changes if each.change in MILD]
    return min(mild, key=lambda each: each.found / each.pictures) if mild else None


def _collapsed(found: EmbeddingAudit) -> bool:
    """Whether all pictures have one vector, so that nothing else can be said of them."""
    least = _best_mild(found)
    return found.mean_cosine >= ALIKE and least is not None and least.high < LOST


def _best_mild(found: EmbeddingAudit) -> EmbeddingChange | None:
    mild = [each for each in found.changes if each.change in MILD]
    return max(mild, key=lambda each: each.found / each.pictures) if mild else None


# What the rules look at


def embedding_pictures(evidence: Evidence) -> str:
    """Return the number of pictures whose vectors were measured."""
    return count(_embedding(evidence).pictures, "picture")


def embedding_lengths(evidence: Evidence) -> str:
    """Return the number of pictures whose vectors have different lengths."""
    found = _embedding(evidence)
    if not found.lengths and found.lacking:
        raise TooLittle("the audit was stopped before")
    if not found.lengths:
        raise TooLittle("all vectors have the same length")
    return count(found.lengths[0].pictures, "picture")


def embedding_classes(evidence: Evidence) -> str:
    """Return the number of classes whose pictures were compared."""
    found = _embedding(evidence)
    if found.agreement is None:
        raise TooLittle("it takes pictures of two classes, each in a folder of its own")
    return count(len(found.by_class), "class", "classes")


def embedding_changes(evidence: Evidence) -> str:
    """Return the number of changes that were tried."""
    changes = _embedding(evidence).changes
    if not changes:
        raise TooLittle("the audit was stopped before a change was tried")
    return count(len(changes), "change")


def judged_samples(evidence: Evidence) -> str:
    """Return the number of photographs whose labels were judged."""
    if not evidence.judged:
        raise TooLittle("it takes 40 labelled photographs, 5 or more of each of two classes")
    return count(evidence.judged, "labelled photograph")


def _embedding(evidence: Evidence) -> EmbeddingAudit:
    if evidence.embedding is None:
        raise TooLittle("the model is no encoder, or was shown too few photographs")
    return evidence.embedding
