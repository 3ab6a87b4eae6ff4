import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tipcap.errors import InputError
from tipcap.io.reference_sets import (
    count_reference_set,
    read_reference_set,
    reference_set_key,
    write_reference_set,
)

captions = st.lists(st.sampled_from(["a", "dog", "é", "日本"]), max_size=7)
sets = st.dictionaries(
    st.integers(0, 2**40),
    st.lists(captions.map(" ".join), min_size=1, max_size=3),
    min_size=1,
    max_size=5,
)


@settings(max_examples=50, deadline=None)
@given(sets)
def test_a_set_comes_back_from_its_file_as_it_was(tmp_path_factory, tokens):
    file = tmp_path_factory.mktemp("kept") / "set.safetensors"
    counted = count_reference_set(tokens)
    write_reference_set(file, counted)
    found = read_reference_set(file)
    assert found.tokens == tokens
    assert list(found.tokens) == list(tokens)
    assert found.counts.words == counted.counts.words
    for mine, theirs in zip(found.counts.orders, counted.counts.orders, strict=True):
        assert all(map(np.array_equal, mine, theirs))
    for name in ("num_references", "num_words", "num_bigrams", "norm"):
        assert np.array_equal(
            getattr(found.counts, name), getattr(counted.counts, name)
        )


def test_equal_sets_give_equal_bytes(tmp_path):
    files = [tmp_path / f"{number}.safetensors" for number in range(8)]
    for file in files:
        write_reference_set(file, count_reference_set({1: ["a b"], 2: ["c"]}))
    assert len({file.read_bytes() for file in files}) == 1


def test_equal_sets_have_one_name_and_other_sets_another():
    references = {2: ["a b"], 1: ["c", "d"]}
    name = reference_set_key(references)
    assert name == reference_set_key({1: ["c", "d"], 2: ["a b"]})
    for other in ({1: ["d", "c"], 2: ["a b"]}, {1: ["c"], 2: ["d", "a b"]}, {1: ["c"]}):
        assert reference_set_key(other) != name


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_file_is_named(tmp_path, damage):
    file = tmp_path / "set.safetensors"
    write_reference_set(file, count_reference_set({1: ["a b"]}))
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    else:
        save_file({"x": np.zeros(1)}, file)
    with pytest.raises(InputError, match="expected counted references") as error:
        read_reference_set(file)
    assert str(file) in str(error.value)
