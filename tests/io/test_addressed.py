"""Pictures by address: which of a split are fetched, and in whose place others come."""

import json
import zipfile

import pytest
import torch

from tests.picture_server import picture_of, picture_server
from tipcap.core.selection import sample_images
from tipcap.errors import InputError
from tipcap.io import addressed
from tipcap.io.annotations import ImageRecord
from tipcap.io.collect import Collection, collect_pictures
from tipcap.step import Request
from tipcap.steps.collect import CollectSpec, collect

NUM_IMAGES, NUM_TRAIN = 20, 16


@pytest.fixture
def server():
    with picture_server() as found:
        yield found


def spec_of(**changes):
    fields = {"dataset": "coco", "reader": "karpathy", "split": "train"}
    return CollectSpec.model_validate(fields | changes)


def candidates_of_split(listed, spec):
    return addressed.candidates_of_split(
        listed, spec.split, spec, spec.addresses, "pictures of coco"
    )


def records(urls=lambda number: (f"https://a.example/{number}.jpg",)):
    return [
        ImageRecord(
            number,
            "train2014.zip",
            f"train2014/{number}.jpg",
            "train" if number < NUM_TRAIN else "test",
            None,
            ["a caption"],
            urls(number),
        )
        for number in range(NUM_IMAGES)
    ]


def ids(found):
    return [record.image_id for record in found]


def test_the_first_of_a_sample_are_those_that_an_estimate_draws():
    found = candidates_of_split(records(), spec_of(fraction=0.25, sample=3))
    drawn = sample_images(torch.arange(NUM_TRAIN), 4, 3).tolist()
    assert found.num_wanted == 4
    assert ids(found.records)[:4] == drawn
    assert len(found.records) == 8  # as many again for those that are gone


def test_all_of_a_split_come_in_its_order():
    found = candidates_of_split(records(), spec_of())
    assert ids(found.records) == list(range(NUM_TRAIN))
    assert found.num_wanted == NUM_TRAIN


def test_more_than_a_split_has_are_refused():
    with pytest.raises(InputError, match="between 1 and 16 images, found 17"):
        candidates_of_split(records(), spec_of(num_images=17))


def test_addresses_of_the_world_come_before_those_that_the_reader_knows():
    addresses = ("https://b.example/{member}", "https://c.example/p/{name}")
    found = candidates_of_split(records(), spec_of(addresses=addresses))
    assert found.records[7].urls == (
        "https://b.example/train2014/7.jpg",
        "https://c.example/p/7.jpg",
        "https://a.example/7.jpg",
    )


def test_a_picture_without_an_address_is_one_line_that_says_what_to_write():
    with pytest.raises(InputError, match=r"image 0: .*found none.*`addresses`") as told:
        candidates_of_split(records(lambda number: ()), spec_of())
    assert "\n" not in str(told.value)


def test_a_split_without_pictures_is_refused():
    with pytest.raises(InputError, match="coco val: expected some, found none"):
        candidates_of_split(records(), spec_of(split="val"))


def test_the_next_of_the_draw_take_the_places_of_pictures_that_are_gone(
    server, tmp_path
):
    order = sample_images(torch.arange(NUM_TRAIN), 8, 0).tolist()
    gone = {order[0], order[2]}
    listed = records(lambda n: (server.url("gone" if n in gone else "good", n),))
    found = candidates_of_split(listed, spec_of(fraction=0.25))
    collection = Collection(tmp_path / "fetched")
    collected = collect_pictures(*found, collection, "pictures")
    collection.close()
    assert ids(collected.records) == [n for n in order if n not in gone][:4]


def test_the_step_fetches_the_sample_and_nothing_else(server, tmp_path):
    raw = tmp_path / "annotations.json"
    images = [
        {
            "filepath": "train2014",
            "filename": f"{number}.jpg",
            "cocoid": number,
            "split": "train" if number < NUM_TRAIN else "test",
            "sentences": [{"raw": "A caption."}],
        }
        for number in range(NUM_IMAGES)
    ]
    raw.write_text(json.dumps({"images": images, "dataset": "coco"}))
    address = server.url("good", 0).replace("0.jpg", "{name}")
    spec = spec_of(fraction=0.25, addresses=(address,))
    out = tmp_path / "collect/key"
    out.parent.mkdir()
    fields = spec.model_dump(mode="json")
    collect(Request("collect", "key", {}, fields, out), spec, [raw])
    wanted = sample_images(torch.arange(NUM_TRAIN), 4, 0).tolist()
    assert dict(server.asked) == {f"/good/{number}.jpg": 1 for number in wanted}
    with zipfile.ZipFile(out / "pictures/train2014.zip") as archive:
        pictures = {name: archive.read(name) for name in archive.namelist()}
    assert pictures == {f"train2014/{n}.jpg": picture_of(n) for n in wanted}
