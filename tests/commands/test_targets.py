"""Targets as people misspell them, against the rules that Snakemake has."""

import re

import pytest

from tipcap.commands.targets import check_targets, job_of, tables_of
from tipcap.errors import InputError
from tipcap.io.expected_end import Job


class Rule:
    def __init__(self, name, pattern=None):
        self.name, self._pattern = name, re.compile(pattern or name)

    def has_wildcards(self):
        return bool(self._pattern.groups)

    def is_producer(self, file):
        return self._pattern.fullmatch(file) is not None and self.has_wildcards()

    def get_wildcards(self, file):
        return self._pattern.fullmatch(file).groupdict()


RULES = [
    Rule("all_tables"),
    Rule("table_II"),
    Rule("table", r"results/\w+/tables/table_(?P<table>\w+)\.csv"),
    Rule("train", r"results/\w+/train/(?P<key>[\w-]+)/model\.safetensors"),
]


def test_rules_files_and_what_is_there_are_let_pass(in_all_results, tmp_path):
    there = tmp_path / "there.csv"
    there.write_text("")
    targets = ["table_II", "results/x/tables/table_II.csv", str(there)]
    check_targets(in_all_results, targets, RULES)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("table_I", "unknown target 'table_I'; did you mean 'table_II'"),
        ("train", None),
        ("results/x/tables/table_IIX.csv", "unknown table 'IIX'; did you mean 'II"),
        ("results/x/train/nope/model.safetensors", "unknown key 'nope'"),
        ("results/x/tables.csv", "unknown target"),
    ],
)
def test_a_misspelt_target_is_one_line_with_a_suggestion(in_all_results, target, said):
    if said is None:  # a rule with wildcards: Snakemake says what it needs
        check_targets(in_all_results, [target], RULES)
        return
    with pytest.raises(InputError, match=re.escape(said)) as refused:
        check_targets(in_all_results, [target], RULES)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


class SnakemakeJob:
    def __init__(self, rule, **wildcards):
        self.rule, self.wildcards_dict = Rule(rule), wildcards


def test_a_job_is_known_by_its_rule_and_key_or_table():
    jobs = [
        SnakemakeJob("train", key="k"),
        SnakemakeJob("table", table="II"),
        SnakemakeJob("claims"),
    ]
    assert [job_of(job) for job in jobs] == [
        Job("train", "k"),
        Job("table", "II"),
        Job("claims"),
    ]
    assert list(tables_of(jobs)) == ["II"]
