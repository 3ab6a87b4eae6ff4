import socket

import pytest

from tipcap.cli import main
from tipcap.cli import people as commands
from tipcap.errors import (
    InputError,
    Stopped,
    edge,
    meant,
    one_line,
    reason_of,
    unknown_name,
)


def test_a_misspelt_name_is_answered_with_the_closest_ones():
    error = unknown_name(
        "experiment", "s3-diag", ["s3-diagonal", "s3-dia", "none"], "II.yaml"
    )
    assert str(error) == (
        "II.yaml: unknown experiment 's3-diag'; did you mean 's3-dia' or 's3-diagonal'?"
    )


def test_a_name_like_no_other_is_answered_with_the_known_ones():
    error = unknown_name("table", "qqq", {"II", "IV"}, "mini.yaml")
    assert str(error) == "mini.yaml: unknown table 'qqq'; known: II, IV"


def test_capitals_do_not_hide_the_name_that_is_meant():
    known = ["ViT-B-16", "vit-b-32", "vit-l-14", "ViT-L-14"]
    assert meant("vit-b-16", known).startswith("did you mean 'ViT-B-16' or")
    assert meant("VITL14", known).startswith("did you mean 'ViT-L-14' or 'vit-l-14'")
    assert not meant("resnet", known)


def test_the_answer_stays_one_line_with_a_thousand_known_names():
    error = unknown_name("key", "zzz", [f"k{i:05d}" for i in range(1000)], "here")
    assert len(str(error)) < 300


def test_the_reason_of_a_librarys_error_is_one_short_line():
    assert reason_of(ValueError("a\r\n  b" + "c" * 1000)) == "a b" + "c" * 197
    assert reason_of(ValueError("  first\n\tsecond ")) == "first second"


def test_a_name_does_not_command_the_terminal():
    assert one_line("a\x1b]0;b\x07\n c\x9b2J é \udce9") == "a?]0;b? c?2J é \udce9"


def test_bad_input_is_a_value_error():
    with pytest.raises(ValueError, match="found none"):
        raise InputError("expected a file, found none")


def test_tests_cannot_reach_the_network():
    with socket.socket() as found, pytest.raises(RuntimeError, match=r"192\.0\.2\.1"):
        found.connect(("192.0.2.1", 80))


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (FileNotFoundError(2, "No such file"), "none"),
        (IsADirectoryError(21, "Is a directory"), "a folder"),
        (PermissionError(13, "Permission denied"), "refuses (Permission denied)"),
        (
            NotImplementedError("type 9\n"),
            "something else (NotImplementedError type 9)",
        ),
        (KeyError(), "something else (KeyError)"),
        (MemoryError(), "too little memory for it"),
        (RecursionError("depth"), "something else (RecursionError depth)"),
    ],
)
def test_whatever_a_library_raises_at_an_edge_is_one_line(error, found):
    with (
        pytest.raises(
            InputError, match=r"a\.zip: expected an archive, found "
        ) as caught,
        edge("a.zip", "an archive", "fetch it again"),
    ):
        raise error
    assert str(caught.value).endswith(f"{found}; fetch it again")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [InputError("said"), Stopped(), KeyboardInterrupt()])
def test_what_is_said_already_passes_an_edge_as_it_is(error):
    with pytest.raises(type(error)) as caught, edge("a", "b", "c", "d"):
        raise error
    assert caught.value is error


def test_an_absent_file_has_a_remedy_of_its_own():
    with (
        pytest.raises(InputError, match="expected a file, found none; make it"),
        edge("a.json", "JSON", "mend it", "make it"),
    ):
        raise FileNotFoundError


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "scores.json"),
        OSError(30, "Read-only file system", "scores.json"),
        OSError(5, "Input/output error", "a", None, "scores.json"),
    ],
)
def test_what_the_system_refuses_anywhere_ends_a_command_in_one_line(
    error, capsys, monkeypatch
):
    def refuse():
        raise error

    monkeypatch.setattr(commands.typer, "echo", lambda _: refuse())
    with pytest.raises(SystemExit) as ended:
        main(["version"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tipcap: error: scores.json: expected")
    assert error.strerror in line
