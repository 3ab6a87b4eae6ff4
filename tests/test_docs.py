"""Every command that README, CONTRIBUTING and pages show: it is known, with its options and targets, and it is run or said why not."""

import functools
import re

import pytest
import typer.main
from snakemake.cli import parse_args

from tests.pages import DOCS, LANGUAGES, RECIPES, ROOT, blocks, inline_commands, pages
from tipcap.cli import app
from tipcap.plan import load

MAKE_TARGETS = set(
    re.findall(r"^([.\w/-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
) | {".venv/.installed"}
RULES = {
    rule
    for file in [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    for rule in re.findall(r"^ *rule (\w+):", file.read_text(), re.MULTILINE)
}
OTHERS = {".", "apptainer", "cd", "git", "pip", "sacct", "scontrol", "torchrun"}
"""Programs of others, which no test runs."""
SHOWN = [
    (page.name, words, block.language)
    for page in pages()
    for block in blocks(page)
    if block.language in ("sh", "console")
    for words in block.commands
]


@functools.cache
def known_tables():
    return {f"table_{name}" for name in load(ROOT / "config/mini-full.yaml").tables}


def check_tipcap(words):
    """Parse the words of a `tipcap` command as the command line does."""
    command = typer.main.get_command(app)
    words = words[1:]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        command, words = command.commands[words[0]], words[1:]
    if "--help" not in words:
        command.make_context("tipcap", list(words))


def check_make(words):
    targets = [word for word in words[1:] if "=" not in word]
    assert targets
    assert set(targets) <= MAKE_TARGETS, words
    for word in words[1:]:
        name, _, value = word.partition("=")
        if name == "TARGET" and "table_" in value:
            assert value in known_tables() | made_by_pages(), words


def check_snakemake(words):
    """Parse the words of a `snakemake` command; its targets are rules, tables or files of results."""
    _, given = parse_args(words[1:])
    for target in given.targets:
        is_file = target.startswith("results/")
        assert is_file or target in RULES | known_tables(), words


@functools.cache
def made_by_pages():
    found = (re.search(r"^id: (\w+)$", b.text, re.M) for b in every_block() if b.title)
    return {f"table_{one[1]}" for one in found if one}


def every_block():
    return [block for page in pages() for block in blocks(page)]


CHECKS = {"tipcap": check_tipcap, "make": check_make, "snakemake": check_snakemake}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_blocks_say_what_they_are_and_why_they_are_not_run(page):
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{page.name}: {block.text}"
        if page.name not in ("README.md", "CONTRIBUTING.md"):  # one line says it there
            assert (block.language == "console") == bool(block.why), block.text
        if block.title is None:
            assert block.language != "diff", f"{page.name}: {block.text}"


@pytest.mark.parametrize(
    ("page", "words", "language"), SHOWN, ids=[" ".join(w)[:60] for _, w, _ in SHOWN]
)
def test_a_command_that_is_shown_is_known(page, words, language, monkeypatch):
    monkeypatch.chdir(ROOT)
    if words[0] in OTHERS:
        assert language == "console", f"{page}: nobody runs {words}"
        return
    CHECKS[words[0]](words)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_command_in_a_sentence_is_known_with_its_options(page):
    """Sentences leave out what a command needs, so only names count."""
    for words in inline_commands(page):
        if words[0] == "make":
            targets = [w for w in words[1:] if "=" not in w]
            assert set(targets[:1]) <= MAKE_TARGETS, words
        if words[0] == "tipcap":
            command = typer.main.get_command(app)
            while len(words) > 1 and hasattr(command, "commands"):
                if words[1].startswith("-") or words[1].isupper():  # stands for any
                    break
                command, words = command.commands[words[1]], words[1:]
            options = {o for p in command.params for o in p.opts} | {"--help"}
            shown = {word for word in words if word.startswith("--") and word != "--"}
            assert shown <= options, words


def test_every_command_that_people_have_is_shown():
    shown = {words[1] for _, words, _ in SHOWN if words[0] == "tipcap"}
    commands = typer.main.get_command(app).commands
    people = {name for name, one in commands.items() if not one.hidden}
    assert people <= shown


def test_every_page_is_run_by_a_test():
    """`tests/test_chain_docs.py` runs all pages but the recipes, which have a test of their own."""
    assert all((DOCS / f"{page}.md").exists() for page in RECIPES)
    for page in pages():
        if any(block.title and block.language != "text" for block in blocks(page)):
            assert page.stem in RECIPES, f"{page.name} changes files"
