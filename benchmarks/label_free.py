"""Do label-free explanations say what an encoder depends on? (Crabbé and van der Schaar 2022)

    python -m benchmarks.label_free [--pictures 100] [--seeds 3] [--epochs 30]

Two kinds of encoder are trained on scikit-learn's digits without their labels: the encoder of an
autoencoder, and one that tells two views of a picture from other pictures (as SimCLR does).
Consistency of features: how far the representation moves when the pixels that a method puts first
are set to 0, beside how far when random ones are; the mean over the shares SHARES, with a paired
bootstrap interval over pictures. Consistency of examples: how many of the first training pictures
of a method show the same digit.
"""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from leap_audit.lfxai import attribute_auxiliary
from leap_audit.lfxai.explanations.encoder import encoder_network, representations
from leap_audit.measure.examples.gathered import Gathered
from leap_audit.measure.examples.neighbours import nearest_training
from leap_audit.measure.examples.simplex import mixtures
from leap_audit.run.session import Array

SHARES = (0.05, 0.1, 0.2, 0.5)
METHODS: dict[str, dict[str, Any]] = {
    "saliency": {},
    "integrated_gradients": {"steps": 20},
    "gradient_shap": {},
}
FIRST = 10
"""Training pictures whose digit is compared."""
DRAWS = 2000


class Interval(NamedTuple):
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def interval(values: Array, rng: np.random.Generator) -> Interval:
    """Return the mean of values, (n,), with its interval over them."""
    draws = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def shifts(
    encode: Callable[[Array], Array], inputs: Array, order: Array, shares: tuple[float, ...]
) -> Array:
    """Return (n,): the mean distance that representations move when the first pixels are set to 0.

    order: (n, pixels), the pixels of each input, the most important first.
    """
    before = encode(inputs)
    total = np.zeros(len(inputs))
    for share in shares:
        masked = inputs.reshape(len(inputs), -1).copy()
        first = order[:, : max(1, round(share * masked.shape[1]))]
        np.put_along_axis(masked, first, 0, axis=1)
        total += np.linalg.norm(encode(masked.reshape(inputs.shape)) - before, axis=1)
    return total / len(shares)


def rates(labels: Array, places: Array, own: Array) -> Array:
    """Return (n,): the share of training pictures at `places` with the label of the picture."""
    return np.asarray((labels[places] == own[:, None]).mean(1))


def trained(kind: str, pictures: Array, epochs: int, seed: int) -> Any:
    """Return an encoder, a module of PyTorch, trained without labels; kind: autoencoder, simclr."""
    import torch

    torch.manual_seed(seed)
    of = torch.nn
    encoder = of.Sequential(
        *(of.Conv2d(1, 16, 3, padding=1), of.ReLU(), of.Conv2d(16, 32, 3, 2, 1), of.ReLU()),
        *(of.Flatten(), of.Linear(512, 64), of.ReLU(), of.Linear(64, 16)),
    )
    decoder = of.Sequential(of.Linear(16, 128), of.ReLU(), of.Linear(128, 64))
    steps = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    data = torch.as_tensor(pictures)
    for _ in range(epochs):
        for part in torch.randperm(len(data)).split(64):
            x = data[part]
            if kind == "autoencoder":
                loss = ((decoder(encoder(x)) - x.flatten(1)) ** 2).mean()
            else:
                loss = _contrast(encoder, _view(x), _view(x))
            steps.zero_grad()
            loss.backward()
            steps.step()
    return encoder.eval()


def _view(x: Any) -> Any:
    """A picture moved by at most a pixel, with noise and another contrast."""
    import torch

    down, right = torch.randint(-1, 2, (2,)).tolist()
    moved = torch.roll(x, (down, right), (2, 3))
    contrast = 0.7 + 0.6 * torch.rand(len(x), 1, 1, 1)
    return moved * contrast + 0.15 * torch.randn_like(x)


def _contrast(encoder: Any, one: Any, other: Any) -> Any:
    """NT-Xent at the temperature 0.5 (Chen et al. 2020)."""
    import torch

    z = torch.nn.functional.normalize(torch.cat([encoder(one), encoder(other)]))
    count = len(one)
    scores = (z @ z.T / 0.5).fill_diagonal_(float("-inf"))
    return torch.nn.functional.cross_entropy(scores, torch.arange(2 * count).roll(count))


def main() -> None:
    """Train the encoders, and print both consistencies of each."""
    from sklearn.datasets import load_digits

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    words = parser.parse_args()
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    pictures = (digits.images[order, None] / 16).astype(np.float32)
    labels = digits.target[order]
    test, training = slice(0, words.pictures), slice(words.pictures, None)
    for kind in ("autoencoder", "simclr"):
        gains: dict[str, list[Array]] = {}
        same: dict[str, list[Array]] = {}
        for seed in range(words.seeds):
            network = encoder_network(trained(kind, pictures[training], words.epochs, seed))
            _measure(network, pictures, labels, test, training, seed, gains, same)
        rng = np.random.default_rng(0)
        print(f"{kind}: shift of the representation / that of random pixels, less 1")
        for name, several in gains.items():
            print(f"  {name:<22} {_words(interval(np.mean(several, 0), rng))}")
        print(f"{kind}: share of the first {FIRST} examples with the same digit")
        for name, several in same.items():
            print(f"  {name:<22} {_words(interval(np.mean(several, 0), rng))}")


def _measure(
    network: Any,
    pictures: Array,
    labels: Array,
    test: slice,
    training: slice,
    seed: int,
    gains: dict[str, list[Array]],
    same: dict[str, list[Array]],
) -> None:
    """Add the figures of one encoder to those of the others."""
    rng = np.random.default_rng(seed)

    def encode(inputs: Array) -> Array:
        return representations(network, inputs)

    x = pictures[test]
    random = np.mean(
        [
            shifts(encode, x, rng.permuted(np.tile(np.arange(64), (len(x), 1)), axis=1), SHARES)
            for _ in range(5)
        ],
        0,
    )
    for name, options in METHODS.items():
        maps = np.abs(attribute_auxiliary(network, [x], None, name, **options)).reshape(len(x), -1)
        moved = shifts(encode, x, np.argsort(-maps, 1, kind="stable"), SHARES)
        gains.setdefault(name, []).append((moved - random) / random.mean())
    reference = Gathered.of(encode(pictures[training]))
    shown = Gathered.of(encode(x))
    for metric in ("cosine", "l2"):
        places = nearest_training(reference, shown, FIRST, metric)[1]
        same.setdefault(metric, []).append(rates(labels[training], places, labels[test]))
    mixed = [
        float(each.weights @ (labels[training][each.places] == own))
        for each, own in zip(mixtures(reference, shown), labels[test], strict=True)
    ]
    same.setdefault("simplex (by weight)", []).append(np.array(mixed))
    anywhere = rng.integers(0, len(reference), (len(x), FIRST))
    same.setdefault("random", []).append(rates(labels[training], anywhere, labels[test]))


def _words(of: Interval) -> str:
    return f"{of.mean:.3f} ({of.low:.3f} to {of.high:.3f})"


if __name__ == "__main__":
    main()
