import csv
from pathlib import Path

from leap_audit.report import results_table
from leap_audit.report.table import COLUMNS, write_table
from tests.report.conftest import Build


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_there_is_a_row_for_each_prototype_entanglement_and_isolation(
    build: Build, tmp_path: Path
) -> None:
    audit = build(prototypes=2, isolations=2, samples=1)
    write_table(audit, tmp_path / "results.csv")
    rows = rows_of(tmp_path / "results.csv")
    assert tuple(rows[0]) == COLUMNS
    kinds = [row["kind"] for row in rows]
    assert [kinds.count(kind) for kind in ("prototype", "entanglement", "isolation")] == [2, 2, 6]
    assert rows[0] == {
        "project": "model",
        "target_class": "cat",
        "output_class": "cat",
        "target_index": "0",
        "output_index": "0",
        "kind": "prototype",
        "sample": "",
        "logits": "12.25",
        "probs": "0.97",
        "entanglement": "0.6",
        "step": "192",
        "prototype": "images/small.png",
        "isolation": "",
        "mask": "",
    }
    assert rows[-1]["sample"] == "photo 0.jpg"
    assert rows[-1]["target_index"] == ""
    assert rows[-1]["output_class"] == "dog"


def test_a_hybrid_names_its_classes(build: Build) -> None:
    audit = build(prototypes=1, isolations=0, samples=0)
    hybrid = audit.prototypes[0].model_copy(update={"target": (0, 2)})
    table = results_table(audit.model_copy(update={"prototypes": (hybrid,)}))
    assert table.loc[0, "target_class"] == "cat+owl"
    assert table.loc[0, "target_index"] == "0+2"


def test_an_audit_of_nothing_is_a_table_with_a_head(build: Build, tmp_path: Path) -> None:
    write_table(build(prototypes=0, samples=0), tmp_path / "results.csv")
    assert (tmp_path / "results.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_a_spreadsheet_runs_no_name_as_a_formula(build: Build, tmp_path: Path) -> None:
    classes = ("=cmd|' /C calc'!A0", " +1", "@SUM(1)", "-2", "\t=1", "ok\n=1", "＝1")
    write_table(build(classes=classes, prototypes=7, samples=0), tmp_path / "results.csv")
    names = [row["target_class"] for row in rows_of(tmp_path / "results.csv")]
    assert "'=cmd|' /C calc'!A0" in names
    assert "[U+0009]=1" in names
    assert "ok[U+000A]=1" in names
    assert not [name for name in names if name.strip().startswith(("=", "+", "-", "@", "＝"))]
