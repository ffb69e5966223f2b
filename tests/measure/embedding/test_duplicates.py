"""Near-duplicates: the encoder proposes, the pictures decide."""

import io

import numpy as np
from PIL import Image

from leap_audit.measure.embedding.duplicates import near_duplicates
from leap_audit.run.session import Array


def scenes(count: int = 12, size: int = 32) -> Array:
    rng = np.random.default_rng(3)
    cells = rng.random((count, 3, 8, 8))
    return np.asarray(cells.repeat(size // 8, 2).repeat(size // 8, 3), np.float32)


def compressed(picture: Array) -> Array:
    held = io.BytesIO()
    levels = np.round(picture * 255).astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(levels).save(held, "JPEG", quality=85)
    return np.asarray(Image.open(held), np.float32).transpose(2, 0, 1) / 255


def vectors_of(pictures: Array) -> Array:
    return np.asarray([each[:, ::4, ::4].ravel() for each in pictures])


def test_a_clean_set_has_none_even_where_the_encoder_is_collapsed() -> None:
    shown = scenes()
    assert near_duplicates(shown, vectors_of(shown)) == ()
    assert near_duplicates(shown, np.ones((12, 4))) == ()
    assert near_duplicates(shown[:1], np.ones((1, 4))) == ()


def test_a_compressed_copy_a_darker_one_and_a_mirrored_one_are_found() -> None:
    shown = scenes()
    copies = np.stack([compressed(shown[0]), shown[1] * 0.7, shown[2][:, :, ::-1]])
    every = np.concatenate([shown, copies])
    vectors = vectors_of(np.concatenate([shown, copies[:2], shown[2:3]]))
    found = {(each.first, each.second): each for each in near_duplicates(every, vectors)}
    assert set(found) == {(0, 12), (1, 13), (2, 14)}
    assert [found[2, 14].mirrored, found[0, 12].mirrored] == [True, False]
    assert not any(each.equal for each in found.values())
    assert all(each.correlation >= 0.95 for each in found.values())


def test_equal_pictures_come_first() -> None:
    shown = scenes()
    every = np.concatenate([shown, compressed(shown[0])[None], shown[5:6]])
    first, second = near_duplicates(every, vectors_of(every))
    assert (first.first, first.second, first.equal, first.correlation) == (5, 13, True, 1.0)
    assert (second.first, second.second, second.equal) == (0, 12, False)


def test_equal_files_are_compared_whatever_the_encoder_says() -> None:
    shown = scenes(40)
    every = np.concatenate([shown, shown[:1]])
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(41, 3))
    vectors[40] = -vectors[0]
    assert near_duplicates(every, vectors) == ()
    digests = [*map(str, range(40)), "0"]
    assert [(e.first, e.second) for e in near_duplicates(every, vectors, digests)] == [(0, 40)]


def test_flat_pictures_show_nothing_to_compare() -> None:
    flat = np.stack([np.full((1, 24, 24), level) for level in (0.2, 0.5, 0.8)])
    assert near_duplicates(flat, np.ones((3, 2))) == ()
