"""The key figures in a copy of the ONNX file that was audited."""

from pathlib import Path

from leap_audit.attach.record import Record, figures_of
from leap_audit.digests import sha256_of
from leap_audit.errors import ModelRefused, OutputRefused

__all__ = ["PREFIX", "annotated", "copy_with_figures", "properties_of"]

PREFIX = "leap_audit."


def properties_of(record: Record) -> dict[str, str]:
    """Return what is put into the model's metadata, names with PREFIX -> texts."""
    audit = record.audit
    said = {
        "schema": audit.schema_,
        "audit_sha256": record.sha256,
        "model_sha256": audit.model.sha256,
        "started": audit.environment.started,
        "policy": audit.policy.name if audit.policy else "",
    }
    said |= {figure.id: figure.text for figure in figures_of(audit)}
    return {f"{PREFIX}{name}": text for name, text in said.items()}


def copy_with_figures(record: Record, model: Path, out: Path) -> bytes:
    """Return the audited model with the figures in its metadata, to be written to `out`.

    Everything else of the file stays: nodes, weights, other metadata. Weights in files of their
    own stay there, so that `out` must lie beside the model.

    Raises ModelRefused: this is not the file that was audited, or no ONNX file. OutputRefused:
    `out` is the model itself, or would not find the model's weights.
    """
    from leap_audit.ingest.sandbox.parent import run_in_child

    if not model.is_file():
        raise ModelRefused(f"{model}: there is no such file.")
    if out.exists() and out.samefile(model):
        raise OutputRefused(f"{out}: is the model itself; give another file as --out.")
    digest, audited = sha256_of(model), record.audit.model.sha256
    if digest != audited:
        raise ModelRefused(
            f"{model}: is not the model of this audit (its SHA-256 begins {digest[:12]}, the "
            f"audited one's {audited[:12]}); give the file that was audited, or audit this one."
        )
    beside = out.parent.resolve() == model.parent.resolve()
    return run_in_child(annotated, model, properties_of(record), beside=beside)


def annotated(model: Path, properties: dict[str, str], *, beside: bool) -> bytes:
    """Return the ONNX file with these properties in place of those of an earlier audit.

    beside: whether it will lie where the model lies. Raises ModelRefused, OutputRefused.
    """
    import onnx

    from leap_audit.graph.protos import every_tensor
    from leap_audit.ingest.files.onnx import read_onnx

    read_onnx(model)  # refuses what is no model, and external data that leads elsewhere
    proto = onnx.load(model, format="protobuf", load_external_data=False)
    outside = any(t.data_location == onnx.TensorProto.EXTERNAL for t in every_tensor(proto))
    if outside and not beside:
        raise OutputRefused(
            f"{model}: has its weights in files beside it, which a copy elsewhere would not find; "
            "give a place in the same folder as --out."
        )
    kept = [(p.key, p.value) for p in proto.metadata_props if not p.key.startswith(PREFIX)]
    del proto.metadata_props[:]
    for key, value in [*kept, *properties.items()]:
        proto.metadata_props.add(key=key, value=value)
    return proto.SerializeToString()
