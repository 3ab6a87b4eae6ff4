from pathlib import Path

import pytest

from tests.workflow_copy import copy_config
from tipcap.errors import InputError
from tipcap.plan import load
from tipcap.plan.captioners import (
    parse_name,
    plan_captioner,
    tables_with,
    target_with,
)

TINY, PAPER = Path("config/tiny.yaml"), Path("config/paper.yaml")


def planned(name):
    return plan_captioner(parse_name(name), TINY)


def test_a_captioner_is_that_of_the_tables():
    plan = load(TINY)
    cell = next(
        c for c in plan.cells["II"] if c.experiment == "s1" and "COCO" in c.group
    )
    captions = plan.steps[cell.score_keys[0]].parents["captions"]
    found = planned("tiny:s1")
    assert found.generate == captions
    assert found.model == plan.steps[captions].parents["model"]


def test_stage_2_is_found_without_prompts_that_are_simulated():
    found = planned("tiny:s1-prompt")
    assert found.plan.steps[found.model].spec.step == "prompt"
    assert found.plan.steps[found.generate].spec.prompts == "none"


def test_fields_are_laid_over_an_experiment():
    keys = {
        planned(f"tiny:s1{more}").model
        for more in ("", ",encoder=vit-l-14", ",train.seed=1")
    }
    assert len(keys) == 3
    assert str(parse_name("tiny:s1,train.seed=1")) == "tiny:s1,train.seed=1"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny:s1-promt", "did you mean 's1-prompt'"),
        ("tiny:magic", "expected an experiment that trains a captioner, found magic"),
        ("tiny:retrieval", "found retrieve"),
        ("tiny:s1,encoder=vit", "did you mean 'vit-l-14'"),
        ("tiny:s1,train.seed=[", "expected a value as in a YAML file"),
        ("tiny:s1,train.seed=2024-13-45", "expected a value as in a YAML file"),
        ("tiny", "expected WORLD:EXPERIMENT"),
        ("tiny:s1,seed", "expected WORLD:EXPERIMENT"),
    ],
)
def test_a_name_that_means_nothing_is_told_from_one_that_does(name, said):
    with pytest.raises(InputError, match=said.replace("[", r"\[")):
        planned(name)


def test_the_tables_that_run_an_experiment_are_known():
    assert tables_with(parse_name("tiny:s1-prompt"), TINY) == ["prompts"]
    assert tables_with(parse_name("tiny:s1-greedy"), TINY) == []


@pytest.fixture(scope="module")
def paper():
    return load(PAPER)


def steps_behind(plan, key, kind):
    return [s for k in plan.ancestors(key) if (s := plan.steps[k]).spec.step == kind]


def test_the_captioner_to_use_needs_no_archive_of_pictures(paper):
    behind = paper.ancestors(paper.exported["captioner"])
    files = {paper.steps[k].spec.file for k in behind if "file" in spec_at(paper, k)}
    assert files == {
        "caption_datasets.zip",
        "RN50x4.pt",
        *("gpt2_config.json", "gpt2_tokenizer.json", "gpt2_model.safetensors"),
    }
    (collected,) = steps_behind(paper, paper.exported["captioner"], "collect")
    assert collected.spec.fraction == 0.01
    assert collected.spec.split == "train"


def spec_at(plan, key):
    return plan.steps[key].spec.model_dump()


def test_what_it_shares_with_tables_has_the_keys_of_tables(paper):
    """Captions, texts, models and nouns are made once for both; pictures, gap and trainings are its own."""
    own = {paper.steps[key].spec.step for key in paper.beside}
    assert own == {"collect", "embed", "estimate", "train", "prompt"}
    of_tables = {
        key for score in paper.score_keys("II") for key in paper.ancestors(score)
    }
    shared = set(paper.ancestors(paper.exported["captioner"])) - paper.beside
    assert {paper.steps[key].spec.step for key in shared & of_tables} == {
        *("download", "prepare", "encoder", "language_model", "embed")
    }


def test_target_downloads_does_not_fetch_its_pictures(paper):
    collected = {
        paper.steps[k].spec.dataset
        for k in paper.downloads()
        if paper.steps[k].spec.step == "collect"
    }
    assert collected == {"nocaps", "yfcc15m"}


def test_it_is_found_by_a_name_of_its_own(paper):
    found = plan_captioner(parse_name("paper:captioner"), PAPER)
    assert found.model == paper.exported["captioner"]
    assert found.plan.steps[found.generate].spec.prompts == "none"
    assert target_with(parse_name("paper:captioner"), PAPER) == "captioner"


def test_a_world_without_one_says_which_experiments_it_has():
    with pytest.raises(InputError, match="unknown experiment 'captioner'"):
        planned("tiny:captioner")


BY_ADDRESS = """\
extends: paper.yaml
name: few
captioner: null
datasets:
  coco:
    reader: karpathy
    raw: {download: [caption_datasets.zip], pictures: by_address}
  flickr30k:
    reader: karpathy
    raw: {download: [caption_datasets.zip], pictures: by_address, addresses: ["https://a.example/{name}"]}
  yfcc15m:
    reader: yfcc
    raw: {download: ["yfcc_metadata_{000..03f}.jsonl.gz"], pictures: by_address}
    sample_size: 200000
"""


@pytest.fixture(scope="module")
def by_address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few") / "config"
    copy_config(folder)
    (folder / "few.yaml").write_text(BY_ADDRESS)
    return folder / "few.yaml"


@pytest.mark.parametrize(
    ("experiment", "source", "sample"),
    [
        ("s1", "coco", {"fraction": 0.01}),
        ("s1,estimate.sample=3", "coco", {"fraction": 0.01, "sample": 3}),
        ("s2", "yfcc15m", {"num_images": 100000}),
        ("s3", "yfcc15m", {"num_images": 5000}),
        ("clipcap", "coco", {}),
    ],
)
def test_any_dataset_may_have_its_pictures_by_address_as_far_as_a_setting_sees_them(
    by_address, experiment, source, sample
):
    found = plan_captioner(parse_name(f"few:{experiment}"), by_address)
    collected = steps_behind(found.plan, found.model, "collect")
    assert [step.spec.dataset for step in collected] == [source]
    given = collected[0].spec.model_dump(exclude_defaults=True)
    assert {
        k: given[k] for k in ("fraction", "num_images", "sample") if k in given
    } == (sample)
    (pictures,) = [
        step
        for step in steps_behind(found.plan, found.model, "embed")
        if step.spec.modality == "image"
    ]
    fields = pictures.spec.model_dump(exclude_defaults=True)
    assert fields == {"modality": "image", "split": "train", **sample}


def test_pictures_to_caption_come_by_address_whole(by_address):
    found = plan_captioner(parse_name("few:s4"), by_address)
    (collected,) = steps_behind(found.plan, found.generate, "collect")
    assert not steps_behind(found.plan, found.model, "collect")
    assert (collected.spec.split, collected.spec.is_sample) == ("test", False)


def test_pictures_at_hand_are_not_fetched(by_address, tmp_path):
    (tmp_path / "train2014").mkdir()
    (tmp_path / "train2014/1.jpg").write_bytes(b"picture")
    text = (by_address.parent / "paper.yaml").read_text()
    archives = "pictures: [train2014.zip, val2014.zip]"
    world = by_address.parent / "at-hand.yaml"
    world.write_text(text.replace(archives, f"pictures: {{folder: {tmp_path}}}"))
    found = plan_captioner(parse_name("at-hand:captioner"), world)
    assert not steps_behind(found.plan, found.model, "collect")
    assert len(steps_behind(found.plan, found.model, "adopt")) == 1
