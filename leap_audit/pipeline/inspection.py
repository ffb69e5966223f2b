"""A dry run: read the model as an audit does, say what was understood, plan, and stop."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from leap_audit.artifacts import ModelIdentity
from leap_audit.config import AuditOptions
from leap_audit.measure.plan import Plan
from leap_audit.pipeline.embedding import read_audited
from leap_audit.pipeline.execution import InThisProcess
from leap_audit.pipeline.measuring import Measuring, plan
from leap_audit.pipeline.settings import nested
from leap_audit.pipeline.study import prepared
from leap_audit.policy import read_policy
from leap_audit.progress import Progress
from leap_audit.tables import layered
from leap_audit.watching import default_progress

__all__ = ["Inspection", "inspect"]


@dataclass(frozen=True)
class Inspection:
    """What an audit would begin with."""

    model: ModelIdentity
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    plan: Plan

    def summary(self) -> dict[str, Any]:
        """Return what a program needs to know, ready for JSON."""
        return {
            "status": "dry run",
            "model": self.model.model_dump(mode="json"),
            "classes": list(self.classes),
            "notes": list(self.notes),
            "plan": asdict(self.plan),
        }


def inspect(
    model: object,
    classes: str | Path | Sequence[str] | None = None,
    *,
    options: AuditOptions | None = None,
    policy: str | Path | None = None,
    progress: Progress | None = None,
    trust_model: bool = False,
    **settings: Any,
) -> Inspection:
    """Return what an audit would understand of a model, and its plan; write nothing.

    Parameters as of `leap_audit.audit`. The photographs are read and shown to the model once,
    because the plan counts what the model says of them.

    Raises LeapAuditError: what an audit would refuse before its long work.
    """
    values = layered(options.model_dump(exclude_unset=True) if options else {}, nested(settings))
    chosen = AuditOptions.parse(values, "inspect()")
    progress = progress or default_progress()
    source = Path(model) if isinstance(model, str | Path) else model
    declared = read_policy(policy) if policy is not None else None
    parts: dict[str, object] = {}
    understood, embedded = read_audited(
        source, classes, chosen, progress, parts, trust_model=trust_model
    )
    loaded, names, notes, _ = understood
    if declared is not None:
        declared.fit(names)
    study, computing = prepared(loaded, names, chosen, parts, embedded=embedded)
    measuring = Measuring(study, InThisProcess(computing, study.batches.workers), parts, progress)
    planned = plan(measuring)
    album = measuring.study.album
    return Inspection(loaded.identity, names, (*notes, *album.notes), planned)
