import numpy as np
import pytest

from tipcap.errors import InputError
from tipcap.io.image_parts import read_image_parts, write_image_parts
from tipcap.io.scoring import Scores

COUNTS = [(4.0, 4.0, 4.0, 3.0, 2.0, 1.0, *matched) for matched in ((4, 3, 2, 1), (2, 1, 1, 1))]  # fmt: skip
SCORES = Scores(
    {"Bleu_4": 0.6, "CIDEr": 0.2},
    {3: {"Bleu_4": 1.0, "CIDEr": 0.1}, 12: {"Bleu_4": 0.4, "CIDEr": 0.3}},
    {"BLEU": COUNTS},
)


def test_parts_come_back_with_the_corpus_scores(tmp_path):
    write_image_parts(tmp_path / "p", SCORES)
    found = read_image_parts(tmp_path / "p")
    assert found.corpus == SCORES.corpus
    assert found.images["CIDEr"] == pytest.approx([0.1, 0.3])
    better, worse = found.images["Bleu_4"]
    assert better > worse


def test_equal_scores_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_image_parts(tmp_path / name, SCORES)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_a_file_that_holds_no_parts_is_refused(tmp_path, content):
    path = tmp_path / "p"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="p: expected what images contribute") as error:
        read_image_parts(path)
    assert "\n" not in str(error.value)


def test_other_tensors_are_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"CIDEr": np.zeros(2)}, tmp_path / "p")
    with pytest.raises(InputError, match="score again"):
        read_image_parts(tmp_path / "p")
