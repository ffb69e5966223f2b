"""leap-audit examples: pictures in, the training pictures behind the answers out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leap_audit.cli import flags
from leap_audit.cli.answers import answering
from leap_audit.cli.app import Command, app
from leap_audit.cli.trust import FollowLinks, TrustModel
from leap_audit.text.filenames import plain_name

if TYPE_CHECKING:
    from leap_audit.pipeline.examples import ExamplesFound

__all__: list[str] = []

SHOWN = 60
"""Pictures that look mislabelled and are shown; all are in the record."""
_EXAMPLES = "What is compared"
ABOUT_EXAMPLES = (
    "Show the training pictures behind a model's answers: the nearest ones, a mixture, or those "
    "that helped.\n\n"
    "Needs the training pictures. Writes examples.json and examples.html. The page also lists "
    "training pictures that look mislabelled. Features are kept on the disk: a second run reads "
    "them."
)
Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A classifier or an encoder, as `leap-audit` takes.")
]
Pictures = Annotated[
    list[Path], typer.Argument(metavar="PICTURES", help="Photographs: files, or folders of them.")
]
Training = Annotated[
    list[Path],
    flags.option(
        "--training -t",
        _EXAMPLES,
        "Folder of the training pictures, with a folder for each class inside.",
        "FOLDER",
    ),
]
Method = Annotated[
    str,
    flags.option("--method -m", _EXAMPLES, "neighbours, simplex, tracin or influence.", "NAME"),
]
Metric = Annotated[
    str | None,
    flags.option("--metric", _EXAMPLES, "Of neighbours: cosine (default) or l2.", "NAME"),
]
Checkpoint = Annotated[
    list[Path] | None,
    flags.option(
        "--checkpoint", _EXAMPLES, "Earlier file of the same training, for tracin.", "FILE"
    ),
]
Rates = Annotated[
    str | None,
    flags.option(
        "--rates", _EXAMPLES, "Learning rates, MODEL's first, joined by commas.", "NUMBERS"
    ),
]
Weights = Annotated[
    Literal["last", "all"] | None,
    flags.option(
        "--weights",
        _EXAMPLES,
        "Of tracin and influence: those of the last layer (default), or all.",
        "last|all",
        case_sensitive=False,
    ),
]
Damping = Annotated[
    float | None,
    flags.option(
        "--damping",
        _EXAMPLES,
        "Of influence: added to the Hessian, in units of its mean eigenvalue (default 0.01).",
        "NUMBER",
    ),
]
Count = Annotated[int, flags.option("--count", _EXAMPLES, "Examples of each picture.", "N")]
Target = Annotated[
    str | None,
    flags.option(
        "--target", _EXAMPLES, "Class, by number or name (default: the most probable).", "CLASS"
    ),
]
Features = Annotated[
    Path | None,
    flags.option(
        "--features", _EXAMPLES, "Where features are kept (default MODEL-features).", "FOLDER"
    ),
]
ExamplesOut = Annotated[
    Path | None, flags.option("--out -o", "Output", "Folder (default MODEL-examples).", "FOLDER")
]


@app.command(
    cls=Command, help=ABOUT_EXAMPLES, short_help="Show the training pictures behind an answer."
)
def examples(
    ctx: typer.Context,
    model: Model,
    pictures: Pictures,
    training: Training,
    method: Method = "neighbours",
    metric: Metric = None,
    checkpoint: Checkpoint = None,
    rates: Rates = None,
    damping: Damping = None,
    weights: Weights = None,
    count: Count = 5,
    target: Target = None,
    features: Features = None,
    classes: flags.Classes = None,
    labels: flags.Labels = None,
    task: flags.Task = None,
    output: flags.ScoresOutput = None,
    layout: flags.Layout = None,
    channel_order: flags.ChannelOrder = None,
    value_range: flags.Range = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
    resize: flags.Resize = None,
    input_size: flags.InputSize = None,
    threads: flags.Threads = None,
    batch: flags.Batch = None,
    provider: flags.Provider = None,
    out: ExamplesOut = None,
    follow_links: FollowLinks = False,
    trust_model: TrustModel = False,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
    debug: flags.Debug = False,
) -> None:
    """Explain pictures by training pictures, and print where the page is."""
    declared = flags.declared(
        ctx,
        layout=layout,
        channel_order=channel_order,
        value_range=value_range,
        mean=mean,
        std=std,
        resize=resize,
        input_size=input_size,
    )
    with answering(debug=debug, quiet=quiet, as_json=as_json, trust=trust_model) as terminal:
        from leap_audit.pipeline.examples import examples as behind
        from leap_audit.publish.folder import AuditFolder
        from leap_audit.report.examples import EXAMPLES_FOLDER

        options: dict[str, Any] = {"metric": metric, "damping": damping, "weights": weights}
        options["rates"] = None if rates is None else _numbers(rates)
        more = {"task": task, "output": output, "provider": provider}
        stem = plain_name(model.stem)
        with AuditFolder.open(out or Path(f"{stem}-examples"), EXAMPLES_FOLDER) as folder:
            found = behind(
                model,
                pictures,
                training,
                method,
                checkpoints=checkpoint or (),
                count=count,
                features=features or Path(f"{stem}-features"),
                classes=classes,
                labels=labels,
                target=target,
                batch=batch or 0,
                threads=threads or 0,
                preprocessing=declared,
                follow_links=follow_links,
                trust_model=trust_model,
                progress=terminal,
                more={name: value for name, value in more.items() if value is not None},
                **{name: value for name, value in options.items() if value is not None},
            )
            for note in found.notes:
                terminal.note(note)
            record = _written(found, folder.staging)
            written = folder.publish(complete=True)
        doubted = len(record["mislabelled"])
        if doubted:
            few = (
                "this training picture looks"
                if doubted == 1
                else (f"these {doubted} training pictures look")
            )
            terminal.warn(f"{few} mislabelled: see the page.")
        if as_json:
            summary = {"status": "complete", "method": method, "mislabelled": doubted}
            print(json.dumps({**summary, "folder": str(written)}, indent=2), flush=True)
        else:
            print(written / "examples.html", flush=True)


def _numbers(text: str) -> tuple[float, ...]:
    from leap_audit.errors import UsageError

    try:
        return tuple(float(each) for each in text.split(","))
    except ValueError:
        raise UsageError(f"--rates: {text!r} is no list of numbers, such as 0.1,0.05.") from None


def _written(found: "ExamplesFound", folder: Path) -> dict[str, Any]:
    """Read the pictures that are shown, write the folder, and return the record."""
    from leap_audit.report.examples import ExampleRow, ShownPicture, write_examples

    def label(index: int) -> str:
        return found.classes[index] if 0 <= index < len(found.classes) else ""

    places = sorted(
        {int(p) for one in found.examples for p in (*one.places, *one.against)}
        | {each.place for each in found.mislabelled[:SHOWN]}
    )
    pictures = dict(zip(places, found.shown(found.training, places), strict=True))
    explained = found.shown(found.pictures, range(len(found.pictures.paths)))
    truth = found.training.gathered.labels

    def training(place: int) -> ShownPicture:
        of = found.training
        return ShownPicture(
            of.names[place], of.digests[place], label(int(truth[place])), pictures.get(place)
        )

    rows = [
        ExampleRow(
            ShownPicture(
                found.pictures.names[i], found.pictures.digests[i], label(found.targets[i]), shown
            ),
            tuple(
                (training(int(p)), float(v)) for p, v in zip(one.places, one.values, strict=True)
            ),
            tuple(
                (training(int(p)), float(v))
                for p, v in zip(one.against, one.against_values, strict=True)
            ),
            one.figures,
        )
        for i, (shown, one) in enumerate(zip(explained, found.examples, strict=True))
    ]
    doubted = [(training(each.place), label(each.suggested), each) for each in found.mislabelled]
    identity = found.run.model.identity
    return write_examples(
        folder,
        {"file": identity.file, "sha256": identity.sha256},
        found.method,
        found.options,
        len(found.training.paths),
        rows,
        doubted,
        found.notes,
    )
