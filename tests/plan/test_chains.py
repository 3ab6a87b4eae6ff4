import re
from collections import Counter

import pytest
import yaml

from tests.plan_questions import behind, keys_of, runs
from tipcap.plan import load
from tipcap.plan.commands import threads


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
    assert len(keys_of(paper, "prompt")) == 8 + 4  # Table IV, readings
    scores = [paper.steps[key] for key in runs(paper, "s1-prompt")]
    generated = [paper.steps[one.parents["captions"]] for one in scores]
    assert {one.spec.prompt_seed for one in generated} == {0, 1, 2}
    assert len({one.parents["rough"] for one in generated}) == 2  # two encoders
    rough = paper.steps[generated[0].parents["rough"]]
    assert rough.spec.prompts == "none"
    assert rough.parents["model"] == generated[0].parents["model"]


def test_readings_of_prompts_are_fields_of_rows(science):
    """They reach every step that they concern, and no other."""
    science(
        "experiments.yaml",
        "  s1-prompt: {prompt: {prompts: nouns, seed: 0}, generate: {prompts: simulated}}",
        "  s1-prompt: {prompt: {prompts: nouns, seed: 0, compounds: false, words: all, padding: bare}, "
        "generate: {prompts: simulated, prompt_pool: uniform}}",
    )
    plan = load(science.folder / "paper.yaml")
    for name, expected in (
        ("s1-prompt", ("bare", "uniform", False, "all")),
        ("s2-prompt", ("labels", "caption", True, "subset")),
    ):
        (key, *_) = runs(plan, name)
        after = plan.steps[plan.steps[key].parents["captions"]]
        rough = plan.steps[after.parents["rough"]]
        stage_2 = plan.steps[after.parents["model"]]
        words = [
            plan.steps[after.parents["nouns"]],
            plan.steps[after.parents["rough_nouns"]],
            plan.steps[stage_2.parents["nouns"]],
        ]
        assert rough.spec.padding == after.spec.padding
        (compounds,) = {step.spec.compounds for step in words}
        found = (after.spec.padding, after.spec.prompt_pool, compounds)
        assert (*found, stage_2.spec.words) == expected
        assert rough.spec.prompt_pool == "caption"  # one plain caption for all pools
    plain = [plan.steps[plan.steps[k].parents["captions"]] for k in runs(plan, "s1")]
    assert {step.spec.padding for step in plain} == {"bare"}


def test_captions_end_as_the_captioner_was_trained(science):
    science(
        "experiments.yaml",
        "  s3: {setting: 3}",
        "  s3: {setting: 3, train: {end: full_stop}, generate: {length_exponent: 0}}",
    )
    plan = load(science.folder / "paper.yaml")
    for name, expected in (("s3", ("full_stop", 0.0)), ("s1", ("eos", 1.0))):
        specs = [
            plan.steps[plan.steps[k].parents["captions"]].spec for k in runs(plan, name)
        ]
        assert {(spec.end, spec.length_exponent) for spec in specs} == {expected}


def test_words_are_found_once_per_corpus_and_once_per_model(paper):
    found = [paper.steps[key] for key in keys_of(paper, "nouns")]
    of_datasets = [
        (one.spec.compounds, one.spec.split)
        for one in found
        if "dataset" in one.parents
    ]
    assert sorted(of_datasets) == [
        (compounds, split) for compounds in (False, True) for split in ("test", "train")
    ]
    rough = {one.parents["captions"] for one in found if "captions" in one.parents}
    assert len(rough) == 8 + 4  # Table IV, readings
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


def test_seeds_of_a_row_are_runs_of_a_cell(paper):
    cells = {cell.experiment: cell for cell in paper.cells["sanity"]}
    assert len(cells["s1"].score_keys) == 3
    assert len(cells["random-caption"].score_keys) == 3
    assert len(cells["retrieval"].score_keys) == 1
    seeds = {behind(paper, key, "train")[0].spec.seed for key in cells["s1"].score_keys}
    assert seeds == {0, 1, 2}


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
    assert {spec.epochs for spec in specs} == {8, 10}  # CLOSE's, and the others'


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
    declared["encoders"]["vit-l-14"]["noise_scale"] = 2.0
    path.write_text(yaml.safe_dump(declared))
    plan = load(path, ["II"])
    stds = {plan.steps[key].spec.noise_std for key in keys_of(plan, "train")}
    assert stds == {None, round(2.0 * 0.08, 6), round(2.5 * 0.126491, 6)}
    assert 25000 in {
        plan.steps[key].spec.memory_size
        for key in keys_of(plan, "generate")
        if "projection_memory" in key
    }


def test_runtime_choices_never_enter_a_key(science):
    plain = load(science.world(), ["II"])
    runtime = {"device": "cuda", "threads": {"train": 4}, "precision": "float32"}
    plan = load(science.world(runtime=runtime), ["II"])
    assert set(plan.steps) == set(plain.steps)
    assert threads(plan, "train") == 4
    assert threads(plan, "embed") == 1


def test_names_and_order_never_enter_a_key(science, paper):
    science("experiments.yaml", "  s3: {setting: 3}\n", "")
    science("experiments.yaml", "  s1: {}\n", "  third: {setting: 3}\n  s1: {}\n")
    for path in (science.folder / "tables").glob("*.yaml"):
        text = path.read_text()
        path.write_text(re.sub(r"experiment: s3(?![-\w])", "experiment: third", text))
    assert set(load(science.folder / "paper.yaml").steps) == set(paper.steps)


def test_one_more_row_costs_one_training(science, paper):
    row = "  s4-plus: {setting: 4, train: {weight_decay: 0.2}}\n"
    assert added(science, row, paper) == {
        "train": 1,
        "generate": 1,
        "likelihood": 1,
        "score": 1,
    }


def test_a_row_that_decodes_otherwise_trains_nothing(science, paper):
    row = "  s1-beam3: {generate: {beam: 3}}\n"
    assert added(science, row, paper) == {"generate": 1, "score": 1}


def test_a_row_of_another_gap_costs_one_estimate_too(science, paper):
    row = "  s2-diagonal: {setting: 2, covariance: diagonal}\n"
    assert added(science, row, paper) == {
        "estimate": 1,
        "train": 1,
        "generate": 1,
        "likelihood": 1,
        "score": 1,
    }


def test_a_row_that_repeats_another_costs_nothing(science, paper):
    assert added(science, "  s1-again: {train: {prefix_length: 4}}\n", paper) == {}


def test_magic_learns_the_corpus_and_zerocap_nothing(paper):
    for key in runs(paper, "magic"):
        (tuned,) = behind(paper, key, "tune")
        assert set(tuned.parents) == {"corpus", "language_model"}
        assert not behind(paper, key, "train")
        (captions,) = behind(paper, key, "magic")
        assert captions.parents["model"] == tuned.key
        assert paper.steps[captions.parents["encoder"]].spec.name == "vit-b-32"
    for key in runs(paper, "zerocap"):
        assert not behind(paper, key, "tune")
        assert not behind(paper, key, "train")


def test_magic_has_its_authors_values_for_each_corpus(paper):
    found = {}
    for key in runs(paper, "magic", "II") | runs(paper, "magic", "III"):
        (tuned,), (search,) = behind(paper, key, "tune"), behind(paper, key, "magic")
        corpus = paper.steps[tuned.parents["corpus"]].spec.dataset
        spec = search.spec
        values = (tuned.spec.num_steps, spec.candidates, spec.max_tokens)
        found.setdefault(corpus, set()).add(values)
    assert found == {"coco": {(20000, 45, 15)}, "flickr30k": {(10000, 25, 19)}}


def test_a_world_stands_in_for_an_encoder_and_its_sizes_for_published_ones(mini):
    (train,) = behind(mini, min(runs(mini, "clipcap")), "train")
    sizes = mini.world.sizes.train
    assert train.spec.epochs == sizes.epochs
    assert train.spec.learning_rate == sizes.learning_rate / 4
    assert train.spec.weight_decay == 0.0
    encoders = behind(mini, min(runs(mini, "clipcap")), "encoder")
    assert {one.spec.name for one in encoders} == {"vit-l-14"}
    (decap,) = behind(mini, min(runs(mini, "decap", "II")), "train")
    assert (decap.spec.prefix_length, decap.spec.num_layers) == (1, 0)


def test_what_is_not_as_its_authors_run_it_stands_in_the_plan(paper):
    remarks = paper.remarks_of("II")
    names = [paper.tables["II"].names[index] for index in remarks]
    assert names == [
        "ClipCap (run)",
        "ZeroCap (run)",
        "MAGIC (run)",
        "DeCap (run)",
        "CapDec (run)",
        "CLOSE-style noise (run)",
    ]
    assert any("T5" in text for said in remarks.values() for text in said)
