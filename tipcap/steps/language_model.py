"""The language-model step: published weights taken in, the mini world's small ones trained, or drawn ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from tipcap.errors import InputError
from tipcap.paths import WEIGHTS
from tipcap.specs import Name, Spec
from tipcap.step import Request, Step


class LanguageModelSpec(Spec):
    """A GPT-2: the published weights, a small one trained on this world's text, or an untrained one."""

    step: ClassVar[str] = "language_model"
    unread: ClassVar[frozenset[str]] = frozenset({"source"})

    name: Name
    source: Literal["trained", "hub", "scratch"]
    """`scratch`: drawn weights, for a captioner that trains its language model from the start."""
    parameters: dict[str, Any] = {}  # noqa: RUF012 - a model copies its defaults


def make_language_model(
    request: Request,
    spec: LanguageModelSpec,
    weights: Sequence[Path] = (),
    documents: Path | None = None,
    encoder: Path | None = None,
) -> None:
    """Publish a language model's folder as Hugging Face lays it out: `config.json`, `model.safetensors`, `tokenizer.json`."""
    from tipcap.io import pretraining
    from tipcap.io.record import artefact, take_shipped

    if take_shipped(request):
        return
    with artefact(request) as draft:
        if spec.source == "hub":
            pretraining.take_hub_files(draft.folder, spec.name, weights)
            return
        if spec.source == "scratch":
            if encoder is None:
                raise InputError(
                    f"language model {spec.name}: expected --encoder, found none; name the encoder whose tokens it writes"
                )
            pretraining.write_untrained(draft.folder, spec.parameters, encoder)
            return
        if documents is None:
            raise InputError(
                f"language model {spec.name}: expected --documents, found none; name the prepared documents"
            )
        pretraining.pretrain_language_model(
            draft, spec.name, spec.parameters, documents
        )


STEP = Step(
    LanguageModelSpec,
    make_language_model,
    main_file=WEIGHTS,
    further_files=("config.json", "tokenizer.json"),
    hands_on_folder=True,
    torch_threads=True,
)
