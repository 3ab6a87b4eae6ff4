"""What only an accelerator can show. Run by `make gpu-check`, which has little more than torch and transformers.

Without one they are skipped; TIPCAP_CHECK_ON_CPU=1 runs what of them a CPU can.
"""

import dataclasses
import os

import pytest
import torch
import torch.nn.functional as F

import tipcap.core.training_ways as ways
from tipcap.core.decoding import beam_search
from tipcap.core.training import train
from tipcap.core.training_settings import TrainingArrays, TrainingSettings
from tipcap.core.training_state import TrainingState
from tipcap.core.types import Gaussian, TokenBatch
from tipcap.io.captioning import computing_in
from tipcap.io.language_model import build_language_model
from tipcap.io.processes import precision_named

ON_CPU = bool(os.environ.get("TIPCAP_CHECK_ON_CPU"))
DEVICE = "cpu" if ON_CPU else "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not ON_CPU and not torch.cuda.is_available(), reason="needs an accelerator"
    ),
]
DIM, VOCABULARY, END = 32, 300, 0
SIZES = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64}
SETTINGS = {
    "setting 1": {"gap": "estimated", "setting": 1},
    "setting 3": {"gap": "trained", "setting": 3},
    "setting 4": {"gap": "trained", "setting": 4, "clip_norm": 1.0},
    "trained language model": {
        "gap": "none",
        "language_model_trainable": True,
        "language_model_rate": 0.1,
        "language_model_dropout": 0.1,
    },
}


def language_model(device=DEVICE):
    torch.manual_seed(0)
    model = build_language_model(SIZES, VOCABULARY, END)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    return model.to(device)


def arrays_of(num_captions=203):
    stream = torch.Generator().manual_seed(0)

    def rows(number):
        return F.normalize(torch.randn(number, DIM, generator=stream), dim=1)

    length = torch.randint(3, 20, (num_captions,), generator=stream)
    ids = torch.randint(1, VOCABULARY, (num_captions, 20), generator=stream)
    ids[torch.arange(num_captions), length - 1] = END
    gaussian = Gaussian(torch.full((DIM,), 0.1), 0.1 * torch.eye(DIM))
    return TrainingArrays(
        rows(num_captions), TokenBatch(ids, length), gaussian, rows(50)
    )


def settings_of(name, **fields):
    small = {"seed": 0, "num_layers": 2, "epochs": 2, "batch_size": 16}
    return TrainingSettings(**{**small, "warmup_steps": 5, **SETTINGS[name], **fields})


def trained(settings, device=DEVICE, **named):
    records, facts = [], {}
    state = train(
        settings,
        arrays_of(),
        language_model(device),
        on_step=records.append,
        on_way=facts.update,
        log_every=1,
        packed=named.pop("packed", device != "cpu" or ON_CPU),
        **named,
    )
    return state, records, facts


def same(first, second):
    first, second = first.to_tensors(), second.to_tensors()
    return all(torch.equal(first[n].cpu(), second[n].cpu()) for n in second)


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_bytes_again_and_after_a_resume(name, bfloat16):
    settings, saved = settings_of(name), []
    first, _, facts = trained(
        settings, bfloat16=bfloat16, on_checkpoint=saved.append, checkpoint_every=7
    )
    assert same(trained(settings, bfloat16=bfloat16)[0], first)
    state = TrainingState.from_tensors(saved[1].to_tensors())
    assert same(trained(settings, bfloat16=bfloat16, state=state)[0], first)
    assert facts["steps"] == f"packed, {'step by step' if ON_CPU else 'captured'}"


@pytest.mark.parametrize("name", list(SETTINGS)[:3])
def test_the_losses_of_two_hundred_steps_are_those_of_the_cpu(name):
    settings = settings_of(name, epochs=2 if ON_CPU else 16)
    _, found, _ = trained(settings)
    _, wanted, _ = trained(settings, "cpu", packed=False)
    assert len(found) == len(wanted) >= (26 if ON_CPU else 200)
    for line, expected in zip(found[:200], wanted, strict=False):
        assert line["loss"] == pytest.approx(expected["loss"], rel=1e-3)


@pytest.mark.skipif(ON_CPU, reason="the compiler is tried on a GPU")
def test_compiled_steps_are_the_same_bytes_after_a_resume(monkeypatch):
    monkeypatch.setattr(ways, "_WORTH_COMPILING", 1)
    settings, saved = settings_of("setting 4"), []
    first, records, facts = trained(
        settings, bfloat16=True, on_checkpoint=saved.append, checkpoint_every=7
    )
    assert facts["steps"] == "packed, captured, compiled", facts
    state = TrainingState.from_tensors(saved[1].to_tensors())
    assert same(trained(settings, bfloat16=True, state=state)[0], first)
    _, plain, _ = trained(settings)
    assert records[-1]["loss"] == pytest.approx(plain[-1]["loss"], rel=0.03)


def test_stage_2_trains_where_its_corpus_stays_on_the_cpu():
    weights = trained(settings_of("setting 1"))[0].model
    settings = dataclasses.replace(settings_of("setting 1"), stage=2, warmup_steps=0)
    _, records, _ = trained(settings, weights=weights)
    assert records[-1]["loss"] < float("inf")


def test_captions_are_those_of_the_cpu():
    prefix = torch.randn(40, 3, 64, generator=torch.Generator().manual_seed(2))
    wanted = beam_search(language_model("cpu"), prefix, 5, 12, END)
    model = language_model()
    with torch.inference_mode():
        found = beam_search(model, prefix.to(DEVICE), 5, 12, END, check_every=4)
        half = beam_search(
            computing_in("bfloat16", model),
            prefix.to(DEVICE, torch.bfloat16),
            5,
            12,
            END,
            check_every=4,
        )
    alike = [
        torch.equal(one[:n].cpu(), other[:n])
        for one, other, n in zip(found.ids, wanted.ids, wanted.length, strict=True)
    ]
    assert sum(alike) >= 39
    # another caption may be found by chance, with another score
    assert (half.score.cpu() - wanted.score).abs().median() < 0.03


def test_auto_is_half_precision_on_a_gpu_that_has_it():
    has_it = not ON_CPU and torch.cuda.is_bf16_supported(False)
    assert precision_named("auto", DEVICE) == ("bfloat16" if has_it else "float32")
