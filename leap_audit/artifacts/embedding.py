"""What was measured of an encoder: its vectors on the pictures of the audit."""

from typing import Literal

from leap_audit.artifacts.frozen import Frozen
from leap_audit.artifacts.identity import ModelIdentity

__all__ = [
    "AlikePart",
    "ClassAgreement",
    "DoubtedSample",
    "DuplicatePair",
    "EmbeddingAudit",
    "EmbeddingChange",
    "HubPicture",
    "LengthLink",
    "NamedPicture",
    "NearPair",
    "NearestOf",
    "OutlyingPicture",
    "are_centroids",
    "is_encoder",
]


class NamedPicture(Frozen):
    """A picture of the audit, by its name."""

    file: str
    image: str = ""
    """The picture as the model saw it; empty where it was kept out of the report."""


class NearestOf(Frozen):
    """The pictures whose vectors lie nearest to that of one picture."""

    picture: NamedPicture
    nearest: tuple[NamedPicture, ...]
    """The nearest first."""
    cosines: tuple[float, ...]
    """Of each of them, -1..1."""


class DuplicatePair(Frozen):
    """Two pictures that show the same; the encoder proposed them, the pictures decided."""

    first: NamedPicture
    second: NamedPicture
    cosine: float
    """Of the vectors, -1..1."""
    correlation: float
    """Of the details of the pictures themselves, -1..1."""
    equal: bool
    """Whether the model sees the same numbers."""
    mirrored: bool
    """Whether one is the mirror image of the other."""
    across: bool
    """Whether they lie in different folders."""
    classes_differ: bool = False
    """Whether two different classes are said of them."""


class NearPair(Frozen):
    """Two pictures of different classes whose vectors lie near each other."""

    first: NamedPicture
    second: NamedPicture
    cosine: float


class OutlyingPicture(Frozen):
    """A picture that lies nearer to another class than to its own."""

    picture: NamedPicture
    own: str
    own_cosine: float
    """The mean with the other pictures of its class."""
    nearer: str
    nearer_cosine: float
    """The mean with the pictures of that class."""


class ClassAgreement(Frozen):
    """How many neighbours of a class's pictures are of the class."""

    name: str
    agreement: float
    """0..1."""


class HubPicture(Frozen):
    """A picture that is among the nearest of many others."""

    picture: NamedPicture
    times: int


class LengthLink(Frozen):
    """How the length of the vectors goes with a quality of the pictures."""

    quality: str
    pictures: int
    correlation: float
    """Spearman's, between pictures, -1..1."""
    p: float
    """Of such a correlation by chance, 0..1."""
    shorter: int
    """Pictures whose vector was shorter once the quality was taken from them."""
    longer: int
    trial_p: float
    """Of so many changes in the direction of the correlation by chance, 0..1."""


class EmbeddingChange(Frozen):
    """How far one change of whole pictures moves their vectors."""

    change: str
    pictures: int
    cosine: float
    """Between a picture's vector and that of its changed copy, the median, -1..1."""
    found: int
    """Pictures whose changed copy is nearer to them than to every other picture."""
    low: float
    """95 % interval of that share."""
    high: float


class AlikePart(Frozen):
    """The smallest region of a picture that keeps it like another."""

    picture: NamedPicture
    other: NamedPicture
    image: str
    """The region, the rest faded; empty where it was kept out of the report."""
    mask: str
    """The ranking of the pixels, white first."""
    area: float
    """The fraction of the picture, 0..1."""
    cosine: float
    """Of the two whole pictures, -1..1."""
    kept: float
    """With only the region kept."""
    erased: float
    """With the region erased."""
    blank: float
    """With all of the picture erased."""
    enough: bool
    """Whether the region keeps half of what the picture adds to the cosine."""


class EmbeddingAudit(Frozen):
    """The vectors of an encoder on the pictures of an audit."""

    output: str
    """The output that holds them."""
    dimensions: int
    pictures: int
    directions: str
    """What stands for classes: 'texts.csv', 'the centroids of 10 folders'."""
    scale: float
    """What the cosines with the directions are multiplied by."""
    kind: Literal["named", "classes", "principal"] = "named"
    """Whether a file named the directions, they are centroids of classes, or those in which the
    vectors differ most, which are no classes."""
    effective_rank: float
    """exp of the entropy of the singular values of the vectors, of length 1, less their mean."""
    possible_rank: int
    """The highest that so many pictures and dimensions could have."""
    mean_cosine: float
    """Between two different pictures, -1..1."""
    still: int
    """Dimensions that are the same on all pictures."""
    neighbours: int
    """How many nearest of each picture hubs were counted in."""
    hubness: float
    """Skewness of how often pictures are among the nearest of others."""
    hubness_usual: float
    """The highest of such points by chance, drawn with the same mean and variances."""
    hubness_centred: float
    """Once the mean was taken off the vectors."""
    hubs: tuple[HubPicture, ...] = ()
    """The most frequent neighbours, the most frequent first."""
    nearest: tuple[NearestOf, ...] = ()
    duplicates: tuple[DuplicatePair, ...] = ()
    """Equal ones first, then the most alike."""
    lengths: tuple[LengthLink, ...] = ()
    """Empty where all vectors have the same length."""
    same_class: float | None = None
    """Mean cosine of two pictures of one class; None without classes of two pictures or more."""
    different_class: float | None = None
    """Mean cosine of two pictures of two classes."""
    agreement: float | None = None
    """Part of a picture's nearest that is of its class, 0..1, the mean over classes."""
    agreement_chance: float | None = None
    """The highest agreement of 199 permutations of the classes."""
    by_class: tuple[ClassAgreement, ...] = ()
    near: tuple[NearPair, ...] = ()
    """Different classes that lie near, the nearest first."""
    far: tuple[OutlyingPicture, ...] = ()
    """Pictures nearer to another class than to their own, the clearest first."""
    changes: tuple[EmbeddingChange, ...] = ()
    alike: tuple[AlikePart, ...] = ()
    lacking: tuple[str, ...] = ()
    """What was planned and not measured because the audit was stopped, in words."""


class DoubtedSample(Frozen):
    """A photograph whose label looks wrong: a layer fitted without it says another class."""

    picture: NamedPicture
    known: int
    """The class of its label."""
    suggested: int
    prob_known: float
    """0..1, by the layer fitted without it."""
    prob_suggested: float
    self_influence: float
    q: float
    """The share of photographs listed by chance if the list went as far as this one, 0..1."""


def is_encoder(model: ModelIdentity | None, embedding: EmbeddingAudit | None) -> bool:
    """Whether a model is an encoder, and directions stand for classes.

    model: None where it is not known. embedding: None where its vectors were not measured.
    """
    return embedding is not None or (model is not None and bool(model.directions_sha256))


def are_centroids(embedding: EmbeddingAudit | None) -> bool:
    """Whether directions and factor were made of the labelled photographs themselves.

    Then the share of right answers is no accuracy, and probabilities fit by the way they were made.
    embedding: None where no vectors were measured.
    """
    return embedding is not None and embedding.kind == "classes"
