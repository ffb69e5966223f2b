"""Arrays on the disk are those that were put there."""

import errno
import gc
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leap_audit.pipeline import spool
from leap_audit.pipeline.spool import Spool


def test_arrays_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "CHUNK", 40_000)
    kept, rng = Spool(tmp_path), np.random.default_rng(0)
    arrays: list[Any] = [
        rng.random((3, 40, 41)),
        rng.random((40, 70)).astype(np.float32).T,
        rng.random((60, 100)) > 0.5,
        rng.integers(0, 255, 5001).astype(np.uint8),
        rng.random((7, 2000)),
        rng.random((2, 600)).astype(">f8"),
    ]
    found: list[Any] = [kept.keep(each) for each in arrays]
    for one, other in zip(arrays, found, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
        assert not other.flags.writeable
        assert other.ctypes.data % 64 == 0
    del kept
    gc.collect()
    assert found[0].tobytes() == arrays[0].tobytes()
    assert list(tmp_path.iterdir()) == []


def test_small_arrays_stay_in_memory(tmp_path: Path) -> None:
    for array in (np.zeros(100), np.array([None] * 1000)):
        assert Spool(tmp_path).keep(array) is array


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of Linux")
def test_they_take_no_memory(tmp_path: Path) -> None:
    def own() -> int:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

    kept, before = Spool(tmp_path), own()
    found = [kept.keep(np.full((1000, 1000), float(i))) for i in range(20)]
    assert [each[-1, -1] for each in found] == list(range(20))
    assert own() - before < 80_000_000


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Spool(tmp_path)
    kept.keep(np.zeros(1000))

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(kept, "_file", SimpleNamespace(seek=lambda _: 0, write=full))
    with pytest.raises(OSError, match="No space left"):
        kept.keep(np.zeros(1000))
