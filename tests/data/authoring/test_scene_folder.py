"""Scene folders appear complete or not at all, and never replace something else."""

import pytest

from taichi_pynerf.data.authoring.scene_folder import new_scene_folder
from taichi_pynerf.errors import SceneError

OURS = ("metadata.json", "images_*")


def fill(folder, text):
    (folder / "images_train").mkdir()
    (folder / "metadata.json").write_text(text)


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_folder_takes_its_name_at_the_end(tmp_path):
    with new_scene_folder(tmp_path / "deep" / "scene") as folder:
        fill(folder, "new")
        assert not (tmp_path / "deep" / "scene").exists()
    assert entries(tmp_path / "deep") == ["scene"]
    assert (tmp_path / "deep" / "scene" / "metadata.json").read_text() == "new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("old", [None, "old"])
def test_interrupted_work_leaves_what_was_there(tmp_path, error, old):
    if old:
        (tmp_path / "scene").mkdir()
        fill(tmp_path / "scene", old)
    before = entries(tmp_path)

    def breaks_off():
        with new_scene_folder(tmp_path / "scene", overwrite=True, contents=OURS) as folder:
            fill(folder, "new")
            raise error

    with pytest.raises(error):
        breaks_off()
    assert entries(tmp_path) == before
    if old:
        assert (tmp_path / "scene" / "metadata.json").read_text() == old


def test_an_older_result_is_replaced_on_demand_alone(tmp_path):
    (tmp_path / "scene").mkdir()
    fill(tmp_path / "scene", "old")
    with (
        pytest.raises(SceneError, match="is there already"),
        new_scene_folder(tmp_path / "scene", contents=OURS),
    ):
        pytest.fail("the work must not begin")
    with new_scene_folder(tmp_path / "scene", overwrite=True, contents=OURS) as folder:
        fill(folder, "new")
    assert entries(tmp_path) == ["scene"]
    assert (tmp_path / "scene" / "metadata.json").read_text() == "new"


def test_a_folder_with_anything_else_is_never_overwritten(tmp_path):
    (tmp_path / "holiday.jpg").write_text("dear")
    fill(tmp_path, "old")
    with (
        pytest.raises(SceneError, match=r"holds holiday\.jpg") as caught,
        new_scene_folder(tmp_path, overwrite=True, contents=OURS),
    ):
        pytest.fail("the work must not begin")
    assert "\n" not in str(caught.value)
    assert entries(tmp_path) == ["holiday.jpg", "images_train", "metadata.json"]


def test_a_file_is_never_overwritten(tmp_path):
    (tmp_path / "scene").write_text("keep")
    with (
        pytest.raises(SceneError, match="is there already"),
        new_scene_folder(tmp_path / "scene", overwrite=True, contents=("*",)),
    ):
        pytest.fail("the work must not begin")
    assert (tmp_path / "scene").read_text() == "keep"


def test_what_comes_in_between_is_kept(tmp_path):
    def is_slower():
        with new_scene_folder(tmp_path / "scene"):
            (tmp_path / "scene").mkdir()
            fill(tmp_path / "scene", "other")

    with pytest.raises(SceneError, match="is there already"):
        is_slower()
    assert entries(tmp_path) == ["scene"]
    assert (tmp_path / "scene" / "metadata.json").read_text() == "other"


def test_a_link_to_an_empty_folder_is_filled_behind_the_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with new_scene_folder(tmp_path / "link") as folder:
        fill(folder, "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "metadata.json").read_text() == "new"
