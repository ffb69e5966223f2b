"""Class names: read from text and JSON, refused with a sentence, matched to the outputs."""

from pathlib import Path

import onnx
import pytest

from leap_audit.errors import ClassesRefused
from leap_audit.ingest.classes.lists import metadata_names, read_classes
from leap_audit.ingest.classes.names import display_name, match_classes, quoted


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"cat\ndog\n", ("cat", "dog")),
        (b"\xef\xbb\xbfcat\r\ndog\r\n\r\n \r\n", ("cat", "dog")),
        (b"cat\rdog", ("cat", "dog")),
        (b"tench, Tinca tinca \n\tgoldfish", ("tench, Tinca tinca", "goldfish")),
        ("caf\u00e9\nform\x0cfeed".encode(), ("caf\u00e9", "form\x0cfeed")),
        ("a\u2028b\n".encode(), ("a\u2028b",)),
        (b"[unused]\ncat", ("[unused]", "cat")),
        (b'["cat", " dog "]', ("cat", "dog")),
    ],
)
def test_the_names_of_a_file(tmp_path: Path, data: bytes, names: tuple[str, ...]) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(data)
    assert read_classes(path) == names


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("map.json", b'{"1": "dog", "0": "cat"}'),
        ("imagenet.json", b'{"0": ["n02121808", "cat"], "1": ["n02084071", "dog"]}'),
        ("config.json", b'{"architectures": ["ViT"], "id2label": {"0": "cat", "1": "dog"}}'),
        ("config.json", b'{"label2id": {"dog": 1, "cat": 0}}'),
        ("config.json", b'{"num_classes": 2, "pretrained_cfg": {"label_names": ["cat", "dog"]}}'),
        ("bare.txt", b'{"0": "cat", "1": "dog"}'),
        ("named.csv", b"index,name\n1,dog\n0,cat\n"),
        ("headless.csv", b"0,cat\n1,dog\n"),
        ("turned.csv", b"dog,1\ncat,0\n"),
        ("one.csv", b"cat\ndog\n"),
        ("one.csv", b"label\ncat\ndog\n"),
        ("more.tsv", b"id\tcolour\tlabel\n0\tred\tcat\n1\tblue\tdog\n"),
        ("pandas.csv", b",class_name\n0,cat\n1,dog\n"),
    ],
)
def test_the_names_of_a_table(tmp_path: Path, file: str, data: bytes) -> None:
    path = tmp_path / file
    path.write_bytes(data)
    assert read_classes(path) == ("cat", "dog")


@pytest.mark.parametrize(
    ("key", "value", "names"),
    [
        ("names", "{0: 'cat', 1: 'dog'}", ["cat", "dog"]),
        ("id2label", '{"1": "dog", "0": "cat"}', ["cat", "dog"]),
        ("Classes", "cat,dog", ["cat", "dog"]),
        ("labels", "cat\ndog", ["cat", "dog"]),
        ("labels", "cat\ndog\nbird", None),
        ("labels", "[1, 2]", None),
        ("author", "cat,dog", None),
    ],
)
def test_the_names_inside_a_model(key: str, value: str, names: list[str] | None) -> None:
    model = onnx.ModelProto()
    model.metadata_props.add(key=key, value=value)
    assert metadata_names(model, 2) == (None if names is None else (names, key))


@pytest.mark.parametrize(
    ("file", "data", "says"),
    [
        ("c.txt", b"", "no class names"),
        ("c.txt", b"\n\n", "no class names"),
        ("c.txt", b"cat\n\ndog", "line 2 is empty"),
        ("c.json", b'["cat", ""]', "entry 2 is empty"),
        ("c.json", b'["cat", 3]', "not a JSON list of names"),
        ("c.json", b'{"0": "cat", "2": "dog"}', "2 names and none for class 1"),
        ("c.json", b'{"cat": "dog"}', "not a JSON list of names"),
        ("c.json", b'{"num_labels": 3}', "not a JSON list of names"),
        ("c.csv", b"index,name\n0,cat\n0,dog\n", "numbers two names alike"),
        ("c.csv", b"index,name\n0,cat\n1,dog,wolf\n", "different numbers of cells"),
        ("c.json", b'["cat"', "not valid JSON"),
        ("c.json", b"[" * 100_000, "nested too deeply"),
        ("c.json", b'["\\ud800"]', "not valid Unicode"),
        ("c.txt", b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8 text"),
        ("c.txt", b"cat\0dog", "not UTF-8 text"),
        ("c.txt", "caf\u00e9".encode("utf-16"), "not UTF-8 text"),
        ("c.txt", b"x" * 16_000_001, "larger than 16 MB"),
    ],
)
def test_a_file_that_is_refused(tmp_path: Path, file: str, data: bytes, says: str) -> None:
    path = tmp_path / file
    path.write_bytes(data)
    with pytest.raises(ClassesRefused, match=says) as refusal:
        read_classes(path)
    assert str(path) in str(refusal.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ClassesRefused, match="No such file"):
        read_classes(tmp_path / "none.txt")
    with pytest.raises(ClassesRefused, match="not a file"):
        read_classes(tmp_path)


def test_classes_without_names_are_numbered() -> None:
    names, notes = match_classes(None, 3)
    assert names == ("0", "1", "2")
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("names", "outputs", "says"),
    [
        (1001, 1000, "1001 class names .* 1000 outputs; one name is too many"),
        (1002, 1001, "one name is too many"),
        (9, 10, "one name is missing"),
        (11, 10, "one name is too many"),
        (10, 1000, "one name per output"),
    ],
)
def test_a_wrong_count(names: int, outputs: int, says: str) -> None:
    with pytest.raises(ClassesRefused, match=says):
        match_classes([f"c{index}" for index in range(names)], outputs)


def test_the_background_of_imagenet() -> None:
    """TensorFlow's models have an output for it, most lists no name."""
    names = [f"c{index}" for index in range(1000)]
    found, (note,) = match_classes(names, 1001)
    assert found == ("background", *names)
    assert "taken for the background" in note
    found, (note,) = match_classes(["Background", *names], 1000)
    assert found == tuple(names)
    assert "'Background', is left out" in note


def test_names_given_in_python_are_checked_too() -> None:
    with pytest.raises(ClassesRefused, match="entry 2 is empty"):
        match_classes(["cat", " "], 2)
    with pytest.raises(ClassesRefused, match="entry 1 is 7"):
        match_classes([7, "cat"], 2)


def test_duplicates_are_kept_and_noted() -> None:
    names, notes = match_classes(["crane", "cat", "crane"], 3)
    assert names == ("crane", "cat", "crane")
    assert "'crane' (0, 2)" in notes[0]
    assert display_name(names, 2) == "crane [2]"
    assert display_name(names, 1) == "cat"
    assert match_classes(["cat", "dog"], 2)[1] == ()


def test_a_name_in_a_message_is_short_and_harmless() -> None:
    assert quoted("\x1b[31mred\n") == r"'\x1b[31mred\n'"
    assert len(quoted("x" * 5000)) == 62


def test_one_score_may_be_named_by_one_class() -> None:
    names, (note,) = match_classes(["broken"], 2, single=True)
    assert names == ("not broken", "broken")
    assert "One class was named, 'broken'" in note
    assert match_classes(["sound", "broken"], 2, single=True) == (("sound", "broken"), ())
    with pytest.raises(ClassesRefused, match="1 class names for a model with 2"):
        match_classes(["broken"], 2)


@pytest.mark.parametrize(("length", "fine"), [(2_000, True), (2_001, False)])
def test_a_name_has_an_end(length: int, fine: bool) -> None:
    names = ["a", "b" * length]
    if fine:
        assert match_classes(names, 2)[0][1] == "b" * length
    else:
        with pytest.raises(ClassesRefused, match=r"2 has 2,001 characters; a name has at most"):
            match_classes(names, 2)
