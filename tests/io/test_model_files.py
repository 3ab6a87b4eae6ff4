import pytest

from tipcap.io.model_files import read_files, wanted_files


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["pytorch_model.bin"], ["pytorch_model.bin"]),
        (
            ["model.safetensors.index.json", "model-00001-of-00002.safetensors"],
            ["model-00001-of-00002.safetensors", "model.safetensors.index.json"],
        ),
        (
            ["model.safetensors", "flax_model.msgpack", "tf_model.h5"],
            ["model.safetensors"],
        ),
        (["consolidated.safetensors"], None),
        (["flax_model.msgpack"], None),
    ],
)
def test_weights_are_fetched_in_the_safest_form_there_is(names, expected):
    small = ["config.json", "merges.txt", "tokenizer.model", "vocab.json"]
    found = wanted_files([*names, *small, "handler.py"])
    assert found == ([] if expected is None else sorted([*expected, *small]))


def test_a_licence_is_fetched_and_not_read():
    names = ["LICENSE.txt", "README.md", "config.json", "model.safetensors"]
    assert wanted_files(names) == ["LICENSE.txt", *names[2:]]
    assert read_files(names) == names[2:]


@pytest.mark.parametrize(
    "name", ["../../up.model", "original/tokenizer.model", "LICENSE/../../up", "a/"]
)
def test_what_lies_elsewhere_is_never_fetched(name):
    names = ["config.json", "model.safetensors"]
    assert wanted_files([*names, name]) == names
