import json

import pytest

from tipcap.cli import main


@pytest.fixture
def captions(tmp_path):
    entries = [{"image_name": "a.jpg", "captions": ["a dog"], "prediction": "a dog"}]
    (tmp_path / "captions.json").write_text(json.dumps(entries))
    return tmp_path / "captions.json"


def test_help_shows_what_a_call_looks_like(capsys):
    main(["score", "--help"])
    shown = capsys.readouterr().out
    assert "tipcap score captions.json --references annotations.json" in shown
    for option in ("--metrics", "--spice", "--per-image", "--vizwiz", "--json"):
        assert option in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics", "cidr"], "did you mean 'cider'?"),
        (["--metrcs", "cider"], "--metrics"),
        (["--best-and-worst", "rogue"], "did you mean 'rouge_l'?"),
        (["--number", "0"], "--number"),
        (["--references", "none.json"], "none.json: expected a file, found none"),
        (["--vizwiz"], "expected VizWiz's annotations as --references"),
        (["--json", "."], ".: expected the name of a file"),
    ],
)
def test_what_is_mistyped_is_one_line_and_makes_nothing(
    captions, capsys, words, said, monkeypatch
):
    monkeypatch.chdir(captions.parent)
    with pytest.raises(SystemExit) as ended:
        main(["score", "captions.json", *words])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert [one.name for one in captions.parent.iterdir()] == ["captions.json"]


def test_a_user_without_a_home_gets_scores(captions, capsys, monkeypatch, tmp_path):
    """A container's user: no HOME, and no account of this number."""

    def nobody(*_):
        raise RuntimeError("Could not determine home directory.")

    for name in ("HOME", "XDG_CACHE_HOME", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.home", nobody)
    monkeypatch.setattr("pathlib.Path.expanduser", nobody)
    main(["score", str(captions), "--metrics", "bleu"])
    assert "BLEU-1    100.00" in capsys.readouterr().out
