"""PyTorch autograd, for networks whose graph has no gradient in ONNX. torch is imported lazily."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx

from leap_audit.errors import GradientUnavailable, RuntimeMissing
from leap_audit.run.session import Array

__all__ = ["TorchGradient", "evaluating", "first_tensor", "from_onnx", "pytorch"]


class TorchGradient:
    """A torch.nn.Module, differentiated by PyTorch autograd.

    The module is evaluated in eval mode, where its parameters are, and left as it was: its mode,
    and the requires_grad and grad of its parameters. Where it returns several tensors, the first
    is differentiated.

    Raises RuntimeMissing: torch is not installed.
    """

    def __init__(
        self, module: Any, *, engine: str = "pytorch autograd (module)", reason: str = "asked for"
    ) -> None:
        self.engine = engine
        self.reason = reason
        self._torch = pytorch()
        self._module = module

    def value(self, x: Array) -> Array:
        """Return the output at x."""
        with evaluating(self._module), self._torch.inference_mode(False), self._torch.no_grad():
            return _array(first_tensor(self._module(self._tensor(x))))

    def value_and_gradient(self, x: Array, cotangent: Array) -> tuple[Array, Array]:
        """Return the output at x, and the gradient of sum(cotangent * output), of x's shape.

        Raises GradientUnavailable: the output does not depend on x in a way autograd follows.
        """
        torch = self._torch
        with evaluating(self._module), torch.inference_mode(False), torch.enable_grad():
            leaf = self._tensor(x).requires_grad_()
            y = first_tensor(self._module(leaf.clone()))  # a leaf may not be changed in place
            if not y.requires_grad:
                raise GradientUnavailable("autograd finds no way from the module's input to y.")
            weights = torch.as_tensor(np.array(cotangent), dtype=y.dtype, device=y.device)
            (dx,) = torch.autograd.grad(y, leaf, weights, allow_unused=True)
        if dx is None:
            raise GradientUnavailable("autograd finds no way from the module's input to y.")
        return _array(y), _array(dx)

    def _tensor(self, x: Array) -> Any:
        """x where the module's parameters are, in their floating-point type."""
        like = next((p for p in self._module.parameters() if p.is_floating_point()), None)
        if like is None:
            return self._torch.tensor(np.array(x))
        return self._torch.tensor(np.array(x), dtype=like.dtype, device=like.device)


def from_onnx(model: onnx.ModelProto) -> Any:
    """Return the torch.nn.Module that onnx2torch makes of a graph.

    Raises RuntimeMissing: onnx2torch is not installed. GradientUnavailable: it cannot.
    """
    try:
        import onnx2torch
    except ImportError:
        raise RuntimeMissing("onnx2torch is not installed") from None
    try:
        return onnx2torch.convert(model)
    except Exception as error:  # it raises whatever its converters raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise GradientUnavailable(f"onnx2torch cannot convert the model: {reason}") from error


def pytorch() -> Any:
    """Return the module torch. Raises RuntimeMissing: it is not installed."""
    try:
        import torch
    except ImportError:
        raise RuntimeMissing("PyTorch is not installed: pip install 'leap-audit[torch]'.") from None
    return torch


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Put a module into eval mode, and each of its parts back into the mode it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def first_tensor(output: Any) -> Any:
    """Return the first tensor of what a module returns: itself, or of several or a dict.

    Entries that are None, as modules return for what was not asked of them, are left out.
    """
    if isinstance(output, dict):
        output = tuple(output.values())
    if not isinstance(output, (tuple, list)):
        return output
    return next((x for each in output if (x := first_tensor(each)) is not None), None)


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.detach().cpu().numpy())
