"""The card as it is written: made, refreshed, escaped, uploaded."""

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from markdown_it import MarkdownIt
from PIL import Image

from leap_audit.artifacts import Audit
from leap_audit.attach.card import card_files, write_card
from leap_audit.attach.escaped import escaped
from leap_audit.attach.push import planned_upload, push
from leap_audit.attach.record import Record
from leap_audit.attach.section import END, START
from leap_audit.attach.strip import shown_prototypes
from leap_audit.errors import AuditRefused, CardRefused, LeapAuditError, RuntimeMissing
from leap_audit.text.names import shortened
from tests.attach.conftest import Made
from tests.builders.vectors import vectors

HOSTILE = (
    "<script>alert(1)</script>",
    "</td>|<b>bold</b>|*x*",
    "[link](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "`code` ~~s~~ __u__ $\\frac{1}{2}$",
    "https://evil.example www.evil.example a@evil.example",
    "a\n\n# b\r\n---\n",
    f"{END}\n{START}",
    "\u202egnp.x\u200b\x1b[31m",
    "&lt;b&gt; &amp;",
    "x" * 5000,
)


@pytest.fixture(scope="module", autouse=True)
def _hub() -> Any:
    return pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")


def rendered(markdown: str) -> str:
    return (
        MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)
    )


def test_a_card_is_made_and_then_stays(record: Record, tmp_path: Path) -> None:
    card = tmp_path / "repository" / "README.md"
    written = write_card(card_files(record, card))
    assert sorted(path.relative_to(card.parent).as_posix() for path in written) == [
        "README.md",
        "leap-audit/prototypes.png",
        "leap-audit/report.pdf",
    ]
    text = card.read_text(encoding="utf-8")
    from huggingface_hub import ModelCard

    header = ModelCard(text).data.to_dict()
    assert header == {"pipeline_tag": "image-classification", "tags": ["onnx", "leap-audit"]}
    assert "**Verdict: NOT ASSESSED.**" in text
    assert "| Classes audited | 2 of 3 |" in text
    assert "](leap-audit/report.pdf)" in text
    assert (card.parent / "leap-audit/report.pdf").read_bytes() == b"%PDF-1.7 a report"
    times = [path.stat().st_mtime_ns for path in written]
    assert write_card(card_files(record, card)) == []
    assert [path.stat().st_mtime_ns for path in written] == times


@pytest.mark.parametrize(
    ("differing", "tag"),
    [
        ({"task": "segmentation"}, "image-segmentation"),
        ({"task": "detection"}, "object-detection"),
        ({"embedding": vectors()}, "image-feature-extraction"),
    ],
)
def test_the_kind_of_model_is_the_cards_tag(
    made: Made, tmp_path: Path, differing: dict[str, Any], tag: str
) -> None:
    audit = made().audit
    model = audit.model.model_copy(update={k: v for k, v in differing.items() if k == "task"})
    changed = {"model": model, "embedding": differing.get("embedding")}
    record = Record(tmp_path / "model-audit", audit.model_copy(update=changed), "0" * 64)
    card = card_files(record, tmp_path / "README.md").contents["README.md"].decode()
    assert card.startswith(f"---\npipeline_tag: {tag}\n")


def test_only_the_section_of_a_card_changes(made: Made, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    before = b"\xef\xbb\xbf---\r\nlicense:   'mit' # odd\r\n---\r\n\r\n<b>x</b>|y|\r\nend"
    card.write_bytes(before)
    record = made()
    write_card(card_files(record, card))
    once = card.read_bytes()
    assert once.startswith(before)
    assert b"\n" not in once[len(before) :].replace(b"\r\n", b"")
    card.write_bytes(once + b"below\r\n")
    later = Record(
        record.folder, record.audit.model_copy(update={"verdict": "WARN"}), record.sha256
    )
    write_card(card_files(later, card))
    twice = card.read_bytes()
    assert b"**Verdict: WARN.**" in twice
    assert b"NOT ASSESSED" not in twice
    assert twice.startswith(before + b"\r\n\r\n" + START.encode())
    assert twice.endswith(END.encode() + b"\r\nbelow\r\n")


def test_the_strip_shows_each_target_once_and_no_photograph(record: Record, tmp_path: Path) -> None:
    data = card_files(record, tmp_path / "README.md").contents["leap-audit/prototypes.png"]
    with Image.open(io.BytesIO(data), formats=["PNG"]) as strip:
        assert strip.size == (2 * 160 + 8, 160)
    doubled = record.audit.model_copy(update={"prototypes": record.audit.prototypes * 2})
    assert [p.target for p in shown_prototypes(doubled)] == [(0,), (1,)]
    bare = Record(record.folder, record.audit.model_copy(update={"prototypes": ()}), record.sha256)
    files = card_files(bare, tmp_path / "README.md")
    assert list(files.contents) == ["README.md", "leap-audit/report.pdf"]
    assert b"![" not in files.contents["README.md"]


def test_a_link_to_the_report(record: Record, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    files = card_files(record, card, "link")
    assert b"](model-audit/report.pdf)" in files.contents["README.md"]
    assert "leap-audit/report.pdf" not in files.contents
    with pytest.raises(CardRefused, match=r"lies outside the card's folder.*--report copy"):
        card_files(record, tmp_path / "elsewhere" / "README.md", "link")


def test_an_incomplete_audit_says_so_first(made: Made, tmp_path: Path) -> None:
    text = card_files(made(status="incomplete"), tmp_path / "README.md").contents["README.md"]
    assert text.index(b"**INCOMPLETE.**") < text.index(b"**Verdict")


def test_hostile_names_stay_text(made: Made, tmp_path: Path) -> None:
    record = made(classes=HOSTILE, prototypes=len(HOSTILE))
    audit = hostile(record.audit)
    files = card_files(Record(record.folder, audit, record.sha256), tmp_path / "README.md")
    text = files.contents["README.md"].decode()
    section = text[text.index(START) : text.index(END)]
    assert len(re.findall("<!--\\s*leap-audit", text)) == 2
    page = rendered(section)
    tags = set(re.findall(r"<([a-z][a-z0-9]*)", page))
    wanted = {"h2", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert tags <= wanted | {"code", "img", "a"}
    assert re.findall(r'(?:href|src)="([^"]*)"', page) == [
        "leap-audit/prototypes.png",
        "leap-audit/report.pdf",
    ]
    assert page.count("<tr>") == 9
    assert page.count("<li>") == len(audit.findings[:3])
    assert "evil.example" in page
    assert not re.search(r"https?://evil|www\.evil|a@evil", page)
    assert "\u202e" not in text
    assert len(text) < 12_000


def hostile(audit: Audit) -> Audit:
    """Return the audit with the hostile names wherever a card shows a name."""
    words = " ".join(HOSTILE[:-1])
    findings = [f.model_copy(update={"title": words}) for f in audit.findings]
    return audit.model_copy(
        update={
            "model": audit.model.model_copy(update={"file": words, "sha256": f"`{words}"}),
            "environment": audit.environment.model_copy(update={"started": words}),
            "findings": tuple(findings),
        }
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_is_read_as_it_stands(text: str) -> None:
    page = rendered(f"x {escaped(text)} x").replace("<!-- -->", "")
    shown = re.sub(
        r"&(lt|gt|amp|quot);", lambda m: {"lt": "<", "gt": ">", "amp": "&"}.get(m[1], '"'), page
    )

    assert shown == f"<p>x {shortened(text)} x</p>\n"


def test_what_is_refused(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = tmp_path / "README.md"
    with pytest.raises(CardRefused, match="is a folder"):
        card_files(record, tmp_path)
    for bad, why in ((b"---\na: [\n---\n", "its YAML header cannot"), (b"\xff\xfe", "not UTF-8")):
        card.write_bytes(bad)
        with pytest.raises(CardRefused, match=why):
            card_files(record, card)
        assert card.read_bytes() == bad
    card.unlink()
    (record.folder / "report.pdf").unlink()
    with pytest.raises(AuditRefused, match=r"report\.pdf: is missing"):
        card_files(record, card)
    (record.folder / "report.pdf").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(RuntimeMissing, match=r"leap-audit\[card\]"):
        card_files(record, card)
    assert not card.exists()


class Api:
    """An HfApi that records what would be uploaded."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.commits: list[dict[str, Any]] = []

    def create_commit(self, **commit: Any) -> Any:
        if self.error is not None:
            raise self.error
        self.commits.append(commit)
        pull = "https://hub.example/pr/1" if commit["create_pr"] else None
        return SimpleNamespace(pr_url=pull, commit_url="https://hub.example/commit/1")


def test_a_push_uploads_the_bytes_that_it_named(record: Record, tmp_path: Path) -> None:
    files = card_files(record, tmp_path / "README.md")
    upload = planned_upload(files, "me/model", create_pr=True)
    said = "\n".join(upload.lines())
    assert "as a pull request to me/model" in said
    api = Api()
    assert push(upload, api) == "https://hub.example/pr/1"
    (commit,) = api.commits
    assert (commit["repo_id"], commit["create_pr"]) == ("me/model", True)
    sent = {each.path_in_repo: each.path_or_fileobj for each in commit["operations"]}
    assert sent == files.contents
    assert all(f"{name}, {len(data):,} bytes" in said for name, data in sent.items())
    straight = planned_upload(files, "me/model", create_pr=False)
    assert "straight into the main branch" in straight.lines()[0]
    assert push(straight, api) == "https://hub.example/commit/1"


def test_a_push_that_is_refused(record: Record, tmp_path: Path) -> None:
    with pytest.raises(CardRefused, match=r"only README\.md is the card"):
        planned_upload(card_files(record, tmp_path / "card.md"), "me/model", create_pr=True)
    upload = planned_upload(card_files(record, tmp_path / "README.md"), "me/model", create_pr=True)
    with pytest.raises(LeapAuditError, match=r"me/model: the Hub refuses .*401 no"):
        push(upload, Api(OSError("401 no")))
