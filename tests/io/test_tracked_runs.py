import csv
import io
import json

import pytest

from tipcap.errors import InputError
from tipcap.io.tracked_runs import (
    SAMPLES,
    TAGS,
    RunRecord,
    datasets_of,
    labels_of,
    run_id,
    runs_of,
    shown,
)
from tipcap.io.tracked_steps import read_step

MONTH_AGO, STARTED = 1_697_000_000.0, 1_700_000_000.0
CURVE = [{"time": STARTED + n, "step": n, "loss": 1 / (n + 1)} for n in range(3)]


def write_step(results, step, key, parents, spec, started, seconds=5.5, **files):
    folder = results / step / key
    folder.mkdir(parents=True)
    meta = {
        "step": step,
        "key": key,
        "parents": parents,
        "spec": spec,
        "git": "abc",
        "host": "here",
        "device": "cpu",
        "started": started,
        "seconds": seconds,
        "counts": {"captions": 7},
        "figures": {},
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    for name, content in files.items():
        text = (
            "".join(f"{json.dumps(line)}\n" for line in content)
            if name == "metrics"
            else json.dumps(content)
        )
        suffix = "jsonl" if name == "metrics" else "json"
        (folder / f"{name}.{suffix}").write_text(text)
    return folder


def chain(results, *, web=False, num_images=40):
    """A run as setting 1 or 2 has it: data and encoder were made a month before."""
    images = [
        {
            "image_id": n,
            "split": "test",
            "captions": [f"reference {n}"],
            **dict.fromkeys(("archive", "member", "domain")),
        }
        for n in range(num_images)
    ]
    captions = [{"image_id": n, "caption": f"caption, {n}"} for n in range(num_images)]
    scores = {
        "corpus": {"CIDEr": 0.614, "NLL": 0.9},
        "images": {str(n): {"CIDEr": n / 10} for n in range(num_images)},
    }
    coco = {"dataset": "coco", "seed": 0}
    found = [
        ("prepare", "coco-1", {}, coco, MONTH_AGO, {"annotations": {"images": images}}),
        ("encoder", "rn-1", {}, {"name": "rn50x4"}, MONTH_AGO, {}),
        *(
            ("embed", f"coco-{modality}.{split}-1", read, spec, MONTH_AGO, {})
            for modality, split in (("image", "test"), ("text", "train"))
            for spec in [{"modality": modality, "split": split}]
            for read in [{"dataset": "coco-1", "encoder": "rn-1"}]
        ),
    ]
    if web:
        yfcc = {"dataset": "yfcc15m", "seed": 0}
        read = {"dataset": "yfcc-1", "encoder": "rn-1"}
        spec = {"modality": "text", "split": "train"}
        found += [
            ("prepare", "yfcc-1", {}, yfcc, MONTH_AGO, {}),
            ("embed", "yfcc-text-1", read, spec, MONTH_AGO, {}),
        ]
    train = {"setting": 2 if web else 1, "seed": 3, "inner": {"size": 2}}
    rough = {"dataset": "coco-1", "model": "train-1"}
    final = {**rough, "rough": "rough-1"}
    spec = {"split": "test", "beam": 5}
    scored = {"captions": "final-1", "references": "coco-1"}
    corpus = {"corpus": "coco-1", "texts": "coco-text.train-1"}
    found += [
        ("train", "train-1", corpus, train, STARTED, {"metrics": CURVE}),
        ("generate", "rough-1", rough, {**spec, "beam": 1}, STARTED + 90, {}),
        ("generate", "final-1", final, spec, STARTED + 99, {"captions": captions}),
        (
            "score",
            "score-1",
            scored,
            {"domain": None},
            STARTED + 200,
            {"scores": scores},
        ),
    ]
    return [write_step(results, *some, **files) for *some, files in found]


def record(results, **options):
    folders = chain(results, **options)
    tags = {"table": "II", "row": "TIPCap (S1)", "seed": "3", "world": "tiny"}
    made = RunRecord("II · TIPCap (S1)", folders, tags=tags, note="About.")
    return made, [read_step(folder) for folder in folders]


@pytest.fixture
def runs(tmp_path):
    return list(runs_of(*record(tmp_path)))


def test_children_are_named_by_their_step_and_are_the_runs_own_work(runs):
    parent, *children = runs
    assert parent.name == "II · TIPCap (S1)"
    names = ["train", "generate.rough", "generate", "score"]
    assert [child.name for child in children] == names
    assert {child.tags["mlflow.parentRunId"] for child in children} == {parent.id}
    assert {child.tags["key"] for child in children} == {
        "train-1",
        "rough-1",
        "final-1",
        "score-1",
    }


def test_a_run_lasts_as_long_as_its_own_steps(runs):
    parent, train, *_ = runs
    assert (parent.started, parent.ended) == (STARTED, STARTED + 4 * 5.5)
    assert (train.started, train.ended) == (STARTED, STARTED + 5.5)


def test_a_parent_has_parameters_curves_and_scores_of_all_its_steps(runs):
    parent, train, *_, score = runs
    assert parent.parameters["train.inner.size"] == "2"
    assert parent.parameters["generate.beam"] == "5"
    assert parent.parameters["generate.rough.beam"] == "1"
    assert parent.parameters["prepare.coco.seed"] == "0"
    curve = [(c.step, c.value) for c in parent.metrics if c.name == "train.loss"]
    assert curve == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert curve == [(c.step, c.value) for c in train.metrics if c.name == "train.loss"]
    of_parent, of_score = (
        {c.name: c.value for c in r.metrics} for r in (parent, score)
    )
    assert (of_parent["CIDEr"], of_parent["NLL"]) == (pytest.approx(61.4), 0.9)
    assert of_score["CIDEr"] == of_parent["CIDEr"]
    assert of_parent["seconds"] == 4 * 5.5


def test_tags_are_a_fixed_set(runs):
    for run in runs:
        own = {name for name in run.tags if not name.startswith("mlflow.")}
        assert own == {*TAGS, "key"}
    tags = runs[0].tags
    assert [tags[name] for name in TAGS] == [
        *("II", "TIPCap (S1)", "COCO", "RN50x4", "1", "3", "tiny", "run")
    ]
    assert runs[1].tags["source"] == "step"


def test_only_what_differs_differs_between_two_settings(tmp_path):
    one, two = (
        next(runs_of(*record(tmp_path / name, web=name == "web"))).parameters
        for name in ("plain", "web")
    )
    different = {name for name in one | two if one.get(name) != two.get(name)}
    assert different == {
        "train.setting",
        "prepare.yfcc15m.dataset",
        "prepare.yfcc15m.seed",
        "embed.yfcc15m.text.train.modality",
        "embed.yfcc15m.text.train.split",
    }


def test_no_two_steps_of_a_chain_are_called_alike(tmp_path):
    _, steps = record(tmp_path, web=True)
    # a third that makes captions, and one more of the same data
    extra = [
        write_step(tmp_path, "generate", "first-1", {}, {"beam": 2}, STARTED),
        write_step(tmp_path, "prepare", "coco-2", {}, {"dataset": "coco"}, MONTH_AGO),
        write_step(tmp_path, "prepare", "coco-3", {}, {"dataset": "coco"}, MONTH_AGO),
    ]
    labels = labels_of([*map(read_step, extra), *steps])
    assert len(set(labels.values())) == len(steps) + 3
    assert labels["final-1"] == "generate"
    assert labels["coco-1"] == "prepare.coco"


def test_the_splits_that_a_run_read_are_its_datasets(tmp_path):
    _, steps = record(tmp_path, web=True)
    found = [(one.name, one.digest, one.context) for one in datasets_of(steps)]
    assert found == [
        ("COCO test", "1", "evaluation"),
        ("COCO train", "1", "training"),
        ("YFCC15M train", "1", "training"),
    ]
    assert datasets_of(steps)[0].source == "prepare/coco-1/annotations.json"


def test_captions_are_shown_beside_references_and_scores(runs):
    rows = list(csv.DictReader(io.StringIO(runs[0].files["samples.csv"])))
    assert len(rows) == SAMPLES
    assert rows[1] == {
        "image_id": "2",
        "caption": "caption, 2",
        "reference": "reference 2",
        "CIDEr": "20.0",
    }


def test_the_steps_of_a_run_are_listed_with_their_keys(runs):
    rows = list(csv.DictReader(io.StringIO(runs[0].files["steps.csv"])))
    assert (rows[0]["step"], rows[0]["key"]) == ("prepare.coco", "coco-1")
    assert rows[-1]["key"] == "score-1"
    assert rows[-1]["seconds"] == "5.5"


def test_a_run_is_known_by_its_name_and_what_was_made(tmp_path):
    made, steps = record(tmp_path)
    before = run_id(made, steps)
    assert run_id(made, steps) == before
    assert run_id(made._replace(name="V · (A): S1"), steps) != before
    again = steps[-1]._replace(meta={**steps[-1].meta, "started": STARTED + 9000})
    assert run_id(made, [*steps[:-1], again]) != before


def test_files_alone_become_a_run_that_keeps_them(tmp_path):
    file = tmp_path / "table_II.csv"
    file.write_text("method,CIDEr\n")
    (run,) = runs_of(RunRecord("table II", files=[file], tags={"table": "II"}), [])
    assert run.files == {"table_II.csv": file}
    assert run.started == run.ended == file.stat().st_mtime
    assert (run.tags["source"], run.tags["setting"]) == ("files", "none")
    assert not run.metrics


def test_a_record_of_nothing_is_refused():
    with pytest.raises(InputError, match="'x'"):
        run_id(RunRecord("x"), [])


def test_names_are_the_papers_and_others_stay():
    assert [shown(n) for n in ("coco", "vit-l-14", "my-own")] == [
        *("COCO", "ViT-L/14", "my-own")
    ]
