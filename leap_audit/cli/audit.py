"""leap-audit audit: words to options, then the audit, then where the report is."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from leap_audit.cli import flags, input_flags, judging
from leap_audit.cli import targets as detections
from leap_audit.cli.answers import answering, conclude, conclude_dry_run
from leap_audit.cli.app import WORDS, Command, app
from leap_audit.cli.trust import FollowLinks, TrustModel

if TYPE_CHECKING:
    from leap_audit.config import AuditOptions

__all__: list[str] = []

ABOUT_AUDIT = (
    "Audit a model and write the report. The word [bold]audit[/] may be left out.\n\n"
    "What you do not say about the input is inferred, and all assumptions are printed before any "
    "long work. Ctrl-C keeps what is finished, marked INCOMPLETE. The same command then goes on "
    "from there."
)


@app.command(cls=Command, help=ABOUT_AUDIT, short_help="Audit a model and write the report.")
def audit(
    ctx: typer.Context,
    model: flags.Model,
    classes: flags.Classes = None,
    targets: flags.Targets = None,
    samples: flags.Samples = None,
    labels: flags.Labels = None,
    top_classes: flags.TopClasses = None,
    input_: input_flags.Input = None,
    set_: input_flags.Set = None,
    signature: input_flags.Signature = None,
    task: flags.Task = None,
    region: flags.Region = None,
    output: flags.ScoresOutput = None,
    detector: detections.Detector = None,
    threshold: detections.Threshold = None,
    overlap: detections.Overlap = None,
    directions: input_flags.Directions = None,
    directions_scale: input_flags.DirectionsScale = None,
    layout: flags.Layout = None,
    channel_order: flags.ChannelOrder = None,
    value_range: flags.Range = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
    resize: flags.Resize = None,
    input_size: flags.InputSize = None,
    preprocessing: flags.PreprocessingFile = None,
    photo_range: flags.PhotoRange = None,
    methods: flags.Methods = None,
    method_options: flags.MethodOptions = None,
    second_opinions: flags.SecondOpinions = None,
    effort: flags.EffortOf = None,
    minutes: flags.Minutes = None,
    seed: flags.Seed = None,
    seeds: flags.Seeds = None,
    steps: flags.Steps = None,
    threads: flags.Threads = None,
    batch: flags.Batch = None,
    provider: flags.Provider = None,
    ray: flags.Ray = None,
    config: flags.Config = None,
    policy: judging.Policy = None,
    junit: judging.Junit = None,
    owner: flags.Owner = None,
    purpose: flags.Purpose = None,
    version: flags.Version = None,
    data: flags.Data = None,
    out: flags.Out = None,
    fresh: flags.Fresh = False,
    photographs: flags.Photographs = None,
    dry_run: flags.DryRun = False,
    follow_links: FollowLinks = False,
    trust_model: TrustModel = False,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
    debug: flags.Debug = False,
) -> None:
    """Audit a model as the words say, and print where the report is."""
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
    said = {
        "owner": owner,
        "purpose": purpose,
        "version": version,
        "data": data,
        "targets": targets or None,
        "samples": samples or None,
        "labels": labels,
        "photo_range": flags.numbers(ctx, "--photo-range", photo_range, 2),
        "photographs": photographs,
        "follow_links": follow_links or None,
        "top_classes": top_classes,
        "input": input_,
        "set": input_flags.values(ctx, set_),
        "signature": signature,
        "task": task,
        "region": flags.numbers(ctx, "--region", region, 4),
        "output": output,
        "detector": detector,
        "threshold": threshold,
        "overlap": overlap,
        "directions": directions,
        "directions_scale": directions_scale,
        "preprocessing": declared,
        "prototype": _given({"steps": steps}),
        "methods": flags.names(methods),
        "method_options": flags.method_options(ctx, method_options),
        "second_opinions": flags.names(second_opinions),
        "effort": effort,
        "minutes": minutes,
        "seed": seed,
        "seeds": seeds,
        "threads": threads,
        "batch": batch,
        "provider": provider,
    }
    with answering(debug=debug, quiet=quiet, as_json=as_json, trust=trust_model) as terminal:
        from leap_audit import pipeline
        from leap_audit.publish.folder import default_folder

        if dry_run:
            inspection = pipeline.inspect(
                model,
                classes,
                options=_options(config, preprocessing, _given(said)),
                policy=policy,
                progress=terminal,
            )
            conclude_dry_run(inspection, terminal, as_json=as_json)
            return
        place = out or default_folder(model)
        with judging.refusals_in(junit, place):
            result = pipeline.audit(
                model,
                classes,
                out=place,
                options=_options(config, preprocessing, _given(said)),
                policy=policy,
                junit=junit,
                progress=terminal,
                fresh=fresh,
                ray=ray,
                command=shlex.join(["leap-audit", *ctx.meta[WORDS]]),
            )
        conclude(result, terminal, as_json=as_json)
    if code := judging.exit_code(result.audit):
        raise typer.Exit(code)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None and value != {}}


def _options(
    config: Path | None, preprocessing: str | None, said: dict[str, Any]
) -> "AuditOptions":
    """Return the options: those of the files, over them what was said in words."""
    from leap_audit.config import AuditOptions
    from leap_audit.ingest.pictures.sandboxed import read_preprocessing_in_child
    from leap_audit.ingest.sandbox.config_files import read_table_in_child
    from leap_audit.tables import layered

    tables = []
    if config is not None:
        tables.append(read_table_in_child(config)[0])
        AuditOptions.parse(tables[0], str(config))
    if preprocessing is not None:
        declared = read_preprocessing_in_child(preprocessing)
        tables.append({"preprocessing": declared.model_dump(exclude_unset=True)})
    return AuditOptions.parse(layered(*tables, said), "the command line")
