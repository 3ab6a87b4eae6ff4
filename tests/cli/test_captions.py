import io
import json
import sys

import pytest
from toy_captioner import CAPTIONS, pictures

from tipcap import paths
from tipcap.cli import main


@pytest.fixture
def folder(tmp_path):
    for number, picture in enumerate(pictures()):
        picture.save(tmp_path / f"{number}.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    return tmp_path


@pytest.fixture
def run(exported, capsys, monkeypatch):
    def call(*words, status=0, terminal=False):
        monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
        ended = 0
        try:
            main(
                [
                    "caption",
                    "--model",
                    str(exported),
                    "--device",
                    "cpu",
                    "--threads",
                    "1",
                    *map(str, words),
                ]
            )
        except SystemExit as end:
            ended = end.code or 0
        assert ended == status
        return capsys.readouterr()

    return call


def test_a_pipe_gets_one_caption_in_each_line(run, folder):
    good = [folder / f"{n}.png" for n in range(4)]
    assert run(*good).out.splitlines() == list(CAPTIONS)


def test_a_bad_picture_ends_in_status_2_after_all_others(run, folder):
    shown = run(folder, "--json", status=2)
    records = [json.loads(line) for line in shown.out.splitlines()]
    captions = {record["picture"]: record.get("caption") for record in records}
    assert captions == {
        **{str(folder / f"{n}.png"): text for n, text in enumerate(CAPTIONS)},
        str(folder / "bad.png"): None,
    }
    (line,) = shown.err.splitlines()
    assert line.startswith(f"tipcap: error: {folder}/bad.png: expected a whole picture")


def test_a_terminal_gets_a_table_with_the_refined_caption(run, folder, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    head, *rows = run(
        folder / "0.png", "--prompt", "kite", terminal=True
    ).out.splitlines()
    assert head.split() == ["picture", "rough", "caption", "refined"]
    assert CAPTIONS[0] in " ".join(rows)


@pytest.mark.parametrize("terminal", [True, False])
def test_what_became_of_a_word_is_said_beside_the_captions(run, folder, terminal):
    file = folder / "0.png"
    for option, said in (("--may-miss", "Leaves out"), ("--must-name", "Insisted on")):
        shown = run(file, "--prompt", "tree", option, terminal=terminal)
        assert said not in shown.out
        (line,) = shown.err.splitlines()
        assert line.startswith(f"{file}: {said}: tree.")


def test_n_best_gives_falling_scores_and_no_more_than_the_beam(run, folder):
    lines = run(folder / "1.png", "--n-best", "3", "--beams", "4").out.splitlines()
    scores = [float(line.split("\t")[0]) for line in lines]
    assert lines[0].endswith(CAPTIONS[1])
    assert 1 < len(scores) <= 3
    assert scores == sorted(scores, reverse=True)
    refused = run(folder / "1.png", "--n-best", "5", "--beams", "4", status=2).err
    assert (
        "--n-best: expected at most as many as the search keeps, 4, found 5" in refused
    )


def test_standard_input_holds_a_picture(run, folder, monkeypatch):
    class Piped:
        buffer = io.BytesIO((folder / "2.png").read_bytes())
        isatty = staticmethod(lambda: False)

    monkeypatch.setattr(sys, "stdin", Piped)
    assert run().out == f"{CAPTIONS[2]}\n"


def test_samples_ship_with_the_package(run):
    assert len(list(paths.packaged(paths.SAMPLES).glob("*.png"))) == 12
    assert len(run("--samples").out.splitlines()) == 12


def test_an_answer_refines(run, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"kite\n\n")))
    shown = run(folder / "0.png", "--interactive", "--json")
    assert json.loads(shown.out)["words"] == ["kite"]
    assert shown.err.count("words or numbers") == 2


def test_an_exported_captioner_can_be_exported_again(exported, tmp_path, capsys):
    main(["export", str(exported), str(tmp_path / "again"), "--captions", "2"])
    assert f"tipcap caption --model {tmp_path}/again PICTURE" in capsys.readouterr().out
    texts = json.loads((tmp_path / "again/corpus/captions.json").read_text())
    assert len(texts) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--interactive"], "caption: expected pictures, found none"),
        (["--interactive", "-"], "expected pictures by name, found standard input"),
        (["a.png", "--model", "mini:s1-promt"], "did you mean 's1-prompt'"),
        (["--samples", "--prompt", ""], "--prompt: expected a word"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["caption", *words])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
