"""Which execution provider runs the graphs, and how much fits into its memory."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from onnx import TensorProto, helper

from leap_audit.errors import RuntimeMissing

__all__ = ["Provider", "choose_provider", "free_memory", "processors", "runtime"]

# Fastest first. TensorRT and CoreML are left to --provider: the one compiles for minutes, the
# other computes in half precision.
AUTOMATIC = (
    "CUDAExecutionProvider",
    "MIGraphXExecutionProvider",
    "ROCMExecutionProvider",
    "DmlExecutionProvider",
    "CPUExecutionProvider",
)
ON_HOST = frozenset({"CPUExecutionProvider", "CoreMLExecutionProvider", "XnnpackExecutionProvider"})
MEMORY_DEVICE = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda"}


@dataclass(frozen=True)
class Provider:
    """An execution provider that has run a graph on this machine."""

    name: str
    device: str
    """Where its tensors live, in ONNX Runtime's words: 'cpu' or 'cuda'."""

    @property
    def chain(self) -> list[str]:
        host = "CPUExecutionProvider"
        return [self.name] if self.name == host else [self.name, host]


@cache
def runtime() -> ModuleType:
    """Return the onnxruntime module.

    Raises RuntimeMissing: none of its packages is installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise RuntimeMissing(
            "ONNX Runtime is not installed: pip install 'leap-audit[cpu]' for the processor or "
            "'leap-audit[gpu]' for an NVIDIA card, never both."
        ) from None
    onnxruntime.set_default_logger_severity(4)
    onnxruntime.disable_telemetry_events()  # where it was loaded before leap_audit.telemetry
    module: ModuleType = onnxruntime
    return module


def choose_provider(wanted: str = "auto") -> Provider:
    """Return the wanted provider, or the fastest that works here.

    `wanted` is 'auto' or a provider's name, whole or short, in any case ('cuda' for
    'CUDAExecutionProvider').

    Raises RuntimeMissing: the provider is not in this build of ONNX Runtime or does not start.
    """
    there = runtime().get_available_providers()
    if wanted.lower() == "auto":
        return next(_provider(p) for p in AUTOMATIC if p in there and _starts(p))
    names = {p.lower(): p for p in there} | {_short(p): p for p in there}
    name = names.get(wanted.lower())
    if name is None:
        raise RuntimeMissing(
            f"provider {wanted!r} is not in this ONNX Runtime; "
            f"there are: {', '.join(sorted(_short(p) for p in there))}."
        )
    if not _starts(name):
        raise RuntimeMissing(
            f"provider {wanted!r} does not start here: its driver or libraries are missing; "
            "use --provider cpu, or install them."
        )
    return _provider(name)


def free_memory(provider: Provider) -> int:
    """Return the bytes that a graph may use on `provider`: what is free now."""
    if provider.device == "cuda" and (tool := shutil.which("nvidia-smi")):
        query = [tool, "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
        answer = subprocess.run(query, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return int(answer.stdout.split()[0]) << 20
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not a POSIX system: assume a small machine
        return 4 << 30


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _short(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider").lower()


def _provider(name: str) -> Provider:
    return Provider(name, MEMORY_DEVICE.get(name, "cpu"))


@cache
def _starts(name: str) -> bool:
    """Whether a graph runs on it: a GPU build lists its providers without a driver too."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "probe", [value], [output])
    # Neg at versions of ONNX that every ONNX Runtime loads.
    probe = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    try:
        session = runtime().InferenceSession(probe.SerializeToString(), providers=[name])
    except Exception:  # whatever a driver throws, the answer is the same: it does not start
        return False
    return bool(session.get_providers()[0] == name)
