import pytest
import torch

from tipcap.core.nearest import Corpus, nearest_captions, sample_corpus
from tipcap.errors import InputError

CORPUS = Corpus(
    ["east", "north", "east", "west"], torch.tensor([[1.0, 0], [0, 1], [1, 0], [-1, 0]])
)


def test_the_nearest_come_first_and_equal_texts_once():
    found = nearest_captions(torch.tensor([[0.8, 0.6]]), CORPUS, 2)[0]
    assert [near.text for near in found] == ["east", "north"]
    assert [near.cosine for near in found] == pytest.approx([0.8, 0.6])


def test_more_than_there_are_is_all_there_are():
    assert len(nearest_captions(torch.tensor([[0.8, 0.6]]), CORPUS, 9)[0]) == 3


def test_embeddings_of_another_encoder_are_refused():
    with pytest.raises(InputError, match=r"width 2, .* found 3"):
        nearest_captions(torch.ones(1, 3), CORPUS, 1)


def test_a_sample_has_distinct_texts_with_their_own_vectors():
    sample = sample_corpus(CORPUS, 2)
    assert len(set(sample.captions)) == 2
    for text, vector in zip(*sample, strict=True):
        assert torch.equal(vector, CORPUS.vectors[CORPUS.captions.index(text)])
    assert sample_corpus(CORPUS, 2).captions == sample.captions
    assert len(sample_corpus(CORPUS, 9).captions) == 3
