import shutil
from pathlib import Path

import pytest

from tests.workflow_copy import copy_config
from tipcap.config.reading import read_yaml
from tipcap.config.world import Sizes, World, load_world
from tipcap.errors import InputError
from tipcap.plan import load
from tipcap.steps.train import TrainSpec

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def refused(tmp_path):
    def refused(old, put):
        path = tmp_path / "mini.yaml"
        text = (CONFIG / "mini.yaml").read_text()
        assert old in text
        path.write_text(text.replace(old, put, 1))
        with pytest.raises(InputError) as caught:
            load_world(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refused


@pytest.mark.parametrize("name", ["paper", "mini", "tiny"])
def test_the_worlds_in_the_repository_are_valid(name):
    assert load_world(CONFIG / f"{name}.yaml").name == name


def test_all_worlds_have_the_same_names():
    """An experiment that runs in one world finds its data and models in the others."""
    worlds = [load_world(CONFIG / f"{name}.yaml") for name in ("paper", "mini", "tiny")]
    for world in worlds[1:]:
        assert set(world.datasets) >= set(worlds[0].datasets)
        named = {*world.encoders, *world.stand_ins}
        assert named == set(worlds[0].encoders)
        assert set(world.language_models) == set(worlds[0].language_models)
        accounted = {*world.metrics, *world.absent}
        assert accounted == {*worlds[0].metrics, *worlds[0].absent}


def test_the_paper_world_scales_nothing():
    world = load_world(CONFIG / "paper.yaml")
    assert (world.fraction_scale, world.count_scale) == (1.0, 1.0)
    assert world.sizes == Sizes()


@pytest.mark.parametrize("name", ["paper", "mini", "tiny"])
def test_fixed_noise_keeps_its_length_in_narrower_encoders(name):
    real = {"rn50x4": 640, "vit-l-14": 768, "vit-b-32": 512}
    for encoder, source in load_world(CONFIG / f"{name}.yaml").encoders.items():
        width = source.parameters.get("embed_dim", real[encoder])
        scale = (real[encoder] / width) ** 0.5
        assert source.noise_scale == pytest.approx(scale, abs=1e-3)


def test_a_language_model_has_one_origin(refused):
    said = refused("    source: scratch\n", "    source: trained\n")
    assert "language_models.decap" in said
    assert "`encoder` for one from scratch" in said


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ("source: hub", "`model` or `weights` for one of the hub"),
        ("source: hub, model: a/b, weights: [x]", "`model` or `weights` for one"),
        ("source: folder", "`model` for one in a folder"),
        ("source: folder, model: x, revision: v2", "`revision` beside the `model`"),
        ("source: trained, model: x", "`documents` alone"),
        ("source: hub, model: a/b, parameters: {seed: 0}", "no `parameters` beside"),
        ("source: hub, weights: [x], parameters: {seed: 0}", "no `parameters` beside"),
        ("source: folder, model: x, parameters: {seed: 0}", "no `parameters` beside"),
    ],
)
def test_a_published_language_model_is_named_once(refused, declared, reason):
    said = refused("  decap:\n", f"  other: {{{declared}}}\n  decap:\n")
    assert "language_models.other" in said
    assert reason in said


def test_a_published_encoder_has_no_parameters(refused):
    published = "{source: openai, model: x, weights: [x], parameters: {seed: 0}}"
    said = refused("encoders:\n", f"encoders:\n  other: {published}\n")
    assert "encoders.other" in said
    assert "no `parameters` beside a published model" in said


def test_seeds_of_a_table_are_at_least_one(refused):
    assert "table_seeds.II" in refused("metrics:", "table_seeds: {II: []}\nmetrics:")


def test_only_the_papers_world_is_no_stand_in():
    worlds = [load_world(CONFIG / f"{name}.yaml") for name in ("paper", "mini", "tiny")]
    assert [world.is_stand_in for world in worlds] == [False, True, True]


def test_misspelt_block_gets_a_suggestion(refused):
    assert "unknown field 'encodres'; did you mean 'encoders'" in refused(
        "encoders:", "encodres:"
    )


def test_misspelt_size_gets_a_suggestion(refused):
    said = refused("sizes:\n  train: {", "sizes:\n  train: {warmup_stps: 9, ")
    assert "sizes.train: unknown field 'warmup_stps'" in said
    assert "did you mean 'warmup_steps'" in said


def test_only_sizes_may_be_set_by_a_world(refused):
    said = refused("sizes:\n  train: {", "sizes:\n  train: {prefix_length: 9, ")
    assert "unknown field 'prefix_length'" in said


def test_a_world_chooses_what_is_computed_in(refused):
    assert load_world(CONFIG / "paper.yaml").runtime.precision == "auto"
    said = refused("runtime:\n", "runtime:\n  precision: bflot16\n")
    assert "runtime.precision: expected: one of auto, float32, bfloat16" in said
    assert "did you mean bfloat16?" in said
    assert "'fp8'" in refused("runtime:\n", "runtime:\n  precision: fp8\n")


def test_what_is_kept_in_double_precision_is_not_computed_in_half(refused):
    world = load_world(CONFIG / "tiny.yaml").model_dump()
    world["sizes"]["train"]["precision"] = "float64"
    assert World.model_validate(world).runtime.precision == "auto"
    world["runtime"]["precision"] = "bfloat16"
    with pytest.raises(ValueError, match="which is computed in float64"):
        World.model_validate(world)


def test_misspelt_metric_is_refused(refused):
    assert "metrics" in refused("rouge_l", "rogue_l")


def test_a_dataset_is_drawn_or_downloaded(refused):
    said = refused("raw: {draw:", "raw: {download: [a.zip], draw:")
    assert "datasets.coco.raw" in said
    assert "one of draw, download and file" in said


def test_a_trained_encoder_names_its_pairs(refused):
    assert "encoders.rn50x4" in refused("    pairs: web-pairs\n", "")


def test_negative_scale_is_refused(refused):
    assert "count_scale" in refused("count_scale: ", "count_scale: -")


def test_a_world_may_set_the_optimiser():
    train = {"betas": [0.9, 0.95], "clip_norm": 0.1, "mapping_rate": 0.2}
    sizes = Sizes.model_validate({"train": {**train, "precision": "float64"}})
    spec = TrainSpec(
        gap="none",
        setting=None,
        covariance="full",
        seed=0,
        **sizes.fields(False)["train"],
    )
    assert spec.betas == (0.9, 0.95)
    assert (spec.clip_norm, spec.mapping_rate) == (0.1, 0.2)
    assert spec.precision == "float64"


def test_sizes_lie_below_experiments_as_blocks():
    raw = read_yaml(CONFIG / "tiny.yaml")["sizes"]
    sizes = Sizes.model_validate(raw)
    assert sizes.fields(with_prompt=True) == raw
    assert "prompt" not in sizes.fields(with_prompt=False)


def test_extra_names_are_refused():
    assert World.model_config["extra"] == "forbid"


def test_a_world_that_extends_another_differs_in_what_it_names_only():
    whole, base = (load_world(CONFIG / f"{n}.yaml") for n in ("mini-full", "mini"))
    named = {
        "name",
        "tables",
        "extra_tables",
        "table_seeds",
        "metrics",
        "absent",
        "spice",
    }
    assert whole.model_dump(exclude=named) == base.model_dump(exclude=named)
    assert (whole.name, whole.absent) == ("mini-full", {})
    tables = {
        path.stem.removeprefix("table_") for path in (CONFIG / "tables").iterdir()
    }
    assert tables == {*whole.tables, *whole.extra_tables}


def test_a_world_that_extends_another_adds_a_model_by_one_line(tmp_path):
    shutil.copy(CONFIG / "paper.yaml", tmp_path)
    lines = "extends: paper.yaml\nname: opt\nlanguage_models: {gpt2: {source: hub, model: facebook/opt-125m}}\n"
    (tmp_path / "opt.yaml").write_text(lines)
    models = load_world(tmp_path / "opt.yaml").language_models
    assert models["gpt2"].model == "facebook/opt-125m"
    assert models["decap"].source == "scratch"


def test_a_world_extends_one_that_stands_alone(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\nname: a\n")
    (tmp_path / "b.yaml").write_text("extends: c.yaml\nname: b\n")
    with pytest.raises(InputError, match="stands alone"):
        load_world(tmp_path / "a.yaml")


@pytest.mark.parametrize("wrong", ["[a]", "", "x"])
def test_a_world_below_that_is_wrong_is_one_line(tmp_path, wrong):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\nname: a\nencoders: {}\n")
    (tmp_path / "b.yaml").write_text(f"name: b\nencoders: {wrong}\n")
    with pytest.raises(InputError, match=r"a\.yaml: .*expected"):
        load_world(tmp_path / "a.yaml")


def test_a_stand_in_takes_the_place_of_an_encoder_that_is_not_there(refused):
    world = load_world(CONFIG / "mini.yaml")
    assert world.encoder_for("vit-b-32") == "vit-l-14"
    assert world.encoder_for("rn50x4") == "rn50x4"
    for wrong in ("{vit-l-14: rn50x4}", "{vit-b-32: vit-b-16}"):
        said = refused("stand_ins: {vit-b-32: vit-l-14}", f"stand_ins: {wrong}")
        assert "a stand-in among `encoders` for one that is not there" in said


def test_the_sizes_of_training_stand_above_rows_with_their_authors_schedule():
    world = load_world(CONFIG / "mini.yaml")
    train = world.over_published()["train"]
    assert train["epochs"] == world.sizes.train.epochs
    assert train["betas"] == world.sizes.train.betas
    assert train["learning_rate"] < world.sizes.train.learning_rate
    assert load_world(CONFIG / "paper.yaml").over_published() == {}


def test_a_world_says_which_pictures_it_leaves_out():
    paper = load_world(CONFIG / "paper.yaml")
    names = tuple(f"train2014/{i}.jpg" for i in range(7))
    coco = paper.datasets["coco"].model_copy(update={"leave_out": names[:1]})
    world = paper.model_copy(update={"datasets": {"coco": coco}})
    assert world.note_on(["cider"]) == "Left out of coco: train2014/0.jpg."
    coco = coco.model_copy(update={"leave_out": names})
    world = paper.model_copy(update={"datasets": {"coco": coco}})
    assert world.note_on(["cider"]).endswith("train2014/4.jpg and 2 more pictures.")


def test_a_world_says_of_which_captions_spice_is(refused):
    whole, sample = (load_world(CONFIG / f"{n}.yaml") for n in ("paper", "mini-full"))
    assert whole.note_on(whole.metrics) == ""
    said = f"SPICE: of {sample.spice.images} pictures, first seed."
    assert sample.note_on(["cider", "spice"]) == f"{sample.note} {said}"
    assert sample.note_on(["cider"]) == sample.note
    # a world without SPICE says nothing of it
    absent = sample.model_copy(update={"absent": {"spice": "slow"}})
    assert absent.note_on(["spice"]) == sample.note
    assert "images" in refused("absent:\n", "spice: {images: 0}\nabsent:\n")


def test_what_is_drawn_has_no_addresses(refused):
    declared = "captioner: {experiment: s1-prompt, by_address: [coco]}\ndatasets:"
    assert "by_address` (coco)" in refused("datasets:", declared)


def test_a_misspelt_experiment_of_the_captioner_to_use_is_one_line(tmp_path):
    copy_config(tmp_path / "config")
    path = tmp_path / "config/paper.yaml"
    path.write_text(
        path.read_text().replace("experiment: s1-prompt", "experiment: s1-promt")
    )
    with pytest.raises(
        InputError, match=r"captioner: unknown experiment 's1-promt'; did"
    ):
        load(path)
