"""The digest of a graph: of its nodes and of the numbers of its weights."""

import hashlib

import onnx_ir as ir

from leap_audit.graph.weights import pop_weights

__all__ = ["graph_digest"]


def graph_digest(model: ir.Model) -> str:
    """Return the SHA-256 of a graph with its weights, in hexadecimal."""
    light = model.clone()
    weights = pop_weights(light)
    digest = hashlib.sha256(ir.to_proto(light).SerializeToString(deterministic=True))
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
