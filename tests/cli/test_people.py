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
