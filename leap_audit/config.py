"""The options of an audit and their defaults. Each option is described here, once.

The command line, a configuration file and the Python call all fill the same classes; an
unknown key is an error that names the nearest one.
"""

import difflib
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from leap_audit.artifacts import ChannelOrder, Interpolation, Layout, Resize, Task
from leap_audit.errors import ConfigRefused
from leap_audit.text.filenames import legible
from leap_audit.values import InputValue

__all__ = [
    "AuditOptions",
    "DeclaredPreprocessing",
    "Effort",
    "ExperimentOptions",
    "IsolationOptions",
    "Options",
    "PrototypeOptions",
    "Words",
]


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, int | float) else value


def _square(value: object) -> object:
    return (value, value) if isinstance(value, int | float) else value


def _words(value: object) -> object:
    """Return a list of words: a bare one is a list of one, a number is a word."""
    values = value if isinstance(value, list | tuple) else (value,)
    return tuple(str(item) if type(item) is int else item for item in values)


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
ShownPath = Annotated[Path, PlainSerializer(legible, return_type=str, when_used="json")]
"""A path that is recorded as text, also where its bytes are no text."""
Effort = Literal["quick", "standard", "full"]
Transform = Literal["auto", "none", "s", "m", "l", "xl"]
_Numbers = Annotated[tuple[float, ...], BeforeValidator(_one_or_more)]
_Size = Annotated[tuple[int, int], BeforeValidator(_square)]


def _ordered(region: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    top, left, bottom, right = region
    if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
        raise ValueError("give top,left,bottom,right between 0 and 1, such as 0,0,0.5,1")
    return region


def _rising(low_high: tuple[float, float]) -> tuple[float, float]:
    if not low_high[0] < low_high[1]:
        raise ValueError("give the number that is black, then the larger one that is white")
    return low_high


_PhotoRange = Annotated[tuple[float, float], AfterValidator(_rising)]
_Fact = Annotated[str, Field(max_length=500)]
_Region = Annotated[tuple[float, float, float, float], AfterValidator(_ordered)]


class Options(BaseModel):
    """Options of one kind. The text below a field is its documentation, wherever it is shown."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @classmethod
    def parse(cls, values: dict[str, Any], where: str) -> Self:
        """Return the options that `values` describe.

        Raises ConfigRefused: for an unknown key (naming the nearest) or a value that does not
        fit, saying in `where` it stood.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigRefused(_sentence(cls, error, where)) from None


class DeclaredPreprocessing(Options):
    """How a picture becomes the model's input; what is left out is inferred, and reported so."""

    layout: Layout | None = None
    """Where the channels are in the model's input: first or last."""
    channel_order: ChannelOrder | None = None
    """Order of the channels in the model's input. BANDS are no colours and stay as they are."""
    range: tuple[float, float] | None = None
    """The numbers that black and white become before mean and std: 0,1 or 0,255 or -1,1."""
    mean: _Numbers | None = None
    """Subtracted, one number or one per channel in the model's order, in units of `range`."""
    std: _Numbers | None = None
    """Divided by, one number or one per channel in the model's order, in units of `range`."""
    resize: Resize | None = None
    """How photographs are fitted. crop: short side to size/`crop`, then the centre;
    stretch: straight to the size; letterbox: as large as fits, the rest grey."""
    crop: float | None = Field(default=None, gt=0, le=1)
    """The part of the scaled short side that a crop keeps (0.875: 224 of 256)."""
    interpolation: Interpolation | None = None
    """How pixels are found between those of the picture (bilinear)."""
    input_size: _Size | None = None
    """Height and width in pixels, or one number for both, of a model that leaves them free."""
    declared_by: str = ""
    """The file or preset that declares all this."""


class PrototypeOptions(Options):
    """How prototypes are made. What is left out or auto is chosen by the size of the input."""

    steps: int = Field(default=192, ge=1, le=100_000)
    """Steps of Adam for each prototype."""
    lr: float = Field(default=0.05, gt=0)
    """Learning rate of Adam, in units of the transform coefficients."""
    find_lr_steps: int = Field(default=0, ge=0, le=10_000)
    """Steps of a range test that chooses the learning rate; 0 takes `lr` as it is."""
    noise: float | None = Field(default=None, ge=0)
    """Standard deviation of the noise added at each step, in units of the picture's 0..1."""
    jitter: float | None = Field(default=None, ge=0, le=1)
    """Shift of brightness and each colour, in 0..1, and of half the logarithm of the contrast."""
    views: int | None = Field(default=None, ge=1, le=64)
    """Random views of a prototype that a step looks at; it follows their average gradient."""
    transform: Transform = "auto"
    """How far the random views of a step go: none, s, m, l or xl."""
    scale: tuple[float, float] | None = None
    """Side of the window that a step looks at, as a fraction of the picture; below 1 zooms in."""
    shift: float | None = Field(default=None, ge=0)
    """Largest shift of that window, as a fraction of the short side."""
    flip: bool | None = None
    """Whether a step may see the picture mirrored."""
    blur: tuple[float, float] | None = None
    """Standard deviation in pixels of a blur at the first and the last step."""
    background: float | None = Field(default=None, ge=0, le=1)
    """The grey the picture starts at, 0 black, 1 white."""
    start: Literal["flat", "noise", "even"] = "flat"
    """Start from the background, from noise, or from a picture all classes are equal on."""
    total_variation: float | None = Field(default=None, ge=0)
    """Weight of the total variation, relative to the spread of the objective."""
    plain_ground: bool | None = None
    """Whether the picture is one object on black (on white, with a `background` of 0.5 or more):
    a view that reaches beyond the border sees that ground there, not the picture reflected."""
    hold: float | None = Field(default=None, ge=0)
    """How firmly pixels at the border are held to that ground, in logits of their brightness."""
    ink: float | None = Field(default=None, ge=0)
    """Weight of the mean distance from that ground, relative to the spread of the objective."""
    middle: float | None = Field(default=None, ge=0, le=1)
    """Of a map: radius of the disc that shall say the class, in short sides; 0: everywhere."""
    surround: float | None = Field(default=None, ge=0, le=1)
    """Radius beyond which it shall not say the class, in the same unit."""
    surround_weight: float = Field(default=0.5, ge=0)
    """How much what is beyond that counts against the middle."""
    log_weight: float | None = Field(default=None, ge=0)
    """Weight of the class's log-probability in the middle, beside its logit."""
    objective: Literal["logit", "standardised"] | None = None
    """What is raised: the target's logit, or its deviations from the mean over all classes."""
    objective_weight: float = 1.0
    """Weight of the target's logit; -1 looks for what speaks most against it."""
    logit_scale: float = Field(default=1.0, gt=0)
    """What the logits are multiplied by before a softmax (start: even)."""
    diversity: float = Field(default=0.0, ge=0)
    """How much the prototypes of one class from several seeds are pushed apart, relative to the
    spread of the logits: the report then says how many faces of the class they show; 3 is a
    start."""
    alpha: bool = False
    """Whether the picture has a transparency of its own, optimised with it."""
    alpha_only: bool = False
    """Whether only the transparency is optimised: shapes of one colour."""
    alpha_mask: bool = False
    """Whether the model looks at it through a soft window in the middle."""
    alpha_weight: float = Field(default=0.0, ge=0)
    """How much opaque area costs, relative to the spread of the objective."""
    equalise: float = Field(default=0.0, ge=0, le=1)
    """How much of the finished picture's histogram is equalised."""
    log_every: int = Field(default=0, ge=0)
    """Look at the picture every so many steps; 0 looks only at the finished one."""
    keep_best: bool = True
    """Whether the best of the pictures looked at is kept, instead of the last."""

    @property
    def transparent(self) -> bool:
        """Return whether the background shows through the picture."""
        return self.alpha or self.alpha_only or self.alpha_mask


class IsolationOptions(Options):
    """How isolations are made."""

    steps: int = Field(default=48, ge=1, le=100_000)
    """Steps of Adam for each isolation."""
    lr: float = Field(default=0.1, gt=0)
    """Learning rate of Adam, in units of the score map."""
    grid: int = Field(default=14, ge=2, le=128)
    """Cells of the score map along the short side."""
    delete_weight: float = Field(default=3.0, ge=0)
    """How much erasing the region counts against keeping it."""
    per_prototype: int = Field(default=3, ge=0)
    """For how many classes a prototype is isolated: the target and its most entangled."""
    least: float = Field(default=0.05, ge=0, le=1)
    """Probability below which a class of a picture is not isolated; the first answer always is."""
    enough: float = Field(default=0.8, gt=0, lt=1)
    """Share of what the picture adds to the class's probability that a region must keep."""
    enough_cosine: float = Field(default=0.5, gt=0, lt=1)
    """The same of an encoder, whose region must keep a share of what the picture adds to the cosine
    with a direction."""
    smoothing: float = Field(default=1.0, ge=0)
    """Blur of the score map, relative to 8 of 224 pixels."""
    logit_scale: float = Field(default=1.0, gt=0)
    """What the logits are multiplied by before the softmax of the loss."""


class ExperimentOptions(Options):
    """How experiments look for shortcuts. None: chosen by the size of the input."""

    hosts: int = Field(default=36, ge=6, le=1000)
    """Pictures of other classes that something is pasted into, at most."""
    carriers: int = Field(default=8, ge=1, le=1000)
    """Pictures of a class that something is taken from or covered on, at most."""
    candidates: int = Field(default=4, ge=1, le=1000)
    """Pictures of a class whose frame, colours and detail are tried, at most."""
    search_steps: int | None = Field(default=None, ge=0, le=100_000)
    """Steps of the search for the smallest trigger of a class, of each kind; filters take half as
    many. 0: no search."""
    search_pictures: int | None = Field(default=None, ge=1, le=1000)
    """Pictures that a step of it looks at."""


class VectorOptions(Options):
    """How the vectors of an encoder are measured."""

    changed: int = Field(default=48, ge=4, le=1000)
    """Pictures that changes are tried on, at most."""
    pairs: int = Field(default=3, ge=0, le=100)
    """Pairs of near pictures of which it is asked what makes them alike, at most."""


class AuditOptions(Options):
    """Everything that decides what an audit contains."""

    owner: _Fact = ""
    """Who answers for the model; shown on the cover and in the model card."""
    purpose: _Fact = ""
    """What the model is meant to be used for; shown on the cover and in the model card."""
    version: _Fact = ""
    """Version of the model; shown on the cover and in the model card."""
    data: _Fact = ""
    """What the model was trained on; shown on the cover and in the model card."""
    targets: Words = ()
    """Classes to audit, by number or name: 1,8,20-25 or bird,person or all. Left out: all of up to
    12; of more, those that the model answers the photographs with, or the first 12."""
    samples: Annotated[tuple[ShownPath, ...], BeforeValidator(_words)] = ()
    """Photographs to explain: files, or folders, also with a folder for each class."""
    photo_range: _PhotoRange | None = None
    """The values of black and white in photographs of more than 8 bits, arrays and DICOM. Left
    out: those that the files declare, or else those measured over all files."""
    labels: ShownPath | None = None
    """Table of what the photographs show, with the columns file and class. Left out: the names of
    their folders."""
    follow_links: bool = False
    """Whether links among the photographs are followed out of their folders."""
    photographs: bool = True
    """Whether the report shows the photographs."""
    top_classes: int = Field(default=3, ge=1)
    """Predicted classes that are explained in each photograph."""
    input: str | None = None
    """Name of the input that takes the picture. Left out: the only one that can."""
    set: dict[str, InputValue] = {}
    """Values of other inputs by name: numbers, true or false, arrays or .npy files."""
    signature: str | None = None
    """Function of a SavedModel to audit. Left out: the one that it serves."""
    task: Task | None = None
    """Kind of answer the model gives. Left out: inferred, and reported with the reason."""
    output: str | None = None
    """Output, or tensor inside, that holds the class scores. Left out: chosen, and reported.
    NAME:first or NAME:mean makes one vector of those of a transformer's tokens."""
    directions: ShownPath | None = None
    """Directions that make a classifier of an encoder: a table of names and numbers, or a .npy."""
    directions_scale: float = Field(default=100.0, gt=0)
    """The factor by which these cosines are multiplied; CLIP uses 100."""
    detector: str | None = None
    """Format of a detector's output, such as yolo8. Left out: recognised, and reported."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """The least confidence of a detection that counts. Left out: usual for the format."""
    overlap: float | None = Field(default=None, ge=0, le=1)
    """Boxes of a class that share more than this part of their union are one object. Left out:
    usual for the format."""
    region: _Region | None = None
    """Part of a segmentation's map to audit: top, left, bottom, right, as fractions."""
    preprocessing: DeclaredPreprocessing = DeclaredPreprocessing()
    prototype: PrototypeOptions = PrototypeOptions()
    isolation: IsolationOptions = IsolationOptions()
    experiments: ExperimentOptions = ExperimentOptions()
    vectors: VectorOptions = VectorOptions()
    methods: Words = ()
    """Attribution methods to run beside the isolations; `leap-audit methods` lists them."""
    second_opinions: Words | None = None
    """Attribution methods that are compared with the key region of each photograph; none turns them
    off. Left out: two of different kinds that suit the model, but none with effort quick."""
    method_options: dict[str, dict[str, Any]] = {}
    """Options of these methods, by method and option, such as smoothgrad.copies=32."""
    effort: Effort | None = None
    """How much work the audit does: quick, standard or full. Left out: standard, or as much of it
    as fits into 15 minutes on this machine. Options that you set yourself win."""
    minutes: float | None = Field(default=None, gt=0)
    """Minutes that the audit may take. It does what fits, says what it leaves out, and stops when
    the time is over."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random draw."""
    seeds: int = Field(default=3, ge=1, le=20)
    """Prototypes of each target, to see what does not depend on chance; the strongest is shown."""
    threads: int = Field(default=0, ge=0)
    """CPU threads; 0 takes one for each core."""
    provider: str = "auto"
    """Execution provider of ONNX Runtime: auto, cpu, cuda, tensorrt, coreml, dml, ..."""
    batch: int = Field(default=0, ge=0)
    """Pictures computed together; 0 takes as many as fit into memory."""


def _sentence(cls: type[BaseModel], error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    path = first["loc"]
    key = ".".join(str(part) for part in path)
    if first["type"] != "extra_forbidden":
        got = reprlib.repr(first["input"])
        return f"{where}: {key or 'options'}: {first['msg']} (got {got})."
    if len(path) == 1 and (inner := _deeper(cls, key)):
        return f"{where}: unknown option {key!r}; did you mean {inner}?"
    known = list(_fields_at(cls, path[:-1]))
    near = difflib.get_close_matches(str(path[-1]), known, 1, 0.0)
    nearest = ".".join([*(str(part) for part in path[:-1]), *near])
    return f"{where}: unknown option {key!r}; did you mean {nearest!r}?"


def _deeper(cls: type[BaseModel], key: str) -> str:
    """Where an option stands that was given one level too high: 'prototype.noise', ..."""
    found = [
        f"'{name}.{key}'"
        for name, field in cls.model_fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, BaseModel)
        and key in field.annotation.model_fields
    ]
    return " or ".join(found)


def _fields_at(cls: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        if isinstance(part, int):  # of several, which all have the same fields
            continue
        inner: Any = cls.model_fields[part].annotation
        if get_origin(inner) is tuple:
            inner = get_args(inner)[0]
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        cls = inner
    return list(cls.model_fields)
