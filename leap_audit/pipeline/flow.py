"""One audit: load, plan, measure, judge, report."""

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leap_audit.artifacts import Audit, Coverage, Environment
from leap_audit.config import AuditOptions, layered
from leap_audit.digests import sha256_of
from leap_audit.errors import AuditIncomplete
from leap_audit.findings import Evidence, find
from leap_audit.ingest.inputs.selection import inputs_in_words
from leap_audit.ingest.model import Model
from leap_audit.pipeline.environment import fixed, now, portable, repeatable, versions
from leap_audit.pipeline.measurements import measure
from leap_audit.pipeline.reading import read
from leap_audit.pipeline.settings import nested
from leap_audit.pipeline.withhold import WITHHELD, withhold, without_paths
from leap_audit.pipeline.work import Measurements
from leap_audit.policy import judge, read_policy
from leap_audit.progress import Progress, Silent
from leap_audit.publish.folder import AuditFolder, default_folder, write_file
from leap_audit.report import write_report
from leap_audit.report.junit import hold_place, junit_of_audit
from leap_audit.text.filenames import legible

__all__ = ["AuditResult", "audit"]


@dataclass(frozen=True)
class AuditResult:
    """A finished audit and where it lies."""

    folder: Path
    audit: Audit


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
    progress: who is told what happens; nobody by default. trust_model: open a model that is a
    program also where the system offers no sandbox (docs/security.md).

    Raises LeapAuditError: each refusal with its reason (see leap_audit.errors).
    AuditIncomplete: Ctrl-C; what was finished is on disk, in a report marked INCOMPLETE.
    """
    started, clock = now(), time.perf_counter()
    given = layered(options.model_dump() if options else {}, nested(settings))
    chosen = AuditOptions.parse(given, "audit()")
    told = progress or Silent()
    source = Path(model) if isinstance(model, str | Path) else model
    place = Path(out) if out else default_folder(_named(source))
    declared = read_policy(policy) if policy is not None else None
    if junit is not None:
        hold_place(Path(junit), place)
    with AuditFolder.open(place) as folder:
        loaded, names, notes, digest = read(source, classes, chosen, told, trust_model=trust_model)
        provider = loaded.provider
        if declared is not None:
            declared.fit(names)
        seen = Measurements(folder.staging, names)
        try:
            measure(loaded, chosen, seen, told)
            complete = True
        except KeyboardInterrupt:
            complete = False
            told.warn("Interrupted: writing what is finished, marked INCOMPLETE.")
        if not chosen.photographs:
            withhold(seen)
        config = seen.config or chosen.model_dump(mode="json")
        # An audit that was interrupted before it looked at the photographs tells no path either.
        private = bool(chosen.samples) and seen.private is not False
        words = legible(command or shlex.join(sys.argv[:1]))
        record = Audit(
            status="complete" if complete else "incomplete",
            model=loaded.identity.model_copy(update=_classes_identity(classes, digest)),
            classes=names,
            environment=Environment(
                versions=versions(),
                provider=provider.name,
                seed=chosen.seed,
                threads=chosen.threads,
                command=WITHHELD if private else repeatable(words),
                started=started.isoformat(timespec="seconds"),
                seconds=0.0 if fixed() else round(time.perf_counter() - clock, 1),
            ),
            config=portable(without_paths(config) if private else config),
            coverage=Coverage(
                classes_audited=len({p.target for p in seen.prototypes}),
                classes_in_all=len(names),
                operators=loaded.operators,
                engine=_engine(loaded),
                batch=seen.batch,
            ),
            methods=seen.methods,
            notes=(*inputs_in_words(loaded.identity), *notes, *seen.notes),
            prototypes=tuple(seen.prototypes),
            matrix=seen.matrix,
            samples=tuple(seen.samples),
            readings=seen.readings,
            files=_pictures(folder.staging),
            findings=find(
                Evidence(
                    names,
                    seen.prototypes,
                    seen.samples,
                    seen.rankings,
                    seen.readings,
                    loaded.identity,
                )
            ),
        )
        if declared is not None:
            record = judge(record, declared)
        with told.stage("Writing the report", 1) as advance:
            try:
                write_report(record, folder.staging)
            except KeyboardInterrupt:  # hours may have been measured: once more before giving up
                told.warn("Everything is measured: the report is being written; Ctrl-C drops it.")
                write_report(record, folder.staging)
            advance()
        place = folder.publish(complete)
    if junit is not None:
        write_file(Path(junit), junit_of_audit(record))
    if not complete:
        raise AuditIncomplete(
            f"interrupted after {len(record.prototypes)} prototypes and {len(record.samples)} "
            f"photographs; what was finished is in {place / 'report.html'}, marked INCOMPLETE."
        )
    return AuditResult(place, record)


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
