import subprocess

import pytest

from tests.workflow_copy import copy_config, is_ours, worlds


@pytest.fixture
def clone(tmp_path):
    """A folder of declarations, nothing of which git tracks yet."""
    root = tmp_path / "clone"
    (root / "config/tables").mkdir(parents=True)
    for name in ("mini.yaml", "downloads.csv", "tables/II.yaml"):
        (root / "config" / name).touch()
    return root


def track(root, *words):
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *command], cwd=root, check=True)


def names_in(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_a_copy_lacks_a_persons_own_worlds(clone, tmp_path, monkeypatch):
    monkeypatch.delenv("GIT_DIR", raising=False)
    project = names_in(clone / "config")
    track(clone)
    for name in ("example.yaml", "notes.txt", "tables/layers.yaml"):
        (clone / "config" / name).touch()
    copied = copy_config(tmp_path / "copy", clone)
    # a world of the project may name a new table
    assert names_in(copied) == {*project, "tables/layers.yaml"}
    assert worlds(clone) == [clone / "config/mini.yaml"]
    assert not is_ours(clone / "config/example.yaml", clone)


def test_without_git_all_is_copied(clone, tmp_path):
    (clone / "config/example.yaml").touch()
    copied = copy_config(tmp_path / "copy", clone)
    assert names_in(copied) == names_in(clone / "config")
    assert is_ours(clone / "config/example.yaml", clone)
