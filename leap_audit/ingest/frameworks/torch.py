"""Convert a torch.nn.Module, or functions on tensors, to ONNX. torch is imported lazily."""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from leap_audit.errors import ExportFailed, ModelRefused
from leap_audit.graph.protos import real_inputs, tensor_info
from leap_audit.graph.weights import into_proto
from leap_audit.ingest.frameworks.compose import composed
from leap_audit.ingest.frameworks.export_check import (
    CHECKED,
    EXAMPLE,
    random_pictures,
    reason,
    require_same_as_source,
    run_graph,
    shape_text,
)
from leap_audit.ingest.frameworks.torch_inputs import called_with, note_values
from leap_audit.ingest.inputs.selection import Inputs
from leap_audit.run.fallback import evaluating, first_tensor, pytorch
from leap_audit.run.session import Array

__all__ = ["Function", "chained", "export_module", "numbers", "put_before", "tracing"]

Function = Callable[[Any], Any]
"""A batch of tensors in, a batch of tensors out."""

CONSTANTS = 64
"""Numbers in a tensor that a function makes itself, up to which it may branch on them: as
torchvision's Normalize does on its deviations. PyTorch itself stops at 1."""


@dataclass(frozen=True)
class _Part:
    label: str
    call: Function


def export_module(
    module: Any,
    shape: Sequence[int],
    functions: Sequence[Function] = (),
    inputs: Inputs | None = None,
) -> onnx.ModelProto:
    """Return a torch.nn.Module, behind preprocessing functions, as ONNX with a free batch.

    shape: of one picture as the first function takes it, without the batch: (channels, height,
    width), or any other order that the functions or the module expect. The graph's input
    `picture` is float32 of (batch, *shape); its output `logits` is the first tensor the module
    returns. inputs: values of further arguments, by name. The module is traced in eval mode, where
    its parameters are, and left in the mode it had; the functions are traced into the graph. The
    graph is run against the module.

    Raises RuntimeMissing: no PyTorch, or no ONNX Runtime. ModelRefused: a function or the module
    fails on such pictures, PyTorch cannot export it, or the graph gives other numbers.
    """
    torch = pytorch()
    if not isinstance(module, torch.nn.Module):
        raise ModelRefused(
            f"the model is a {type(module).__name__}, not a torch.nn.Module; give the module."
        )
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)

    call = called_with(torch, module, inputs or Inputs())

    def run(x: Any) -> Any:
        return first_tensor(call(x.to(dtype) if x.is_floating_point() else x))

    parts = [*_parts(functions), _Part(f"the module {type(module).__name__}", run)]
    chain = _chain(torch, parts, [module, *_modules(torch, functions)])
    proto = into_proto(_exported(torch, chain, parts, shape, "logits"))
    pictures = random_pictures(CHECKED, shape)
    require_same_as_source(proto, pictures, _evaluated(torch, chain, pictures), parts[-1].label)
    return note_values(proto, inputs or Inputs())


def chained(module: Any, functions: Sequence[Function]) -> Any:
    """Return one torch.nn.Module that does the functions, then the module."""
    torch = pytorch()
    parts = [*_parts(functions), _Part("the module", module)]
    return _chain(torch, parts, [module, *_modules(torch, functions)])


def put_before(
    model: onnx.ModelProto, functions: Sequence[Function], shape: Sequence[int]
) -> onnx.ModelProto:
    """Return an ONNX model behind preprocessing functions, which are traced into its graph.

    shape: of one picture as the first function takes it, without the batch. The result's input
    `picture` is float32 of (batch, *shape), its batch as free as the model's; its outputs are
    the model's. The model is brought to the canonical opset for this. The result is run against
    the functions and the model one after the other.

    Raises RuntimeMissing: no PyTorch, or no ONNX Runtime. ModelRefused: a function fails on such
    pictures, PyTorch cannot export it, what it gives does not fit the model, or the result gives
    other numbers.
    """
    if not functions:
        return model
    torch = pytorch()
    entry = _only_input(model)
    parts = _parts(functions)
    chain = _chain(torch, parts, _modules(torch, functions))
    before = _exported(torch, chain, parts, shape, "x")
    batch = 1 if tensor_info(entry).shape[:1] == (1,) else CHECKED
    pictures = random_pictures(batch, shape)
    x = _evaluated(torch, chain, pictures)
    _require_fit(x, entry)
    proto = composed(before, model)
    x = x.astype(onnx.helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type))
    want = run_graph(model, x, "the model on what its preprocessing gives")[0]
    require_same_as_source(proto, pictures, want, "the model behind its preprocessing")
    return proto


def _parts(functions: Sequence[Function]) -> list[_Part]:
    """The functions with what to call them in a message."""
    names = [getattr(f, "__name__", type(f).__name__) for f in functions]
    return [
        _Part(f"preprocessing function {number} of {len(functions)} ({name})", function)
        for number, (name, function) in enumerate(zip(names, functions, strict=True), 1)
    ]


def _modules(torch: Any, functions: Sequence[Function]) -> list[Any]:
    """The modules among the functions, or whose methods they are: their weights are traced."""
    owners = [getattr(function, "__self__", function) for function in functions]
    return [owner for owner in owners if isinstance(owner, torch.nn.Module)]


def _chain(torch: Any, parts: Sequence[_Part], modules: Sequence[Any]) -> Any:
    """Return one module that does all parts one after the other."""

    class Chain(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.modules_inside = torch.nn.ModuleList(modules)

        def forward(self, picture: Any) -> Any:
            for part in parts:
                picture = part.call(picture)
            return picture

    return Chain()


def _exported(
    torch: Any, chain: Any, parts: Sequence[_Part], shape: Sequence[int], output: str
) -> ir.Model:
    """Return the chain as a graph, without the traces of this machine that PyTorch writes."""
    example = _tensor(torch, chain, random_pictures(EXAMPLE, shape))
    with tracing(torch, chain):
        _require_tensors(torch, parts, example)
        program = _traced(torch, chain, parts, example)
        try:
            model: ir.Model = torch.onnx.export(
                program,
                (),
                None,
                input_names=["picture"],
                output_names=[output],
                dynamo=True,
                verbose=False,
            ).model
        except Exception as error:  # it raises whatever its translations raise
            raise ExportFailed(
                f"PyTorch cannot write {_all(parts)} as ONNX: {reason(error)}"
            ) from error
    common.ClearMetadataAndDocStringPass()(model)
    return model


def _traced(torch: Any, chain: Any, parts: Sequence[_Part], example: Any) -> Any:
    """Return what torch.export makes of the chain, or name the first part of it that fails."""
    try:
        return _program(torch, chain, example)
    except Exception as error:  # torch.export has no one class for what can go wrong
        failure = error
    for part in parts[:-1]:
        single = _chain(torch, [part], _modules(torch, [part.call]))
        try:
            _program(torch, single, example)
        except Exception as error:
            raise ModelRefused(f"PyTorch cannot trace {part.label}: {reason(error)}") from error
        example = part.call(example)
    raise ExportFailed(f"PyTorch cannot trace {parts[-1].label}: {reason(failure)}") from failure


def _program(torch: Any, chain: Any, example: Any) -> Any:
    free = ({0: torch.export.Dim("batch")},)
    with contextlib.ExitStack() as stack:
        for place in (torch.fx.experimental.proxy_tensor, torch._subclasses.fake_tensor):
            stack.enter_context(patch.object(place, "CONSTANT_NUMEL_LIMIT", CONSTANTS))
        return torch.export.export(chain, (example,), dynamic_shapes=free, strict=False)


def _require_tensors(torch: Any, parts: Sequence[_Part], x: Any) -> None:
    """Run the parts as they are, for an error that names the one that fails."""
    for part in parts:
        size = tuple(x.shape)
        try:
            x = part.call(x)
        except Exception as error:  # a user's function may raise anything
            raise ModelRefused(
                f"{part.label} fails on a batch of shape {size}: {reason(error)}"
            ) from error
        if not isinstance(x, torch.Tensor):
            raise ModelRefused(
                f"{part.label} gives a {type(x).__name__} for a batch of shape {size}; it must "
                "give a tensor."
            )


def _evaluated(torch: Any, chain: Any, pictures: Array) -> Array:
    """Return what PyTorch itself gives, as float32 where it is floating-point."""
    with tracing(torch, chain):
        y = chain(_tensor(torch, chain, pictures))
    return numbers(y)


@contextlib.contextmanager
def tracing(torch: Any, module: Any = None) -> Iterator[None]:
    """A module in eval mode, no gradients, and none of the exporter's prints and warnings."""
    with contextlib.ExitStack() as stack:
        if module is not None:
            stack.enter_context(evaluating(module))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield


def numbers(tensor: Any) -> Array:
    """Return a tensor's numbers as NumPy has them, as float32 where they are floating-point."""
    return np.asarray((tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy())


def _tensor(torch: Any, chain: Any, pictures: Array) -> Any:
    """The pictures where the chain's parameters are."""
    weights = [*chain.parameters(), *chain.buffers()]
    return torch.tensor(pictures, device=weights[0].device if weights else "cpu")


def _only_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    inputs = real_inputs(model)
    if len(inputs) != 1:
        raise ModelRefused(
            f"the model has {len(inputs)} inputs; preprocessing can stand before one, the picture."
        )
    return inputs[0]


def _require_fit(x: Array, entry: onnx.ValueInfoProto) -> None:
    """Raise ModelRefused where the functions do not give what the model's input takes."""
    takes = tensor_info(entry).shape
    fits = len(takes) == x.ndim and all(
        a == b for a, b in zip(takes[1:], x.shape[1:], strict=True) if isinstance(a, int)
    )
    if not fits:
        raise ModelRefused(
            f"the preprocessing gives {shape_text(x.shape[1:])}, but input {entry.name!r} of the "
            f"model takes {shape_text(takes[1:])}; end it with what brings pictures there."
        )


def _all(parts: Sequence[_Part]) -> str:
    return parts[0].label if len(parts) == 1 else f"{parts[-1].label} and what stands before it"
