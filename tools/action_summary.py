"""Write what the GitHub Action shows of an audit: the step summary, annotations and outputs.

    python action_summary.py SUMMARY.json [COMPARISON.json]

reads what `leap-audit --json` and `leap-audit compare --json` printed. It uses the standard library
alone. Environment: GITHUB_STEP_SUMMARY and GITHUB_OUTPUT are the runner's files; PICTURES is an
https address at which the workflow publishes the folder of the report, so that the summary can
show pictures (GitHub removes embedded ones); ARTIFACT is the address of the kept report.
"""

import html
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

__all__ = ["annotations", "outputs", "read", "summary"]

Json = dict[str, Any]
MARKS = {"FAIL": "❌", "WARN": "⚠️", "NOT ASSESSED": "❔", "PASS": "✅"}
LEVELS = {"high": "error", "medium": "warning", "low": "notice", "info": "notice"}
PICTURES = 8
"""Pictures of one kind in the summary."""
FINDINGS = 20
"""Findings in the summary and among the annotations; the report has them all."""


def read(path: Path) -> Json:
    """Return what a command printed with --json, or the refusal that its silence stands for."""
    try:
        printed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the command line was refused, and only stderr says why
        printed = None
    if isinstance(printed, dict) and "status" in printed:
        return printed
    return {"status": "refused", "error": "The command line was refused; see the log."}


def summary(told: Json, compared: Json | None, pictures: str = "", artifact: str = "") -> str:
    """Return the step summary as Markdown: verdict, checks, findings, changes, pictures."""
    title = told.get("verdict") or told["status"].upper()
    lines = [f"## {MARKS.get(title, '❔')} leap-audit: {_plain(title)}", ""]
    if "error" in told:
        lines += [_plain(told["error"]), ""]
    else:
        lines += _audit(told)
        lines += _pictures(told, pictures)
    if compared is not None:
        lines += _comparison(compared)
    if artifact.startswith("https://"):
        lines += [f"[The whole report, as HTML and PDF]({_url(artifact)})", ""]
    return "\n".join(lines) + "\n"


def _audit(told: Json) -> Iterator[str]:
    policy = f"policy {_plain(told['policy'])}" if told["policy"] else "no policy"
    yield (
        f"{told['classes_audited']} of {told['classes_in_all']} classes, {told['samples']} "
        f"photographs, {len(told['findings'])} findings; overall concern: "
        f"{_plain(told['concern'])}; {policy}."
    )
    yield ""
    if told["checks"]:
        yield from ("| | check | measured | threshold |", "|---|---|---|---|")
        order = list(MARKS)
        for check in sorted(told["checks"], key=lambda each: order.index(each["status"])):
            yield (
                f"| {MARKS[check['status']]} {check['status']} | {_plain(check['id'])} "
                f"| {_plain(check['measured'])} | {_plain(check['threshold'])} |"
            )
        yield ""
    if told["findings"]:
        yield "### Findings"
        yield ""
        for finding in told["findings"][:FINDINGS]:
            yield (
                f"- **{_plain(finding['severity'])}**: {_plain(finding['title'])}. "
                f"{_plain(finding['action'])}"
            )
        if len(told["findings"]) > FINDINGS:
            yield f"- and {len(told['findings']) - FINDINGS} more in the report"
        yield ""


def _pictures(told: Json, address: str) -> Iterator[str]:
    """Show the pictures of the findings and the prototypes, where they are published."""
    if not address.startswith("https://"):
        return
    try:
        audit = json.loads(Path(told["reports"]["json"]).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    shown = [each for finding in audit["findings"] for each in finding["pictures"]][:PICTURES]
    prototypes = audit["prototypes"][:PICTURES]
    rows = (
        ("Pictures of the findings", [(each["image"], each["caption"]) for each in shown]),
        ("Prototypes (generated examples)", [(e["image"], e["name"]) for e in prototypes]),
    )
    for title, images in rows:
        if images:
            yield from (f"### {title}", "")
            yield " ".join(
                f'<img src="{_url(address.rstrip("/"))}/{_url(image)}" width="96" '
                f'alt="{_plain(caption)}" title="{_plain(caption)}">'
                for image, caption in images
            )
            yield ""


def _comparison(compared: Json) -> Iterator[str]:
    yield from ("### Compared with the baseline", "")
    if "error" in compared:
        yield from (_plain(compared["error"]), "")
        return
    verdict = compared["verdict"]
    yield f"Verdict: {_plain(verdict['old'])} → {_plain(verdict['new'])}."
    yield ""
    yield from (f"- worse: {_plain(each)}" for each in compared["worse"])
    yield from (
        f"- {_plain(each['severity'])}, {_plain(each['direction'])}: {_plain(each['title'])}"
        for each in compared["changes"][:FINDINGS]
    )
    yield ""


def annotations(told: Json, compared: Json | None) -> list[str]:
    """Return workflow commands: an error for each failed check, else warnings and notices."""
    if "error" in told:
        return [_annotation("error", "leap-audit", told["error"])]
    made = []
    for check in told["checks"]:
        text = f"{check['measured']} Threshold: {check['threshold']}"
        if check["status"] == "FAIL":
            made.append(_annotation("error", f"leap-audit: {check['id']}", text))
        elif check["status"] == "WARN" or (check["required"] and check["value"] is None):
            made.append(_annotation("warning", f"leap-audit: {check['id']}", text))
    judged = any(check["status"] == "FAIL" for check in told["checks"])
    for finding in told["findings"][:FINDINGS]:
        level = LEVELS[finding["severity"]]
        # Only a policy fails a build; without a failed check a finding is no error.
        level = "warning" if level == "error" and not judged else level
        text = f"{finding['title']}. {finding['action']}"
        made.append(_annotation(level, f"leap-audit: {finding['severity']} finding", text))
    for each in (compared or {}).get("worse", []):
        made.append(_annotation("warning", "leap-audit: worse than the baseline", each))
    return made


def outputs(told: Json) -> str:
    """Return the lines of GITHUB_OUTPUT."""
    return f"verdict={told.get('verdict', '')}\nconcern={told.get('concern', '')}\n"


def _annotation(level: str, title: str, text: str) -> str:
    def data(value: str) -> str:
        return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    named = data(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={named}::{data(text)}"


def _plain(text: object) -> str:
    """Text of a model or a file, so that Markdown and HTML show it and read nothing in it."""
    return "".join(
        f"&#{ord(sign)};" if sign in "|`*_[]\\!~#@" else html.escape(sign)
        for sign in " ".join(str(text).split())
    )


def _url(address: str) -> str:
    return quote(address, safe=":/?=&%-._~")


def main(words: list[str]) -> None:
    told = read(Path(words[0]))
    compared = read(Path(words[1])) if len(words) > 1 else None
    places = os.environ.get("PICTURES", ""), os.environ.get("ARTIFACT", "")
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as file:
        file.write(summary(told, compared, *places))
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(outputs(told))
    sys.stdout.reconfigure(encoding="utf-8")
    print("\n".join(annotations(told, compared)))


if __name__ == "__main__":
    main(sys.argv[1:])
