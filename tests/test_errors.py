import socket

import pytest

from tipcap.errors import InputError, reason_of, unknown_name


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


def test_the_answer_stays_one_line_with_a_thousand_known_names():
    error = unknown_name("key", "zzz", [f"k{i:05d}" for i in range(1000)], "here")
    assert len(str(error)) < 300


def test_the_reason_of_a_librarys_error_is_one_short_line():
    assert reason_of(ValueError("a\r\n  b" + "c" * 1000)) == "a b" + "c" * 197
    assert reason_of(ValueError("  first\n\tsecond ")) == "first second"


def test_bad_input_is_a_value_error():
    with pytest.raises(ValueError, match="found none"):
        raise InputError("expected a file, found none")


def test_tests_cannot_reach_the_network():
    with socket.socket() as found, pytest.raises(RuntimeError, match=r"192\.0\.2\.1"):
        found.connect(("192.0.2.1", 80))
