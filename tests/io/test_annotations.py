import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipcap.errors import InputError
from tipcap.io.annotations import (
    MAX_CAPTION_CHARACTERS,
    annotations_document,
    read_annotations,
    read_raw,
)
from tipcap.io.store import write_json

READERS = ("karpathy", "nocaps", "yfcc", "ss1m")


def coco_image(number, split="train", captions=("A cat on a mat.",), **changes):
    """One image as dataset_coco.json lays it out."""
    return {
        "filepath": "train2014" if split == "train" else "val2014",
        "filename": f"COCO_{number:012d}.jpg",
        "imgid": number - 100,
        "cocoid": number,
        "split": split,
        "sentids": [number],
        "sentences": [
            {"raw": text, "tokens": text.lower().split(), "imgid": number, "sentid": i}
            for i, text in enumerate(captions)
        ],
        **changes,
    }


def nocaps_document():
    domains = ("in-domain", "near-domain", "out-domain")
    return {
        "licenses": [],
        "images": [
            {
                "id": i,
                "open_images_id": f"{i:016x}",
                "height": 1024,
                "width": 732,
                "file_name": f"{i:016x}.jpg",
                "coco_url": f"https://s3.amazonaws.com/nocaps/val/{i:016x}.jpg",
                "domain": domain,
            }
            for i, domain in enumerate(domains)
        ],
        "annotations": [
            {"id": 10 * i + j, "image_id": i, "caption": f"Caption {j} of image {i}."}
            for j in range(2)
            for i in range(3)
        ],
    }


def yfcc_line(number, title="A day at the sea", **changes):
    return {
        "photoid": number,
        "key": f"{number:x}",
        "ext": "jpg",
        "title": title,
        "description": "",
        **changes,
    }


def write_karpathy(path, images):
    path.write_text(json.dumps({"images": images, "dataset": "coco"}))
    return path


def write_yfcc(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def write_ss1m(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("descriptions/", "")
        for name, texts in files.items():
            content = json.dumps([{"description": text} for text in texts])
            archive.writestr(f"descriptions/{name}", content)
    return path


def read(path, reader, dataset="coco", sample_size=None, seed=0):
    return read_raw(path, reader, dataset, sample_size, seed)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "annotations.raw"


def test_restval_belongs_to_train(file):
    splits = ["train"] * 4 + ["restval"] * 3 + ["val"] * 2 + ["test"]
    images = [coco_image(100 + i, split) for i, split in enumerate(splits)]
    found = [record.split for record in read(write_karpathy(file, images), "karpathy")]
    assert {split: found.count(split) for split in set(found)} == {
        "train": 7,
        "val": 2,
        "test": 1,
    }


def test_a_coco_image_keeps_its_id_picture_and_raw_captions(file):
    captions = ("A cat.", "Two  cats,\nasleep!")
    write_karpathy(file, [coco_image(391895, "restval", captions)])
    (record,) = read(file, "karpathy")
    assert record.image_id == 391895
    assert record.archive == "val2014.zip"
    assert record.member == "val2014/COCO_000000391895.jpg"
    assert record.captions == list(captions)
    assert record.domain is None


def test_a_flickr_image_is_known_by_its_number_in_the_split(file):
    image = coco_image(107)
    del image["cocoid"], image["filepath"]
    (record,) = read(write_karpathy(file, [image]), "karpathy", "flickr30k")
    assert record.image_id == 7
    assert record.archive == "flickr30k-images.zip"
    assert record.member == "flickr30k-images/COCO_000000000107.jpg"


def test_karpathys_archive_gives_each_dataset_its_own_file(file):
    with zipfile.ZipFile(file, "w") as archive:
        for number, dataset in ((5, "coco"), (6, "flickr30k")):
            content = {"images": [coco_image(number)], "dataset": dataset}
            archive.writestr(f"dataset_{dataset}.json", json.dumps(content))
    assert read(file, "karpathy", "coco")[0].image_id == 5
    assert read(file, "karpathy", "flickr30k")[0].image_id == 6
    with pytest.raises(InputError, match=r"dataset_flickr8k\.json"):
        read(file, "karpathy", "flickr8k")


def test_nocaps_images_have_a_domain_and_their_own_captions(file):
    file.write_text(json.dumps(nocaps_document()))
    records = read(file, "nocaps")
    assert [record.domain for record in records] == ["in", "near", "out"]
    assert {record.split for record in records} == {"val"}
    assert records[1].captions == ["Caption 0 of image 1.", "Caption 1 of image 1."]
    assert records[1].archive == "nocaps-val.zip"
    assert records[1].member == "nocaps-val/0000000000000001.jpg"


def test_a_web_pair_has_its_title_or_else_its_description(file):
    lines = [
        yfcc_line(1, "  Sea \t side "),
        yfcc_line(2, "", description="A boat"),
        yfcc_line(3, None, description=None),
        yfcc_line(4, " ", ext="png"),
        yfcc_line(5, "x" * 5000, ext="png"),
    ]
    records = read(write_yfcc(file, lines), "yfcc")
    assert [record.image_id for record in records] == [1, 2, 5]
    assert records[0].captions == ["Sea side"]
    assert records[1].captions == ["A boat"]
    assert len(records[2].captions[0]) <= MAX_CAPTION_CHARACTERS
    assert records[2].member == "yfcc15m-pictures/5.png"
    assert {record.split for record in records} == {"train"}


def test_descriptions_of_all_files_are_taken_once_each(file):
    write_ss1m(file, {"0001.json": ["b", "c  c", ""], "0000.json": ["a", "b", "a"]})
    records = read(file, "ss1m")
    assert [record.captions for record in records] == [["a"], ["b"], ["c c"]]
    assert [record.image_id for record in records] == [0, 1, 2]
    assert {record.archive for record in records} == {None}


@pytest.mark.parametrize("caption", ["", "  \n"])
def test_an_empty_caption_is_refused_with_image_and_caption(file, caption):
    images = [coco_image(5), coco_image(9, captions=("A cat.", caption))]
    write_karpathy(file, images)
    with pytest.raises(
        InputError, match=r"image 9, caption 1: .*empty caption"
    ) as error:
        read(file, "karpathy")
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


def test_an_overlong_caption_is_refused_with_its_length(file):
    long = "very " * MAX_CAPTION_CHARACTERS
    write_karpathy(file, [coco_image(9, captions=(long,))])
    with pytest.raises(InputError, match=f"image 9, caption 0: .*found {len(long)};"):
        read(file, "karpathy")


def test_a_caption_of_exactly_the_greatest_length_is_taken(file):
    write_karpathy(file, [coco_image(9, captions=("x" * MAX_CAPTION_CHARACTERS,))])
    assert len(read(file, "karpathy")) == 1


def test_an_image_that_stands_twice_is_refused(file):
    write_karpathy(file, [coco_image(5), coco_image(9), coco_image(5, "val")])
    with pytest.raises(InputError, match="found image 5 twice"):
        read(file, "karpathy")


def test_an_image_without_captions_is_refused(file):
    write_karpathy(file, [coco_image(5), coco_image(9, captions=())])
    with pytest.raises(InputError, match="image 9: expected at least one caption"):
        read(file, "karpathy")


def test_a_split_that_does_not_exist_is_refused(file):
    write_karpathy(file, [coco_image(5), coco_image(9, "tset")])
    with pytest.raises(InputError, match=r"image 9: .*'tset'"):
        read(file, "karpathy")


def test_a_caption_of_an_image_that_is_not_listed_is_refused(file):
    document = nocaps_document()
    document["annotations"][0]["image_id"] = 4711
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match="4711"):
        read(file, "nocaps")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]\n",
        b"[1]\n",
        b"{}\n",
        b'{"images": [{}]}\n',
        b'{"images": 3, "photoid": "x", "key": "a", "title": "a"}\n',
        b'{"images": [], "annotations": [], "key": "a", "photoid": 1}\n',
        b'{"images": [',
        b"\xff\xfe\x00",
        b"PK\x03\x04 and nothing more",
    ],
)
def test_a_file_of_another_format_is_one_line(file, reader, content):
    file.write_bytes(content)
    with pytest.raises(InputError, match="expected") as error:
        read(file, reader)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("reader", ["karpathy", "ss1m"])
def test_an_archive_with_a_damaged_member_is_one_line(file, reader):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        content = json.dumps([{"description": f"text {i}"} for i in range(99)])
        archive.writestr("dataset_coco.json", content)
    damaged = bytearray(file.read_bytes())
    damaged[60:160] = bytes(100)
    file.write_bytes(damaged)
    with pytest.raises(InputError, match=f"in the {reader} format"):
        read(file, reader)


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_file_is_one_line(file, reader):
    with pytest.raises(InputError, match="expected a file, found none"):
        read(file, reader)


def test_a_misspelt_reader_is_answered_with_the_closest(file):
    with pytest.raises(InputError, match="did you mean 'karpathy'"):
        read(file, "karpaty")


def test_a_sample_larger_than_the_set_is_refused(file):
    write_yfcc(file, [yfcc_line(i) for i in range(3)])
    with pytest.raises(InputError, match="at least 4 usable records, found 3"):
        read(file, "yfcc", sample_size=4)


@given(small=st.integers(1, 20), large=st.integers(1, 20), seed=st.integers(0, 2**32))
def test_a_sample_follows_from_its_seed_and_holds_the_smaller_ones(
    tmp_path_factory, small, large, seed
):
    small, large = sorted((small, large))
    file = tmp_path_factory.getbasetemp() / "yfcc.jsonl"
    write_yfcc(file, [yfcc_line(i, f"title {i}") for i in range(20)])
    chosen = read(file, "yfcc", sample_size=large, seed=seed)
    assert chosen == read(file, "yfcc", sample_size=large, seed=seed)
    assert len({record.image_id for record in chosen}) == large
    assert chosen[:small] == read(file, "yfcc", sample_size=small, seed=seed)


def test_another_seed_gives_another_sample(file):
    write_yfcc(file, [yfcc_line(i) for i in range(50)])
    samples = [read(file, "yfcc", sample_size=10, seed=seed) for seed in (0, 1)]
    assert samples[0] != samples[1]


def test_prepared_annotations_read_back(file, tmp_path):
    file.write_text(json.dumps(nocaps_document()))
    records = read(file, "nocaps")
    prepared = tmp_path / "annotations.json"
    write_json(prepared, annotations_document("nocaps", records))
    without_addresses = [record._replace(urls=()) for record in records]
    assert read_annotations(prepared) == without_addresses
    assert json.loads(prepared.read_text())["dataset"] == "nocaps"


@pytest.mark.parametrize(
    "document", [[], {}, {"images": [{"id": 1}]}, {"images": [3]}, {"images": None}]
)
def test_annotations_not_written_by_prepare_are_refused(tmp_path, document):
    prepared = tmp_path / "annotations.json"
    write_json(prepared, document)
    with pytest.raises(InputError, match="run prepare again") as error:
        read_annotations(prepared)
    assert str(prepared) in str(error.value)


def test_exact_sizes_are_a_check(file):
    splits = ["train"] * 4 + ["restval"] * 3 + ["val"] * 2 + ["test"]
    images = [
        coco_image(100 + i, split, ["A cat.", "A dog."])
        for i, split in enumerate(splits)
    ]
    write_karpathy(file, images)
    sizes = {"train": (4, 8), "restval": (3, 6), "val": (2, 4), "test": (1, 2)}
    assert len(read_raw(file, "karpathy", "coco", sizes=sizes)) == 10
    for split, found in sizes.items():
        for wrong in ((found[0] + 1, found[1]), (found[0], found[1] - 1)):
            said = f"expected {wrong[0]} images and {wrong[1]} captions of coco {split}, found {found[0]} and {found[1]}"
            with pytest.raises(InputError, match=said):
                read_raw(file, "karpathy", "coco", sizes={**sizes, split: wrong})
    write_karpathy(file, [i for i in images if i["split"] != "restval"])
    with pytest.raises(InputError, match="of coco restval, found 0 and 0"):
        read_raw(file, "karpathy", "coco", sizes=sizes)


def test_sizes_of_nocaps_are_by_domain_and_of_the_whole_file(file):
    """Whatever pictures were collected."""
    file.write_text(json.dumps(nocaps_document()))
    sizes = {"in": (1, 2), "near": (1, 2), "out": (1, 2)}
    members = {"nocaps-val/0000000000000001.jpg"}
    (record,) = read_raw(file, "nocaps", "nocaps", members=members, sizes=sizes)
    assert record.domain == "near"
    with pytest.raises(InputError, match="2 images and 2 captions of nocaps out"):
        read_raw(file, "nocaps", "nocaps", sizes={**sizes, "out": (2, 2)})
