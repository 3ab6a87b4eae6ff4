"""The mini world's small encoders and language model, from prepared files to trained folders."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tipcap.config.small_models import NUM_HELD_OUT
from tipcap.core.gaussian import gap_figures
from tipcap.core.probe import linear_probe
from tipcap.errors import InputError
from tipcap.io.annotations import read_annotations
from tipcap.io.encoder import (
    END_OF_TEXT,
    Encoder,
    build_small_model,
    caption_tokenizer,
    load_encoder,
    small_tokenize,
)
from tipcap.io.language_model import CausalLanguageModel, build_language_model
from tipcap.io.pictures import PictureArchives
from tipcap.io.progress import Progress, track
from tipcap.io.record import Draft
from tipcap.io.store import append_line, read_json, write_tensors
from tipcap.mini.datasets import draw_items
from tipcap.mini.pretrain import (
    Schedule,
    normalise_pixels,
    train_encoder,
    train_language_model,
)
from tipcap.paths import CURVES, WEIGHTS

_LINES_EVERY = 20  # steps between two lines of metrics.jsonl


def train_tokenizer(texts: list[str], vocabulary_size: int) -> Any:
    """Return a byte-level BPE tokeniser of the given size, end of text as id 0."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END_OF_TEXT],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@dataclass
class EncoderTraining:
    """Everything the contrastive training of a small encoder needs."""

    model: nn.Module
    tokenizer: Any
    pictures: Tensor
    tokens: Tensor
    schedule: Schedule
    generator: torch.Generator


def prepare_encoder_training(
    parameters: Mapping[str, Any], pairs: Path, archives: Sequence[Path]
) -> EncoderTraining:
    """Return the pairs, the tokeniser and the untrained model that the parameters describe.

    Of the pairs, the share `mismatched` has its texts exchanged among each other: web pairs are noisy.
    """
    records, pictures = read_annotations(pairs), PictureArchives(archives)
    pixels = [
        np.array(pictures.read(r.archive, r.member, r.image_id).convert("RGB"))
        for r in track(records, "reading pairs", len(records))
    ]
    texts = [record.captions[0] for record in records]
    seed = int(parameters["seed"])
    rng = np.random.default_rng(seed)
    moved = np.flatnonzero(rng.random(len(texts)) < parameters["mismatched"])
    shuffled = list(texts)
    for here, there in zip(moved, rng.permutation(moved), strict=True):
        shuffled[here] = texts[there]
    tokenizer = train_tokenizer(texts, int(parameters["vocabulary_size"]))
    torch.manual_seed(seed)  # open_clip initialises from the global generator
    model = build_small_model(dict(parameters), tokenizer.get_vocab_size())
    return EncoderTraining(
        model,
        tokenizer,
        torch.from_numpy(np.stack(pixels)),
        small_tokenize(tokenizer, int(parameters["context_length"]))(shuffled),
        Schedule(**parameters["schedule"]),
        torch.Generator().manual_seed(seed),
    )


def _on_step(folder: Path, label: str, num_steps: int) -> Any:
    progress = Progress(label, num_steps)

    def on_step(step: int, record: dict[str, float]) -> None:
        if step < _LINES_EVERY or step % _LINES_EVERY == 0 or step == num_steps - 1:
            append_line(folder / CURVES, {"step": step, **record})
        progress.advance(note=f"loss {record['loss']:.3f}")

    return on_step


def pretrain_encoder(
    draft: Draft,
    name: str,
    parameters: Mapping[str, Any],
    pairs: Path,
    archives: Sequence[Path],
) -> None:
    """Train a small encoder into a draft: weights, tokeniser, curves, and what its gap looks like."""
    training = prepare_encoder_training(parameters, pairs, archives)
    train_encoder(
        training.model,
        training.pictures,
        training.tokens,
        training.schedule,
        training.generator,
        _on_step(draft.folder, f"encoder {name}", training.schedule.num_steps),
    )
    write_tensors(draft.folder / WEIGHTS, training.model.state_dict())
    training.tokenizer.save(str(draft.folder / "tokenizer.json"))
    encoder = load_encoder(draft.folder)
    number = int(parameters.get("num_held_out", NUM_HELD_OUT))
    seed = int(parameters["seed"]) + 1
    draft.figures.update(figures_of_encoder(encoder, seed, number))
    draft.counts["pairs"] = len(training.pictures)


_AT_ONCE = 500


def figures_of_encoder(
    encoder: Encoder, seed: int, num_pictures: int = NUM_HELD_OUT
) -> dict[str, float]:
    """Return modality gap, retrieval rate and what a linear probe sees, on pictures the encoder has not seen.

    `probe_kinds`, `probe_colours` and `probe_backgrounds`: shares of the true ones, of half of the pictures.
    """
    items = list(draw_items("coco", "describe", "test", range(num_pictures), 1, seed))
    pictures = torch.from_numpy(
        np.stack([item.pixels for item in items if item.pixels is not None])
    )
    tokens = encoder.tokenize([item.captions[0] for item in items])
    image = torch.cat(
        [encoder.embed_images(normalise_pixels(p)) for p in pictures.split(_AT_ONCE)]
    )
    text = torch.cat([encoder.embed_texts(t) for t in tokens.split(_AT_ONCE)])
    found = (image[:500] @ text[:500].T).argmax(1) == torch.arange(500)
    generator = torch.Generator().manual_seed(seed)
    figures = gap_figures(image, text, torch.arange(len(items)), generator=generator)
    shown: dict[str, list[set[str]]] = {
        "kinds": [{thing.kind for thing in item.scene.things} for item in items],
        "colours": [{thing.colour for thing in item.scene.things} for item in items],
        "backgrounds": [{item.scene.background} for item in items],
    }
    probes = {
        f"probe_{name}": linear_probe(image.double().numpy(), _indicators(sets))
        for name, sets in shown.items()
    }
    retrieved = found.float().mean().item()
    return {**figures._asdict(), "retrieval_1_of_500": retrieved, **probes}


def _indicators(sets: Sequence[set[str]]) -> NDArray[np.bool_]:
    """Return which of all names each set holds, one row per set."""
    names = sorted(set().union(*sets))
    return np.array([[name in found for name in names] for found in sets])


@dataclass
class LanguageModelTraining:
    """Everything the pretraining of a small GPT-2 needs."""

    model: CausalLanguageModel
    tokenizer: Any
    tokens: Tensor
    schedule: Schedule
    generator: torch.Generator


def prepare_language_model_training(
    parameters: Mapping[str, Any], documents: Path
) -> LanguageModelTraining:
    """Return the packed documents, the tokeniser and the untrained model that the parameters describe."""
    texts = [record.captions[0] for record in read_annotations(documents)]
    seed = int(parameters["seed"])
    tokenizer = train_tokenizer(texts, int(parameters["vocabulary_size"]))
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    ids = [
        token
        for encoding in tokenizer.encode_batch(texts)
        for token in (*encoding.ids, end_of_text)
    ]
    row_length = int(parameters["row_length"])
    num_rows = len(ids) // row_length
    generator = torch.Generator().manual_seed(seed)
    model = _draw_model(parameters["architecture"], tokenizer, generator)
    return LanguageModelTraining(
        model,
        tokenizer,
        torch.tensor(ids[: num_rows * row_length]).view(num_rows, row_length),
        Schedule(**parameters["schedule"]),
        generator,
    )


def _draw_model(
    architecture: Mapping[str, Any], tokenizer: Any, generator: torch.Generator
) -> CausalLanguageModel:
    """Return an untrained model that has a tokeniser's tokens."""
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    model = build_language_model(architecture, tokenizer.get_vocab_size(), end_of_text)
    initialise(model, generator)
    return model


def initialise(model: CausalLanguageModel, generator: torch.Generator) -> None:
    """Draw weights as GPT-2's authors did: standard deviation 0.02, less where its residuals add up."""
    residuals = 2 * model.base.config.num_hidden_layers
    for name, parameter in model.named_parameters():
        if name.endswith("c_proj.weight"):
            nn.init.normal_(
                parameter, std=0.02 / math.sqrt(residuals), generator=generator
            )
        elif parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.02, generator=generator)


def pretrain_language_model(
    draft: Draft, name: str, parameters: Mapping[str, Any], documents: Path
) -> None:
    """Train a small language model into a draft: its folder and curves."""
    training = prepare_language_model_training(parameters, documents)
    on_step = _on_step(
        draft.folder, f"language model {name}", training.schedule.num_steps
    )
    train_language_model(
        training.model,
        training.tokens,
        training.schedule,
        training.generator,
        on_step,
    )
    _write_folder(draft.folder, training.model, training.tokenizer)
    draft.counts["tokens"] = training.tokens.numel()


def write_untrained(folder: Path, parameters: Mapping[str, Any], encoder: Path) -> None:
    """Write a model with drawn weights that has the tokens of an encoder."""
    tokenizer = caption_tokenizer(encoder)
    generator = torch.Generator().manual_seed(int(parameters["seed"]))
    model = _draw_model(parameters["architecture"], tokenizer, generator)
    _write_folder(folder, model, tokenizer)


def _write_folder(folder: Path, model: CausalLanguageModel, tokenizer: Any) -> None:
    model.save(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def take_hub_files(folder: Path, name: str, files: Sequence[Path]) -> None:
    """Take in the published files of a language model.

    Raises:
        InputError: one of them is missing.
    """
    wanted = {"config.json", WEIGHTS, "tokenizer.json"}
    for file in files:
        target = file.name.removeprefix(f"{name}_")  # downloads.csv: gpt2_config.json
        if target in wanted:
            shutil.copyfile(file, folder / target)
    if missing := wanted - {entry.name for entry in folder.iterdir()}:
        raise InputError(
            f"language model {name}: expected the files {sorted(wanted)}, missing {sorted(missing)}; "
            "run the download step"
        )
    read_json(folder / "config.json")
