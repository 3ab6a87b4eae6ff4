from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tipcap.config.reading import check, checked_field, read_value, read_yaml
from tipcap.errors import InputError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    learning_rate: float = Field(1.0, gt=0)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    split: Literal["train", "test"] = "train"
    train: Inner = Inner()
    parts: dict[str, Inner] = {}

    @model_validator(mode="after")
    def _not_bad(self):
        if self.name == "bad":
            raise ValueError("a good name")
        return self


def message(fields):
    with pytest.raises(InputError) as caught:
        check(Outer, fields, "file.yaml")
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_good_fields_give_the_model():
    made = check(Outer, {"name": "a", "train": {"learning_rate": 2}}, "file.yaml")
    assert made.train.learning_rate == 2.0


def test_misspelt_field_gets_a_suggestion_at_its_place():
    text = message({"name": "a", "train": {"learning_rat": 2}})
    assert text.startswith("file.yaml: train: unknown field 'learning_rat'")
    assert "did you mean 'learning_rate'?" in text


def test_misspelt_field_inside_a_mapping_of_names_is_placed():
    text = message({"name": "a", "parts": {"x": {"learning_rat": 2}}})
    assert "parts.x: unknown field 'learning_rat'" in text


def test_misspelt_required_field_is_reported_as_misspelt():
    assert "unknown field 'nam'" in message({"nam": "a"})


def test_missing_field_is_named():
    assert message({}) == "file.yaml: name: expected a value, found none; add it"


def test_wrong_value_says_expected_and_found():
    text = message({"name": "a", "split": "tset"})
    assert "split" in text
    assert "'train' or 'test'" in text
    assert "found 'tset'" in text


def test_of_a_long_value_the_beginning_is_shown():
    assert len(message({"name": ["x" * 50] * 1000})) < 600


def test_own_checks_read_like_the_others():
    assert "expected: a good name; found" in message({"name": "bad"})


def test_a_name_that_stands_twice_is_refused_with_its_line(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("rows:\n  s1: {}\n  s2: {}\n  s1: {a: 1}\n")
    with pytest.raises(InputError, match="line 4: expected each name once, found 's1'"):
        read_yaml(path)


@pytest.mark.parametrize("text", ["a: [1, 2\n", "a: 1\n b: 2\n", "\x00"])
def test_broken_yaml_is_one_line(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="expected YAML") as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "word\n"])
def test_a_file_without_names_at_the_top_is_refused(tmp_path, text):
    path = tmp_path / "list.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="expected names with values"):
        read_yaml(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: expected a file"):
        read_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("a", "a"), ("", None)])
def test_a_value_alone_is_read_as_in_a_file(text, value):
    assert read_value(text, "here") == value
    with pytest.raises(InputError, match=r"^here: line 1: expected each name once"):
        read_value("{a: 1, a: 2}", "here")


def test_what_is_merged_may_be_said_otherwise_but_not_twice(tmp_path):
    path = tmp_path / "merged.yaml"
    path.write_text("x: &x {a: 1e-3, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [*x, {c: 4}]}\n")
    found = read_yaml(path)
    assert found["y"] == {"a": 0.001, "b": 3}
    assert found["z"] == {"a": 0.001, "b": 2, "c": 4}
    path.write_text("x: &x {a: 1}\ny:\n  <<: *x\n  <<: *x\n")
    with pytest.raises(InputError, match="line 4: expected each name once, found '<<'"):
        read_yaml(path)


def test_python_objects_are_never_built(tmp_path):
    path = tmp_path / "object.yaml"
    path.write_text("a: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(InputError, match="expected YAML"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("1e-3", 0.001),
        ("1E-3", 0.001),
        ("-1e-3", -0.001),
        ("1.5e-3", 0.0015),
        (".5", 0.5),
        ("-.5", -0.5),
        ("+.5e-1", 0.05),
        ("1e3", 1000),
        ("1.e3", 1000),
        ("1e+3", 1000),
        ("1.0e+3", 1000),
        ("2.0", 2.0),
        ("1_000", 1000),
        ("0x10", 16),
        ("010", 10),
        ("-007", -7),
    ],
)
def test_a_number_is_one_wherever_and_however_it_stands(tmp_path, written, number):
    path = tmp_path / "numbers.yaml"
    path.write_text(f"a: {written}\nb: [{written}, {{c: [{written}]}}]\n{written}: d\n")
    found = read_yaml(path)
    assert found == {"a": number, "b": [number, {"c": [number]}], number: "d"}
    # what is counted cannot be 1000.0
    assert type(found["a"]) is type(number)


@pytest.mark.parametrize(
    "written", ["5e", "e5", "1.2.3e4", "1e3x", "'1e-3'", "1-3e4", "1:30", "1:30.5"]
)
def test_what_only_looks_like_a_number_stays_text(tmp_path, written):
    path = tmp_path / "text.yaml"
    path.write_text(f"a: {written}\n")
    assert read_yaml(path) == {"a": written.strip("'")}


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {b: *x}",
        "a: &x [*x]",
        "? [a]\n: b",
        "a: 2024-13-45",
        "a: !!int ''",
        "a: !!bool foo",
        "a: !!timestamp x",
        "a: " + "[" * 5000,
        "a: " + "1" * 5000,
        "a: !!binary é",
        "a: *b",
    ],
)
def test_yaml_that_its_library_trips_over_is_one_line(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="expected YAML, found something else"):
        read_yaml(path)


@pytest.mark.parametrize("place", [".", "file/below", "x" * 300, "a\0b"])
def test_a_file_that_cannot_be_opened_is_one_line(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected YAML, found"):
        read_yaml(tmp_path / place)


def test_one_field_alone_is_checked_as_its_model_would():
    assert checked_field(Inner, "learning_rate", "1e-3", "here") == 0.001
    with pytest.raises(
        InputError, match=r"here: learning_rate: expected: .* found -1;"
    ):
        checked_field(Inner, "learning_rate", -1, "here")
