"""The tune step: a language model learns the corpus's captions by themselves, as MAGIC's does. Not of the paper."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from tipcap.paths import CURVES, WEIGHTS
from tipcap.specs import SIZES, Count, Fraction, Rate, Seed, Spec, Weight
from tipcap.step import Request, Step


class TuneSpec(Spec):
    """SimCTG's tuning with MAGIC's values for MS-COCO."""

    step: ClassVar[str] = "tune"
    lineage: ClassVar[tuple[str, ...]] = ("corpus",)
    unread: ClassVar[frozenset[str]] = SIZES | {"num_steps"}

    seed: Seed
    num_steps: Count = 20000
    batch_size: Count = 128
    learning_rate: Rate = 2e-5
    warmup_share: Fraction = 0.1
    margin: Weight = 0.5
    dropout: float = Field(0.1, ge=0, lt=1)
    max_gradient_norm: Rate = 1.0
    max_caption_tokens: Count = 64


def tune_language_model(
    request: Request,
    spec: TuneSpec,
    corpus: Path,
    language_model: Path,
    *,
    checkpoints: Path,
    device: str,
    precision: str = "float32",
) -> None:
    """Publish `model.safetensors` and the curves; goes on from a checkpoint of the same key."""
    from tipcap.core.tuning import TuningSettings, tune
    from tipcap.io.annotations import read_annotations
    from tipcap.io.language_model import load_language_model
    from tipcap.io.store import write_tensors
    from tipcap.io.tokens import encode_captions, load_tokenizer
    from tipcap.io.training_run import (
        CurveLog,
        saved_state,
        sole_training,
        stop_signals,
    )

    with sole_training(request, checkpoints, device) as (draft, ranks):
        if draft is None:
            return
        lm = load_language_model(language_model).to(device)
        captions = [
            caption
            for record in read_annotations(corpus)
            if record.split == "train"
            for caption in record.captions
        ]
        tokens, truncated = encode_captions(
            load_tokenizer(language_model), captions, spec.max_caption_tokens
        )
        fields = spec.model_dump(exclude={"max_caption_tokens"})
        log = CurveLog(draft, request, spec.num_steps, checkpoints)
        state = saved_state(checkpoints, ranks)
        log.resume(0 if state is None else state.step)
        with stop_signals() as stop_requested:
            tuned = tune(
                TuningSettings(**fields),
                tokens,
                lm,
                state=state,
                on_step=log.on_step,
                on_checkpoint=log.on_checkpoint,
                stop_requested=stop_requested,
                bfloat16=precision == "bfloat16",
                on_way=draft.counts.update,
            )
        log.finish()
        write_tensors(draft.folder / WEIGHTS, tuned.model)
        draft.device = device
        draft.counts |= {"captions": len(captions), "truncated_captions": truncated}


STEP = Step(
    TuneSpec,
    tune_language_model,
    main_file=WEIGHTS,
    further_files=(CURVES,),
    in_one_process=True,
    torch_threads=True,
    libraries=(
        "tipcap.core.tuning",
        "tipcap.io.annotations",
        "tipcap.io.language_model",
        "tipcap.io.libraries:import_language_models",
        "tipcap.io.training_run",
        "torch._dynamo",  # an optimiser imports it
    ),
)
