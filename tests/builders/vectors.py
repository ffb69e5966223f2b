"""The record of an encoder's vectors, sound but for what is changed."""

from typing import Any

from leap_audit.artifacts import (
    ClassAgreement,
    DoubtedSample,
    DuplicatePair,
    EmbeddingAudit,
    EmbeddingChange,
    HubPicture,
    LengthLink,
    NamedPicture,
)

PICTURE = NamedPicture(file="a/1.png", image="images/sample-0000.png")
OTHER = NamedPicture(file="b/2.png", image="images/sample-0001.png")


def changed(change: str = "JPEG of quality 50", found: int = 40) -> EmbeddingChange:
    """A change after which so many of 40 pictures are found again."""
    share = found / 40
    return EmbeddingChange(
        change=change,
        pictures=40,
        cosine=0.97,
        found=found,
        low=max(0.0, share - 0.1),
        high=min(1.0, share + 0.1),
    )


def copies(**differing: Any) -> DuplicatePair:
    """Two pictures that show the same, in two folders."""
    usual = {"cosine": 0.99, "correlation": 0.98, "equal": False, "mirrored": False, "across": True}
    return DuplicatePair(first=PICTURE, second=OTHER, **usual | differing)


def linked(**differing: Any) -> LengthLink:
    """Lengths that follow contrast, between pictures and within them."""
    usual = {"correlation": 0.8, "p": 0.001, "shorter": 40, "longer": 0, "trial_p": 1e-6}
    return LengthLink(quality="contrast", pictures=40, **usual | differing)


def vectors(**differing: Any) -> EmbeddingAudit:
    """The record of a sound encoder on 40 pictures of two classes, with other figures."""
    usual: dict[str, Any] = {
        "output": "y",
        "dimensions": 64,
        "pictures": 40,
        "directions": "the centroids of 2 classes",
        "scale": 10.0,
        "effective_rank": 20.0,
        "possible_rank": 39,
        "mean_cosine": 0.4,
        "still": 0,
        "neighbours": 10,
        "hubness": 0.5,
        "hubness_usual": 1.0,
        "hubness_centred": 0.2,
        "hubs": (HubPicture(picture=PICTURE, times=15),),
        "same_class": 0.8,
        "different_class": 0.3,
        "agreement": 0.9,
        "agreement_chance": 0.6,
        "by_class": (
            ClassAgreement(name="a", agreement=0.9),
            ClassAgreement(name="b", agreement=0.9),
        ),
        "changes": (changed(), changed("darker by 0.2", 38), changed("mirrored", 1)),
        "lengths": (linked(correlation=0.1, p=0.5),),
    }
    return EmbeddingAudit(**usual | differing)


def mislabelled() -> DoubtedSample:
    """A picture labelled 0 and taken for 1."""
    return DoubtedSample(
        picture=PICTURE,
        known=0,
        suggested=1,
        prob_known=0.01,
        prob_suggested=0.97,
        self_influence=3.0,
        q=0.004,
    )
