"""Repeat an audit as it is recorded, and compare every field."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from leap_audit.artifacts import Audit
from leap_audit.config import AuditOptions
from leap_audit.errors import AuditRefused, UsageError
from leap_audit.pipeline import audit as run_audit
from leap_audit.pipeline.environment import WITHHELD
from leap_audit.progress import Progress
from leap_audit.tables import layered
from leap_audit.verify.views import differing_versions

__all__ = ["ChangedField", "Rerun", "differences", "rerun"]

FREE = frozenset(f"environment.{name}" for name in ("started", "seconds", "runs", "command"))
"""What may differ between two equal runs."""
JUDGED = frozenset({"verdict", "policy", "checks"})
"""What a policy says of an audit later; it is not measured."""
_ABSENT = "absent"


@dataclass(frozen=True)
class ChangedField:
    """A field of audit.json that has another value in the repetition."""

    path: str
    then: str
    now: str


@dataclass(frozen=True)
class Rerun:
    """The comparison of a repetition with the record."""

    differences: list[ChangedField]
    versions: list[str]
    """Packages with other versions than the audit had; figures may differ because of them."""


def rerun(
    audit: Audit,
    model: Path | None,
    classes: Path | None,
    samples: Sequence[Path] = (),
    progress: Progress | None = None,
) -> Rerun:
    """Repeat an audit with the options it records, and compare every field.

    model, classes: the files, of which the audit records only the names. samples: where the
    photographs are now; unless given, where they were.

    Raises UsageError: a file is needed and not given. AuditRefused: the audit was interrupted, or
    its options are not of this version; and whatever an audit raises.
    """
    if model is None:
        raise UsageError("--rerun needs the model: pass --model.")
    if audit.model.classes_file is not None and classes is None:
        raise UsageError(f"--rerun needs the list of classes, {audit.model.classes_file!r}.")
    if audit.status != "complete":
        raise AuditRefused("the audit was interrupted and cannot be repeated; run it again whole.")
    if not samples and audit.config.get("samples") == [WITHHELD]:
        raise UsageError(
            "--rerun needs the photographs: pass --samples. Their paths were withheld."
        )
    moved: dict[str, Any] = {"samples": [str(path) for path in samples]} if samples else {}
    if audit.config.get("labels") == WITHHELD:
        moved["labels"] = None
    options = AuditOptions.parse(layered(audit.config, moved), "the audit's config")
    with TemporaryDirectory() as scratch:
        again = run_audit(
            model,
            classes,
            out=Path(scratch) / "again",
            options=options,
            repeat=audit.coverage,
            progress=progress,
        ).audit
    ours = differing_versions(audit)
    skipped = FREE | JUDGED
    if ours:
        skipped |= {"environment.versions"}
    if samples:
        skipped |= {"config.samples"}
    if not audit.files:
        skipped |= {"files"}
    return Rerun(list(differences(_plain(audit), _plain(again), skipped)), ours)


def differences(
    then: Any, now: Any, skipped: frozenset[str] = frozenset(), path: str = ""
) -> Iterator[ChangedField]:
    """Yield what differs between two JSON values, in order, without the fields `skipped`.

    Fields are named by dotted paths, places in lists by numbers from 0: 'prototypes.3.logit'.
    """
    if path in skipped:
        return
    if isinstance(then, dict) and isinstance(now, dict):
        for key in [*then, *(key for key in now if key not in then)]:
            below = f"{path}.{key}" if path else str(key)
            yield from differences(then.get(key, _ABSENT), now.get(key, _ABSENT), skipped, below)
    elif isinstance(then, list) and isinstance(now, list):
        for i in range(max(len(then), len(now))):
            one, other = ([each[i]] if i < len(each) else [_ABSENT] for each in (then, now))
            yield from differences(one[0], other[0], skipped, f"{path}.{i}")
    elif type(then) is not type(now) or then != now:
        yield ChangedField(path, _short(then), _short(now))


def _plain(audit: Audit) -> Any:
    return json.loads(audit.model_dump_json(by_alias=True))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
