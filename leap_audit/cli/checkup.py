"""What is installed, what of it works, and what is missing for which kind of model."""

import json
import os
import platform
import warnings
from dataclasses import asdict, dataclass
from typing import Any

from leap_audit.errors import LeapAuditError, reason_of
from leap_audit.ingest.sandbox.parent import Child, installed_memory
from leap_audit.installed import installed
from leap_audit.text.lists import columns

__all__ = ["Checkup", "ProviderState", "checkup", "said_of"]

PACKAGES = (
    *("leap-audit", "onnx", "onnxruntime", "onnxruntime-gpu", "numpy", "pillow", "weasyprint"),
    *("torch", "torchvision", "timm", "tensorflow", "tensorflow-cpu", "keras", "tf2onnx"),
    *("pydicom", "pylibjpeg", "python-gdcm"),
)
NEEDS: dict[str, tuple[tuple[str, ...], str]] = {
    "ONNX": (("onnxruntime|onnxruntime-gpu",), "'leap-audit[cpu]', or 'leap-audit[gpu]'"),
    "PyTorch": (("torch",), "'leap-audit[torch]'"),
    "networks of torchvision": (("torch", "torchvision"), "torchvision"),
    "networks of timm": (("torch", "timm"), "timm"),
    "Keras and TensorFlow": (
        ("tensorflow|tensorflow-cpu", "keras", "tf2onnx"),
        "'leap-audit[tensorflow]'",
    ),
    "DICOM photographs": (("pydicom",), "'leap-audit[medical]'"),
}
"""Kind of model -> the packages that it needs, each with those that serve as well; what brings
them by pip."""
CPU = "CPUExecutionProvider"
REMOTE = "AzureExecutionProvider"
"""It calls a service, and leaves every node of a graph to the CPU."""
TOLERANCE = 1e-3
"""Largest difference of a provider from the CPU, relative to the largest number."""


@dataclass(frozen=True)
class ProviderState:
    """An execution provider of ONNX Runtime, and whether gradients come right on it."""

    name: str
    works: bool
    said: str
    """How far it is from the CPU, or why it does not work."""


@dataclass(frozen=True)
class Checkup:
    """What was found on this machine."""

    python: str
    platform: str
    packages: dict[str, str]
    """Package -> version, of those that are installed."""
    providers: tuple[ProviderState, ...]
    formats: dict[str, str]
    """Kind of model -> how to get what it needs; empty where all of it is there."""
    walls: dict[str, str]
    """Around the process that opens files: wall -> why it does not stand; empty where it does."""
    warnings: tuple[str, ...]
    cores: int
    memory_gib: float
    """Of the machine; 0: unknown."""
    can_audit: bool
    """Whether an ONNX file can be audited: ONNX Runtime works, and the report can be written."""


def checkup() -> Checkup:
    """Return what is installed and what works. Runs a small graph on every execution provider."""
    packages = installed(PACKAGES)
    providers, problems = _providers()
    if {"onnxruntime", "onnxruntime-gpu"} <= packages.keys():
        problems.append(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: pip "
            "uninstall both, then install one."
        )
    page = _page_problem()
    return Checkup(
        python=platform.python_version(),
        platform=platform.platform(),
        packages=packages,
        providers=providers,
        formats={kind: _missing(kind, packages) for kind in NEEDS},
        walls=_walls(),
        warnings=(*problems, *([page] if page else [])),
        cores=os.cpu_count() or 1,
        memory_gib=round(installed_memory() / 2**30, 1),
        can_audit=any(provider.works for provider in providers) and not page,
    )


def said_of(found: Checkup, *, as_json: bool) -> str:
    """Return what a person reads of it, or a program."""
    return json.dumps(asdict(found), indent=2) if as_json else "\n".join(_lines(found))


def _lines(found: Checkup) -> list[str]:
    packages = [("python", found.python)]
    packages += [(name, found.packages.get(name, "not installed")) for name in PACKAGES]
    works = [(p.name, "works" if p.works else "does not work", p.said) for p in found.providers]
    formats = [
        (k, "ready" if not how else f"pip install {how}") for k, how in found.formats.items()
    ]
    memory = f", {found.memory_gib} GiB of memory" if found.memory_gib else ""
    return [
        *("Packages", *_indented(packages)),
        *("Execution providers", *_indented(works or [("none", "")])),
        *("Kinds of model", *_indented(formats)),
        *("Walls around the process that opens files", *_indented(_stands(found.walls))),
        f"Machine: {found.platform}, {found.cores} cores{memory}",
        *(f"warning: {warning}" for warning in found.warnings),
        "An ONNX file can be audited." if found.can_audit else "An ONNX file cannot be audited.",
    ]


def _indented(rows: Any) -> list[str]:
    return [f"  {line}" for line in columns(rows)]


def _walls() -> dict[str, str]:
    """Which walls stand, asked from inside: wall -> why it does not; empty where it does."""
    from leap_audit.ingest.sandbox.limits import GIB, Limits
    from leap_audit.walls import WALLS, missing_here

    try:
        with Child(Limits(GIB, 60)) as child:
            missing = child.call(missing_here)
    except LeapAuditError as error:
        missing = dict.fromkeys(WALLS, str(error))
    return {wall: missing.get(wall, "") for wall in WALLS}


def _stands(walls: dict[str, str]) -> list[tuple[str, ...]]:
    rows = [(wall, f"missing: {why}" if why else "stands") for wall, why in walls.items()]
    missing = any(walls.values())
    opened = "only with --trust-model" if missing else "behind these walls"
    return [*rows, ("formats that are programs", f"are opened {opened}")]


def _missing(kind: str, packages: dict[str, str]) -> str:
    """How to get what a kind of model needs; empty where it is there."""
    needs, how = NEEDS[kind]
    there = all(any(name in packages for name in need.split("|")) for need in needs)
    return "" if there else how


def _providers() -> tuple[tuple[ProviderState, ...], list[str]]:
    """Return the execution providers, and what keeps them from being asked."""
    try:
        from leap_audit.run.providers import runtime

        names = runtime().get_available_providers()
        graph, inputs = _small_gradient()
        right = _run(graph, inputs, CPU)
        others = [_state(name, graph, inputs, right) for name in names if name not in (CPU, REMOTE)]
        return (*others, _cpu_state(graph)), []
    except LeapAuditError as error:
        return (), [str(error)]
    except ImportError as error:
        return (), [f"{reason_of(error)}: pip install leap-audit brings what is missing."]


def _cpu_state(graph: Any) -> ProviderState:
    """The CPU, which is what the others are held against, by difference quotients."""
    from leap_audit.gradient import check_gradient

    found = check_gradient(graph)
    return ProviderState(CPU, found.agrees, found.sentence)


def _small_gradient() -> tuple[Any, dict[str, Any]]:
    """Return the gradient graph of a small network, and its inputs."""
    import numpy as np
    import onnx

    from leap_audit.gradient import build_gradient

    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 21]>
        small (float[1, 3, 8, 8] x) => (float[1, 4] y) {
          c = Conv <pads = [1, 1, 1, 1]> (x, w)
          r = Relu (c)
          g = GlobalAveragePool (r)
          y = Flatten (g)
        }""")
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    sizes = {"x": (1, 3, 8, 8), "cotangent": (1, 4)}
    return build_gradient(model), {
        name: rng.normal(size=s).astype(np.float32) for name, s in sizes.items()
    }


def _run(graph: Any, inputs: dict[str, Any], provider: str) -> list[Any]:
    from leap_audit.run.providers import choose_provider
    from leap_audit.run.session import Session

    return Session(graph, choose_provider(provider)).run(inputs)


def _state(name: str, graph: Any, inputs: dict[str, Any], right: list[Any]) -> ProviderState:
    import numpy as np

    try:
        found = _run(graph, inputs, name)
    except Exception as error:  # whatever a driver throws, it is what there is to say
        return ProviderState(name, False, f"{reason_of(error)}.")
    apart = max(
        float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, right, strict=True)
    )
    works = apart <= TOLERANCE  # not so where it is NaN
    return ProviderState(name, works, f"{apart:.1e} apart from the CPU")


def _page_problem() -> str:
    """Why no report can be written, for want of the system's libraries too; empty where it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import weasyprint  # noqa: F401
    except (ImportError, OSError) as error:
        return (
            f"WeasyPrint does not load ({reason_of(error)}). Install Pango and HarfBuzz; on Debian "
            "they are libpango-1.0-0, libpangoft2-1.0-0 and libharfbuzz-subset0."
        )
    return ""
