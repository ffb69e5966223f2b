"""A torch.nn.Module whose weights take a known amount of memory."""

from torch import nn

INSIDE, OUTSIDE = 1024, 65536
BYTES = 4 * INSIDE * OUTSIDE


def wide() -> nn.Module:
    return nn.Linear(INSIDE, OUTSIDE, bias=False)
