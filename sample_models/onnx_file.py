"""The ONNX files of the sample models."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

OPSET = 18


def export(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write the model as ONNX, with a free batch; `example` is a batch of two pictures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (example,),
            input_names=["picture"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph:
        # The exporter notes the place in the source, and with it the folder of whoever ran it.
        node.metadata_props.clear()
        node.doc_string = None
    program.save(path, external_data=False)
