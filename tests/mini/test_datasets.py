import re

import numpy as np
import pytest

from tipcap.errors import InputError
from tipcap.io.annotations import read_raw
from tipcap.io.encoder import small_tokenize
from tipcap.io.pretraining import train_tokenizer
from tipcap.mini.datasets import STYLES, draw_items, member_name, raw_document
from tipcap.step import Request
from tipcap.steps.draw import DrawSpec, draw

NOVEL = {"umbrella", "key", "mushroom", "rocket", "spaceship"}
DATASETS = {
    "coco": {
        "reader": "karpathy",
        "style": "describe",
        "domains": ["coco"],
        "num_train": 4,
        "num_val": 2,
        "num_test": 2,
    },
    "flickr30k": {
        "reader": "karpathy",
        "style": "narrate",
        "domains": ["flickr30k"],
        "num_train": 3,
        "num_val": 2,
        "num_test": 1,
    },
    "yfcc15m": {
        "reader": "yfcc",
        "style": "alt_text",
        "domains": ["web"],
        "num_train": 6,
        "captions_per_image": 1,
    },
    "nocaps": {
        "reader": "nocaps",
        "style": "describe",
        "domains": ["in", "near", "out"],
        "num_train": 0,
        "num_val": 6,
        "captions_per_image": 10,
    },
    "ss1m": {
        "reader": "ss1m",
        "style": "keywords",
        "domains": ["web"],
        "num_train": 12,
        "captions_per_image": 1,
        "pictures": False,
    },
}


def items_of(domain, style, number, seed=0, captions=1, pictures=False):
    return list(
        draw_items(
            domain,
            style,
            "train",
            range(number),
            captions,
            seed,
            with_pictures=pictures,
        )
    )


def test_the_same_seed_gives_the_same_pictures_and_captions():
    first, second = (
        items_of("coco", "describe", 5, captions=3, pictures=True) for _ in "ab"
    )
    for one, other in zip(first, second, strict=True):
        assert one.captions == other.captions
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_another_number_or_seed_gives_another_picture():
    one, other = items_of("coco", "describe", 2, pictures=True)
    (third,) = items_of("coco", "describe", 1, seed=1, pictures=True)
    assert not np.array_equal(one.pixels, other.pixels)
    assert not np.array_equal(one.pixels, third.pixels)


def test_an_item_does_not_depend_on_which_others_are_drawn():
    everything = items_of("coco", "describe", 5, pictures=True)
    (alone,) = draw_items("coco", "describe", "train", range(3, 4), 1, 0)
    assert alone.captions == everything[3].captions
    np.testing.assert_array_equal(alone.pixels, everything[3].pixels)


@pytest.mark.parametrize("domain", ["coco", "flickr30k"])
@pytest.mark.parametrize("style", STYLES)
def test_no_corpus_text_names_what_only_nocaps_shows(domain, style):
    for item in items_of(domain, style, 500):
        assert not set(re.findall("[a-z]+", item.captions[0].lower())) & NOVEL


def test_out_of_domain_captions_name_novel_things():
    for item in items_of("out", "describe", 200):
        assert set(re.findall("[a-z]+", item.captions[0].lower())) & NOVEL


def test_captions_of_every_style_fit_the_encoders_context():
    """32 tokens in the mini world, start and end included: no caption loses its end."""
    tokenizer = train_tokenizer(
        [item.captions[0] for item in items_of("web", "web_text", 3000)], 600
    )
    cut, whole = small_tokenize(tokenizer, 32), small_tokenize(tokenizer, 200)
    for style in STYLES:
        if style != "general_text":  # documents of the language model
            texts = [item.captions[0] for item in items_of("web", style, 500, seed=1)]
            assert (cut(texts) > 0).sum() == (whole(texts) > 0).sum(), style


def drawn(tmp_path, dataset):
    spec = DrawSpec(dataset=dataset, seed=1, **DATASETS[dataset])
    draw(Request("draw", dataset, {}, {}, tmp_path / dataset), spec)
    return spec, tmp_path / dataset


def expected_items(spec):
    number = 1
    for split in ("train", "val", "test"):
        for offset in range(getattr(spec, f"num_{split}")):
            yield from draw_items(
                spec.domains[offset % len(spec.domains)],
                spec.style,
                split,
                range(number, number + 1),
                spec.captions_per_image,
                spec.seed,
                with_pictures=spec.pictures,
            )
            number += 1


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_raw_file_is_read_by_the_real_datasets_reader(tmp_path, dataset):
    """With the same captions, splits and domains as were drawn; SS1M's distinct texts."""
    spec, folder = drawn(tmp_path, dataset)
    records = read_raw(folder / "annotations.raw", spec.reader, dataset, None, 0)
    items = list(expected_items(spec))
    if dataset == "ss1m":
        assert [r.captions[0] for r in records] == list(
            dict.fromkeys(item.captions[0] for item in items)
        )
        return
    assert [r.image_id for r in records] == [item.number for item in items]
    assert [tuple(r.captions) for r in records] == [item.captions for item in items]
    assert [r.split for r in records] == [item.split for item in items]
    domains = (
        [item.domain for item in items] if dataset == "nocaps" else [None] * len(items)
    )
    assert [r.domain for r in records] == domains


@pytest.mark.parametrize("dataset", [name for name in DATASETS if name != "ss1m"])
def test_every_record_finds_its_picture(tmp_path, dataset):
    from tipcap.io.pictures import PictureArchives

    spec, folder = drawn(tmp_path, dataset)
    archives = PictureArchives(sorted((folder / "pictures").glob("*.zip")))
    records = read_raw(folder / "annotations.raw", spec.reader, dataset, None, 0)
    for record in records:
        picture = archives.read(record.archive, record.member, record.image_id)
        assert picture.size == (64, 64)


def test_cocos_pictures_lie_in_the_archives_of_the_real_one(tmp_path):
    _, folder = drawn(tmp_path, "coco")
    names = sorted(path.name for path in (folder / "pictures").iterdir())
    assert names == ["train2014.zip", "val2014.zip"]


def test_an_archive_name_fits_the_reader():
    (item,) = items_of("web", "alt_text", 1)
    for reader in ("karpathy", "nocaps", "yfcc"):
        archive, member = member_name(reader, "any", item)
        assert archive.removesuffix(".zip") == member.split("/")[0]


def test_a_format_nobody_reads_cannot_be_written():
    with pytest.raises(ValueError, match="'lmdb'") as caught:
        raw_document("lmdb", "coco", [])
    assert not isinstance(caught.value, InputError)  # a defect, not the user's fault
