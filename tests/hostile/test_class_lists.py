"""Lists of classes: whatever is none is one sentence, and names are no more than names."""

import json
from pathlib import Path

import pytest

from leap_audit.errors import ClassesRefused
from leap_audit.ingest.classes.lists import MAX_BYTES, read_classes
from leap_audit.text.filenames import clean

DEEP = "[" * 100_000 + "]" * 100_000
REFUSED = {
    "binary.txt": (bytes(range(256)), "is not UTF-8 text"),
    "zeros.txt": (b"cat\0\ndog\n", "is not UTF-8 text"),
    "enormous.txt": (b"cat\n" * (MAX_BYTES // 4 + 1), "which no list of classes is"),
    "enormous.json": (b'"' * (MAX_BYTES + 1), "which no list of classes is"),
    "deep.json": (DEEP.encode(), "nested too deeply|not a JSON list"),
    "object.json": (b'{"cat": "dog"}', "is not a JSON list of names"),
    "numbers.json": (b"[1, 2]", "is not a JSON list of names"),
    "surrogate.json": (b'["\\ud800"]', "is not valid Unicode"),
    "infinite.json": (b"[" + b"1" * 10_000 + b"]", "not valid JSON|not a JSON list"),
    "cut.json": (b'["cat", ', "is not valid JSON"),
    "empty.txt": (b"", "holds no class names"),
    "blank.txt": (b"\n\n \n", "holds no class names"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_list_is_one_sentence(tmp_path: Path, name: str) -> None:
    data, says = REFUSED[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ClassesRefused, match=says) as caught:
        read_classes(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500


NAMES = ("../../etc/passwd", "/etc/passwd", "a\u202etac", "\x1b[2Jgone", "a\x08\x08b", "{{7*7}}")


@pytest.mark.parametrize("suffix", ["txt", "json"])
def test_names_are_kept_and_shown_harmless(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"c.{suffix}"
    text = json.dumps(NAMES) if suffix == "json" else "\n".join(NAMES)
    path.write_text(text, encoding="utf-8")
    assert read_classes(path) == NAMES
    shown = [clean(name) for name in NAMES]
    assert all(name.isprintable() for name in shown)
    assert shown[:2] == list(NAMES[:2])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
