"""Which provider is chosen, and what is said when there is none."""

import sys

import pytest

from leap_audit.errors import RuntimeMissing
from leap_audit.run import providers
from leap_audit.run.providers import Provider, choose_provider, free_memory


@pytest.mark.parametrize("name", ["cpu", "CPU", "CPUExecutionProvider", "cpuexecutionprovider"])
def test_a_provider_is_found_by_its_whole_and_its_short_name(name: str) -> None:
    assert choose_provider(name) == Provider("CPUExecutionProvider", "cpu")


def test_auto_takes_the_first_that_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "_starts", lambda name: name == "CPUExecutionProvider")
    assert choose_provider("auto").name == "CPUExecutionProvider"


def test_an_unknown_provider_is_told_which_there_are() -> None:
    with pytest.raises(RuntimeMissing, match=r"'quantum' is not in .*there are: .*cpu"):
        choose_provider("quantum")


def test_a_provider_without_its_driver_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "_starts", lambda _: False)
    with pytest.raises(RuntimeMissing, match="does not start here"):
        choose_provider("cpu")


def test_without_onnxruntime_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    providers.runtime.cache_clear()
    try:
        with pytest.raises(RuntimeMissing, match=r"leap-audit\[cpu\]"):
            choose_provider()
    finally:
        monkeypatch.undo()
        providers.runtime.cache_clear()


def test_the_processor_backs_every_other_provider() -> None:
    assert Provider("CPUExecutionProvider", "cpu").chain == ["CPUExecutionProvider"]
    chain = Provider("CUDAExecutionProvider", "cuda").chain
    assert chain == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_free_memory_is_a_plausible_number_of_bytes() -> None:
    assert free_memory(choose_provider("cpu")) > 1 << 20
