import pytest

from tipcap.errors import InputError
from tipcap.io.annotations import read_raw
from tipcap.io.own_data import is_held_out

NUMBER = 200


@pytest.fixture
def written(tmp_path):
    def written(rows, header="image,caption"):
        path = tmp_path / "own.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return written


@pytest.fixture
def pairs(written):
    return written(f"{n}.jpg,Picture {n}" for n in range(NUMBER) for _ in "ab")


def splits(path, reader):
    return {str(r.member): r.split for r in read_raw(path, reader, "own")}


def test_pairs_keep_a_fifth_for_scoring(pairs):
    found = splits(pairs, "pairs")
    assert len(found) == NUMBER
    share = list(found.values()).count("test") / NUMBER
    assert share == pytest.approx(0.2, abs=0.1)
    assert set(splits(pairs, "web").values()) == {"train"}


def test_a_picture_is_kept_for_scoring_in_every_file_alike(written, tmp_path):
    first = splits(written(f"{n}.jpg,Text" for n in range(50)), "pairs")
    second = splits(
        written(f"/home/me/x/{n}.jpg,More" for n in range(49, -1, -1)), "pairs"
    )
    assert first == {name.rpartition("/")[2]: one for name, one in second.items()}
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in first:
        (folder / name).touch()
    kept = splits(folder, "unpaired")
    assert set(kept) == {name for name in first if not is_held_out(name)}
    assert set(splits(folder, "pictures")) == set(first)


def test_a_split_that_the_file_names_holds(written):
    rows = [f"{n}.jpg,Text,{'val' if n else 'test'}" for n in range(9)]
    found = splits(written(rows, "image,caption,split"), "pairs")
    assert list(found.values()) == ["test", *["val"] * 8]


def test_only_named_pictures_are_for_scoring_where_a_fifth_is_too_few(written):
    rows = [f"{n}.jpg,Text,{'test' if n == 7 else ''}" for n in range(NUMBER)]
    found = splits(written(rows, "image,caption,split"), "unscored")
    assert {name for name, split in found.items() if split != "train"} == {"7.jpg"}


def test_texts_are_records_of_their_own_without_those_for_scoring(written):
    rows = [f"a.jpg,Text {n},{'test' if n == 3 else 'train'}" for n in range(5)]
    path = written([*rows, f"a.jpg,{'x' * 1001},train"], "image,caption,split")
    records = read_raw(path, "texts", "own")
    assert [r.captions for r in records] == [[f"Text {n}"] for n in (0, 1, 2, 4)]
    assert all(record.member is None for record in records)


def test_addresses_are_there_to_be_fetched(written):
    (record,) = read_raw(written(["https://a.example/1.jpg,A dog"]), "web", "own")
    assert record.urls == ("https://a.example/1.jpg",)
    assert record.member == f"{record.image_id}.jpg"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([",A dog"], "expected a picture beside each caption"),
        (["..,A dog"], "expected the name of a picture"),
    ],
)
def test_pairs_without_pictures_are_one_line(written, rows, said):
    with pytest.raises(InputError, match=said):
        read_raw(written(rows), "pairs", "own")


def test_a_picture_in_two_splits_is_refused(written):
    path = written(["a.jpg,A dog,train", "a.jpg,A dog,test"], "image,caption,split")
    with pytest.raises(InputError, match=r"found a\.jpg in train and test"):
        read_raw(path, "pairs", "own")
