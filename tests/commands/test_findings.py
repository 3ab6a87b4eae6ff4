import sys

from tipcap.commands.findings import Finding, answer, existing, line_of, said_by


def test_a_line_says_state_name_what_was_found_and_what_to_do():
    line = line_of(Finding("Java", "missing", "none", "install it"))
    assert line == "missing  Java       none; install it"
    assert line_of(Finding("disk", "ok", "10 GB")) == "ok       disk       10 GB"


def test_a_program_that_fails_or_is_not_there_answers_nothing(tmp_path):
    assert answer([sys.executable, "-c", "print(7)"]) == "7"
    failing = [sys.executable, "-c", "import sys; sys.exit('no')"]
    assert answer(failing) is None
    assert said_by(failing) == ("no", False)
    assert answer([str(tmp_path / "none")]) is None


def test_the_nearest_folder_that_exists(tmp_path):
    assert existing(tmp_path / "a" / "b") == tmp_path
