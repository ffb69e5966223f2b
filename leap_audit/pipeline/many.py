"""Audit several models, one folder each, as a registry lists them.

    out = "audits"
    policy = "release.toml"

    [options]
    effort = "quick"

    [[models]]
    model = "digits.onnx"
    classes = "digits.txt"

    [[models]]
    model = "pets.onnx"
    name = "pets-2"
    options = { targets = ["1-10"] }

Paths are relative to this file. A model that is refused does not stop the others. What was stopped
goes on: `.many.json` in the folder of the audits names those that are finished until all are.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from leap_audit.artifacts import Audit
from leap_audit.config import AuditOptions, Options
from leap_audit.errors import AuditIncomplete, ConfigRefused, LeapAuditError
from leap_audit.pipeline.connection import connected
from leap_audit.pipeline.flow import audit
from leap_audit.pipeline.plain import digest
from leap_audit.progress import Progress, Silent
from leap_audit.publish.folder import write_file
from leap_audit.tables import layered
from leap_audit.text.filenames import plain_name

__all__ = [
    "AuditedModel",
    "ListedModel",
    "ModelList",
    "audit_many",
    "list_of_files",
    "list_of_table",
]

PATHS = ("labels",)
"""Options that are one path."""
DONE = ".many.json"


class ListedModel(Options):
    """One model of a list."""

    model: Path
    """The file or folder, as `leap-audit MODEL` takes it."""
    name: str = ""
    """Name of its folder. Left out: the name of the file."""
    classes: Path | None = None
    """Names of its classes."""
    policy: str = ""
    """Thresholds to judge it by. Left out: those of the list."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of its audit, over those of the list."""


class ModelList(Options):
    """Several models, and what their audits have in common."""

    models: tuple[ListedModel, ...]
    out: Path = Path("audits")
    """Folder in which each audit has its own."""
    policy: str = ""
    """Thresholds to judge all by."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of every audit."""


@dataclass(frozen=True)
class AuditedModel:
    """How the audit of one model of a list ended."""

    name: str
    folder: Path
    audit: Audit | None
    """None where there is none."""
    reason: str = ""
    """Why there is none, or why it is incomplete."""


def list_of_files(models: tuple[Path, ...], out: Path, options: Mapping[str, Any]) -> ModelList:
    """Return the list of model files that have the same options. Raises ConfigRefused."""
    entries = tuple(ListedModel(model=each) for each in models)
    return _checked(ModelList(models=entries, out=out, options=dict(options)), "the command line")


def list_of_table(table: dict[str, Any], file: Path) -> ModelList:
    """Return the list in a table, with its paths relative to the folder of `file`.

    Raises ConfigRefused: an unknown key, a wrong value, no model, or two of one name.
    """
    read = ModelList.parse(table, str(file))
    beside = file.parent
    models = tuple(
        each.model_copy(
            update={
                "model": beside / each.model,
                "classes": beside / each.classes if each.classes else None,
                "policy": _policy(each.policy, beside),
                "options": _placed(each.options, beside),
            }
        )
        for each in read.models
    )
    changes = {
        "models": models,
        "out": beside / read.out,
        "policy": _policy(read.policy, beside),
        "options": _placed(read.options, beside),
    }
    return _checked(read.model_copy(update=changes), str(file))


def _policy(named: str, beside: Path) -> str:
    """A policy that is a file of the folder as its path; the name of a ready one as it is."""
    return str(beside / named) if named and (beside / named).is_file() else named


def _placed(options: Mapping[str, Any], beside: Path) -> dict[str, Any]:
    placed = dict(options)
    for name in PATHS:
        if isinstance(placed.get(name), str):
            placed[name] = str(beside / placed[name])
    samples = placed.get("samples")
    if samples is not None:
        several = [samples] if isinstance(samples, str) else samples
        placed["samples"] = [str(beside / each) for each in several]
    return placed


def _checked(listed: ModelList, where: str) -> ModelList:
    if not listed.models:
        raise ConfigRefused(f"{where}: lists no model; add one under [[models]].")
    names = [_name(each) for each in listed.models]
    for name in names:
        if names.count(name) > 1:
            raise ConfigRefused(
                f"{where}: two audits would be called {name!r}; give one of them another name."
            )
    for each in listed.models:
        AuditOptions.parse(layered(listed.options, each.options), f"{where}: {_name(each)}")
    return listed


def _name(listed: ListedModel) -> str:
    return plain_name(listed.name or listed.model.stem)


def audit_many(
    listed: ModelList,
    *,
    progress: Progress | None = None,
    trust_model: bool = False,
    fresh: bool = False,
    ray: str | None = None,
) -> list[AuditedModel]:
    """Audit every model of a list, one after the other, and return how each ended.

    progress, trust_model, fresh, ray: as of `leap_audit.audit`. An audit that is refused or that
    runs out of its minutes does not stop the others. Raises KeyboardInterrupt: Ctrl-C; the same
    list goes on with the model that was at hand.
    """
    progress = progress or Silent()
    done = {} if fresh else _done(listed.out)
    outcomes = []
    with connected(ray):
        for number, each in enumerate(listed.models, 1):
            name = _name(each)
            folder = listed.out / name
            key = digest([_key(listed, each)])
            progress.note(f"{number} of {len(listed.models)}: {name}")
            if done.get(name) == key and (finished := _finished(folder)) is not None:
                progress.note(f"{name}: finished before.")
                outcomes.append(AuditedModel(name, folder, finished))
                continue
            how = {"trust_model": trust_model, "fresh": fresh, "ray": ray}
            outcome = _audited(listed, each, folder, progress, **how)
            outcomes.append(outcome)
            if outcome.audit is not None and outcome.audit.status == "complete":
                done[name] = key
                write_file(listed.out / DONE, json.dumps(done, indent=1).encode())
    (listed.out / DONE).unlink(missing_ok=True)
    return outcomes


def _audited(
    listed: ModelList,
    each: ListedModel,
    folder: Path,
    progress: Progress,
    **how: Any,
) -> AuditedModel:
    """how: options of `leap_audit.audit` that are none of the audit's own."""
    options = AuditOptions.parse(layered(listed.options, each.options), _name(each))
    try:
        result = audit(
            each.model,
            each.classes,
            out=folder,
            options=options,
            policy=each.policy or listed.policy or None,
            progress=progress,
            **how,
        )
    except AuditIncomplete as error:
        if error.interrupted:
            raise KeyboardInterrupt from None
        return AuditedModel(_name(each), folder, _finished(folder), str(error))
    except LeapAuditError as error:
        progress.warn(f"{_name(each)}: {error}")
        return AuditedModel(_name(each), folder, None, str(error))
    return AuditedModel(_name(each), result.folder, result.audit)


def _key(listed: ModelList, each: ListedModel) -> dict[str, Any]:
    """What an audit that was finished before must have in common with the one to make."""
    facts = each.model_dump(mode="json") | {
        "of all": listed.options,
        "policy of all": listed.policy,
    }
    files = [file for file in (each.model, each.classes) if file is not None and file.exists()]
    stamps = [[file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return {"entry": json.dumps(facts, sort_keys=True, default=str), "files": stamps}


def _done(out: Path) -> dict[str, str]:
    """Name -> key of the audits that an unfinished run over this folder has finished."""
    try:
        found = json.loads((out / DONE).read_bytes())
    except (OSError, ValueError):
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {str(name): str(key) for name, key in pairs}


def _finished(folder: Path) -> Audit | None:
    try:
        return Audit.read(folder)
    except LeapAuditError:
        return None
