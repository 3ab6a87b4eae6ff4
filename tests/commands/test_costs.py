import csv
import subprocess
import sys
from pathlib import Path

import finished_world
import pytest

from tests.workflow_copy import copy_config
from tipcap.cli import main
from tipcap.commands import costs
from tipcap.commands.costs import read_rates, show_costs
from tipcap.io.store import write_json
from tipcap.plan import load

CONFIG = finished_world.CONFIG
HEADER = "step,case,models,unit,seconds_per_unit,device,hardware,date,source\n"


@pytest.fixture(scope="module")
def paper():
    return load(CONFIG / "paper.yaml")


@pytest.fixture
def rates(tmp_path, monkeypatch):
    """Replaces the figures by others."""

    def write(text):
        path = tmp_path / "step_costs.csv"
        path.write_text(HEADER + text)
        monkeypatch.setattr(costs, "STEP_COSTS", path)
        return path

    return write


def figures_of(lines):
    """The table of an overview: name -> GPU hours, CPU hours, disk, downloads."""
    lines = list(lines)
    end = next(number for number, line in enumerate(lines) if ": " in line)
    return {
        line[:16].strip(): [float(word) for word in line[16:].split()]
        for line in lines[2:end]
    }


def test_an_hour_of_training_is_an_hour_of_each_table_and_once_of_all(
    paper, rates, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    # a training of COCO's 566,747 captions over ten epochs takes an hour
    rates(f"train,,paper,x,{3600 / 5667470},gpu,x,2026-01-01,estimated: invented\n")
    figures = figures_of(show_costs(paper))
    own = [
        step.spec.epochs * (566747 if "coco" in step.parents["corpus"] else 0)
        for step in paper.steps.values()
        if step.spec.step == "train" and step.key in set(behind(paper, "VI"))
    ]
    assert figures["VI"][0] == pytest.approx(sum(own) / 5667470, abs=0.01)
    tables = [f for name, f in figures.items() if not name.endswith(" once")]
    everything = figures["all, each once"]
    assert everything[0] < sum(table[0] for table in tables)
    assert all(everything[0] >= table[0] for table in tables)
    # tables share files and pictures, which are fetched once
    downloads = [table[3] for table in tables]
    assert max(downloads) <= everything[3] < sum(downloads)
    assert everything[1] == 0
    asked, paper_tables = figures["all_tables, once"], paper.wanted
    assert len(paper_tables) == 13
    assert max(figures[table][0] for table in paper_tables) < asked[0] < everything[0]


def behind(plan, table):
    return {key for end in plan.score_keys(table) for key in plan.ancestors(end)}


def test_what_is_done_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    plan = load(Path("config/mini.yaml"))
    before = figures_of(show_costs(plan, "II"))["II"]
    for key, step in plan.steps.items():
        if step.spec.step == "train":
            write_json_of(plan, key)
    after = figures_of(show_costs(plan, "II"))["II"]
    assert 0 < after[1] < before[1]
    assert 0 < after[2] < before[2]


def write_json_of(plan, key):
    folder = Path("results") / plan.name / plan.steps[key].spec.step / key
    folder.mkdir(parents=True)
    write_json(folder / "meta.json", {})


def test_disk_of_a_model_is_the_size_of_its_file(in_all_results):
    """The arithmetic leaves out norms and biases, and the header of the file."""
    import torch

    from tipcap.core.training_model import build_model
    from tipcap.core.training_settings import TrainingSettings
    from tipcap.core.types import Gaussian

    plan = in_all_results
    ledger = costs.Ledger(plan, [], {})
    seen = 0
    for step in plan.steps.values():
        if step.spec.step != "train" or step.spec.language_model_trainable:
            continue
        width = ledger._width(plan.steps[step.parents["texts"]])
        lm = plan.steps[step.parents["language_model"]].spec.parameters["architecture"]
        shared = {
            name: value
            for name, value in step.spec.model_dump().items()
            if name in TrainingSettings.__dataclass_fields__
        }
        gaussian = Gaussian(torch.zeros(width), torch.eye(width))
        model = build_model(TrainingSettings(**shared), width, lm["n_embd"], gaussian)
        size = sum(4 * tensor.numel() for tensor in model.state_dict().values())
        assert ledger._disk(step) == pytest.approx(size, rel=0.1)
        seen += 1
    assert seen > 10


def test_nothing_pretends(paper, capsys):
    """Every figure says how it is known; what has none is named."""
    for rate in read_rates(costs.STEP_COSTS):
        assert rate.source.startswith(("measured", "estimated: "))
        assert rate.seconds_per_unit > 0
        assert rate.models in ("mini", "paper")
        if rate.models == "paper" and rate.device == "gpu":
            assert rate.source.startswith("estimated: ")
    lines = list(show_costs(paper))
    (without,) = [line for line in lines if line.startswith("not in the hours")]
    assert "31 estimate" in without
    assert not [line for line in lines if "sizes are not known" in line]
    (by_hand,) = [line for line in lines if line.startswith("to be fetched by hand")]
    assert "ss1m_descriptions" in by_hand
    (line,) = [line for line in lines if line.startswith("train:")]
    assert "0.047 ms per caption and epoch on gpu" in line
    assert "estimated: " in line


def test_what_is_not_known_of_a_model_of_the_hub_is_said(tmp_path):
    copy_config(tmp_path / "config")
    world = tmp_path / "config/paper.yaml"
    text = world.read_text()
    start, end = text.index("    source: hub\n"), text.index("  decap:\n")
    declared = "    source: hub\n    model: facebook/opt-125m\n"
    world.write_text(text[:start] + declared + text[end:])
    lines = list(show_costs(load(world), "II"))
    (unknown,) = [line for line in lines if "sizes are not known" in line]
    assert "the model facebook/opt-125m" in unknown
    (reckoned,) = [line for line in lines if line.startswith("reckoned as if")]
    assert "gpt2-" in reckoned
    assert not any(
        line.startswith("reckoned")
        for line in show_costs(load(CONFIG / "paper.yaml"), "II")
    )


def test_sizes_of_the_real_datasets_are_those_of_the_worlds_that_read_them(paper):
    with costs.DATASET_SIZES.open(newline="") as file:
        rows = {(row["dataset"], row["split"]): row for row in csv.DictReader(file)}
    assert {name for name, _ in rows} == set(paper.world.datasets)
    sample = paper.world.datasets["yfcc15m"].sample_size
    assert int(rows["yfcc15m", "train"]["images"]) == sample


SPICE_ALONE = """\
score,parsing,mini,caption,2,cpu,x,x,measured
score,spice,mini,image,0.5,cpu,x,x,measured
"""


def test_spice_is_paid_for_what_it_scores_and_captions_that_runs_share_are_parsed_once(
    rates, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rates(SPICE_ALONE)
    plan = load(CONFIG / "mini-full.yaml")
    images = plan.world.spice.images
    scores = [plan.steps[key] for key in plan.score_keys("XII")]
    having = [step for step in scores if step.spec.spice_images]
    runs = {step.parents["captions"] for step in having}
    assert len(runs) < len(having)  # domains of one run
    assert {step.spec.spice_images for step in having} == {images}
    lines = list(show_costs(plan, "XII"))
    parsed = costs._DIFFERENT["mini"] * images * len(having)
    hours = (2 * parsed + 0.5 * images * len(having)) / 3600
    assert figures_of(lines)["XII"][1] == pytest.approx(hours, abs=0.01)
    (line,) = [line for line in lines if "SPICE's parser" in line]
    assert f"up to {round(parsed):,} captions, {2 * parsed / 3600:.2f} CPU h" in line
    assert "ship in resources/spice_parses.xz" in line


def test_references_that_are_not_drawn_are_parsed_too_and_once(paper, rates):
    rates("score,parsing,paper,caption,1,cpu,x,x,measured\n")
    (line,) = [line for line in show_costs(paper, "III") if "SPICE's parser" in line]
    captions = int(line.split("up to ")[1].split(" captions")[0].replace(",", ""))
    runs = {
        paper.steps[key].parents["captions"]: paper.steps[key]
        for key in paper.score_keys("III")
    }
    sizes = costs.read_sizes(costs.DATASET_SIZES)
    tests = {"coco": sizes["coco", "test"], "flickr30k": sizes["flickr30k", "test"]}
    of_run = [
        tests["coco" if "coco" in step.parents["references"] else "flickr30k"]
        for step in runs.values()
    ]
    references = sum(size.captions for size in dict.fromkeys(of_run))
    assert captions == sum(size.images for size in of_run) + references


def test_the_command_prints_it_without_torch():
    code = "import sys; from tipcap.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    words = ["plan", "--world", str(CONFIG / "mini.yaml"), "--cost", "--table", "II"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2].startswith("II ")


def test_an_unknown_table_is_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["plan", "--world", str(CONFIG / "mini.yaml"), "--cost", "--table", "XX"])
    assert caught.value.code == 2
    assert "unknown table 'XX'" in capsys.readouterr().err


def test_the_captioner_to_use_costs_its_few_pictures(paper):
    lines = list(show_costs(paper, "captioner"))
    assert list(figures_of(lines)) == ["captioner"]
    *_, disk, downloads = figures_of(lines)["captioner"]
    # captions 37 MB, RN50x4 402 or so, GPT-2 548, pictures 1,133 of 163 KB: not the 20 GB of archives
    assert 1.1 < downloads < 1.3
    assert disk > downloads
    assert any(line.startswith("1,133 pictures of coco") for line in lines)


def test_it_stands_beside_the_tables_and_not_in_their_sum(paper):
    figures = figures_of(show_costs(paper))
    sums = ["all_tables, once", "all, each once"]
    assert list(figures)[-3:] == [*sums, "captioner"]
    alone = figures_of(show_costs(paper, "captioner"))["captioner"]
    assert figures["captioner"] == alone
