"""What all commands have alike, asked of every one there is."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tipcap import cli
from tipcap.cli import main, people
from tipcap.cli.manners import epilog
from tipcap.cli.step import steps
from tipcap.io import waiting

ROOT = Path(__file__).parents[2]


def names_of(app):
    return [one.name for one in app.registered_commands]


def helped(capsys, *words):
    main([*words])
    return capsys.readouterr().out


@pytest.mark.parametrize("name", names_of(cli.app))
def test_every_command_of_people_shows_an_example_of_itself(capsys, name):
    shown = helped(capsys, name, "-h")
    assert "Example" in shown
    example = shown.partition("Example")[2]
    assert f"tipcap {name}" in example


@pytest.mark.parametrize("name", names_of(cli.app))
def test_no_command_shows_a_call_before_its_examples(capsys, name):
    before = helped(capsys, name, "-h").partition("Example")[0]
    calls = [one for one in before.splitlines() if one.strip().startswith("tipcap ")]
    assert calls == []


@pytest.mark.parametrize("name", [one for one in names_of(steps) if one])
def test_every_step_shows_the_words_that_a_rule_calls_it_by(capsys, name):
    example = helped(capsys, "step", name, "--help").partition("Example:")[2].strip()
    assert example.startswith(f"tipcap step {name} --")
    assert len(example.splitlines()) == 1


@pytest.mark.parametrize("words", [[], ["step"], ["step", "spread"]])
def test_groups_have_examples_too(capsys, words):
    assert "Example" in helped(capsys, *words, "-h")


def test_examples_stand_on_lines_of_their_own():
    assert epilog(["a", "b"]) == "\b\nExamples:\n  a\n  b"


@pytest.mark.parametrize("name", ["score", "caption", "new"])
def test_progress_can_be_silenced_where_there_is_some(capsys, name):
    assert "-q, --quiet" in helped(capsys, name, "-h")


def test_quiet_silences_what_the_command_does(monkeypatch, tmp_path):
    monkeypatch.setattr(waiting, "_silenced", [False])
    with pytest.raises(SystemExit):
        main(["new", "mine", "-q", "--captions", str(tmp_path / "none")])
    assert waiting._silenced == [True]


@pytest.mark.parametrize("error", [KeyboardInterrupt, EOFError])
def test_ctrl_c_is_one_line_and_status_130(capsys, monkeypatch, error):
    def stop(*_, **__):
        raise error

    monkeypatch.setattr("tipcap.plan.load", stop)
    with pytest.raises(SystemExit) as ended:
        main(["plan"])
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip() == "tipcap: interrupted"


@pytest.mark.parametrize(
    ("typed", "place", "names"),
    [
        ("tipcap do", 1, ["doctor"]),
        ("tipcap plan --world mini", 3, ["mini", "mini-full"]),
    ],
)
def test_shells_can_complete_commands_and_worlds(typed, place, names):
    # as bash asks, through the script that `tipcap --show-completion` prints
    asked = {
        "_TIPCAP_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(place),
    }
    code = "import sys; sys.argv = ['tipcap']; from tipcap.launch import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
    )
    assert sorted(done.stdout.split()) == names


def test_no_help_has_colours(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in helped(capsys, "--help")
    assert isinstance(cli.app, typer.Typer)


def test_what_an_encoding_lacks_is_said_in_its_own_way(monkeypatch):
    """The name of a file need not be UTF-8, and a terminal need not know every sign."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(people, "__version__", "1±1 caf\udce9 \u2020")
    main(["version"])
    assert out.buffer.getvalue() == b"1\xb11 caf\\udce9 \\u2020\n"


def test_streams_may_be_closed(monkeypatch):
    names = ("stdin", "stdout", "stderr")
    for name in names:
        monkeypatch.setattr(sys, name, None)
    main(["version"])
    for name in names:
        getattr(sys, name).close()
