"""What is said where there is no Ray, or no cluster; none of it starts one."""

import io
import socket
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leap_audit.cli import app
from leap_audit.errors import ClusterUnavailable
from leap_audit.pipeline.connection import _WithoutRay, connected, require_cluster


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)


@pytest.fixture
def some_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any module stand for Ray, which is only to be there."""
    monkeypatch.setitem(sys.modules, "ray", socket)


@pytest.mark.parametrize("words", [[], ["many"]])
def test_the_extra_is_named(
    without_ray: None, sample_models: Path, tmp_path: Path, words: list[str]
) -> None:
    given = [*words, str(sample_models / "digits_clean.onnx"), "--ray", "local"]
    done = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "out")])
    assert done.exit_code == 3
    assert "pip install 'leap-audit[ray]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_an_address_nothing_is_needed(without_ray: None) -> None:
    require_cluster(None)
    with connected(None):
        pass


@pytest.mark.parametrize("address", ["cluster", "head:port", ":6379", "head:70000", "ray://head"])
def test_what_is_no_address(some_ray: None, address: str) -> None:
    with pytest.raises(ClusterUnavailable, match=rf"--ray {address}: is no address; give local"):
        require_cluster(address)


@pytest.mark.parametrize("before", ["", "ray://"])
def test_an_address_where_nothing_answers(some_ray: None, before: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        require_cluster(f"{before}127.0.0.1:{port}")
    with pytest.raises(ClusterUnavailable, match="nothing answers there"):
        require_cluster(f"{before}127.0.0.1:{port}")


def test_what_ray_prints_is_no_answer() -> None:
    into = io.StringIO()
    stream = _WithoutRay(into)
    thread = threading.Thread(target=stream.write, args=("(raylet) lost",), name="ray_listen")
    thread.start()
    thread.join()
    print("an answer", file=stream, flush=True)
    assert into.getvalue() == "an answer\n"
