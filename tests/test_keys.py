import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipcap import keys
from tipcap.errors import InputError
from tipcap.keys import ALPHABET, MAX_LENGTH, step_key
from tipcap.steps.download import DownloadSpec
from tipcap.steps.embed import EmbedSpec
from tipcap.steps.encoder import EncoderSpec
from tipcap.steps.estimate import EstimateSpec
from tipcap.steps.generate import GenerateSpec
from tipcap.steps.train import TrainSpec

TRAIN = {"gap": "trained", "setting": 4, "covariance": "full", "seed": 0}
PARENTS = {"texts": "coco+rn50x4+text.train-00000001", "corpus": "coco-00000002"}

identities = st.fixed_dictionaries(
    {
        "gap": st.sampled_from(["estimated", "trained", "none", "paired"]),
        "setting": st.sampled_from([1, 2, 3, 4, None]),
        "covariance": st.sampled_from(["full", "diagonal", "univariate"]),
        "seed": st.integers(0, 10**6),
    }
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "map_loss": st.just("nll"),
        "prefix_length": st.integers(1, 100).filter(lambda n: n != 4),
        "reverse_mapping": st.just(False),
        "learning_rate": st.floats(1e-9, 1).filter(lambda rate: rate != 5e-4),
        "epochs": st.integers(11, 99),
        "noise_std": st.floats(1e-6, 9),
        "renormalise": st.just(True),
    },
)


@given(identities, changes)
def test_keys_are_file_names(identity, change):
    key = step_key(TrainSpec(**identity, **change), PARENTS)
    assert ALPHABET.fullmatch(key)
    assert len(key) <= MAX_LENGTH


@given(identities, changes)
def test_field_order_does_not_matter(identity, change):
    fields = {**identity, **change}
    backwards = dict(reversed(fields.items()))
    assert step_key(TrainSpec(**fields), PARENTS) == step_key(
        TrainSpec(**backwards), PARENTS
    )


@given(identities, changes)
def test_a_default_said_aloud_changes_nothing(identity, change):
    spec = TrainSpec(**identity, **change)
    spoken = TrainSpec(**spec.model_dump())
    assert step_key(spec, PARENTS) == step_key(spoken, PARENTS)


@given(identities, changes.filter(bool))
def test_every_changed_field_changes_the_key(identity, change):
    plain = step_key(TrainSpec(**identity), PARENTS)
    for name, value in change.items():
        assert step_key(TrainSpec(**identity, **{name: value}), PARENTS) != plain


@given(st.permutations(list(PARENTS.items())))
def test_order_of_parents_does_not_matter(items):
    spec = TrainSpec(**TRAIN)
    assert step_key(spec, dict(items)) == step_key(spec, PARENTS)


@pytest.mark.parametrize("role", PARENTS)
def test_every_parent_decides(role):
    spec = TrainSpec(**TRAIN)
    changed = {**PARENTS, role: "other-00000009"}
    assert step_key(spec, changed) != step_key(spec, PARENTS)


def test_swapped_parents_differ():
    spec = EstimateSpec(setting=1, covariance="full", fraction=0.01, num_pairs=None)
    images, texts = "a-00000001", "b-00000002"
    straight = step_key(spec, {"images": images, "texts": texts})
    assert straight != step_key(spec, {"images": texts, "texts": images})


def test_a_raised_version_changes_the_key(monkeypatch):
    spec = TrainSpec(**TRAIN)
    before = step_key(spec, PARENTS)
    monkeypatch.setattr(TrainSpec, "version", TrainSpec.version + 1)
    assert step_key(spec, PARENTS) != before


def test_a_field_that_means_as_before_keeps_old_keys():
    class WithAField(TrainSpec):
        dropout: float = 0.0

    old = step_key(TrainSpec(**TRAIN), PARENTS)
    assert step_key(WithAField(**TRAIN), PARENTS) == old
    assert step_key(WithAField(**TRAIN, dropout=0.1), PARENTS) != old


def test_the_readable_part_says_what_is_not_standard():
    spec = TrainSpec(**TRAIN, prefix_length=10, reverse_mapping=False)
    key = step_key(spec, PARENTS)
    assert key.rsplit("-", 1)[0] == (
        "coco+rn50x4+text.train+trained.setting4.full.seed0"
        ".prefix_length10.no_reverse_mapping"
    )


def test_the_lineage_is_not_repeated_but_ends_stay():
    spec = GenerateSpec(split="test")
    parents = {
        "model": "coco+rn50x4+s1-00000001",
        "dataset": "coco-00000002",
        "language_model": "gpt2-00000003",
    }
    assert step_key(spec, parents).startswith("coco+rn50x4+s1+coco+test-")


def test_where_a_file_comes_from_does_not_matter_but_its_content_does():
    here = DownloadSpec(file="Some File.zip", urls=("http://a",), sha256="0" * 64)
    there = DownloadSpec(file="Some File.zip", urls=("http://b",), sha256="0" * 64)
    other = DownloadSpec(file="Some File.zip", urls=("http://a",), sha256="1" * 64)
    assert step_key(here, {}) == step_key(there, {})
    assert step_key(here, {}) != step_key(other, {})
    assert ALPHABET.fullmatch(step_key(here, {}))


def test_nested_parameters_decide():
    shape = {"vision": {"layers": [1, 1]}}
    other = {"vision": {"layers": [1, 2]}}
    made = [
        step_key(EncoderSpec(name="a", source="trained", model="m", parameters=p), {})
        for p in (shape, other)
    ]
    assert made[0] != made[1]


def test_a_key_too_long_for_a_file_name_is_refused():
    parents = {"dataset": "a" * 190 + "-00000001", "encoder": "b-00000002"}
    with pytest.raises(InputError, match="at most 200 characters"):
        step_key(EmbedSpec(modality="image", split="test"), parents)


def test_canonical_text_is_compact_and_sorted():
    spec = EmbedSpec(split="test", modality="image")
    assert keys.canonical(spec) == '{"modality":"image","split":"test"}'
