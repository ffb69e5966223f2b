"""Units of work and their results: equal keys, equal bits, on disk as in memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leap_audit.artifacts import OtherReading, Readings
from leap_audit.measure.entanglement import Shared
from leap_audit.pipeline.assembly import assemble
from leap_audit.pipeline.execution import finish
from leap_audit.pipeline.parts import PartsFolder, load_part, save_part
from leap_audit.pipeline.plain import decoded, digest, encoded
from leap_audit.pipeline.study import draws
from leap_audit.pipeline.units import Predict
from tests.builders.measuring import measured, measuring


def test_parts_on_disk_give_the_same_record(sample_models: Path, tmp_path: Path) -> None:
    more = {"methods": ("smoothgrad",), "method_options": {"smoothgrad": {"copies": 2}}}
    first = measured(measuring(sample_models, {}, **more))
    on_disk = measured(measuring(sample_models, PartsFolder(tmp_path), **more))
    assert set(on_disk.parts) == set(first.parts)
    for key, result in first.parts.items():
        assert digest(on_disk.parts[key]) == digest(result)
    one, other = (assemble(each.study, each.parts) for each in (first, on_disk))
    assert digest(one) == digest(other)
    assert one.prototypes[0].isolations
    assert one.prototypes[0].attributions


def test_finished_units_are_not_done_again(
    sample_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(measuring(sample_models, PartsFolder(tmp_path)))
    monkeypatch.setattr(
        "leap_audit.pipeline.execution.perform", lambda *_: pytest.fail("done again")
    )
    measured(measuring(sample_models, PartsFolder(tmp_path)))


def test_a_batch_depends_on_itself_alone(sample_models: Path) -> None:
    every = measured(measuring(sample_models, {}))
    alone = measuring(sample_models, {})
    last = draws(alone.study)[-1]
    finish([last], alone.executor, alone.parts)
    assert digest(alone.parts[last.key]) == digest(every.parts[last.key])


@pytest.mark.parametrize(
    "settings",
    [{"seed": 1}, {"prototype": {"steps": 3}}, {"batch": 4}, {"threads": 2}],
)
def test_keys_differ_by_what_determines_results(
    sample_models: Path, settings: dict[str, Any]
) -> None:
    first, other = (measuring(sample_models, {}, **each) for each in ({}, settings))
    keys, others = ({unit.key for unit in draws(each.study)} for each in (first, other))
    assert keys == {unit.key for unit in draws(first.study)}
    assert not keys & others


def test_keys_differ_by_the_pictures_and_the_model(sample_models: Path) -> None:
    ground = measuring(sample_models, {}).study.ground
    black, grey = np.zeros((1, 2, 2), np.float32), np.full((1, 2, 2), 0.5, np.float32)
    keys = [
        Predict(ground, (black,)).key,
        Predict(ground, (grey,)).key,
        Predict(ground, (black, grey)).key,
        Predict(ground, (grey, black)).key,
        Predict(ground, (black.reshape(1, 1, 4),)).key,
        Predict(ground, (black.astype(np.float64),)).key,
        Predict(replace(ground, model="other"), (black,)).key,
        Predict(replace(ground, versions={"numpy": "0"}), (black,)).key,
        Predict(replace(ground, numbers=0), (black,)).key,
    ]
    assert len(set(keys)) == len(keys)
    assert Predict(ground, (black.copy(),)).key == keys[0]


def test_a_part_is_kept_bit_for_bit(tmp_path: Path) -> None:
    rows = np.array([[0.1, -0.0, np.nan, np.inf]], np.float32)
    other = OtherReading(text="ä", right=2, p=0.1 + 0.2)
    result = (Shared({3: 1 / 3}), Readings(photographs=3, right=1, others=(other,)), rows, None)
    save_part(result, tmp_path / "a.npz")
    found = load_part(tmp_path / "a.npz")
    assert digest(found) == digest(result)
    assert found[0] == result[0]
    assert found[1] == result[1]
    assert found[2].tobytes() == rows.tobytes()
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_damaged_part_counts_as_absent(tmp_path: Path, keep: int) -> None:
    parts = PartsFolder(tmp_path)
    parts["a"] = (np.arange(100.0),)
    file = tmp_path / "a.npz"
    file.write_bytes(file.read_bytes()[:keep])
    parts = PartsFolder(tmp_path)
    assert "a" not in parts
    with pytest.raises(ValueError, match=r"a\.npz"):
        load_part(file)
    parts["a"] = (np.arange(3.0),)
    assert parts["a"][0].tolist() == [0, 1, 2]
    del parts["a"]
    assert len(parts) == 0
    with pytest.raises(KeyError):
        del parts["a"]


def test_what_is_no_plain_data() -> None:
    with pytest.raises(TypeError, match="object is no plain data"):
        encoded(object())
    with pytest.raises(TypeError, match="array of objects"):
        encoded(np.array([object()]))
    with pytest.raises(ValueError, match="'Popen' is no part"):
        decoded({"Popen": {}}, [], {})
    with pytest.raises(ValueError, match="not a tree"):
        decoded([1], [], {})
