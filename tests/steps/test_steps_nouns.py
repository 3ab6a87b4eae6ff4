import json

import pytest

from tipcap.errors import InputError
from tipcap.io.store import write_json
from tipcap.step import Request
from tipcap.steps.nouns import NounsSpec, nouns, read_nouns


def found_in(folder, split=None, dataset=None, captions=None):
    spec = NounsSpec(kind="nouns", split=split)
    request = Request("nouns", "key", {}, spec.model_dump(), folder / "out")
    nouns(request, spec, dataset, captions)
    return json.loads((folder / "out/nouns.json").read_text())


def test_a_splits_captions_and_a_runs_captions_give_their_words(tmp_path):
    images = [
        {
            "image_id": number,
            "archive": None,
            "member": None,
            "split": split,
            "domain": None,
            "captions": captions,
        }
        for number, split, captions in [
            (1, "train", ["A dog.", "A dog."]),
            (2, "test", ["A cat on a sofa."]),
        ]
    ]
    dataset, captions = tmp_path / "annotations.json", tmp_path / "captions.json"
    write_json(dataset, {"dataset": "toy", "images": images})
    write_json(captions, [{"image_id": 2, "caption": "A hat."}])
    assert found_in(tmp_path, "train", dataset=dataset) == {"A dog.": ["dog"]}
    counts = json.loads((tmp_path / "out/meta.json").read_text())["counts"]
    assert (counts["captions"], counts["distinct_captions"]) == (2, 1)
    assert found_in(tmp_path, captions=captions) == {"A hat.": ["hat"]}
    with pytest.raises(InputError, match="expected --dataset or --captions"):
        found_in(tmp_path)


def test_a_caption_without_its_words_is_named(tmp_path):
    write_json(tmp_path / "nouns.json", {"A dog.": ["dog"]})
    assert read_nouns(tmp_path / "nouns.json", ["A dog."]) == {"A dog.": ["dog"]}
    with pytest.raises(InputError, match=r"found none of 'A cat\.'; run nouns again"):
        read_nouns(tmp_path / "nouns.json", ["A dog.", "A cat."])
