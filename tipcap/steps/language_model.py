"""The language-model step: a published model taken in, the mini world's small one trained, or one drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from tipcap.errors import InputError
from tipcap.paths import WEIGHTS
from tipcap.specs import Name, Spec
from tipcap.step import Request, Step


class LanguageModelSpec(Spec):
    """A language model: a published one, a small one trained on this world's text, or an untrained one."""

    step: ClassVar[str] = "language_model"
    unread: ClassVar[frozenset[str]] = frozenset({"source", "content"})

    name: Name
    source: Literal["trained", "hub", "folder", "scratch"]
    """`scratch`: drawn weights, for a captioner that trains its language model from the start."""
    content: str | None = None
    """Folder: what tells its files from others', wherever they lie."""
    parameters: dict[str, Any] = {}  # noqa: RUF012 - a model copies its defaults


def make_language_model(
    request: Request,
    spec: LanguageModelSpec,
    weights: Sequence[Path] = (),
    documents: Path | None = None,
    encoder: Path | None = None,
    published: Path | None = None,
    *,
    folder: Path | None = None,
) -> None:
    """Publish a language model's folder as Hugging Face lays it out: `config.json`, `model.safetensors`, `tokenizer.json`."""
    from tipcap.io import hub, pretraining
    from tipcap.io.record import artefact, take_shipped

    if take_shipped(request):
        return
    with artefact(request) as draft:
        if (given := published or folder) is not None:
            draft.counts |= hub.take_model(given, draft.folder)
            return
        if spec.source == "folder":
            raise InputError(
                f"language model {spec.name}: expected --folder, found none; name the folder of its files"
            )
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
    libraries=(
        "tipcap.io.hub",
        "tipcap.io.libraries:import_language_models",
        "tipcap.io.pretraining",
        "torch._dynamo",  # an optimiser imports it
    ),
)
