"""Writing of files: whole or not at all, and nothing left behind by a process that was killed."""

import errno
from pathlib import Path

import pytest

from taichi_pynerf import files
from taichi_pynerf.errors import RunFolderError
from taichi_pynerf.files import (
    atomic_write,
    atomic_write_text,
    is_there,
    open_to_append,
    put_in_place,
    refuse_links,
    remove_leftovers,
)


def test_leftovers_of_killed_processes_are_removed_and_nothing_else(tmp_path):
    for name in (".checkpoint.pth.a1b2", ".checkpoint.pth.c3", ".[x].png.q", "checkpoint.pth"):
        (tmp_path / name).touch()
    others = [".checkpoint.pth", ".other.json.x1", "checkpoint.pth.old", ".x.png.q"]
    for name in others:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, ["checkpoint.pth", "[x].png"])
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pth", *others}


def test_the_unfinished_file_has_a_name_that_remove_leftovers_knows(tmp_path):
    with atomic_write(tmp_path / "model.pth") as file:
        file.write(b"half")
        (unfinished,) = tmp_path.iterdir()
        copy = tmp_path / f"{unfinished.name}z"
        copy.touch()  # as another process's
    remove_leftovers(tmp_path, ["model.pth"])
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def test_appending_follows_no_link(tmp_path):
    with open_to_append(tmp_path / "log") as file:
        file.write(b"one\n")
    with open_to_append(tmp_path / "log") as file:
        file.write(b"two\n")
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="link") as caught:
        open_to_append(tmp_path / "link")
    assert caught.value.errno == errno.ELOOP
    assert not (tmp_path / "outside").exists()


def test_a_link_is_replaced_and_what_it_leads_to_is_not(tmp_path):
    (tmp_path / "outside").write_text("dear")
    (tmp_path / "config.json").symlink_to(tmp_path / "outside")
    atomic_write_text(tmp_path / "config.json", "{}")
    assert (tmp_path / "outside").read_text() == "dear"
    assert not (tmp_path / "config.json").is_symlink()


def test_links_below_a_named_folder_are_refused(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "named").symlink_to(tmp_path / "outside")
    refuse_links(tmp_path / "named", tmp_path / "named")
    refuse_links(tmp_path / "named", tmp_path / "named" / "renders" / "test")  # not there yet
    (tmp_path / "named" / "renders").symlink_to(tmp_path)
    for parts in ("renders", "renders/test"):
        with pytest.raises(RunFolderError, match="renders: this is a link"):
            refuse_links(tmp_path / "named", tmp_path / "named" / parts)
    (tmp_path / "named" / "nowhere").symlink_to(tmp_path / "absent")
    with pytest.raises(RunFolderError, match="nowhere: this is a link"):
        refuse_links(tmp_path / "named", tmp_path / "named" / "nowhere")


def test_what_has_too_long_a_name_is_not_there(tmp_path):
    assert is_there(tmp_path)
    assert not is_there(tmp_path / "x")
    assert not is_there(tmp_path / ("x" * 300) / "y")


@pytest.mark.parametrize(("system", "refusals"), [("linux", 0), ("win32", 3), ("win32", 9)])
def test_a_file_that_another_program_has_open_is_waited_for(
    tmp_path, monkeypatch, system, refusals
):
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    rename, waited, left = Path.replace, [], [refusals]

    def refuse(source, target):
        left[0] -= 1
        if left[0] >= 0:
            raise PermissionError(13, "in use")
        return rename(source, target)

    monkeypatch.setattr(files.sys, "platform", system)
    monkeypatch.setattr(files.time, "sleep", waited.append)
    monkeypatch.setattr(Path, "replace", refuse)
    if refusals == 9:
        with pytest.raises(PermissionError):
            put_in_place(tmp_path / "new", tmp_path / "old")
        assert len(waited) == 5
        return
    put_in_place(tmp_path / "new", tmp_path / "old")
    assert len(waited) == refusals
    assert (tmp_path / "old").read_text() == "new"
