"""How far changes of whole pictures move vectors."""

from collections.abc import Callable, Sequence

import numpy as np

from leap_audit.artifacts import EmbeddingChange
from leap_audit.measure.embedding.moved import change_names, moved_by, pictures_changed
from leap_audit.run.session import Array


def shown(count: int = 20) -> Array:
    return np.random.default_rng(0).random((count, 3, 12, 12)).astype(np.float32)


def details(pictures: Array) -> Array:
    grey = pictures.mean(1)
    return (grey - grey.mean((1, 2), keepdims=True)).reshape(len(pictures), -1)


def tried(
    pictures: Array,
    encoder: Callable[[Array], Array],
    chosen: Array,
    same: Sequence[tuple[int, int]] = (),
) -> dict[str, EmbeddingChange]:
    changed = {
        name: encoder(pictures_changed(pictures[chosen], name, 0))
        for name in change_names(pictures.shape[1])
    }
    return {each.change: each for each in moved_by(encoder(pictures), chosen, changed, same)}


def test_an_encoder_of_details_is_moved_by_a_mirror_and_not_by_light() -> None:
    pictures = shown()
    by_name = tried(pictures, details, np.arange(0, 20, 2))
    assert by_name["contrast halved"].found == 10
    assert by_name["contrast halved"].cosine > 0.999
    assert by_name["mirrored"].found <= 2
    assert by_name["mirrored"].cosine < 0.3
    assert by_name["noise of 0.15"].cosine < by_name["noise of 0.05"].cosine < 0.999
    assert 0.7 < by_name["contrast halved"].low < by_name["contrast halved"].high <= 1


def test_a_collapsed_encoder_finds_no_picture_again() -> None:
    pictures = shown()

    def one(several: Array) -> Array:
        return np.ones((len(several), 4))

    found = tried(pictures, one, np.arange(20))
    assert {each.found for each in found.values()} == {0}
    assert {each.cosine for each in found.values()} == {1.0}


def test_changes_of_colour_need_three_channels() -> None:
    grey = shown()[:, :1]
    names = tried(grey, details, np.arange(20))
    assert "mirrored" in names
    assert not any("tinted" in name for name in names)


def test_a_picture_may_be_found_for_its_duplicate() -> None:
    pictures = shown()
    pictures[1] = pictures[0]
    alone = tried(pictures, details, np.arange(20))
    paired = tried(pictures, details, np.arange(20), [(0, 1)])
    assert alone["contrast halved"].found == 18
    assert paired["contrast halved"].found == 20
