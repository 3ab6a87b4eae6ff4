import io
import sys

import pytest

from tipcap import __version__
from tipcap.cli import main


@pytest.mark.parametrize("given", [["--help"], []])
def test_help_shows_what_people_use(capsys, given):
    main(given)
    shown = capsys.readouterr().out
    for command in ("score", "plan", "trace", "compare", "doctor", "version", "step"):
        assert f"  {command} " in shown
    assert "  train " not in shown


def test_the_version_is_printed(capsys):
    for words in (["version"], ["--version"]):
        main(words)
        assert capsys.readouterr().out.strip() == __version__


def test_a_world_is_its_file_or_the_name_of_one(capsys):
    for world in ("tiny", "config/tiny.yaml"):
        main(["plan", "--world", world, "--table", "II", "--target"])
        assert capsys.readouterr().out == "results/tiny/tables/table_II.csv\n"
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--world", "tinny"])
    assert ended.value.code == 2
    assert "did you mean 'tiny'" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_what_is_no_text_is_written_out(monkeypatch, encoding):
    """As the name of a file may be; in JSON this is how it is read again."""
    shown = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(shown, encoding))
    monkeypatch.setattr("tipcap.cli.people.__version__", "1 \u00b1 \udce9")
    main(["version"])
    sys.stdout.flush()
    assert shown.getvalue().decode(encoding) == "1 \u00b1 \\udce9\n"
