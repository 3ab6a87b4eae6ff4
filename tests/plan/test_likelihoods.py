import csv
from collections import Counter

import pytest

from tipcap.commands.costs import show_costs
from tipcap.core.tables import cells
from tipcap.io.render import render_table
from tipcap.plan import load
from tipcap.plan.reports import score_arguments, score_inputs

METRICS = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider"]
ABSENT = {"spice": "slow"}


@pytest.fixture
def planned(science):
    def plan(*tables, metrics=(*METRICS, "nll")):
        return load(science.world(metrics=list(metrics), absent=ABSENT), tables)

    return plan


def test_a_world_without_the_metric_has_neither_step_nor_column(planned):
    plan = planned("II", metrics=METRICS)
    assert "likelihood" not in {step.spec.step for step in plan.steps.values()}
    assert all(
        "nll" not in plan.tables["II"].metrics_of(g) for g in plan.tables["II"].groups
    )


def test_the_column_stands_beside_cider_and_the_papers_numbers_stay_in_place(planned):
    narrow = planned("II", metrics=METRICS).tables["II"]
    table = planned("II").tables["II"]
    for group, before in zip(table.groups, narrow.groups, strict=True):
        metrics = table.metrics_of(group)
        assert metrics[metrics.index("cider") + 1] == "nll"
        for index, row in enumerate(table.rows):
            if not row.is_section:
                assert table.printed(index, group, "nll") is None
                assert all(
                    table.printed(index, group, m) == narrow.printed(index, before, m)
                    for m in narrow.metrics_of(before)
                )


def test_every_trained_captioner_has_one_and_others_say_why_not(planned):
    plan = planned("II", "sanity")
    for name, table in plan.tables.items():
        groups = {group.label: group for group in table.groups}
        for cell in plan.cells[name]:
            why = table.inapplicable(cell.row_index, groups[cell.group], "nll")
            for key in cell.score_keys:
                step = plan.steps[key]
                writer = plan.steps[step.parents["captions"]].spec.step
                assert (writer == "generate") == ("likelihood" in step.parents)
                assert (writer == "generate") == (why is None)
                assert ("nll" in step.spec.metrics) == (why is None)
    assert "trained here" in str(table.rows[-1].lacking)


def test_a_likelihood_reads_what_the_captions_were_written_from(planned):
    plan = planned("II")
    for step in list(plan.steps.values()):
        if step.spec.step == "score" and "likelihood" in step.parents:
            captions = plan.steps[step.parents["captions"]]
            found = plan.steps[step.parents["likelihood"]]
            assert found.parents == captions.parents
            assert found.spec.split == captions.spec.split
            assert found.spec.projection == captions.spec.projection
            assert found.spec.memory_size == captions.spec.memory_size
            assert found.spec.max_caption_tokens == 32  # the world's
    assert any(
        "texts" in s.parents for s in plan.steps.values() if s.spec.step == "likelihood"
    )


def test_domains_of_one_captioner_share_a_likelihood(planned):
    plan = planned("XII")
    kinds = Counter(step.spec.step for step in plan.steps.values())
    assert kinds["likelihood"] == kinds["generate"]
    scored = [s for s in plan.steps.values() if s.spec.step == "score"]
    assert len([s for s in scored if "likelihood" in s.parents]) > kinds["likelihood"]


def test_a_table_of_simulated_prompts_alone_has_no_such_column(planned):
    plan = planned("IV", "prompts")
    (group,) = plan.tables["IV"].groups
    assert "nll" not in plan.tables["IV"].metrics_of(group)
    assert "without prompts" in str(
        plan.tables["prompts"].rows[2].lacking | plan.tables["prompts"].rows[3].lacking
    )


def test_the_score_step_is_told_the_file(planned):
    plan = planned("II")
    files = score_inputs(plan, "II")["likelihood"]
    assert files
    assert all(file.endswith("/likelihood.json") for file in files)
    (runs,) = [t for t in score_arguments(plan, "II") if t.startswith("[")]
    assert runs.count('"likelihood":"results/') >= len(files)


def test_what_has_no_likelihood_is_printed_as_inapplicable(planned, tmp_path):
    table = planned("II").tables["II"]
    groups = {group.label: group for group in table.groups}
    scores = {
        (run.row_index, run.group.label, metric): [("key", 0.5)]
        for run in table.runs()
        for metric in table.metrics_of(run.group)
        if table.inapplicable(run.row_index, groups[run.group.label], metric) is None
    }
    plain, _, tex = render_table(table, cells(table, scores, ABSENT), tmp_path)
    lines = list(csv.reader(plain.read_text("utf-8").splitlines()))
    column = lines[0].index("MS-COCO NLL")
    shown = {line[0]: line[column] for line in lines[1:]}
    assert shown["TIPCap (S1)"] == "0.500"  # in nats, where CIDEr is times 100
    assert shown["MAGIC"] == "--"
    assert shown["nearest caption (run)"] == "N/A"
    assert "only a captioner that is trained here" in tex.read_text("utf-8")


def test_its_cost_is_known(planned):
    lines = list(show_costs(planned("II")))
    assert any(
        line.startswith("likelihood: ") and "per caption" in line for line in lines
    )
