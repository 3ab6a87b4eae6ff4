"""What result files and annotations from elsewhere say; forms and faults are from public reports of their users."""

import json

import pytest

from tipcap.commands.score_inputs import read_inputs
from tipcap.errors import InputError

CAPTIONS = {
    391895: "a man riding a motorbike on a dirt road",
    522418: "a woman cutting a cake",
}
TEXTS = {
    391895: ["A man rides a motorbike along a dirt road.", "A rider on a small bike."],
    522418: ["A woman cuts a large white cake."],
    184613: ["A boy holds an umbrella next to cattle."],
}
NAME = "COCO_val2014_{:012d}".format
RESULTS = [{"image_id": i, "caption": text} for i, text in CAPTIONS.items()]
COCO = {
    "info": {},
    "images": [{"id": i, "file_name": f"{NAME(i)}.jpg"} for i in TEXTS],
    "annotations": [
        {"image_id": i, "id": 10 * i + n, "caption": text}
        for i, texts in TEXTS.items()
        for n, text in enumerate(texts)
    ],
}
KARPATHY = {
    "dataset": "coco",
    "images": [
        {
            "filepath": "val2014",
            "filename": f"{NAME(i)}.jpg",
            "imgid": row,
            "split": "test",
            "cocoid": i,
            "sentences": [{"raw": text, "tokens": ["a"]} for text in texts],
        }
        for row, (i, texts) in enumerate(TEXTS.items())
    ],
}
OWN = {
    "dataset": "coco",
    "images": [
        {
            "archive": "val2014.zip",
            "captions": texts,
            "domain": None,
            "image_id": i,
            "member": f"val2014/{NAME(i)}.jpg",
            "split": "test",
        }
        for i, texts in TEXTS.items()
    ],
}
VIECAP = [
    {
        "split": "valid",
        "image_name": f"{NAME(i)}.jpg",
        "captions": TEXTS[i],
        "prediction": text,
    }
    for i, text in CAPTIONS.items()
]


@pytest.fixture
def read(tmp_path):
    """Return a function that writes captions and references and reads them."""

    def run(captions, references=None, **options):
        paths = []
        for name, content in (("captions", captions), ("references", references)):
            if content is not None:
                path = tmp_path / f"{name}.json"
                is_text = isinstance(content, str)
                path.write_text(content if is_text else json.dumps(content), "utf-8")
                paths.append(path)
        return read_inputs(
            paths[:1], paths[1] if references is not None else None, **options
        )

    return run


def lines(records):
    return "\n".join(map(json.dumps, records))


CAPTION_FORMS = {
    "coco": RESULTS,
    "json lines": lines(RESULTS),
    "json lines, the last line open": lines(RESULTS) + "\n\n",
    "mapping": {str(i): text for i, text in CAPTIONS.items()},
    "mapping to lists": {str(i): [text] for i, text in CAPTIONS.items()},
    "pycocoevalcap": {str(i): [{"caption": text}] for i, text in CAPTIONS.items()},
    "mapping to objects": {str(i): {"caption": t} for i, t in CAPTIONS.items()},
    "padded": [{"image_id": f"{i:012d}", "caption": t} for i, t in CAPTIONS.items()],
    "floats": [{"image_id": float(i), "caption": t} for i, t in CAPTIONS.items()],
    "floats as text": {f"{i}.0": text for i, text in CAPTIONS.items()},
    "names": [
        {"image_id": f"{NAME(i)}.jpg", "caption": t} for i, t in CAPTIONS.items()
    ],
    "stems": [{"image": NAME(i), "caption": t} for i, t in CAPTIONS.items()],
    "paths": {f"/data/val2014/{NAME(i)}.jpg": t for i, t in CAPTIONS.items()},
    "names of 2017": {f"{i:012d}.jpg": text for i, text in CAPTIONS.items()},
    "salesforce": {f"coco_{i}": text for i, text in CAPTIONS.items()},
    "llava": lines({"question_id": i, "text": t} for i, t in CAPTIONS.items()),
    "magic": VIECAP,
    "lmms": [
        {"image_id": i, "caption": "true", "response": t} for i, t in CAPTIONS.items()
    ],
    "urls": {
        f"http://images.cocodataset.org/val2017/{i:012d}.jpg?x=1": t
        for i, t in CAPTIONS.items()
    },
    "small letters": {f"{NAME(i)}.JPG".lower(): t for i, t in CAPTIONS.items()},
    "features": [{"img_key": f"{i}.npz", "caption": t} for i, t in CAPTIONS.items()],
    "pandas": {str(n): one for n, one in enumerate(RESULTS)},
    "in a list of a document": {"info": {}, "annotations": RESULTS},
}
REFERENCE_FORMS = {
    "coco": COCO,
    "coco without images": {"annotations": COCO["annotations"]},
    "coco with floats": {
        "annotations": [
            {**one, "image_id": float(one["image_id"])} for one in COCO["annotations"]
        ]
    },
    "karpathy": KARPATHY,
    "karpathy without imgid": {
        "images": [
            {name: value for name, value in one.items() if name != "imgid"}
            for one in KARPATHY["images"]
        ]
    },
    "karpathy with plain sentences": {
        "images": [
            {**one, "sentences": [s["raw"] for s in one["sentences"]]}
            for one in KARPATHY["images"]
        ]
    },
    "karpathy as a list": KARPATHY["images"],
    "karpathy as json lines": lines(KARPATHY["images"]),
    "annotations of the prepare step": OWN,
    "mapping": {str(i): texts for i, texts in TEXTS.items()},
    "mapping by names": {f"{NAME(i)}.jpg": texts for i, texts in TEXTS.items()},
    "pycocoevalcap": {
        str(i): [{"image_id": i, "id": 1, "caption": text} for text in texts]
        for i, texts in TEXTS.items()
    },
    "clipcap": [
        {**one, "image_id": str(one["image_id"])} for one in COCO["annotations"]
    ],
    "flat list": COCO["annotations"],
    "flat list as json lines": lines(COCO["annotations"]),
    "lavis": [
        {"image": f"val2014/{NAME(i)}.jpg", "caption": texts}
        for i, texts in TEXTS.items()
    ],
    "pandas": {str(n): one for n, one in enumerate(COCO["annotations"])},
    "viecap": [
        {"image_name": f"{NAME(i)}.jpg", "captions": texts, "prediction": "no"}
        for i, texts in TEXTS.items()
    ],
}


@pytest.mark.parametrize("form", CAPTION_FORMS)
@pytest.mark.parametrize("kind", ["coco", "karpathy", "flat list"])
def test_captions_of_every_form_are_those_of_their_images(read, form, kind):
    found = read(CAPTION_FORMS[form], REFERENCE_FORMS[kind])
    pairs = {text: found.references[image] for image, text in found.captions[0].items()}
    assert pairs == {text: TEXTS[image] for image, text in CAPTIONS.items()}


@pytest.mark.parametrize("form", REFERENCE_FORMS)
@pytest.mark.parametrize("kind", ["coco", "names", "padded"])
def test_references_of_every_form_are_those_of_their_images(read, form, kind):
    found = read(CAPTION_FORMS[kind], REFERENCE_FORMS[form])
    pairs = {text: found.references[image] for image, text in found.captions[0].items()}
    assert pairs == {text: TEXTS[image] for image, text in CAPTIONS.items()}


def test_references_may_stand_beside_the_captions(read):
    found = read(VIECAP)
    assert list(found.captions[0].values()) == list(CAPTIONS.values())
    assert list(found.references.values()) == [TEXTS[391895], TEXTS[522418]]
    assert "references are those in" in found.notes[0]
    with pytest.raises(InputError, match=r"expected --references, .* none of 2 images"):
        read(RESULTS)


def test_a_table_is_read_too(tmp_path):
    (tmp_path / "a.csv").write_text('image_id,caption\n391895,"a man, riding"\n')
    (tmp_path / "flickr.token").write_text("391895.jpg#0\tA man.\n391895.jpg#1\tOne.\n")
    found = read_inputs([tmp_path / "a.csv"], tmp_path / "flickr.token")
    assert found.captions == [{391895: "a man, riding"}]
    assert found.references == {391895: ["A man.", "One."]}


def test_it_is_said_which_field_was_the_caption_where_several_could_be(read):
    records = [{**one, "prediction": "a dog", "caption": "true"} for one in RESULTS]
    found = read(records, COCO)
    assert {*found.captions[0].values()} == {"a dog"}
    assert found.notes[0].endswith("captions are those called prediction, not caption")
    assert not any("called" in note for note in read(VIECAP, COCO).notes)


def test_captions_and_references_without_text_are_warned_of(read):
    captions = {"391895": " ", "522418": "a cake"}
    found = read(captions, {"391895": ["a"], "522418": ["", "b"], "184613": [""]})
    first, second = [note for note in found.notes if note.startswith("warning: ")]
    assert "captions.json: 1 caption without text" in first
    assert "references.json: 1 reference without text" in second
    assert found.captions == [{391895: " ", 522418: "a cake"}]


def test_numbers_are_the_images_own_where_they_have_some(read):
    assert read(RESULTS, COCO).images == {391895: "391895", 522418: "522418"}
    named = read(CAPTION_FORMS["names"], COCO)
    assert named.images == {0: f"{NAME(391895)}.jpg", 1: f"{NAME(522418)}.jpg"}


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("names", "found by file_name (COCO_val2014_000000391895.jpg is COCO_"),
        ("stems", "found by file_name without folder and ending"),
        ("padded", "found by image_id (000000391895 is 391895 in references.json"),
        ("salesforce", "found by image_id by the number in COCO's names"),
    ],
)
def test_it_is_said_which_id_was_matched_unless_it_is_plain(read, form, words):
    assert any(words in note for note in read(CAPTION_FORMS[form], COCO).notes)
    assert not any("found by" in note for note in read(RESULTS, COCO).notes)


def test_what_several_processes_captioned_alike_counts_once(read):
    found = read([*RESULTS, RESULTS[0]], COCO)
    assert found.captions[0] == CAPTIONS
    assert "1 further entry with an equal caption" in found.notes[0]
    other = {"image_id": "391895", "caption": "a rider"}
    with pytest.raises(InputError, match=r"entry 2: .* two of image 391895: .*rider"):
        read([*RESULTS, other], COCO)


def flickr(splits):
    """A Karpathy file without ids of COCO."""
    return {
        "dataset": "flickr30k",
        "images": [
            {
                "imgid": row,
                "split": split,
                "filename": f"{1000 + row}.jpg",
                "sentences": [{"raw": f"Sentence {row}."}],
            }
            for row, split in enumerate(splits)
        ],
    }


def test_places_in_a_split_are_no_ids(read):
    dataset = flickr(["train", "train", "val", "test", "test"])
    places = [{"image_id": row, "caption": "a girl"} for row in range(2)]
    words = r"0 to 1, which reads like places in split test .* of train; write"
    with pytest.raises(InputError, match=words):
        read(places, dataset)
    found = read({"1003.jpg": "a girl", "1004.jpg": "a man"}, dataset)
    assert [*found.references.values()] == [["Sentence 3."], ["Sentence 4."]]
    assert not found.notes


def test_images_of_several_splits_are_warned_of(read):
    dataset = flickr(["train", "restval", "val", "test", "test"])
    (warning,) = read({"1002": "a", "1003": "b", "1004": "c"}, dataset).notes[1:]
    assert warning.startswith("warning: ")
    assert "of several splits (test: 2, val: 1)" in warning
    (note,) = read({"1003": "a"}, dataset).notes[1:]
    assert note.startswith("note: ")


def test_images_of_the_training_set_by_place_are_warned_of(read):
    found = read({"0": "a"}, flickr(["train", "test", "test"]))
    assert "all captioned images are of split train" in found.notes[-1]


def test_images_without_captions_are_counted_in_the_captioned_split_only(read):
    dataset = flickr(["train", "train", "test", "test"])
    assert (
        "1 image of split test with references"
        in read({"1002": "a"}, dataset).notes[-1]
    )
    with pytest.raises(InputError, match="1 image of split test with references but"):
        read({"1002": "a"}, dataset, strict=True)
    read({"1002": "a", "1003": "b"}, dataset, strict=True)


VIZWIZ = {
    "images": [{"id": i, "file_name": f"VizWiz_val_{i:08d}.jpg"} for i in range(3)],
    "annotations": [
        {"image_id": i, "caption": text, "is_rejected": bad, "is_precanned": canned}
        for i, text, bad, canned in [
            (0, "A can of soup.", False, False),
            (0, "Quality issues are too severe.", False, True),
            (1, "A dog.", False, False),
            (1, "spam", True, False),
            (2, "Quality issues are too severe.", True, True),
        ]
    ],
}


def test_vizwiz_leaves_out_rejected_and_precanned_references(read):
    captions = {"0": "soup", "1": "a dog", "2": "nothing"}
    found = read(captions, VIZWIZ, vizwiz=True)
    assert found.references == {0: ["A can of soup."], 1: ["A dog."]}
    assert found.captions == [{0: "soup", 1: "a dog"}]
    assert "3 references left out" in found.notes[0]
    assert "1 captioned image left out" in found.notes[1]
    whole = read(captions, VIZWIZ)
    assert list(map(len, whole.references.values())) == [2, 2, 1]
    assert "VizWiz's own scores leave these out" in whole.notes[0]


@pytest.mark.parametrize("references", [COCO, KARPATHY, TEXTS])
def test_vizwiz_needs_its_marks(read, references):
    with pytest.raises(InputError, match="found captions without is_rejected and is_"):
        read(RESULTS, references, vizwiz=True)


def test_several_files_may_call_the_images_differently(tmp_path):
    forms = ["coco", "names", "padded"]
    files = [tmp_path / f"{form}.json" for form in forms]
    for form, file in zip(forms, files, strict=True):
        file.write_text(json.dumps(CAPTION_FORMS[form][::-1]))
    (tmp_path / "references").write_text(json.dumps(COCO))
    found = read_inputs(files, tmp_path / "references")
    assert found.captions == [CAPTIONS] * 3
    files[1].write_text(json.dumps({"391895": "a", "184613": "b"}))
    with pytest.raises(InputError, match="1 of other images and 1 missing"):
        read_inputs(files, tmp_path / "references")


def test_a_captioned_image_without_references_is_named(read):
    with pytest.raises(InputError, match=r"none of 1 \(image 522418\)"):
        read(RESULTS, {"391895": ["a"], "522418": []})
