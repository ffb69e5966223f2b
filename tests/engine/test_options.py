"""Every option does what it says: one effect each, on a network of which everything is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leap_audit.engine.settings import Settings, read_settings
from leap_audit.measure.isolation.optimise import rank_pixels
from leap_audit.measure.run import Run as ModelRun
from leap_audit.measure.subject import Subject
from tests.builders.classifiers import Node, read_model, uncounted, write_model
from tests.engine.conftest import SIDE, Run, planted

Start = Callable[..., Run]
EFFECTS: dict[str, Callable[..., None]] = {}
ELSEWHERE = {"leap_api_key", "wandb_api_key", "wandb_entity", "mlflow_tracking_uri"}
"""Options whose effect is not in the results; tests/engine/test_generate.py has theirs."""


def effect(check: Callable[..., None]) -> Callable[..., None]:
    EFFECTS[check.__name__] = check
    return check


@pytest.mark.parametrize("option", sorted(set(Settings.model_fields) - ELSEWHERE))
def test_has_its_effect(option: str, run: Start, request: pytest.FixtureRequest) -> None:
    needed = [name for name in EFFECTS[option].__annotations__ if name not in ("run", "return")]
    given = {name: request.getfixturevalue(name) for name in needed}
    if "run" in EFFECTS[option].__annotations__:
        given["run"] = run
    EFFECTS[option](**given)


def test_no_effect_is_checked_of_what_is_no_option() -> None:
    assert set(EFFECTS) <= set(Settings.model_fields)


def rough(pictures: Any) -> float:
    """The mean difference of neighbouring pixels."""
    return float(np.abs(np.diff(pictures, axis=-1)).mean())


def sample(dark: float = 0.2, bright: float = 1.0) -> Any:
    """A dark picture whose corner is bright."""
    picture = np.full((1, 3, SIDE, SIDE), dark, np.float32)
    picture[:, :, 1:6, 1:6] = bright
    return picture


def corner_first(config: dict[str, Any], network: Path) -> float:
    """How much higher the optimised map ranks the corner than the rest, in deviations."""
    model = read_model(network)
    (scores,) = rank_pixels(
        ModelRun(model, 1, 1),
        [Subject(sample()[0], 0)],
        read_settings({"max_steps": 96, **config}).isolations(),
        seed=0,
        batch=1,
        advance=uncounted,
    )
    return float((scores[1:6, 1:6].mean() - scores[8:, 8:].mean()) / scores.std())


@effect
def alpha_mask(run: Start) -> None:
    free, masked = (run({"alpha_mask": on}, target_classes=[3]) for on in (False, True))
    assert len(free.pictures()[0]) == 3
    alpha = masked.pictures()[0, 3]
    assert alpha[7:9, 7:9].mean() > 0.9
    assert alpha[:2, :2].mean() < 0.1


@effect
def alpha_only(run: Start) -> None:
    configs = ({"alpha_only": on, "hf_weight": 0.0} for on in (False, True))
    coloured, drawn = (run(config, target_classes=[3]) for config in configs)
    assert np.ptp(coloured.pictures()[0], axis=0).max() > 0.2
    picture = drawn.pictures()[0]
    assert len(picture) == 4
    assert np.ptp(picture[:3]) == 0
    assert np.ptp(picture[3]) > 0.1


@effect
def use_alpha(run: Start) -> None:
    opaque, clear = (run({"use_alpha": on, "max_steps": 48}).pictures()[0] for on in (False, True))
    assert len(opaque) == 3
    assert len(clear) == 4
    assert clear[3, 1:6, 1:6].mean() > clear[3, 8:, 8:].mean()  # what counts is opaque


@effect
def alpha_weight(run: Start) -> None:
    weights = (0.0, 3.0)
    alphas = [run({"use_alpha": True, "alpha_weight": w}).pictures()[0, 3].mean() for w in weights]
    assert alphas[1] < alphas[0] - 0.1


@effect
def always_update(run: Start) -> None:
    wild = {"lr": 1.0, "hf_weight": 40.0, "log_freq": 2, "max_steps": 40}
    best, last = (run({**wild, "always_update": on}, target_classes=[2]) for on in (False, True))
    assert int(last.rows("prototype")["step"].iloc[0]) == 40
    assert int(best.rows("prototype")["step"].iloc[0]) < 40
    assert best.logits()[0] > last.logits()[0] - 0.01  # 8 bits round
    logged = [sorted(Path(each.folder).glob("images/*-step-*")) for each in (best, last)]
    assert len(logged[0]) < len(logged[1]) == 20


@effect
def baseline_init(run: Start) -> None:
    still = {"objective_weight": 0.0, "max_steps": 2}
    for grey in (0.1, 0.8):
        assert run({**still, "baseline_init": grey}).pictures().mean() == pytest.approx(
            grey, abs=0.03
        )
    noisy = [run({**still, "baseline_init": "r", "seed": seed}).pictures() for seed in (0, 1)]
    assert noisy[0].std() > 0.05
    assert np.abs(noisy[0] - noisy[1]).mean() > 0.05


@effect
def use_blur(run: Start) -> None:
    strong = {"blur_max": 2.0, "blur_min": 2.0}
    sharp, soft = (run({**strong, "use_blur": on}, target_classes=[2]) for on in (False, True))
    assert soft.logits()[0] < 0.5 * sharp.logits()[0]  # a blurred checkerboard is not seen
    assert rough(soft.pictures()) < rough(sharp.pictures())


@effect
def blur_max(run: Start) -> None:
    found = [
        run({"use_blur": True, "blur_max": most, "blur_min": 0.3}, target_classes=[2]).logits()[0]
        for most in (0.3, 4.0)
    ]
    assert found[1] < found[0]


@effect
def blur_min(run: Start) -> None:
    found = [
        run({"use_blur": True, "blur_max": 4.0, "blur_min": least}, target_classes=[2]).logits()[0]
        for least in (0.05, 4.0)
    ]
    assert found[1] < found[0]


@effect
def channel_ix(run: Start) -> None:
    nodes: list[Node] = [("Flatten", ["x"], "f"), ("Gemm", ["f", "w"], "y", {"transB": 1})]
    weights = {"w": np.random.default_rng(0).standard_normal((4, 72))}
    outputs = [("y", ("n", 4))]
    either = write_model(Path("e.onnx"), nodes, weights, shape=("n", 3, 8, 3), outputs=outputs)
    for axis, size in ((1, (8, 3)), (3, (3, 8))):
        found = run({"channel_ix": axis, "max_steps": 2}, model=either)
        assert found.pictures().shape[2:] == size


@effect
def diversity_weight(run: Start) -> None:
    apart = []
    for weight in (0.0, 20.0):
        found = run({"diversity_weight": weight}, target_classes=[0, 0, 0])
        assert list(found.rows("prototype")["target_index"]) == [0, 0, 0]
        a, b, c = found.pictures()
        apart.append(np.mean([np.abs(a - b).mean(), np.abs(a - c).mean(), np.abs(b - c).mean()]))
    assert apart[1] > 1.2 * apart[0]


@effect
def equalise(run: Start) -> None:
    pale, strong = (run({"equalise": amount, "max_steps": 4}).pictures()[0] for amount in (0, 1))
    assert strong.mean(0).std() > 2 * pale.mean(0).std()
    assert strong.mean(0).std() == pytest.approx(12**-0.5, abs=0.03)  # as of a uniform histogram


@effect
def find_lr_steps(run: Start) -> None:
    slow = {"lr": 0.001, "max_steps": 16}
    assert run({**slow, "find_lr_steps": 40}).logits()[0] > 2 * run(slow).logits()[0]


@effect
def hf_weight(run: Start) -> None:
    found = [run({"hf_weight": weight}, target_classes=[2]).pictures() for weight in (0.0, 30.0)]
    assert rough(found[1]) < 0.5 * rough(found[0])


@effect
def input_dim(run: Start, sizeless: Path) -> None:
    for dim, mode in (([3, 12, 20], "pt"), ([1, 3, 12, 20], "pt"), ([12, 20, 3], "tf")):
        found = run(
            {"input_dim": dim, "max_steps": 2}, model=sizeless, names=["r", "g", "b"], mode=mode
        )
        assert found.pictures().shape == (1, 3, 12, 20)


@effect
def isolate_classes(run: Start) -> None:
    few = {"isolation": True, "max_steps": 4}
    flat = run({**few, "isolate_classes": [2]}, target_classes=[0, 1]).rows("isolation")
    assert list(zip(flat["target_index"], flat["output_index"], strict=True)) == [(0, 2), (1, 2)]
    each = run({**few, "isolate_classes": [[1], [0, 2]]}, target_classes=[0, 1]).rows("isolation")
    assert sorted(zip(each["target_index"], each["output_index"], strict=True)) == [
        (0, 1),
        (1, 0),
        (1, 2),
    ]


@effect
def isolation(run: Start) -> None:
    counts = [len(run({"isolation": on, "max_steps": 4}).rows("isolation")) for on in (False, True)]
    assert counts[0] == 0
    assert counts[1] > 0


@effect
def isolation_alpha_weight(run: Start) -> None:
    kept = []
    for weight in (0.25, 10.0):
        found = run(
            {"isolation_alpha_weight": weight, "max_steps": 96},
            samples=sample(0.3, 0.6),
            target_classes=[0],
        )
        (probs,) = (each["probs"][:, 0] for each in found.stages.values())
        kept.append(float(probs[1]))
    assert kept[1] > kept[0] + 0.05


@effect
def isolation_hf_weight(run: Start) -> None:
    masks = [
        run({"isolation_hf_weight": weight}, samples=sample()).pictures("mask", "isolation")
        for weight in (0.0, 6.0)
    ]
    assert rough(masks[1]) < 0.8 * rough(masks[0])


@effect
def isolation_lr(network: Path) -> None:
    still, moved = (corner_first({"isolation_lr": lr}, network) for lr in (1e-7, 0.1))
    assert moved > 1 > still


@effect
def logit_scale(network: Path) -> None:
    flat, steep = (corner_first({"logit_scale": scale}, network) for scale in (1e-13, 1.0))
    assert steep > 1 > flat  # scaled to nothing, the loss has no slope


@effect
def log_freq(run: Start) -> None:
    for freq, steps in ((10, [10, 20, 24]), (24, [24])):
        (stages,) = run({"log_freq": freq}).stages.values()
        assert stages["step"] == steps
        assert np.asarray(stages["probs"]).shape == (len(steps), 4)


@effect
def lr(run: Start) -> None:
    moved = [np.abs(run({"lr": lr, "max_steps": 4}).pictures() - 0.5).mean() for lr in (0.01, 0.1)]
    assert moved[1] > 3 * moved[0]


@effect
def max_isolate_classes(run: Start) -> None:
    for most in (1, 2):
        found = run({"isolation": True, "max_isolate_classes": most, "max_steps": 4})
        assert len(found.rows("isolation")) == most
        on_sample = run({"max_isolate_classes": most, "max_steps": 4}, samples=sample())
        assert len(on_sample.rows("isolation")) == most


@effect
def max_steps(run: Start) -> None:
    short, long = (run({"max_steps": steps}) for steps in (4, 32))
    assert list(short.rows("prototype")["step"]) == [4]
    assert list(long.rows("prototype")["step"]) == [32]
    assert long.logits()[0] > short.logits()[0]


@effect
def objective_weight(run: Start) -> None:
    most, least = (run({"objective_weight": weight}) for weight in (1.0, -1.0))
    assert least.logits()[0] < 0.5 * 7.5 < most.logits()[0]  # 7.5: the logit of grey
    assert least.pictures()[0, :, 1:6, 1:6].mean() < 0.5 < most.pictures()[0, :, 1:6, 1:6].mean()


@effect
def output(run: Start, tmp_path: Path) -> None:
    nodes: list[Node] = [
        ("Flatten", ["x"], "f"),
        ("Gemm", ["f", "w"], "y", {"transB": 1}),
        ("Neg", ["y"], "z"),
    ]
    both = [("y", ("n", 4)), ("z", ("n", 4))]
    path = write_model(
        tmp_path / "both.onnx", nodes, {"w": planted()}, shape=("n", 3, SIDE, SIDE), outputs=both
    )
    bright, dark = (
        run({"output": name}, model=path).pictures()[0, :, 1:6, 1:6].mean() for name in "yz"
    )
    assert dark < 0.5 < bright


@effect
def seed(run: Start) -> None:
    first, again, other = (run({"seed": seed}).pictures() for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert np.abs(first - other).max() > 0.01


@effect
def transform(run: Start) -> None:
    kept = {}
    for name in (None, "s", "m", "l", "xl"):
        picture = run({"transform": name, "max_steps": 60}).pictures()[0].mean(0)
        moves = [(y, x) for y in (-3, 0, 3) for x in (-3, 0, 3)]
        moved = [np.roll(picture, move, (0, 1))[1:6, 1:6].mean() for move in moves]
        kept[name] = float(np.mean(moved) / picture[1:6, 1:6].mean())
    assert kept[None] < kept["m"] < kept["xl"]  # what is seen moved survives being moved
    assert kept["s"] < kept["l"]


@effect
def use_baseline(run: Start) -> None:
    still = {"objective_weight": 0.0, "hf_weight": 0.0, "max_steps": 200}
    apart = []
    for on in (False, True):
        (stages,) = run({**still, "use_baseline": on}).stages.values()
        apart.append(float(np.ptp(stages["probs"][-1])))
    assert apart[1] < 0.5 * apart[0]


def test_pictures_are_where_the_table_says(run: Start) -> None:
    found = run({"isolation": True, "max_steps": 4})
    for column in ("prototype", "isolation", "mask"):
        for path in found.frame[column].dropna():
            assert path.startswith("leap_files/test/0001/images/")
            with Image.open(path) as image:
                assert image.size == (SIDE, SIDE)
