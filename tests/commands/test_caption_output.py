import json

import pytest

from tipcap.commands.caption_output import Output
from tipcap.core.refining import Candidate, Caption

PLAIN = Caption(
    "A boat.", -0.5, (Candidate("A boat.", -0.5), Candidate("A kite.", -0.75))
)
REFINED = Caption(
    "A red boat on the water.",
    -0.5,
    (Candidate("A red boat on the water.", -0.5),),
    "A boat.",
    ("water",),
)


def shown(caption, style, name="a.png", **more):
    lines = []
    output = Output(style, lines.append, width=60, name_width=len(name), **more)
    output.write(name, caption)
    return lines


def test_a_pipe_gets_captions_alone():
    assert shown(PLAIN, "plain") == ["A boat."]
    assert shown(PLAIN, "plain", num_best=2) == ["-0.5000\tA boat.", "-0.7500\tA kite."]
    assert shown(REFINED, "plain", is_prompted=True) == ["A red boat on the water."]


def test_json_is_one_line_with_all_that_is_known():
    (line,) = shown(REFINED, "json", num_best=3)
    assert json.loads(line) == {
        "picture": "a.png",
        "caption": "A red boat on the water.",
        "score": -0.5,
        "rough": "A boat.",
        "words": ["water"],
        "changed": ["red", "on the water."],
        "left_out": [],
        "insisted": False,
        "candidates": [{"caption": "A red boat on the water.", "score": -0.5}],
    }
    assert set(json.loads(shown(PLAIN, "json")[0])) == {"picture", "caption", "score"}


def test_a_table_shows_rough_and_refined_with_marks():
    head, first, *more = shown(REFINED, "table", is_prompted=True)
    assert head.split() == ["picture", "rough", "caption", "refined"]
    assert first.split()[0] == "a.png"
    both = " ".join(" ".join((first, *more)).split())
    assert "A boat. A [red] boat [on the water.]" in both.replace("a.png ", "")
    assert all(len(line) <= 60 for line in (head, first, *more))


def test_marks_are_bold_where_they_can_be_and_take_no_room():
    bold = shown(REFINED, "table", is_prompted=True, in_bold=True)
    assert any("\x1b[1mred\x1b[0m" in line for line in bold)
    assert not any("[red]" in line for line in bold)


def test_a_table_has_a_line_for_each_candidate():
    head, first, second = shown(PLAIN, "table", num_best=2)
    assert head.split() == ["picture", "score", "caption"]
    assert first.split() == ["a.png", "-0.500", "A", "boat."]
    assert second.split() == ["-0.750", "A", "kite."]


def test_a_name_cannot_break_the_table():
    name = "folder/" * 9 + "a\nb\x1b[2J.png"
    _, line = shown(PLAIN, "table", name=name)
    assert line.startswith("...")
    assert "\x1b" not in line
    assert "a?b?[2J.png" in line


def test_a_refused_picture_has_its_json_line_too():
    lines = []
    Output("json", lines.append).refuse("b.png", "found none")
    Output("plain", lines.append).refuse("b.png", "found none")
    assert list(map(json.loads, lines)) == [{"picture": "b.png", "error": "found none"}]


@pytest.mark.parametrize(
    ("text", "insisted", "said"),
    [
        ("A kite.", False, "a?b.png: Leaves out: water."),
        ("A kite on water.", True, "a?b.png: Insisted on: water."),
        ("A kite on water.", False, None),
    ],
)
def test_what_became_of_words_is_noted_beside_the_captions(text, insisted, said):
    caption = Caption(text, -0.5, (), "A boat.", ("water",), insisted)
    for style in ("plain", "table"):
        notes = []
        lines = shown(caption, style, "a\x1bb.png", is_prompted=True, note=notes.append)
        assert not any("Leaves" in line or "Insisted" in line for line in lines)
        assert [note.startswith(said or "?") for note in notes] == [True] * bool(said)
    (line,) = shown(caption, "json", note=notes.append)
    assert json.loads(line)["left_out"] == (["water"] if "water" not in text else [])
    assert len(notes) == bool(said)  # JSON says it itself
