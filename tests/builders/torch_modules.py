"""torch.nn.Modules for the tests of the benchmarks."""

from torch import nn

INSIDE, OUTSIDE = 2048, 49152
BYTES = 4 * INSIDE * OUTSIDE
"""Beside which PyTorch's own code is little: just after installation some 50 MB of it count too."""


def wide() -> nn.Module:
    """Weights of `BYTES`."""
    return nn.Linear(INSIDE, OUTSIDE, bias=False)


def zeros() -> nn.Module:
    """A head as ViT's: no gradient passes."""
    head = nn.Linear(4, 5)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head
