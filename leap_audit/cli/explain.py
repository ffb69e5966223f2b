"""leap-audit explain: pictures in, maps of what the model's answer depends on out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leap_audit.cli import flags, input_flags, targets
from leap_audit.cli.answers import answering
from leap_audit.cli.app import Command, app
from leap_audit.cli.trust import FollowLinks, TrustModel
from leap_audit.text.filenames import plain_name

if TYPE_CHECKING:
    from leap_audit.pipeline.explain import PictureExplanation
    from leap_audit.pipeline.photographs import Album

__all__: list[str] = []

_EXPLAIN = "What is explained"
ABOUT_EXPLAIN = (
    "Show what the model's answer on each picture depends on, by one method or several.\n\n"
    "Writes each map as [bold].npy[/] and as a picture, explain.json with all numbers, and "
    "explain.html with the methods side by side. [bold]--check[/] says how far to trust each map; "
    "[bold]--compare[/] ranks the methods."
)
Pictures = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PICTURES", help="Photographs: files, or folders of them."),
]
OptionalModel = Annotated[
    Path | None, typer.Argument(metavar="MODEL", help="The network, as `leap-audit` takes it.")
]
Method = Annotated[
    list[str] | None,
    flags.option(
        "--method -m",
        _EXPLAIN,
        "Methods, joined by commas, or all, or auto (the default). smooth: before a name averages "
        "over noisy copies, tta: over views.",
        "NAMES",
    ),
]
Target = Annotated[
    str | None,
    flags.option(
        "--target", _EXPLAIN, "Class, by number or name (default: the most probable).", "CLASS"
    ),
]
SimilarTo = Annotated[
    Path | None,
    flags.option(
        "--similar-to",
        _EXPLAIN,
        "A picture. The maps show what makes the model's vectors for it and for PICTURES alike.",
        "FILE",
    ),
]
Dimension = Annotated[
    int | None,
    flags.option(
        "--dimension",
        _EXPLAIN,
        "Explain this number of the model's vector, counted from 0.",
        "NUMBER",
        min=0,
    ),
]
At = Annotated[
    str | None,
    flags.option(
        "--at", _EXPLAIN, "The tensor inside the model, for methods that look at one.", "NAME"
    ),
]
Check = Annotated[bool, flags.option("--check", _EXPLAIN, "Check every map, which takes longer.")]
CompareMethods = Annotated[
    bool,
    flags.option(
        "--compare", _EXPLAIN, "Rank the methods by insertion minus deletion on these pictures."
    ),
]
ListMethods = Annotated[
    bool,
    flags.option(
        "--methods", _EXPLAIN, "List the methods; with a MODEL, also what it lacks for each."
    ),
]
ExplainOut = Annotated[
    Path | None, flags.option("--out -o", "Output", "Folder (default MODEL-explained).", "FOLDER")
]


@dataclass(frozen=True)
class Wanted:
    """What is to be explained, in words."""

    model: Path
    pictures: tuple[Path, ...]
    methods: tuple[str, ...]
    options: dict[str, dict[str, Any]]
    target: str | None
    similar_to: Path | None
    dimension: int | None
    detections: tuple[int, ...] | None
    part: str | None
    at: str | None
    check: bool
    compare: bool
    seed: int


@app.command(cls=Command, help=ABOUT_EXPLAIN, short_help="Show what an answer depends on.")
def explain(
    ctx: typer.Context,
    model: OptionalModel = None,
    pictures: Pictures = None,
    method: Method = None,
    method_options: flags.MethodOptions = None,
    target: Target = None,
    similar_to: SimilarTo = None,
    dimension: Dimension = None,
    which: targets.Which = None,
    part: targets.Part = None,
    at: At = None,
    check: Check = False,
    compare: CompareMethods = False,
    list_methods: ListMethods = False,
    task: flags.Task = None,
    scores_output: flags.ScoresOutput = None,
    detector: targets.Detector = None,
    threshold: targets.Threshold = None,
    overlap: targets.Overlap = None,
    directions: input_flags.Directions = None,
    directions_scale: input_flags.DirectionsScale = None,
    classes: flags.Classes = None,
    layout: flags.Layout = None,
    channel_order: flags.ChannelOrder = None,
    value_range: flags.Range = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
    resize: flags.Resize = None,
    input_size: flags.InputSize = None,
    seed: flags.Seed = None,
    threads: flags.Threads = None,
    batch: flags.Batch = None,
    provider: flags.Provider = None,
    out: ExplainOut = None,
    follow_links: FollowLinks = False,
    trust_model: TrustModel = False,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
    debug: flags.Debug = False,
) -> None:
    """Explain pictures as the words say, and print where the page is."""
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
    options = flags.method_options(ctx, method_options)
    names = tuple(flags.names(method) or ("auto",))
    numbers = targets.numbers(ctx, which)
    with answering(debug=debug, quiet=quiet, as_json=as_json, trust=trust_model) as terminal:
        from leap_audit.errors import UsageError
        from leap_audit.pipeline.explain import opened

        if model is None:
            if not list_methods:
                raise UsageError(
                    "explain takes a MODEL and PICTURES; see leap-audit explain --help."
                )
            print("\n".join(_table()), flush=True)
            return
        if sum(each is not None for each in (target, similar_to, dimension, which)) > 1:
            raise UsageError(
                "--target, --similar-to, --dimension and --detections each say what is explained; "
                "give one."
            )
        if not pictures and not list_methods:
            raise UsageError("explain takes PICTURES after the MODEL: files, or folders of them.")
        run, labels = opened(
            model,
            classes,
            batch or 0,
            threads or 0,
            declared,
            terminal,
            trust_model=trust_model,
            more={
                name: value
                for name, value in (
                    ("provider", provider),
                    ("task", task),
                    ("output", scores_output),
                    ("directions", directions),
                    ("directions_scale", directions_scale),
                    ("detector", detector),
                    ("threshold", threshold),
                    ("overlap", overlap),
                )
                if value is not None
            },
        )
        if list_methods:
            print("\n".join(_table(run.model)), flush=True)
            return
        wanted = Wanted(
            model,
            tuple(pictures or ()),
            names,
            options,
            target,
            similar_to,
            dimension,
            numbers,
            part,
            at,
            check or compare,
            compare,
            seed or 0,
        )
        place = out or Path(f"{plain_name(model.stem)}-explained")
        written, summary = _written(run, labels, wanted, place, terminal, follow=follow_links)
        if as_json:
            print(json.dumps({**summary, "folder": str(written)}, indent=2), flush=True)
        else:
            print(written / "explain.html", flush=True)


def _table(model: Any = None) -> Iterator[str]:
    """The methods as lines; of a model, with what it lacks for each."""
    from leap_audit.pipeline.explain import methods

    cautions: dict[str, list[str]] = {}
    for name, each in methods().items():
        why = "" if model is None else each.unmet(model)
        yield f"{name:<22} {('not here: ' + why) if why else each.summary}"
        if each.traits.caution:
            cautions.setdefault(each.traits.caution, []).append(name)
    for caution, names in cautions.items():
        yield f"{', '.join(names)}: {caution}"


def _written(
    run: Any, labels: Any, wanted: Wanted, place: Path, terminal: Any, *, follow: bool
) -> tuple[Path, dict[str, Any]]:
    """Explain, check, and write the folder; return it and what a program needs to know."""
    import numpy as np

    from leap_audit.config import AuditOptions
    from leap_audit.measure.faithfulness.comparison import standings
    from leap_audit.pipeline.explain import check, chosen_methods, explain_album
    from leap_audit.pipeline.photographs import read_album
    from leap_audit.publish.folder import AuditFolder
    from leap_audit.report.explanations import EXPLANATIONS, ExplainedPicture, write_explanations

    chosen = chosen_methods(run.model, wanted.methods, _options(wanted))
    values = {"samples": tuple(map(str, wanted.pictures)), "follow_links": follow}
    album = read_album(
        AuditOptions.parse(values, "explain"), labels, run.model.preprocessing, terminal
    )
    wanted_of = targets.targets(run, wanted, labels, terminal, follow=follow)
    several = [
        (number, *each)
        for number, picture in enumerate(album.pictures)
        for each in wanted_of(picture, album.names[number])
    ]
    with AuditFolder.open(place, EXPLANATIONS) as folder:
        rows: list[ExplainedPicture] = []
        gains: dict[str, dict[str, list[float]]] = {}
        total = len(several) * len(chosen)
        with terminal.stage("Explaining", total) as advance:
            for number, target, what in several:
                maps = []
                for each in chosen:
                    ((found,),) = explain_album(
                        run, _one(album, number), labels, target, (each,), seed=wanted.seed
                    )
                    checks = check(found, slow=not wanted.compare) if wanted.check else {}
                    for fill in ("blur", "mean") if wanted.compare else ():
                        gained = gains.setdefault(fill, {}).setdefault(found.method, [])
                        gained.append(checks[f"gain_{fill}"])
                    maps.append(_record(found, checks))
                    advance()
                subject = found.subject
                label = what or f"{labels[subject.class_]} (class {subject.class_})"
                rows.append(
                    ExplainedPicture(
                        album.names[number],
                        album.digests[number],
                        album.pictures[number],
                        label,
                        tuple(maps),
                        *_box(target),
                    )
                )
        ranked = {
            fill: standings(
                {m: np.array(v) for m, v in of.items()}, np.random.default_rng(wanted.seed)
            )
            for fill, of in gains.items()
        }
        for fill, of in ranked.items():
            for s in of:
                terminal.note(
                    f"{fill:<5} {s.method:<22} {s.mean:+.3f}, behind the best by "
                    f"{s.behind:.3f} ({s.low:.3f} to {s.high:.3f})"
                )
        for found_map in rows[0].maps:
            for note in found_map.notes:
                terminal.note(f"{found_map.method}: {note}")
        identity = run.model.identity
        write_explanations(
            folder.staging,
            {"file": identity.file, "sha256": identity.sha256},
            rows,
            [each for each, _ in chosen],
            ranked,
        )
        written = folder.publish(complete=True)
    summary = {
        "status": "complete",
        "pictures": len(rows),
        "methods": [each.name for each, _ in chosen],
        "checks": {row.name: {m.method: m.checks for m in row.maps} for row in rows},
    }
    return written, summary


def _box(target: Any) -> tuple[tuple[float, ...], str]:
    """The box of the detection that is explained, and the side of it; empty: there is none."""
    part = getattr(target, "part", "")
    return getattr(target, "box", ()), "" if part == "class" else part


def _options(wanted: Wanted) -> dict[str, dict[str, Any]]:
    """The options of each method, --at for each that is named and looks at a tensor."""
    from leap_audit.measure.attribution.smoothing import explainer
    from leap_audit.pipeline.explain import methods, require_inside

    found = {name: dict(values) for name, values in wanted.options.items()}
    if wanted.at is None:
        return found
    require_inside(wanted.methods)
    named = [*methods()] if "all" in wanted.methods else list(wanted.methods)
    for name in named:
        if name != "auto" and "at" in explainer(name).options.model_fields and name != "xrai":
            found.setdefault(name, {}).setdefault("at", wanted.at)
    return found


def _one(album: "Album", number: int) -> "Album":
    from leap_audit.pipeline.photographs import album_of

    return album_of([album.pictures[number]])


def _record(found: "PictureExplanation", checks: dict[str, float]) -> Any:
    from leap_audit.report.explanations import MapRecord

    return MapRecord(
        found.method,
        found.map,
        found.score,
        found.at,
        round(found.seconds, 3),
        found.options,
        found.notes,
        found.figures,
        checks,
    )
