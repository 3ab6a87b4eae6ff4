import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tipcap.config.experiments import at, load_experiments, overlay
from tipcap.errors import InputError

BASE = {
    "setting": 1,
    "covariance": "full",
    "corpus": "coco",
    "encoder": "rn50x4",
    "language_model": "gpt2",
    "estimate": {"fraction": 0.01},
    "train": {"seed": 0, "prefix_length": 4, "epochs": 10},
    "generate": {"dataset": "coco", "split": "test"},
}


@pytest.fixture
def load(tmp_path):
    def load(**declared):
        path = tmp_path / "experiments.yaml"
        path.write_text(yaml.safe_dump({"base": BASE, "rows": {"s1": {}}} | declared))
        return load_experiments(path)

    return load


def test_a_row_states_only_what_differs(load):
    experiments = load(rows={"s4": {"setting": 4, "train": {"prefix_length": 10}}})
    experiment = experiments.resolve("s4", sizes={})
    assert experiment.setting == 4
    assert experiment.train == {"seed": 0, "prefix_length": 10, "epochs": 10}
    assert experiment.corpus == "coco"


def test_later_overlays_win_over_the_row_and_the_row_over_sizes(load):
    experiments = load(rows={"s1": {"train": {"prefix_length": 10}}})
    sizes = {"train": {"epochs": 2, "prefix_length": 3}}
    top = {"train": {"seed": 7}}
    resolved = experiments.resolve("s1", {"train": {"seed": 1}}, top, sizes=sizes)
    assert resolved.train == {"seed": 7, "prefix_length": 10, "epochs": 2}


def test_a_sweep_is_rows(load):
    over = {"train.prefix_length": [2, 40]}
    sweeps = {"s4-prefix{}": {"set": {"setting": 4}, "over": over}}
    experiments = load(sweeps=sweeps)
    assert set(experiments.rows) == {"s1", "s4-prefix2", "s4-prefix40"}
    resolved = experiments.resolve("s4-prefix40", sizes={})
    assert (resolved.setting, resolved.train["prefix_length"]) == (4, 40)


def test_a_sweep_may_label_values_that_are_no_names(load):
    over = {"estimate.fraction": {"0p2": 0.002}}
    experiments = load(sweeps={"s1-pairs-{}": {"over": over}})
    resolved = experiments.resolve("s1-pairs-0p2", sizes={})
    assert resolved.estimate["fraction"] == 0.002


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"rows": {"S1": {}}}, "found 'S1'"),
        ({"rows": {"a" * 25: {}}}, "1 to 24 characters"),
        (
            {"rows": {"s1": {"trian": {}}}},
            "unknown field 'trian'; did you mean 'train'",
        ),
        ({"sweep": {}}, "unknown field 'sweep'; did you mean 'sweeps'"),
        ({"sweeps": {"s4-x": {"over": {"setting": [4]}}}}, "expected one {}"),
        ({"sweeps": {"s{}": {"over": {"setting": [1]}}}}, "found 's1' twice"),
        (
            {"sweeps": {"x{}": {"over": {"setting": [1], "corpus": ["a"]}}}},
            "exactly one",
        ),
    ],
)
def test_wrong_declarations_are_one_clear_line(load, declared, said):
    with pytest.raises(InputError) as caught:
        load(**declared)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_value_names_the_experiment(load):
    experiments = load(rows={"s5": {"setting": 5}})
    with pytest.raises(InputError, match="experiment 's5': setting: expected"):
        experiments.resolve("s5", sizes={})


nested = st.dictionaries(
    st.sampled_from("abc"),
    st.integers() | st.dictionaries(st.sampled_from("xyz"), st.integers()),
)


@given(nested)
def test_overlaying_nothing_or_itself_changes_nothing(fields):
    assert overlay(fields, {}) == fields
    assert overlay({}, fields) == fields
    assert overlay(fields, fields) == fields


@given(nested, nested)
def test_what_lies_above_is_seen_and_inputs_stay(below, above):
    before = {name: dict(v) if isinstance(v, dict) else v for name, v in below.items()}
    result = overlay(below, above)
    assert below == before
    assert overlay(result, above) == result


def test_a_place_is_a_field_or_a_field_of_a_block():
    assert at("setting", 2) == {"setting": 2}
    assert at("train.seed", 2) == {"train": {"seed": 2}}


def test_a_world_stands_above_rows_with_their_authors_schedule_alone(load):
    row = {"train": {"prefix_length": 4, "num_layers": 8, "epochs": 7}}
    theirs = {**row, "schedule": "published", "deviations": ["another tokeniser"]}
    theirs["magic"] = {"candidates": 45}
    experiments = load(rows={"ours": row, "theirs": theirs})
    world = {
        "train": {"epochs": 1, "prefix_length": {"at_most": 10}},
        "magic": {"candidates": {"at_most": 9}, "max_tokens": {"at_most": 5}},
    }
    world["train"]["num_layers"] = {"at_most": 3}
    ours = experiments.resolve("ours", sizes={}, published=world)
    assert (ours.train["epochs"], ours.train["num_layers"], ours.magic) == (7, 8, {})
    theirs = experiments.resolve("theirs", sizes={}, published=world)
    found = [theirs.train[name] for name in ("epochs", "prefix_length", "num_layers")]
    assert found == [1, 4, 3]
    assert theirs.magic == {"candidates": 9}
    assert theirs.deviations == ("another tokeniser",)
