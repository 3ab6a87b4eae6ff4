import json
from pathlib import Path

import pytest

from tipcap.errors import InputError
from tipcap.io.image_parts import read_image_parts
from tipcap.io.spice import Spice
from tipcap.io.store import write_json
from tipcap.io.timing import Took
from tipcap.steps.score import score

pytestmark = pytest.mark.slow  # Java's tokeniser


@pytest.fixture
def world(tmp_path):
    """Four evaluated images in two domains, and a training image that no run should need."""
    images = [
        {
            "image_id": number,
            "archive": None,
            "member": None,
            "split": "train" if number == 9 else "val",
            "domain": "in" if number % 2 else "out",
            "captions": [f"a dog number {number} runs on grass", "a dog on grass"],
        }
        for number in (1, 2, 3, 4, 9)
    ]
    write_json(tmp_path / "annotations.json", {"dataset": "toy", "images": images})
    return tmp_path


def request_of(world, key, numbers=(1, 2, 3, 4), **spec):
    captions = [{"image_id": i, "caption": "a dog runs on grass"} for i in numbers]
    write_json(world / f"{key}.json", captions)
    return {
        "key": key,
        "spec": {"metrics": ["bleu_1", "cider"], **spec},
        "parents": {"captions": "c", "references": "r"},
        "captions": str(world / f"{key}.json"),
        "references": str(world / "annotations.json"),
    }


def test_every_run_gets_an_artefact_and_a_line_in_the_index(world):
    runs = [request_of(world, "first"), request_of(world, "second")]
    score(runs, world / "score", world / "scores/II.json")
    index = json.loads((world / "scores/II.json").read_text())
    assert index.keys() == {"first", "second"}
    record = json.loads((world / "score/first/meta.json").read_text())
    assert record["parents"] == {"captions": "c", "references": "r"}
    scores = json.loads((world / "score/first/scores.json").read_text())
    assert scores["images"].keys() == {"1", "2", "3", "4"}
    parts = read_image_parts(world / "score/first/image_parts.safetensors")
    assert parts.corpus == scores["corpus"]
    assert {name: len(one) for name, one in parts.images.items()} == {"Bleu_1": 4, "CIDEr": 4}  # fmt: skip
    assert scores["corpus"] == index["first"]


def test_a_scored_run_is_not_scored_again(world):
    runs = [request_of(world, "first")]
    score(runs, world / "score", world / "scores/II.json")
    (world / "first.json").unlink()  # would be an error if it were read
    score(
        [*runs, request_of(world, "second")], world / "score", world / "scores/III.json"
    )
    assert json.loads((world / "scores/III.json").read_text()).keys() == {
        "first",
        "second",
    }


def test_a_domain_is_a_corpus_of_its_own(world):
    score([request_of(world, "in", domain="in")], world / "score", world / "index.json")
    scores = json.loads((world / "score/in/scores.json").read_text())
    assert scores["images"].keys() == {"1", "3"}


def test_all_domains_together_leave_the_file_for_the_official_server(world):
    runs = [request_of(world, "all"), request_of(world, "in", domain="in")]
    score(runs, world / "score", world / "index.json")
    submitted = json.loads((world / "score/all/submission.json").read_text())
    assert submitted == json.loads((world / "all.json").read_text())
    assert not (world / "score/in/submission.json").exists()


def test_what_was_left_out_or_cut_is_in_the_record(world):
    score([request_of(world, "a")], world / "score", world / "index.json")
    record = json.loads((world / "score/a/meta.json").read_text())
    assert record["counts"] == {"images": 4, "empty_captions": 0}


def test_spice_is_scored_with_the_jars_that_are_given(world, monkeypatch):
    given = []

    class Fake(Spice):
        cut = frozenset({"a dog runs on grass"})

        def __init__(self, tools, silence):
            self.parsing = Took()
            given.append(tools)

        def score(self, candidates, references):
            return [0.25] * len(candidates)

    monkeypatch.setattr("tipcap.io.scoring.Spice", Fake)
    monkeypatch.chdir(world)  # where no parses are shipped
    run = request_of(world, "a", metrics=["spice", "rouge_l"])
    score([run], world / "score", world / "index.json", spice=Path("jars"), threads=3)
    assert given == [(Path("jars"), Path("jars/parses"), 3, None)]
    scores = json.loads((world / "score/a/scores.json").read_text())
    assert scores["corpus"]["SPICE"] == 0.25
    assert scores["images"]["1"]["SPICE"] == 0.25
    record = json.loads((world / "score/a/meta.json").read_text())
    assert record["counts"]["cut_for_spice"] == 4


def test_spice_of_a_sample_is_the_mean_over_it_and_the_same_for_every_run(
    world, monkeypatch
):
    class Fake(Spice):
        def __init__(self, tools, silence):
            self.parsing = Took()
            self.cut = set()

        def score(self, candidates, references):
            # 0.1 for picture 1, 0.2 for picture 2
            assert all(texts[1] == "a dog on grass" for texts in references)
            return [int(texts[0].split()[3]) / 10 for texts in references]

    monkeypatch.setattr("tipcap.io.scoring.Spice", Fake)
    monkeypatch.chdir(world)
    fields = {"metrics": ["spice", "rouge_l"]}
    runs = [
        request_of(world, name, **fields, spice_images=2)
        for name in ("first", "second")
    ]
    runs.append(request_of(world, "in", **fields, spice_images=3, domain="in"))
    runs.append(request_of(world, "whole", **fields))
    score(runs, world / "score", world / "index.json", spice=Path("jars"))

    found = {}
    for name in ("first", "second", "in", "whole"):
        scores = json.loads((world / f"score/{name}/scores.json").read_text())
        own = {i: one["SPICE"] for i, one in scores["images"].items() if "SPICE" in one}
        found[name] = own
        assert own == {image: int(image) / 10 for image in own}
        assert scores["corpus"]["SPICE"] == pytest.approx(sum(own.values()) / len(own))
        assert all("ROUGE_L" in one for one in scores["images"].values())
        parts = read_image_parts(world / f"score/{name}/image_parts.safetensors")
        assert parts.images["SPICE"] == pytest.approx(list(own.values()))
        assert len(parts.images["ROUGE_L"]) == len(scores["images"])
    assert len(found["first"]) == 2
    assert found["first"] == found["second"]
    assert found["in"].keys() == {"1", "3"}  # all of a domain with fewer
    assert found["whole"].keys() == {"1", "2", "3", "4"}
    record = json.loads((world / "score/first/meta.json").read_text())
    assert record["counts"]["images_of_spice"] == 2
    assert record["spec"]["spice_images"] == 2


def test_a_lost_caption_is_noticed(world):
    with pytest.raises(InputError, match="lost"):
        score(
            [request_of(world, "lost", (1, 2, 3))],
            world / "score",
            world / "index.json",
        )
    assert not (world / "score/lost").exists()
    assert not (world / "index.json").exists()


def test_runs_with_and_without_a_likelihood_are_scored_in_one_go(world, capsys):
    images = {str(i): {"loss": 8.0, "tokens": 4} for i in (1, 2, 3, 4)}
    write_json(world / "likelihood.json", {"images": images})
    with_loss = request_of(world, "a", metrics=["bleu_1", "cider", "nll"])
    with_loss["likelihood"] = str(world / "likelihood.json")
    runs = [with_loss, request_of(world, "b")]
    score(runs, world / "score", world / "index.json")
    assert "scoring: 2/2" in capsys.readouterr().err
    index = json.loads((world / "index.json").read_text())
    assert index["a"] == {**index["b"], "NLL": 2.0}
