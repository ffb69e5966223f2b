"""The section of a model card, and the files beside the card that it shows."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from leap_audit.artifacts import Audit
from leap_audit.attach.escaped import escaped
from leap_audit.attach.record import Record, figures_of
from leap_audit.attach.section import END, START, card_text, with_section
from leap_audit.attach.strip import shown_prototypes, strip_of
from leap_audit.errors import CardRefused, RuntimeMissing, reason_of
from leap_audit.files import read_regular
from leap_audit.findings import concern_of
from leap_audit.publish.folder import write_file
from leap_audit.report.limits import limits_of
from leap_audit.report.wording import facts_of, status_sentence, verdict_sentence
from leap_audit.text.names import ClassLabels

__all__ = ["BESIDE", "CardFiles", "ReportPlace", "card_files", "no_hub", "write_card"]

LARGEST_CARD = 16_000_000
BESIDE = "leap-audit"
"""The folder beside a card that holds its picture and the copy of the report."""
FINDINGS = 3
ReportPlace = Literal["copy", "link"]
_TAGS = ["onnx", "leap-audit"]
_PIPELINE = {"segmentation": "image-segmentation", "detection": "object-detection"}


@dataclass(frozen=True)
class CardFiles:
    """A model card and the files that it shows, none of them written yet."""

    card: Path
    contents: dict[str, bytes]
    """Place relative to the card's folder, as a link says it -> bytes; the card itself first."""
    made: bool
    """Whether the card is new."""


def card_files(record: Record, card: Path, report: ReportPlace = "copy") -> CardFiles:
    """Return the card with its section, made or refreshed, and the files beside it.

    report: `copy` puts report.pdf into the folder `leap-audit` beside the card; `link` links to
    it in the audit's folder, which must lie in the card's.

    Raises CardRefused: the card cannot be read, its marks are broken, or a link would lead out of
    its folder. AuditRefused, PictureRefused: the audit lacks a file. RuntimeMissing: the package
    huggingface_hub is not installed.
    """
    before = _read(card)
    pdf = record.file("report.pdf")
    beside: dict[str, bytes] = {}
    if report == "copy":
        link = f"{BESIDE}/report.pdf"
        beside[link] = pdf
    else:
        link = _inside(record.folder / "report.pdf", card)
    prototypes = shown_prototypes(record.audit)
    picture = f"{BESIDE}/prototypes.png" if prototypes else None
    if picture is not None:
        beside[picture] = strip_of(prototypes, record.pictures)
    section = _section(record, link, picture)
    new = before is None
    base = _new_card(record.audit) if before is None else before
    return CardFiles(card, {card.name: with_section(base, section, card)} | beside, new)


def write_card(files: CardFiles) -> list[Path]:
    """Write what differs from what is there, the card last; return what was written.

    Raises OutputRefused.
    """
    written = []
    for place, data in reversed(files.contents.items()):
        path = files.card.parent / place
        if path.is_file() and path.read_bytes() == data:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CardRefused(
                f"{path.parent}: cannot be made ({error.strerror}); move what is there away."
            ) from None
        write_file(path, data)
        written.append(path)
    return written


def _read(card: Path) -> bytes | None:
    if card.is_dir():
        raise CardRefused(f"{card}: is a folder; give the card in it, README.md.")
    if not card.exists():
        return None
    try:
        data = read_regular(card, LARGEST_CARD)
    except OSError as error:
        raise CardRefused(f"{card}: cannot be read ({error.strerror}).") from None
    text = card_text(data, card)
    if text.lstrip().startswith("---"):
        try:
            _model_card()(text)
        except Exception as error:  # YAML's, or of the fields that the Hub knows
            raise CardRefused(
                f"{card}: its YAML header cannot be read ({reason_of(error)}); correct it."
            ) from None
    return data


def _inside(pdf: Path, card: Path) -> str:
    """The link from the card to the report."""
    place = os.path.relpath(pdf.resolve(), card.parent.resolve())
    if place.startswith(".."):
        raise CardRefused(
            f"{pdf}: lies outside the card's folder, so a link to it would break with the card; "
            "move the audit there, or use --report copy."
        )
    return Path(place).as_posix()


def _new_card(audit: Audit) -> bytes:
    """A card for a model that has none: only what the audit records."""
    model_card, card_data = _model_card(), _card_data()
    usual = "image-classification" if audit.embedding is None else "image-feature-extraction"
    data = card_data(pipeline_tag=_PIPELINE.get(audit.model.task, usual))
    data.tags = list(_TAGS)
    template = "---\n{{ card_data }}\n---\n\n# {{ title }}\n"
    card = model_card.from_template(data, template_str=template, title=escaped(audit.model.file))
    return f"{str(card).rstrip()}\n".encode()


def _model_card() -> Any:
    try:
        from huggingface_hub import ModelCard
    except ImportError:
        raise no_hub() from None
    return ModelCard


def _card_data() -> Any:
    from huggingface_hub import ModelCardData

    return ModelCardData


def no_hub() -> RuntimeMissing:
    """Return the error for what needs huggingface_hub where it is not installed."""
    return RuntimeMissing("huggingface_hub is not installed: pip install 'leap-audit[card]'.")


def _section(record: Record, link: str, picture: str | None) -> str:
    return "\n".join([START, *_lines(record, link, picture), END])


def _lines(record: Record, link: str, picture: str | None) -> Iterator[str]:
    audit, model = record.audit, record.audit.model
    yield from ("", "## Audit", "")
    if audit.status == "incomplete":
        yield from (f"**INCOMPLETE.** {status_sentence(audit)}", "")
    concern = concern_of(audit)
    yield (
        f"**Overall concern: {concern.level}.** {escaped(concern.what, 400)} "
        f"{escaped(concern.consequence, 400)}"
    )
    yield from ("", f"**Recommended action.** {escaped(concern.action, 400)}", "")
    policy = f" Criteria: {escaped(audit.policy.name)}." if audit.policy else ""
    yield f"**Verdict: {audit.verdict}.** {verdict_sentence(audit)}{policy}"
    yield from ("", "| | |", "|---|---|")
    yield f"| Model | {escaped(model.file)}, SHA-256 `{escaped(model.sha256)}` |"
    yield from (f"| {figure.label} | {escaped(figure.text)} |" for figure in figures_of(audit)[2:])
    yield from (
        f"| {label} | {escaped(value, 500)} |" for label, value in facts_of(audit.declared) if value
    )
    yield f"| Audited | {escaped(audit.environment.started)} |"
    if audit.findings:
        yield from ("", "Main findings:", "")
        yield from (
            f"- {finding.severity}: {escaped(finding.title, 200)}"
            for finding in audit.findings[:FINDINGS]
        )
    if picture is not None:
        labels = ClassLabels(audit.classes)
        names = ", ".join(escaped(labels.of(p.target)) for p in shown_prototypes(audit))
        yield from ("", f"![Prototypes of {names}]({quote(picture)})", "")
        yield (
            "Computer-generated examples of what the model looks for in each class, from the left: "
            f"{names}."
        )
    first = limits_of(audit)[0]
    yield from ("", f"**{escaped(first.title, 200)}.** {escaped(first.text, 1000)}", "")
    yield f"[The whole report, with method, limits and hashes (PDF)]({quote(link)})"
    yield ""
