"""The encoder step: a CLIP model's published weights taken in, or the mini world's small ones trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from tipcap.errors import InputError
from tipcap.paths import WEIGHTS
from tipcap.specs import Name, Spec
from tipcap.step import Request, Step


class EncoderSpec(Spec):
    """A CLIP model: the published weights, or a small one trained on this world's pairs."""

    step: ClassVar[str] = "encoder"
    unread: ClassVar[frozenset[str]] = frozenset({"source", "model"})

    name: Name
    source: Literal["trained", "openai", "file"]
    model: str
    parameters: dict[str, Any] = {}  # noqa: RUF012 - a model copies its defaults


def make_encoder(
    request: Request,
    spec: EncoderSpec,
    weights: Path | None = None,
    pairs: Path | None = None,
    pictures: Sequence[Path] = (),
) -> None:
    """Publish an encoder's folder: `config.json`, `model.safetensors`, and its tokeniser if it has one."""
    from tipcap.io import pretraining
    from tipcap.io.encoder import import_openai_weights
    from tipcap.io.record import artefact, take_shipped
    from tipcap.io.store import write_json, write_tensors

    if take_shipped(request):
        return
    with artefact(request) as draft:
        config = {
            "source": spec.source,
            "model": spec.model,
            "parameters": spec.parameters,
        }
        write_json(draft.folder / "config.json", config)
        if spec.source != "trained":
            if weights is None:
                raise InputError(
                    f"encoder {spec.name}: expected --weights, found none; name the downloaded file"
                )
            write_tensors(draft.folder / WEIGHTS, import_openai_weights(weights))
            return
        if pairs is None:
            raise InputError(
                f"encoder {spec.name}: expected --pairs, found none; name the prepared pairs"
            )
        pretraining.pretrain_encoder(draft, spec.name, spec.parameters, pairs, pictures)


STEP = Step(
    EncoderSpec,
    make_encoder,
    main_file=WEIGHTS,
    further_files=("config.json",),
    hands_on_folder=True,
    torch_threads=True,
    libraries=(
        "tipcap.io.encoder",
        "tipcap.io.libraries:open_clip_module",
        "tipcap.io.pretraining",
        "torch._dynamo",  # an optimiser imports it
    ),
)
