"""Which photographs of a new scene are held out."""

import itertools

import pytest

from taichi_pynerf.data.authoring.held_out import amid, lists_of_splits
from taichi_pynerf.errors import SceneError


def test_one_in_eight_is_held_out_amid_its_neighbours():
    assert amid(11) == [2, 8]
    assert amid(16) == [4, 12]
    assert amid(8) == [4]
    assert (amid(0), amid(1), amid(2), amid(3)) == ([], [], [1], [1])


@pytest.mark.parametrize("count", range(4, 200))
def test_the_ends_train_and_runs_are_even(count):
    held = amid(count)
    assert len(held) == -(-count // 8)  # as many as where every eighth is held out
    assert held[0] > 0
    assert held[-1] < count - 1
    gaps = [later - earlier for earlier, later in itertools.pairwise(held)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_the_lists_are_those_of_the_photos_amid_the_others():
    paths = [f"images/{i}.jpg" for i in range(9)]
    lists = lists_of_splits(paths)
    assert lists["test_filenames"] == lists["val_filenames"] == ["images/2.jpg", "images/6.jpg"]
    assert lists["train_filenames"] == [
        path for path in paths if path not in lists["val_filenames"]
    ]


def test_the_lists_of_a_held_out_source():
    paths = [f"images/{name}" for name in ("1_a.jpg", "1_b.jpg", "2_a.jpg")]
    assert lists_of_splits(paths, ["2_a.jpg", "2_b.jpg"], "film.mp4") == {
        "train_filenames": ["images/1_a.jpg", "images/1_b.jpg"],
        "val_filenames": ["images/2_a.jpg"],
        "test_filenames": ["images/2_a.jpg"],
    }
    with pytest.raises(SceneError, match=r"film\.mp4: 0 of its images got a pose, and 3 of the"):
        lists_of_splits(paths, [], "film.mp4")
