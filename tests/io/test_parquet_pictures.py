"""Pictures in a Parquet file, as copies of NoCaps on the hub have them."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tipcap.errors import InputError
from tipcap.io.archives import open_archives
from tipcap.io.pictures import PictureArchives

ROWS = [
    {"image": {"bytes": b"one", "path": "x/a.jpg"}, "image_file_name": "0013ea.jpg"},
    {"image": {"bytes": b"two", "path": "x/b.jpg"}, "image_file_name": "0025f1.jpg"},
    {"image": {"bytes": b"three", "path": None}, "image_file_name": "00ba7c.jpg"},
]


def written(path, rows=ROWS, group_size=2):
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=group_size)
    return path


def test_a_picture_is_found_by_its_name_in_any_group_of_rows_and_order(tmp_path):
    (archive,) = open_archives(written(tmp_path / "validation-00000.parquet"))
    contents = {}
    for name in ("00ba7c", "0013ea", "0025f1", "00ba7c"):
        contents[name] = archive.read(archive.find(f"nocaps-val/{name}.jpg"))
    assert contents == {"0013ea": b"one", "0025f1": b"two", "00ba7c": b"three"}
    assert archive.find("nocaps-val/ffffff.jpg") is None


def test_several_files_in_a_folder_are_one_source_of_pictures(tmp_path):
    written(tmp_path / "validation-00000-of-00002.parquet", ROWS[:1])
    written(tmp_path / "validation-00001-of-00002.parquet", ROWS[1:])
    assert PictureArchives([tmp_path]).members() == {
        row["image_file_name"] for row in ROWS
    }


def test_without_a_column_of_names_the_path_beside_the_bytes_names_a_picture(tmp_path):
    rows = [{"picture": row["image"]} for row in ROWS]
    (archive,) = open_archives(written(tmp_path / "a.parquet", rows))
    assert archive.read("x/b.jpg") == b"two"
    assert list(archive) == ["x/a.jpg", "x/b.jpg"]  # what has no name is no member


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"caption": "a cat"}], "Parquet without pictures, of caption"),
        (ROWS[:1] * 2, "two pictures called 0013ea.jpg"),
        ([{"image": {"bytes": b"one"}}], "pictures have no image_file_name"),
    ],
)
def test_other_tables_are_refused(tmp_path, rows, says):
    with pytest.raises(InputError, match=says):
        open_archives(written(tmp_path / "a.parquet", rows))


def test_a_file_cut_short_is_refused(tmp_path):
    path = written(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="fetch the archive again"):
        open_archives(path)


def test_a_column_that_holds_no_names_is_none_of_names(tmp_path):
    rows = [row | {"image_file_name": ["x", "y"]} for row in ROWS]
    (archive,) = open_archives(written(tmp_path / "a.parquet", rows))
    assert list(archive) == ["x/a.jpg", "x/b.jpg"]


@pytest.mark.parametrize("nothing", [None, {"bytes": None, "path": "a.jpg"}])
def test_a_row_without_a_picture_is_refused_when_it_is_read(tmp_path, nothing):
    rows = [
        {"image": nothing, "image_file_name": "a.jpg"},
        {"image": ROWS[0]["image"], "image_file_name": "b.jpg"},
    ]
    (archive,) = open_archives(written(tmp_path / "a.parquet", rows))
    with pytest.raises(InputError, match=r"a\.jpg.*a row without a picture"):
        archive.read("a.jpg")
