"""Where a child process finds its modules."""

import os
from pathlib import Path

import pytest

import leap_audit
from leap_audit.ingest.sandbox.grants import environment


def test_a_child_finds_the_package_in_the_checkout_worked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = Path(leap_audit.__file__).parents[1]
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(checkout))
    for folder, kept in ((checkout, [checkout, tmp_path]), (tmp_path, [checkout])):
        monkeypatch.chdir(folder)
        places = environment(str(tmp_path / "home"))["PYTHONPATH"].split(os.pathsep)
        mine = [Path(p) for p in places if Path(p) in (checkout, tmp_path)]
        assert list(dict.fromkeys(mine)) == kept
