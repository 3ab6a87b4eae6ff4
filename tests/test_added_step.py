"""A step is added by one module and one rule: everything else follows from them."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from workflow_copy import ROOT, copy_workflow

MODULE = '''"""The count-words step: how many words the captions of a split have."""

from pathlib import Path
from typing import ClassVar

from tipcap.specs import Count, Spec, Split
from tipcap.step import Request, Step


class CountWordsSpec(Spec):
    """Numbers of words, summed over the captions of a split."""

    step: ClassVar[str] = "count_words"
    lineage: ClassVar[tuple[str, ...]] = ("dataset",)

    split: Split
    at_most: Count | None = None


def count_words(request: Request, spec: CountWordsSpec, dataset: Path) -> None:
    """Publish `words.json`."""
    from tipcap.io.annotations import read_annotations
    from tipcap.io.record import artefact
    from tipcap.io.store import write_json

    with artefact(request) as draft:
        records = [r for r in read_annotations(dataset) if r.split == spec.split]
        captions = [c for r in records for c in r.captions][: spec.at_most]
        write_json(draft.folder / "words.json", sum(len(c.split()) for c in captions))
        draft.counts["captions"] = len(captions)


STEP = Step(CountWordsSpec, count_words, main_file="words.json")
'''
RULE = '''

from tipcap.steps.count_words import CountWordsSpec

for prepared in [key for key in plan.steps if plan.steps[key].spec.step == "prepare"]:
    plan.add(CountWordsSpec(split="train", at_most=7), {"dataset": prepared})


rule count_words:
    """Count the words of captions."""
    input:
        unpack(inputs_of("count_words")),
    output:
        words=artefact(plan.name, "count_words", "{key}", "words.json"),
        meta=artefact(plan.name, "count_words", "{key}", "meta.json"),
    log:
        f"{LOGS}/count_words/{{key}}.log",
    threads: threads(plan, "count_words")
    params:
        arguments=arguments_of("count_words"),
    shell:
        "tipcap step count-words {params.arguments:q} --threads {threads} > {log:q} 2>&1"
'''


@pytest.fixture
def with_a_step(tmp_path):
    """A copy of the project with one module and one rule more, and how a command is run there."""
    copy_workflow(tmp_path)
    shutil.copytree(ROOT / "tipcap", tmp_path / "tipcap")
    (tmp_path / "tipcap/steps/count_words.py").write_text(MODULE)
    with (tmp_path / "workflow/rules/data.smk").open("a") as rules:
        rules.write(RULE)

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    run.folder = tmp_path
    return run


@pytest.mark.slow
def test_a_step_is_one_module_and_one_rule(with_a_step):
    named = "from tipcap.plan import load; from tipcap.steps.count_words import CountWordsSpec; plan = load('config/tiny.yaml'); prepared = next(k for k, s in plan.steps.items() if s.spec.step == 'prepare' and s.spec.dataset == 'coco'); print(plan.add(CountWordsSpec(split='train', at_most=7), {'dataset': prepared}))"
    (with_a_step.folder / "named.py").write_text(named)
    key = with_a_step("named").stdout.strip()
    assert key.startswith("coco+train.at_most7-")
    made = with_a_step.folder / "results/tiny/count_words" / key / "words.json"
    command = ["snakemake", "--configfile", "config/tiny.yaml", "--cores", "1"]
    target = str(made.relative_to(with_a_step.folder))
    done = with_a_step(*command, "--quiet", "progress", "--", target)
    assert done.returncode == 0, done.stderr
    assert json.loads(made.read_text()) > 7
    record = json.loads((made.parent / "meta.json").read_text())
    assert (record["step"], record["counts"]) == ("count_words", {"captions": 7})
    assert "  count-words " in with_a_step("tipcap", "step", "--help").stdout
