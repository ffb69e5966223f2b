"""The flags of the command line, each described once, and what their values may look like."""

import json
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

__all__: list[str] = []  # used as flags.Classes, flags.numbers, ...

_WHAT, _PICTURE, _HOW, _MODEL, _OUTPUT = (
    "What is audited",
    "How it reads a picture",
    "How it works",
    "Facts for the cover and the model card",
    "Output",
)


def option(name: str, panel: str, about: str, metavar: str | None = None, **more: Any) -> Any:
    """Return an option of typer, in a panel of --help. name: its names, '--out -o'."""
    names = name.split()
    return typer.Option(
        *names, help=about, rich_help_panel=panel, metavar=metavar, show_default=False, **more
    )


OF_FIELD = "field of AuditOptions: "


def of_field(path: str) -> str:
    """Return a text that stands for the documentation and the default of an option.

    path: of the field of `AuditOptions`, such as "prototype.steps". The text itself is made when
    somebody asks for help (cli/documented.py), because the options take long to import.
    """
    return f"{OF_FIELD}{path}"


Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="The network: ONNX, .pt2, TorchScript, .keras, .h5, SavedModel, .tflite.",
    ),
]

OptionalModel = Annotated[
    Path | None, typer.Argument(metavar="MODEL", help="Only the operators of this ONNX file.")
]

Classes = Annotated[
    Path | None,
    option("--classes", _WHAT, "Names of the classes, one per line, or a JSON list.", "FILE"),
]
Owner = Annotated[str | None, option("--owner", _MODEL, of_field("owner"), "TEXT")]
Purpose = Annotated[str | None, option("--purpose", _MODEL, of_field("purpose"), "TEXT")]
Version = Annotated[str | None, option("--version", _MODEL, of_field("version"), "TEXT")]
Data = Annotated[str | None, option("--data", _MODEL, of_field("data"), "TEXT")]
Targets = Annotated[list[str] | None, option("--targets", _WHAT, of_field("targets"), "WHICH")]
Samples = Annotated[
    list[Path] | None,
    option("--samples", _WHAT, of_field("samples"), "PATH"),
]
Labels = Annotated[
    Path | None,
    option(
        "--labels",
        _WHAT,
        of_field("labels"),
        "FILE",
    ),
]
Photographs = Annotated[
    bool | None,
    option("--photographs/--no-photographs", _OUTPUT, of_field("photographs")),
]
TopClasses = Annotated[
    int | None,
    option("--top-classes", _WHAT, of_field("top_classes"), "N", min=1),
]

Task = Annotated[
    Literal["classification", "multi-label", "binary", "segmentation", "embedding", "detection"]
    | None,
    option(
        "--task",
        _WHAT,
        of_field("task"),
        "classification|multi-label|binary|segmentation|embedding|detection",
        case_sensitive=False,
    ),
]
Region = Annotated[
    str | None,
    option("--region", _WHAT, of_field("region"), "TOP,LEFT,B,R"),
]

ScoresOutput = Annotated[
    str | None,
    option(
        "--output",
        _WHAT,
        of_field("output"),
        "NAME",
    ),
]

Layout = Annotated[
    Literal["NCHW", "NHWC"] | None,
    option(
        "--layout", _PICTURE, of_field("preprocessing.layout"), "NCHW|NHWC", case_sensitive=False
    ),
]
ChannelOrder = Annotated[
    Literal["RGB", "BGR", "GRAY", "BANDS"] | None,
    option(
        "--channel-order",
        _PICTURE,
        of_field("preprocessing.channel_order"),
        "RGB|BGR|GRAY|BANDS",
        case_sensitive=False,
    ),
]
Range = Annotated[
    str | None,
    option("--range", _PICTURE, of_field("preprocessing.range"), "LOW,HIGH"),
]
Mean = Annotated[
    str | None,
    option("--mean", _PICTURE, of_field("preprocessing.mean"), "A,B,C"),
]
Std = Annotated[str | None, option("--std", _PICTURE, of_field("preprocessing.std"), "A,B,C")]
Resize = Annotated[
    Literal["crop", "stretch", "letterbox"] | None,
    option(
        "--resize",
        _PICTURE,
        of_field("preprocessing.resize"),
        "crop|stretch|letterbox",
        case_sensitive=False,
    ),
]
InputSize = Annotated[
    str | None,
    option("--input-size", _PICTURE, of_field("preprocessing.input_size"), "H,W"),
]
PreprocessingFile = Annotated[
    str | None,
    option(
        "--preprocessing",
        _PICTURE,
        "All of these: a JSON or TOML file, Hugging Face's preprocessor_config.json, timm's "
        "config.json, or a name: torchvision.resnet50, timm.vit_tiny_patch16_224, keras.caffe.",
        "FILE|NAME",
    ),
]

PhotoRange = Annotated[
    str | None,
    option(
        "--photo-range",
        _PICTURE,
        of_field("photo_range"),
        "LOW,HIGH",
    ),
]

Methods = Annotated[list[str] | None, option("--methods", _HOW, of_field("methods"), "NAMES")]
SecondOpinions = Annotated[
    list[str] | None, option("--second-opinions", _HOW, of_field("second_opinions"), "NAMES")
]
MethodOptions = Annotated[
    list[str] | None,
    option("--method-option", _HOW, of_field("method_options"), "METHOD.OPTION=VALUE"),
]
EffortOf = Annotated[
    Literal["quick", "standard", "full"] | None,
    option("--effort", _HOW, of_field("effort"), "quick|standard|full", case_sensitive=False),
]
Minutes = Annotated[float | None, option("--minutes", _HOW, of_field("minutes"), "N", min=0.0)]
Seed = Annotated[int | None, option("--seed", _HOW, of_field("seed"), "N", min=0)]
Seeds = Annotated[
    int | None,
    option("--seeds", _HOW, of_field("seeds"), "N", min=1),
]
Steps = Annotated[int | None, option("--steps", _HOW, of_field("prototype.steps"), "N", min=1)]
Threads = Annotated[int | None, option("--threads", _HOW, of_field("threads"), "N", min=0)]
Batch = Annotated[int | None, option("--batch", _HOW, of_field("batch"), "N", min=0)]
Provider = Annotated[str | None, option("--provider", _HOW, of_field("provider"), "NAME")]
Config = Annotated[
    Path | None,
    option("--config", _HOW, "A TOML or JSON file with options; flags win over it.", "FILE"),
]

Out = Annotated[
    Path | None, option("--out -o", _OUTPUT, "Folder of the report (MODEL-audit).", "FOLDER")
]
Fresh = Annotated[
    bool,
    option("--fresh", _OUTPUT, "Start over: use nothing of an earlier run that was stopped."),
]
Ray = Annotated[
    str | None,
    option(
        "--ray",
        _HOW,
        "Compute on the workers of a Ray cluster: local, auto, HOST:PORT (docs/cluster.md).",
        "ADDRESS",
    ),
]
Json = Annotated[bool, option("--json", _OUTPUT, "Print a summary that programs can read.")]
DryRun = Annotated[
    bool,
    option(
        "--dry-run",
        _OUTPUT,
        "Stop after reading: print what was understood, and the plan with its time; write nothing.",
    ),
]
Quiet = Annotated[bool, option("--quiet -q", _OUTPUT, "Only warnings, errors and the result.")]
Debug = Annotated[bool, option("--debug", _OUTPUT, "Show the traceback of an error.")]

GradientOut = Annotated[
    Path | None,
    option("--out -o", "Options", "The file to write, by default MODEL.grad.onnx.", "FILE"),
]
GradientBatch = Annotated[
    int, option("--batch", "Options", "What a free batch dimension becomes (1).", "N", min=1)
]
GradientWrt = Annotated[
    list[str] | None,
    option(
        "--wrt",
        "Options",
        "Input, weight, or tensor inside the graph, to differentiate with respect to; repeatable "
        "(every floating-point input).",
        "NAME",
    ),
]
GradientOf = Annotated[
    str | None,
    option(
        "--of",
        "Options",
        "The output, or tensor inside the graph, to take the gradient of: by default the first "
        "output of numbers.",
        "NAME",
    ),
]
GradientShape = Annotated[
    list[str] | None,
    option(
        "--shape",
        "Options",
        "Shape of an input that leaves more than the batch free, without the batch; repeatable.",
        "NAME=3,224,224",
    ),
]
GradientCheck = Annotated[
    bool,
    option(
        "--check",
        "Options",
        "Check the gradient against small steps of the input before it is written.",
    ),
]
GradientRules = Annotated[
    Literal["guided", "deconvnet", "deeplift", "lrp", "attnlrp"] | None,
    option(
        "--rules",
        "Options",
        "Use other rules: guided or deconvnet at Relu, relevance, or DeepLIFT. The batch of "
        "DeepLIFT holds pictures, then baselines.",
        "guided|deconvnet|deeplift|lrp|attnlrp",
        case_sensitive=False,
    ),
]
GradientDebug = Annotated[bool, option("--debug", "Options", "Show the traceback of an error.")]

ExportOut = Annotated[
    Path | None, option("--out -o", "Options", "The file to write, by default MODEL.onnx.", "FILE")
]
Canonical = Annotated[
    bool, option("--canonical", "Options", "Write the graph that is differentiated.")
]

OperatorsMissing = Annotated[bool, option("--missing", "Options", "Only those that are missing.")]

OldAudit = Annotated[
    Path, typer.Argument(metavar="OLD", help="The earlier audit: its folder, or its audit.json.")
]
NewAudit = Annotated[Path, typer.Argument(metavar="NEW", help="The later audit.")]
FailOn = Annotated[
    Literal["never", "worse", "high", "medium", "low", "info"],
    option(
        "--fail-on",
        "Options",
        "What makes the exit code 1: a worse verdict or check (worse), or also a new finding of at "
        "least this severity.",
        "never|worse|high|medium|low|info",
        case_sensitive=False,
    ),
]
CompareOut = Annotated[
    Path | None,
    option("--out -o", _OUTPUT, "The folder to write, by default OLD-NEW-compare.", "FOLDER"),
]


def declared(
    ctx: typer.Context,
    *,
    value_range: str | None,
    mean: str | None,
    std: str | None,
    input_size: str | None,
    **words: str | None,
) -> dict[str, Any]:
    """Return what the flags of the input say, by the names of `DeclaredPreprocessing`.

    words: the flags that are taken as they stand.
    """
    values = {
        **words,
        "range": numbers(ctx, "--range", value_range, 2),
        "mean": numbers(ctx, "--mean", mean),
        "std": numbers(ctx, "--std", std),
        "input_size": size(ctx, input_size),
    }
    return {name: value for name, value in values.items() if value is not None}


def numbers(ctx: typer.Context, flag: str, text: str | None, count: int = 0) -> Any:
    """Return the finite numbers in `text`, `count` of them; 0 leaves the count open."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(map(math.isfinite, values)) or (count and len(values) != count):
        wanted = f"{count} numbers" if count else "numbers"
        example = {2: "0,255", 4: "0,0,0.5,1"}.get(count, "0.5,0.5,0.5")
        raise bad(ctx, flag, f"{text!r} is not {wanted} separated by commas, such as {example}.")
    return values


def shapes(ctx: typer.Context, texts: list[str] | None) -> dict[str, tuple[int, ...]]:
    """Return input name -> shape from `NAME=3,224,224`."""
    found = {}
    for text in texts or []:
        name, _, sizes = text.rpartition("=")
        if not name or not re.fullmatch(r"[1-9]\d*([,x][1-9]\d*)*", sizes):
            raise bad(ctx, "--shape", f"{text!r} is not a name and sizes, such as x=3,224,224.")
        found[name] = tuple(int(part) for part in re.split("[,x]", sizes))
    return found


def names(texts: list[str] | None) -> list[str] | None:
    """Return the names in texts such as `a,b`."""
    return [name for text in texts or [] for name in text.split(",") if name] or None


def method_options(ctx: typer.Context, texts: list[str] | None) -> dict[str, dict[str, Any]]:
    """Return method -> option -> value, from `METHOD.OPTION=VALUE`; the value as JSON or text."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts or []:
        match = re.fullmatch(r"([\w+:]+)\.(\w+)=(.+)", text, re.S)
        if match is None:
            example = "such as smoothgrad.copies=32"
            raise bad(ctx, "--method-option", f"{text!r} is no METHOD.OPTION=VALUE, {example}.")
        options = found.setdefault(match[1], {})
        if match[2] in options:
            raise bad(ctx, "--method-option", f"{match[1]}.{match[2]} has two values; give one.")
        try:
            options[match[2]] = json.loads(match[3])
        except ValueError:
            options[match[2]] = match[3]
    return found


def size(ctx: typer.Context, text: str | None) -> tuple[int, int] | None:
    """Return (height, width) from `224`, `192,256` or `192x256`."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:[,x×]\s*([0-9]{1,9})\s*)?", text)
    if match is None:
        raise bad(ctx, "--input-size", f"{text!r} is not HEIGHT,WIDTH, such as 224,224.")
    return int(match[1]), int(match[2] or match[1])


def bad(ctx: typer.Context, flag: str, message: str) -> typer.BadParameter:
    """Return the error for a flag whose value does not fit."""
    return typer.BadParameter(message, ctx=ctx, param_hint=f"'{flag}'")
