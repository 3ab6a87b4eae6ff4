import subprocess
import sys

import pytest

from tests.plan.conftest import CONFIG
from tipcap.errors import InputError
from tipcap.plan import load


@pytest.mark.parametrize(
    ("file", "old", "put", "said"),
    [
        (
            "tables/table_II.yaml",
            "experiment: s3\n",
            "experiment: s33\n",
            "table II, row 'TIPCap (S3)': unknown experiment 's33'; did you mean 's3'",
        ),
        (
            "experiments.yaml",
            "  s2: {setting: 2}\n",
            "  s2: {setting: 2}\n  idle: {setting: 2}\n",
            "expected every experiment in some table, found 'idle' in none",
        ),
        (
            "experiments.yaml",
            "  s4: {setting: 4}\n",
            "  s4: {setting: 4, train: {prefix_lenght: 3}}\n",
            "train: unknown field 'prefix_lenght'; did you mean 'prefix_length'",
        ),
        (
            "experiments.yaml",
            "  s4: {setting: 4}\n",
            "  s4: {setting: 4, estimate: {fractoin: 0.1}}\n",
            "estimate: unknown field 'fractoin'; did you mean 'fraction'",
        ),
        (
            "experiments.yaml",
            "  s4: {setting: 4}\n",
            "  s4: {setting: 4, train: {setting: 3}}\n",
            "train: unknown field 'setting'",
        ),
        (
            "experiments.yaml",
            "  s4: {setting: 4}\n",
            "  s4: {setting: 4, train: {epochs: none}}\n",
            "epochs: expected",
        ),
        (
            "experiments.yaml",
            "      noise_std: 0.08\n",
            "",
            "expected noise_std with gap 'fixed' and with no other, found noise_std None",
        ),
        (
            "experiments.yaml",
            "{gap: none}}\n",
            "{gap: none, noise_std: 0.1}}\n",
            "expected noise_std with gap 'fixed' and with no other, found noise_std 0.1",
        ),
        (
            "experiments.yaml",
            "{gap: none}}\n",
            "{gap: none, renormalise: true}}\n",
            "expected renormalise where something is added",
        ),
        (
            "experiments.yaml",
            "  s4: {setting: 4}\n",
            "  s4: {setting: 4, train: {map_loss: exact}}\n",
            "expected map_loss 'exact' in setting 3 only, whose differences no parameter changes, found it in setting 4",
        ),
        (
            "experiments.yaml",
            "  s4: {setting: 4}\n",
            "  s4: {setting: 4, train: {initial_mean: zero}}\n",
            "expected initial_mean in setting 3 only, found it in setting 4",
        ),
        (
            "experiments.yaml",
            "  s3: {setting: 3}\n",
            "  s3: {setting: 3, train: {stop_gradient: difference}}\n",
            "in setting 4 only, found one in setting 3",
        ),
        (
            "experiments.yaml",
            "  s4: {setting: 4}\n",
            "  s4: {setting: 4, train: {stop_gradiant: difference}}\n",
            "train: unknown field 'stop_gradiant'; did you mean 'stop_gradient'",
        ),
        (
            "experiments.yaml",
            "{gap: none}}\n",
            "{gap: none, language_model_rate: 0.5}}\n",
            "expected language_model_rate with language_model_trainable",
        ),
        (
            "experiments.yaml",
            "      language_model_trainable: true\n      label_smoothing: 0.1\n",
            "",
            "with a language model from scratch, found 'decap' frozen",
        ),
        (
            "experiments.yaml",
            "  s1-prompt: {",
            "  s1-prompt: {train: {language_model_trainable: true}, ",
            "expected a frozen language model with a `prompt` block",
        ),
        (
            "experiments.yaml",
            "  s1-prompt: {prompt: {prompts: nouns, ",
            "  s1-prompt: {prompt: {prompts: chunks, compounds: false, ",
            "expected `compounds: false` with `prompts: nouns` only",
        ),
        (
            "experiments.yaml",
            "generate: {prompts: simulated}}\n",
            "generate: {prompts: simulated, padding: bare}}\n",
            "generate: unknown field 'padding'",
        ),
        (
            "experiments.yaml",
            "{generate: {method: nearest}}",
            "{generate: {method: nearest, projection: memory}}",
            "expected projection 'memory' with a captioner, found method 'nearest'",
        ),
        (
            "experiments.yaml",
            "projection: memory, memory_size",
            "memory_size",
            "expected memory_size with projection 'memory' only",
        ),
        (
            "experiments.yaml",
            "memory_size: 500000",
            "memory_size: 0",
            "memory_size: expected",
        ),
        (
            "paper.yaml",
            "name: paper\n",
            "name: paper\ntable_seeds: {IIX: [0]}\n",
            "table_seeds: unknown table 'IIX'",
        ),
        (
            "paper.yaml",
            "    encoder: rn50x4\n",
            "    encoder: rn50x5\n",
            "unknown encoder 'rn50x5'; did you mean 'rn50x4'",
        ),
        (
            "experiments.yaml",
            "encoder: rn50x4",
            "encoder: rn50-x4",
            "unknown encoder 'rn50-x4'; did you mean 'rn50x4'",
        ),
        (
            "experiments.yaml",
            "  corpus: coco",
            "  corpus: cocoa",
            "unknown dataset 'cocoa'; did you mean 'coco'",
        ),
        (
            "experiments.yaml",
            "language_model: gpt2",
            "language_model: gpt3",
            "unknown language model 'gpt3'; did you mean 'gpt2'",
        ),
        (
            "experiments.yaml",
            "generate: {prompts: simulated}}\n",
            "generate: {prompts: simulated, method: guess}}\n",
            "method: expected",
        ),
        (
            "experiments.yaml",
            "  s1-prompt: {prompt: {prompts: nouns, seed: 0}, ",
            "  s1-prompt: {",
            "expected a `prompt` block",
        ),
        (
            "experiments.yaml",
            "images: coco, images_split: val",
            "images: ss1m",
            "expected pictures of dataset 'ss1m'",
        ),
        (
            "tables/table_XII.yaml",
            "split: val, domain: in",
            "split: test, domain: in",
            "expected a split of dataset 'nocaps' (val), found 'test'",
        ),
        (
            "experiments.yaml",
            "num_images: 5000 ",
            "num_images: 200000 ",
            "expected at most 100000 images (yfcc15m train), found 200000",
        ),
        (
            "paper.yaml",
            ", cider, nll, spice]",
            ", cider, nll]",
            "expected metrics that",
        ),
        (
            "paper.yaml",
            "tables: all",
            "tables: [II, XIV]",
            "unknown table 'XIV'",
        ),
        (
            "paper.yaml",
            "[RN50x4.pt]",
            "[RN50x5.pt]",
            "unknown file 'RN50x5.pt'; did you mean 'RN50x4.pt'",
        ),
        (
            "tables/table_IV.yaml",
            "vary: generate.prompt_seed",
            "vary: generate.promt_seed",
            "generate: unknown field 'promt_seed'; did you mean 'prompt_seed'",
        ),
        (
            "experiments.yaml",
            "  s2: {setting: 2}\n",
            "  s2: {setting: 2}\n  s2: {setting: 2}\n",
            "expected each name once, found 's2' twice",
        ),
    ],
)
def test_wrong_declarations_are_one_clear_line(science, file, old, put, said):
    folder = science(file, old, put)
    with pytest.raises(InputError) as caught:
        load(folder / "paper.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_planning_loads_nothing_heavy():
    heavy = [
        "torch",
        "numpy",
        "pandas",
        "seaborn",
        "matplotlib",
        "transformers",
        "mlflow",
    ]
    code = (
        "import sys; from tipcap.plan import load; load('config/paper.yaml');"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CONFIG.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "[]"


def test_a_world_that_makes_no_tables_is_refused(science):
    with pytest.raises(InputError, match="tables: expected at least one table, found"):
        load(science.world(tables=[]))
