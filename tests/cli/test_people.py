import pytest

from tipcap import __version__
from tipcap.cli import main


@pytest.mark.parametrize("given", [["--help"], []])
def test_help_shows_what_people_use(capsys, given):
    main(given)
    shown = capsys.readouterr().out
    for command in ("score", "plan", "doctor", "version", "step"):
        assert f"  {command} " in shown
    assert "  train " not in shown


def test_the_version_is_printed(capsys):
    main(["version"])
    assert capsys.readouterr().out.strip() == __version__
