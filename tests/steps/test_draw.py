import json
import zipfile

import pytest

from tipcap.errors import InputError
from tipcap.io.annotations import read_annotations
from tipcap.step import Request
from tipcap.steps.draw import DrawSpec, draw
from tipcap.steps.prepare import PrepareSpec, prepare


def draw_spec(**changes):
    return DrawSpec(
        **{
            "dataset": "coco",
            "reader": "karpathy",
            "style": "describe",
            "domains": ["coco"],
            "num_train": 5,
            "num_val": 2,
            "num_test": 3,
            "captions_per_image": 2,
            "seed": 4,
            **changes,
        }
    )


def run_draw(folder, spec):
    draw(Request("draw", folder.name, {}, spec.model_dump(mode="json"), folder), spec)
    return folder


def run_prepare(raw, out, **changes):
    spec = PrepareSpec(**{"dataset": "coco", "reader": "karpathy", **changes})
    parents = {"raw": raw.parent.name}
    prepare(Request("prepare", out.name, parents, spec.model_dump(), out), spec, [raw])
    return out


def record_of(folder):
    return json.loads((folder / "meta.json").read_text())


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if path.name != "meta.json"
    }


def test_a_drawn_dataset_is_annotations_and_archives(tmp_path):
    folder = run_draw(tmp_path / "draw", draw_spec())
    names = {"annotations.raw", "pictures/train2014.zip", "pictures/val2014.zip"}
    assert contents(folder).keys() == names
    with zipfile.ZipFile(folder / "pictures/train2014.zip") as archive:
        assert len(archive.namelist()) == 5
    record = record_of(folder)
    assert record["counts"] == {"images": 10}
    assert record["spec"]["num_train"] == 5


def test_drawing_again_gives_the_same_bytes(tmp_path):
    one, other = (run_draw(tmp_path / name, draw_spec()) for name in "ab")
    assert contents(one) == contents(other)


@pytest.mark.parametrize("reader", ["yfcc", "ss1m", "nocaps"])
def test_every_format_is_written_with_the_same_bytes_again(tmp_path, reader):
    spec = draw_spec(reader=reader, captions_per_image=1)
    one, other = (run_draw(tmp_path / name, spec) for name in "ab")
    assert contents(one) == contents(other)


def test_another_seed_draws_another_dataset(tmp_path):
    one, other = (run_draw(tmp_path / str(s), draw_spec(seed=s)) for s in (1, 2))
    assert contents(one) != contents(other)


def test_pictures_of_one_seed_stay_when_more_are_drawn(tmp_path):
    few = run_draw(tmp_path / "few", draw_spec(num_val=0, num_test=0))
    more = run_draw(tmp_path / "more", draw_spec(num_train=7, num_val=0, num_test=0))
    few, more = (zipfile.ZipFile(f / "pictures/train2014.zip") for f in (few, more))
    for name in few.namelist():
        assert few.read(name) == more.read(name)


def test_a_corpus_without_pictures_has_no_archives(tmp_path):
    spec = draw_spec(reader="ss1m", pictures=False, captions_per_image=1)
    assert contents(run_draw(tmp_path / "draw", spec)).keys() == {"annotations.raw"}


def test_domains_share_the_pictures_out_in_equal_parts(tmp_path):
    spec = draw_spec(
        reader="nocaps",
        domains=["in", "near", "out"],
        num_train=0,
        num_val=9,
        num_test=0,
    )
    raw = run_draw(tmp_path / "draw", spec) / "annotations.raw"
    out = run_prepare(raw, tmp_path / "out", dataset="nocaps", reader="nocaps")
    domains = [r.domain for r in read_annotations(out / "annotations.json")]
    assert {d: domains.count(d) for d in domains} == {"in": 3, "near": 3, "out": 3}


def test_prepared_annotations_count_images_captions_and_splits(tmp_path):
    raw = run_draw(tmp_path / "draw", draw_spec()) / "annotations.raw"
    out = run_prepare(raw, tmp_path / "prepared")
    record = record_of(out)
    assert record["counts"] == {
        "images": 10,
        "captions": 20,
        "images_train": 5,
        "images_val": 2,
        "images_test": 3,
    }
    assert record["step"] == "prepare"
    assert record["parents"] == {"raw": "draw"}
    document = json.loads((out / "annotations.json").read_text())
    assert document["dataset"] == "coco"
    assert len(document["images"]) == 10


def test_a_sample_of_a_dataset_follows_from_its_seed(tmp_path):
    raw = run_draw(tmp_path / "draw", draw_spec()) / "annotations.raw"
    found = [
        read_annotations(
            run_prepare(raw, tmp_path / f"{i}", sample_size=4, seed=seed)
            / "annotations.json"
        )
        for i, seed in enumerate((0, 0, 1))
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert len(found[0]) == 4


def test_bad_annotations_publish_nothing(tmp_path):
    raw = tmp_path / "annotations.raw"
    raw.write_text('{"images": [')
    with pytest.raises(InputError, match=r"annotations\.raw: expected JSON"):
        run_prepare(raw, tmp_path / "prepared")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations.raw"]
