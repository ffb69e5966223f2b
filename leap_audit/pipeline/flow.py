"""One audit: load, plan, measure, judge, report."""

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any

from leap_audit.artifacts import Audit, Coverage, Declared, Environment
from leap_audit.config import AuditOptions
from leap_audit.digests import sha256_of
from leap_audit.errors import AuditIncomplete
from leap_audit.findings import Evidence, find, questions
from leap_audit.ingest.inputs.selection import inputs_in_words
from leap_audit.ingest.model import Model
from leap_audit.measure.plan import Batches, working_memory
from leap_audit.pipeline.assembly import assemble, write_pictures
from leap_audit.pipeline.cluster import executor_at
from leap_audit.pipeline.connection import require_cluster
from leap_audit.pipeline.deadline import Deadline, TimeIsUp
from leap_audit.pipeline.embedding import read_audited
from leap_audit.pipeline.environment import (
    WITHHELD,
    fixed,
    now,
    portable,
    repeatable,
    versions,
    without_paths,
)
from leap_audit.pipeline.kept import kept_parts
from leap_audit.pipeline.measuring import Measuring, measure
from leap_audit.pipeline.result import AuditResult
from leap_audit.pipeline.settings import nested
from leap_audit.pipeline.study import prepared
from leap_audit.policy import judge, read_policy
from leap_audit.progress import Progress
from leap_audit.publish.folder import AuditFolder, default_folder, write_file
from leap_audit.report import write_report
from leap_audit.report.junit import hold_place, junit_of_audit
from leap_audit.tables import layered
from leap_audit.text.filenames import legible
from leap_audit.watching import default_progress

__all__ = ["audit"]


def audit(
    model: object,
    classes: str | Path | Sequence[str] | None = None,
    *,
    out: str | Path | None = None,
    options: AuditOptions | None = None,
    policy: str | Path | None = None,
    junit: str | Path | None = None,
    progress: Progress | None = None,
    command: str = "",
    trust_model: bool = False,
    fresh: bool = False,
    ray: str | None = None,
    repeat: Coverage | None = None,
    **settings: Any,
) -> AuditResult:
    """Audit a model and write the report; return the audit and its folder.

    model: the path of an ONNX file or of whatever else `leap_audit.ingest.load` takes, or such an
    object: a torch.nn.Module, a Keras model. classes: path of a list of names, or the names; None
    numbers them. out: folder to write, by default MODEL-audit in the working folder; an earlier
    audit there is replaced once the new one is whole. options: everything else, or single
    `settings` by the names of AuditOptions (`targets="1,8"`, `prototype={"noise": 0.2}`) or of the
    command line's flags (`steps=64`, `input_size=224`).
    policy: thresholds to judge by, a TOML file or the name of a ready policy (docs/policy.md);
    None gives no verdict. junit: file to write the checks to as JUnit XML.
    progress: the listener of what happens; by default bars in a notebook and lines on stderr
    elsewhere, and with `leap_audit.progress.Silent()` nothing. trust_model: open a model that is a
    program also where the system offers no sandbox (docs/security.md). fresh: compute again what
    an earlier run of the same audit, which was stopped, had finished (docs/time.md). ray: compute
    on the workers of a Ray cluster: local, auto or its address (docs/cluster.md).
    repeat: the coverage of an audit that these options are recorded in, to repeat it exactly: as
    many items go together, and no plan changes the options.

    Raises LeapAuditError: each refusal with its reason (see leap_audit.errors).
    AuditIncomplete: Ctrl-C; what was finished is on disk, in a report marked INCOMPLETE.
    """
    started, clock, began = now(), time.perf_counter(), time.monotonic()
    values = layered(options.model_dump(exclude_unset=True) if options else {}, nested(settings))
    chosen = AuditOptions.parse(values, "audit()")
    again = None if repeat is None else _batches(repeat)
    deadline = Deadline(None if repeat is not None else chosen.minutes, began)
    progress = progress or default_progress()
    source = Path(model) if isinstance(model, str | Path) else model
    place = Path(out) if out else default_folder(_named(source))
    declared = read_policy(policy) if policy is not None else None
    require_cluster(ray)
    if junit is not None:
        hold_place(Path(junit), place)
    with (
        AuditFolder.open(place) as folder,
        kept_parts(folder.out, progress, fresh=fresh) as kept,
    ):
        understood, embedded = read_audited(
            source,
            classes,
            chosen,
            progress,
            kept.parts,
            trust_model=trust_model,
            keep=kept.keep,
            deadline=deadline,
            batches=again,
        )
        loaded, names = understood.model, understood.names
        if declared is not None:
            declared.fit(names)
        study, computing = prepared(loaded, names, chosen, kept.parts, again, embedded)
        repeated = repeat is not None
        one = replace(study.batches, workers=1)  # a worker of a cluster has one unit at a time
        stopped, up = "", False
        with executor_at(
            ray,
            computing,
            progress,
            seed=chosen.seed,
            memory=working_memory(loaded, one, study.options.prototype.views or 1),
            workers=study.batches.workers,
        ) as executor:
            measuring = Measuring(
                study, executor, kept.parts, progress, repeated, kept.keep, deadline
            )
            try:
                if embedded is not None and embedded.stopped is not None:
                    raise embedded.stopped
                measure(measuring)
            except (KeyboardInterrupt, TimeIsUp) as reason:
                up = isinstance(reason, TimeIsUp)
                stopped = (
                    f"Its {chosen.minutes:g} minutes were over." if up else "It was interrupted."
                )
                progress.warn(f"{stopped} Writing what is finished, marked INCOMPLETE.")
        complete = not stopped
        study = measuring.study
        record = assemble(study, measuring.parts)
        if not chosen.photographs:
            record = record.without_photographs()
        write_pictures(record, study, folder.staging)
        config = study.options.model_dump(mode="json")
        # An audit that was interrupted before it read the photographs shows no path either.
        private = study.album.private or bool(chosen.samples and not study.album.names)
        words = legible(command or shlex.join(sys.argv[:1]))
        evidence = Evidence(
            names,
            record.prototypes,
            record.samples,
            record.maps,
            record.readings,
            loaded.identity,
            record.suspicion,
            record.trials,
            record.embedding,
            record.doubted,
            record.judged,
        )
        findings = find(evidence)
        earlier = () if fixed() else kept.earlier()
        result = Audit(
            status="complete" if complete else "incomplete",
            model=loaded.identity.model_copy(
                update=_classes_identity(classes, understood.classes_sha256)
            ),
            declared=Declared(
                owner=chosen.owner,
                purpose=chosen.purpose,
                version=chosen.version,
                data=chosen.data,
            ),
            classes=names,
            environment=Environment(
                versions=versions(),
                provider=loaded.provider.name,
                seed=chosen.seed,
                threads=chosen.threads,
                command=WITHHELD if private else repeatable(words),
                started=started.isoformat(timespec="seconds"),
                seconds=0.0 if fixed() else round(time.perf_counter() - clock + sum(earlier), 1),
                runs=1 + len(earlier),
            ),
            config=portable(without_paths(config) if private else config),
            coverage=Coverage(
                classes_audited=len({p.target for p in record.prototypes}),
                classes_in_all=len(names),
                operators=loaded.operators,
                engine=_engine(loaded),
                batch=asdict(study.batches),
                left_out=study.left_out if repeat is None else repeat.left_out,
                unfinished=stopped,
            ),
            methods=record.methods,
            notes=(*inputs_in_words(loaded.identity), *understood.notes, *record.notes),
            prototypes=record.prototypes,
            matrix=record.matrix,
            samples=record.samples,
            readings=record.readings,
            suspicion=record.suspicion,
            experiments=record.trials,
            embedding=record.embedding,
            doubted=record.doubted,
            judged=record.judged,
            files=_pictures(folder.staging),
            findings=findings,
            questions=questions(evidence, findings),
        )
        if declared is not None:
            result = judge(result, declared)
        with progress.stage("Writing the report", 1) as advance:
            try:
                write_report(result, folder.staging)
            except KeyboardInterrupt:  # hours may have been measured: once more before giving up
                progress.warn(
                    "Everything is measured: the report is being written; Ctrl-C drops it."
                )
                write_report(result, folder.staging)
            advance()
        place = folder.publish(complete)
        kept.complete = complete
    if junit is not None:
        write_file(Path(junit), junit_of_audit(result))
    if not complete:
        raise AuditIncomplete(
            f"stopped after {len(result.prototypes)} prototypes and {len(result.samples)} "
            f"photographs; what was finished is in {place / 'report.html'}, marked INCOMPLETE. The "
            "same command goes on from there.",
            interrupted=not up,
        )
    return AuditResult(place, result)


def _batches(coverage: Coverage) -> Batches | None:
    """How many items went together; None of an audit that did not record it all."""
    needed = {each.name for each in fields(Batches) if each.default is MISSING}
    return Batches(**coverage.batch) if needed <= set(coverage.batch) else None


def _pictures(folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of every picture in the folder of an audit."""
    files = sorted((folder / "images").iterdir())
    return {file.relative_to(folder).as_posix(): sha256_of(file) for file in files}


def _engine(model: Model) -> str:
    if model.outside is None:
        return "leap-audit's ONNX gradient graph on ONNX Runtime"
    return f"{model.outside.engine}, because {model.outside.reason}"


def _named(source: object) -> Path:
    """What the folder of the audit is called after."""
    return source if isinstance(source, Path) else Path(type(source).__name__)


def _classes_identity(classes: object, digest: str) -> dict[str, str]:
    if not isinstance(classes, str | Path):
        return {}
    return {"classes_file": legible(Path(classes).name), "classes_sha256": digest}
