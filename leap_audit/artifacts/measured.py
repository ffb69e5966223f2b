"""The measurements of a model: prototypes, entanglements, isolations, answers."""

from typing import Annotated, Any, Literal

from pydantic import Field

from leap_audit.artifacts.detections import Coincident, Detection
from leap_audit.artifacts.frozen import Frozen

__all__ = [
    "ALIKE",
    "Attribution",
    "Cosines",
    "Entanglement",
    "EntanglementMatrix",
    "Isolation",
    "Neighbour",
    "Opinion",
    "OtherReading",
    "Outcome",
    "Prediction",
    "Prototype",
    "Readings",
    "Sample",
    "Stability",
]


ALIKE = 0.5
"""Prototypes look alike to the model from this cosine of their features on. Photographs of two
classes have .27 in the median and .50 at most on MobileNetV2 (docs/prototypes.md)."""
STATED = 0.1
"""From this probability on, the model states a class about a picture."""
NEEDED = 0.5
"""A region is needed if erasing it leaves less than this share of the class's probability, of an
encoder of what the picture adds to the cosine."""
ADDS = 0.02
"""A picture that adds less than this to a cosine carries nothing to isolate."""
Outcome = Literal["carried", "not needed", "not enough", "nothing to isolate", "trace"]
"""How an isolation did in its own check. carried: the region keeps the class and erasing it takes
the class away; not needed: the region keeps the class, and so does the rest of the picture; not
enough: no region keeps enough of the class; nothing to isolate: the class is as probable when the
whole picture is erased; trace: the model does not state the class about the picture."""


class Cosines(Frozen):
    """Of an encoder's vectors with the direction of a class: what its isolation is read by.

    A probability of cosines says little of a part of a picture: the factor of the cosines makes it
    all or nothing, or nearly equal for all classes.
    """

    whole: float
    """On the whole picture, -1..1."""
    keep: float
    """When only the region is kept."""
    delete: float
    """When the region is erased."""
    erased: float
    """When the whole picture is erased."""

    @property
    def kept(self) -> float:
        """Return how much of what the picture adds the region keeps, 0..1."""
        return self.share(self.keep)

    @property
    def left(self) -> float:
        """Return how much of what the picture adds is left without the region, 0..1."""
        return self.share(self.delete)

    def share(self, cosine: float) -> float:
        """Return how much of what the picture adds a cosine has, 0..1."""
        return min(1.0, max(0.0, cosine - self.erased) / max(self.whole - self.erased, 1e-9))


class Isolation(Frozen):
    """The part of a picture that carries a class, and its check."""

    class_: Annotated[int, Field(alias="class")]
    name: str
    image: str
    """The picture with everything outside the region greyed out; empty where photographs were kept
    out of the report."""
    mask: str
    """The ranking of all pixels, greyscale: 255 is kept first."""
    area: float
    """The smallest fraction of the picture, 0..1, that is enough to carry the class."""
    prob: float
    """Of the class, on the whole picture, 0..1. Of a map of answers, as the two below: averaged
    over the places where the model says the class on the whole picture, or over all if nowhere."""
    prob_keep: float
    """Of the class when only the region is kept, 0..1."""
    prob_delete: float
    """Of the class when the region is erased, 0..1."""
    logit: float | None = None
    """Of the class, on the whole picture; of a map of answers, averaged over it."""
    enough: bool
    """Whether a region of at most 60 % of the picture kept enough of the probability or cosine."""
    box: tuple[float, float, float, float] | None = None
    """Of a detector, the box of the object that it is of, as in `Detection`; its probabilities are
    then the object's scores, matched by place. None: of a class."""
    cosines: Cosines | None = None
    """Of an encoder; `enough` and `outcome` are then about them. None: of probabilities."""
    outcome: Outcome = Field(default_factory=lambda fields: _outcome(fields))
    """How it did in its own check."""

    @property
    def kept(self) -> float:
        """Return how much of the class the region alone keeps, 0..1."""
        return self.cosines.kept if self.cosines else min(1.0, self.prob_keep / self.prob)

    @property
    def left(self) -> float:
        """Return how much of the class is left without the region, 0..1."""
        return self.cosines.left if self.cosines else min(1.0, self.prob_delete / self.prob)


def _outcome(fields: dict[str, Any]) -> Outcome:
    """Judge an isolation by its figures: the only place that does."""
    whole, kept, erased = (fields[name] for name in ("prob", "prob_keep", "prob_delete"))
    if whole < STATED:
        return "trace"
    cosines = fields["cosines"]
    if cosines is not None:
        if fields["enough"]:
            return "not needed" if cosines.left >= NEEDED else "carried"
        return "nothing to isolate" if cosines.whole - cosines.erased < ADDS else "not enough"
    if fields["enough"]:
        return "not needed" if erased >= NEEDED * whole else "carried"
    # A region that keeps all of the probability and still is not enough: the picture adds nothing,
    # because the class is as probable when all of it is erased.
    return "nothing to isolate" if kept >= whole else "not enough"


class Attribution(Frozen):
    """A map, by one method, of the pixels that a class's score depends on."""

    method: str
    """Its name in `methods`."""
    class_: Annotated[int, Field(alias="class")]
    name: str
    map: str
    """The map in greyscale: 0 is `low`, 255 is `high`, in equal steps."""
    low: float
    """The least value of the map, in the method's own units."""
    high: float
    figures: dict[str, float] = Field(default_factory=dict)
    """What else the method measured."""


class Opinion(Frozen):
    """What another method says of the first answer to a photograph, beside its isolation."""

    method: str
    """Its name in `methods`."""
    class_: Annotated[int, Field(alias="class")]
    name: str
    map: str
    """Where the method finds what speaks for the class, blurred, in greyscale: 255 is most."""
    at: str = ""
    """The tensor inside the model that it looks at, in words; empty: the picture."""
    agreement: float | None = None
    """Which part of the highest tenth of the map is in that of the isolation's ranking, 0..1; by
    chance 0.1. None where the class was not isolated."""
    other_class: float | None = None
    """Rank correlation with the method's map for the next most probable class, -1..1; near 1: the
    map does not depend on the class. None where it was not checked."""
    other_weights: float | None = None
    """Rank correlation with the method's map of the model with shuffled weights, -1..1; near 1: the
    map does not depend on what was learned. None where it was not checked."""


class Entanglement(Frozen):
    """How much a class shares with a prototype."""

    class_: Annotated[int, Field(alias="class")]
    name: str
    entanglement: float
    """Cosine, -1..1, signed."""
    logit: float
    prob: float
    standardised: float | None = None
    """The logit in deviations from its mean over the other prototypes; None below 3 others."""
    low: float | None = None
    """The least entanglement over prototypes from other seeds and this one; None of one seed."""
    high: float | None = None
    """The greatest."""
    overlap: float | None = None
    """The class overlap (see the method), -1..1; None below 3 other targets, or without a linear
    layer at the end."""
    weights: float | None = None
    """The cosine of the two classes' weights alone, less the mean of all, -1..1; it looks at no
    prototype. None without a linear layer at the end."""


class EntanglementMatrix(Frozen):
    """How much each prototype shares with each class that was audited."""

    classes: tuple[int, ...]
    """The columns: the audited classes, in the order of their first prototype."""
    cosines: tuple[tuple[float | None, ...], ...]
    """A row for each prototype of the audit, in its order; -1..1, None where not compared."""


class Stability(Frozen):
    """How much prototypes of one target from several seeds agree."""

    images: tuple[str, ...]
    """The prototypes from the other seeds."""
    logits: tuple[float, ...]
    """The target's logit on each, the shown one first."""
    similarity: float | None
    """Mean cosine of the features (see the method) between any two of them, -1..1; None where the
    model gives one number, which tells no two apart."""
    agreement: float
    """Share of the three most entangled classes that any two have in common, 0..1."""
    faces: tuple[tuple[int, ...], ...] | None = None
    """Which of them show the same face of the class, by their places in `logits`, face by face;
    one that the model takes for another class shows none. None where a search does not push them
    apart (see the option diversity)."""


class Neighbour(Frozen):
    """A sample that the model sees as like a prototype."""

    file: str
    image: str
    similarity: float
    """Cosine of the features, -1..1."""


class Prototype(Frozen):
    """An input synthesised to maximise a class."""

    target: tuple[int, ...]
    name: str
    replicate: int
    image: str
    """Of bands the first three in false colour."""
    bands: str | None = None
    """All bands as tiles of grey, row by row; None for grey and colour pictures."""
    logit: float
    prob: float
    rank: int
    """The place of the target among all classes on the finished prototype; 1 is first."""
    steps: int
    converged: bool
    curve: tuple[float, ...] = ()
    """The target's logit under the random transforms, at equal distances over the steps."""
    entanglements: tuple[Entanglement, ...] = ()
    """The target itself first, then in falling order of entanglement."""
    isolations: tuple[Isolation, ...] = ()
    attributions: tuple[Attribution, ...] = ()
    stability: Stability | None = None
    """None where only one seed was run."""
    nearest: tuple[Neighbour, ...] = ()
    """Of the samples, the nearest first."""
    detections: tuple[Detection, ...] = ()
    """What a detector finds in it, the most confident first."""


class Prediction(Frozen):
    class_: Annotated[int, Field(alias="class")]
    name: str
    prob: float
    """0..1; of a map of answers, averaged over the map."""
    share: float | None = None
    """The fraction of the map where the model says the class, or of the picture that a detector's
    boxes of the class cover; None where there is neither."""


class Sample(Frozen):
    """A photograph, the model's answer to it, and what carried that answer."""

    file: str
    sha256: str
    image: str
    """The picture as the model saw it, of bands the first three in false colour; empty where it
    was kept out of the report."""
    bands: str | None = None
    """All bands as tiles of grey, row by row; None for grey and colour pictures."""
    predicted: tuple[Prediction, ...]
    known: int | None = None
    """The class that it is known to show; None where nobody said."""
    map: str | None = None
    """The predicted map in grey levels: `n` where the model says `map_classes[n - 1]`, 0 where it
    says a class that is not listed; None where a picture gets one answer."""
    map_classes: tuple[int, ...] = ()
    """The classes that are most of the map, the largest first."""
    detections: tuple[Detection, ...] = ()
    """What a detector finds in it, the most confident first."""
    coincident: tuple[Coincident, ...] = ()
    """Pairs of these at one place."""
    isolations: tuple[Isolation, ...] = ()
    attributions: tuple[Attribution, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    """Second opinions on the first answer."""
    opinions_agree: float | None = None
    """Which part of the highest tenth of their maps is the same, 0..1, the mean over pairs; by
    chance 0.1. None below two."""


class OtherReading(Frozen):
    """A preprocessing that was not declared, tried on the photographs of known classes."""

    text: str
    right: int
    """Photographs that the model answers with their class."""
    p: float
    """Of such a gain by chance, 0..1."""


class Readings(Frozen):
    """How often the model is right on photographs of known classes."""

    photographs: int
    right: int
    """With the preprocessing of this audit."""
    others: tuple[OtherReading, ...]
    """With other preprocessings, the best first."""
