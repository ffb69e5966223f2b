"""What the stages hand to one another, and the schema of audit.json.

Everything here is frozen data without behaviour. `Audit` is what audit.json holds
(schema `leap-audit/1`): fields may be added to it, none renamed. `class_` is spelt
`class` in the file. Class numbers are 0-based positions in `Audit.classes`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "SCHEMA",
    "Audit",
    "Coverage",
    "Entanglement",
    "Environment",
    "Finding",
    "Isolation",
    "ModelIdentity",
    "Neighbour",
    "OtherReading",
    "Prediction",
    "Preprocessing",
    "Prototype",
    "Readings",
    "Sample",
    "Stability",
    "TensorInfo",
]

SCHEMA = "leap-audit/1"

Layout = Literal["NCHW", "NHWC"]
ChannelOrder = Literal["RGB", "BGR", "GRAY", "BANDS"]
"""BANDS: channels that are no colours, as they come."""
Task = Literal["classification", "multi-label", "binary", "segmentation"]
Resize = Literal["crop", "stretch"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Severity = Literal["high", "medium", "low", "info"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Preprocessing(_Frozen):
    """How a picture becomes the model's input.

    A pixel p in 0..1 becomes x = p * (high - low) + low, then the channel swap, then
    (x - mean) / std, with mean and std in the model's channel order.
    """

    layout: Layout
    channel_order: ChannelOrder
    range: tuple[float, float]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Resize
    input_size: tuple[int, int]
    """(height, width) in pixels."""
    crop: float = 0.875
    """The part of the scaled short side that a crop keeps: 224 of 256."""
    interpolation: Interpolation = "bilinear"
    declared_by: str = ""
    """Whose file or preset declared it; empty where it was said in words or assumed."""
    assumed: dict[str, str] = {}
    """Field -> why this value was taken, for each field that nobody declared."""


class TensorInfo(_Frozen):
    name: str
    dtype: str
    shape: tuple[int | str, ...]
    """A free dimension is its name, or '?'."""


class ModelIdentity(_Frozen):
    file: str
    """Base name only."""
    sha256: str
    """Of what was given: of a folder, of its files' names and digests."""
    converted: str = ""
    """What was given and what wrote it as ONNX; empty for an ONNX file."""
    opset: int
    parameters: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    layout: Layout
    preprocessing: Preprocessing
    task: str
    """One of Task."""
    size_bytes: int
    logits: str
    """What was read as the logits, e.g. 'output "probs", with the trailing Softmax taken off'."""
    task_reason: str = ""
    """What the task was inferred from, or that it was declared."""
    independent: bool = False
    """Whether each class has its own probability, a sigmoid; else they share 100 %, a softmax."""
    places: tuple[int, int] = (1, 1)
    """(height, width) of the map of answers; (1, 1) where a picture gets one answer."""
    region: tuple[float, float, float, float] | None = None
    """(top, left, bottom, right) of the part of the map that was audited, as fractions of it."""
    classes_file: str | None = None
    classes_sha256: str | None = None


class Environment(_Frozen):
    versions: dict[str, str]
    provider: str
    """The execution provider that ran the graphs, e.g. 'CPUExecutionProvider'."""
    seed: int
    threads: int
    command: str
    started: str
    """ISO 8601, UTC."""
    seconds: float


class Coverage(_Frozen):
    classes_audited: int
    classes_in_all: int
    operators: dict[str, int]
    """Operator -> how many nodes of the model's canonical graph."""
    engine: str
    """What computed the gradients."""
    batch: dict[str, int] = {}
    """Stage -> how many items were computed together."""


class Isolation(_Frozen):
    """The part of a picture that carries a class, and the check of it."""

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
    """Whether a region of at most 60 % of the picture kept enough of the probability."""


class Entanglement(_Frozen):
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


class Stability(_Frozen):
    """How much prototypes of one target from several seeds agree."""

    images: tuple[str, ...]
    """The prototypes from the other seeds."""
    logits: tuple[float, ...]
    """The target's logit on each, the shown one first."""
    similarity: float
    """Mean cosine of the features (see the method) between any two of them, -1..1."""
    agreement: float
    """Share of the three most entangled classes that any two have in common, 0..1."""


class Neighbour(_Frozen):
    """A sample that the model sees as like a prototype."""

    file: str
    image: str
    similarity: float
    """Cosine of the features, -1..1."""


class Prototype(_Frozen):
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
    stability: Stability | None = None
    """None where only one seed was run."""
    nearest: tuple[Neighbour, ...] = ()
    """Of the samples, the nearest first."""


class Prediction(_Frozen):
    class_: Annotated[int, Field(alias="class")]
    name: str
    prob: float
    """0..1; of a map of answers, averaged over the map."""
    share: float | None = None
    """The fraction of the map where the model says the class; None where there is no map."""


class Sample(_Frozen):
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
    isolations: tuple[Isolation, ...] = ()


class OtherReading(_Frozen):
    """A preprocessing that was not declared, tried on the photographs of known classes."""

    text: str
    right: int
    """Photographs that the model answers with their class."""
    p: float
    """Of such a gain by chance, 0..1."""


class Readings(_Frozen):
    """How often the model is right on photographs of known classes."""

    photographs: int
    right: int
    """With the preprocessing of this audit."""
    others: tuple[OtherReading, ...]
    """With other preprocessings, the best first."""


class Finding(_Frozen):
    id: str
    severity: Severity
    title: str
    evidence: str
    limits: str


class Audit(_Frozen):
    schema_: Annotated[str, Field(alias="schema")] = SCHEMA
    status: Literal["complete", "incomplete"]
    verdict: Literal["PASS", "WARN", "FAIL", "NOT ASSESSED"] = "NOT ASSESSED"
    model: ModelIdentity
    classes: tuple[str, ...]
    environment: Environment
    config: dict[str, Any]
    coverage: Coverage
    methods: dict[str, Any] = {}
    """Stage -> what the method was and the figures it ran with, for the method page."""
    notes: tuple[str, ...] = ()
    """What the reader must know about how this audit was made: assumptions, duplicates, caps."""
    prototypes: tuple[Prototype, ...] = ()
    samples: tuple[Sample, ...] = ()
    readings: Readings | None = None
    """None where no photograph's class is known."""
    findings: tuple[Finding, ...] = ()

    def write(self, folder: Path) -> None:
        """Write `folder`/audit.json, the single source of every other view."""
        text = self.model_dump_json(by_alias=True, indent=1)
        (folder / "audit.json").write_text(text + "\n", encoding="utf-8")
