"""An audit of the bundled digits on its way, small enough for a test."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from leap_audit.config import AuditOptions
from leap_audit.ingest import load
from leap_audit.measure.prototype import Request
from leap_audit.pipeline.execution import InThisProcess
from leap_audit.pipeline.measuring import Measuring
from leap_audit.pipeline.study import prepared
from leap_audit.progress import Silent
from tests.builders.running import TINY


def measuring(sample_models: Path, parts: Any, **settings: Any) -> Measuring:
    values = {**TINY, "seeds": 2, "batch": 2, **settings}
    options = AuditOptions.parse(values, "here")
    model = load(sample_models / "digits_clean.onnx")
    study, loaded = prepared(model, tuple(map(str, range(10))), options)
    requests = (Request((1,)), Request((1,), 1), Request((4,)))
    return Measuring(replace(study, requests=requests), InThisProcess(loaded), parts, Silent())


def measured(each: Measuring) -> Measuring:
    each.draw()
    each.isolate()
    each.explain()
    return each
