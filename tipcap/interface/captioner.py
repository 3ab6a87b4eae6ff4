"""`tipcap.Captioner`: captions of pictures, and better ones with a word.

captioner = tipcap.Captioner.load()
caption = captioner.caption("kite.png")
print(caption, captioner.suggest("kite.png", caption))
print(captioner.caption("kite.png", prompt=["boat"]).marked())
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tipcap.core.likelihood import caption_losses
from tipcap.core.nearest import Corpus, Near, nearest_captions
from tipcap.core.prompts import PADDING, pad_prompts, prompt_text
from tipcap.core.refining import (
    Candidate,
    Caption,
    names_all,
    suggested_words,
    words_of,
)
from tipcap.core.spelling import check_spelling, words_in
from tipcap.errors import InputError
from tipcap.extras import extras_told
from tipcap.imports import without_collecting
from tipcap.interface.arrays import unit_rows
from tipcap.interface.finding import find_captioner
from tipcap.interface.pictures import Picture, opened
from tipcap.io.captioning import (
    candidates_of_embeddings,
    captioner_of,
    prompt_room,
)
from tipcap.io.encoder import Encoder, load_encoder
from tipcap.io.exported import Parts
from tipcap.io.processes import device_named
from tipcap.io.tokens import encode_captions, encode_prompts, load_tokenizer

Words = str | Sequence[str]
_PICTURES_PER_BATCH = 64
_NEAREST = 10
"""So many captions of the corpus give the words that are offered."""


class Captioner:
    """A trained captioner with its encoder and language model."""

    def __init__(self, parts: Parts, device: str = "auto") -> None:
        self.parts = parts
        self.about = parts.about
        self._device = device_named(device)
        with without_collecting():
            self._model, self._language_model = captioner_of(
                parts.weights, parts.language_model, self._device, parts.where
            )
            self._tokenizer = load_tokenizer(parts.language_model)

    @classmethod
    def load(
        cls, name: str | Path | None = None, *, device: str = "auto"
    ) -> "Captioner":
        """Return a captioner.

        Args:
            name: WORLD:EXPERIMENT (`mini:s1-prompt`; `mini:s1,encoder=vit-l-14` lays fields over it), or the folder
                of an exported one; by default the one that ships with the package.
            device: `auto`, `cpu` or `cuda`.

        Raises:
            InputError: there is no such captioner, with those that there are.
        """
        return cls(find_captioner(name), device)

    @property
    def name(self) -> str:
        """What it is called: WORLD:EXPERIMENT, or as its maker named it."""
        return self.about.name

    def caption(
        self,
        picture: Picture,
        prompt: Words = (),
        *,
        rough: str | Caption | None = None,
        beam: int | None = None,
        must_name: bool = True,
    ) -> Caption:
        """Return the caption of a picture, refined by words where some are given.

        Args:
            picture: as of `Picture`.
            prompt: what the picture contains besides: a word, several, or several with commas between them.
            rough: the caption to refine; by default the one that it gives without a prompt.
            beam: hypotheses that the search keeps; by default as the captioner is evaluated.
            must_name: where the captioner leaves a word out, search again among captions that name all of them;
                False leaves it to the captioner, as the paper's tables do.

        Raises:
            InputError: the picture cannot be read, or the captioner takes no pictures or no prompts.
        """
        said = None if rough is None else [str(rough)]
        return self.captions(
            [picture], prompt, rough=said, beam=beam, must_name=must_name
        )[0]

    def captions(
        self,
        pictures: Sequence[Picture],
        prompt: Words = (),
        *,
        rough: Sequence[str] | None = None,
        beam: int | None = None,
        must_name: bool = True,
    ) -> list[Caption]:
        """Return the caption of each picture, all refined by the same words where some are given.

        Raises:
            InputError: as `caption`.
        """
        return self.caption_embeddings(
            self.embed(pictures), prompt, rough=rough, beam=beam, must_name=must_name
        )

    def caption_embeddings(
        self,
        images: Any,
        prompt: Words = (),
        *,
        rough: Sequence[str] | None = None,
        beam: int | None = None,
        must_name: bool = True,
    ) -> list[Caption]:
        """Return the caption of each image embedding of the encoder that the captioner was made for.

        Args:
            images: (image, embed_dim), unit norm; numpy or torch.
            prompt: as of `caption`.
            rough: the captions to refine, one for each image.
            beam: as of `caption`.
            must_name: as of `caption`.

        Raises:
            InputError: another shape or norm, a prompt that is too long, or the captioner takes none.
        """
        vectors = unit_rows(images, "images", self.about.embed_dim)
        words = words_of([prompt] if isinstance(prompt, str) else prompt)
        if not words:
            return [
                Caption(*best[0], tuple(best))
                for best in self._candidates(vectors, [""] * len(vectors), beam)
            ]
        if self.about.prompts is None:
            raise InputError(
                f"captioner {self.name}: expected one that was trained with prompts, found one of stage 1 alone; choose one of stage 2, as mini:s1-prompt, or give no words"
            )
        if rough is None:
            rough = [found.text for found in self.caption_embeddings(vectors)]
        elif len(rough) != len(vectors):
            raise InputError(
                f"rough: expected a caption for each of {len(vectors)} images, found {len(rough)}; give one each"
            )
        texts = [prompt_text(said, words) for said in rough]
        found = self._candidates(vectors, texts, beam)
        insisted = set()
        if must_name:
            left_out = [
                row
                for row, best in enumerate(found)
                if not names_all(best[0].text, words)
            ]
            again = [texts[row] for row in left_out]
            named = self._candidates(vectors[left_out], again, beam, words)
            for row, best in zip(left_out, named, strict=True):
                if best:
                    found[row] = best
                    insisted.add(row)
        return [
            Caption(*best[0], tuple(best), said, words, row in insisted)
            for row, (best, said) in enumerate(zip(found, rough, strict=True))
        ]

    def embed(self, pictures: Sequence[Picture]) -> Tensor:
        """Return the unit-norm embeddings of pictures, (picture, embed_dim).

        Raises:
            InputError: a picture cannot be read, or the captioner has no encoder.
        """
        encoder = self._encoder
        parts = [
            encoder.embed_images(
                torch.stack(
                    [
                        encoder.prepare(opened(picture))
                        for picture in pictures[first : first + _PICTURES_PER_BATCH]
                    ]
                ).to(self._device)
            ).cpu()
            for first in range(0, len(pictures), _PICTURES_PER_BATCH)
        ]
        return torch.cat(parts) if parts else torch.empty(0, encoder.embed_dim)

    def log_likelihood(
        self, image: Tensor, caption: str, rough: str = "", words: Sequence[str] = ()
    ) -> float:
        """Return the log-probability of a caption of an image after a prompt, in nats, summed over its tokens.

        Args:
            image: its embedding, (embed_dim,).
            caption: what is judged; a longer one than the captioner writes is judged as far as that.
            rough: the caption of the prompt.
            words: of the prompt; none are no prompt.
        """
        about = self.about
        room = prompt_room(self._model, self._language_model, about.max_tokens)
        text = prompt_text(rough, words) or PADDING[about.padding]
        prompts, _ = encode_prompts(self._tokenizer, [text], room)
        prompt = prompts.ids[0, : int(prompts.length[0])]
        said = f" {caption}" if len(prompt) else caption
        tokens, _ = encode_captions(
            self._tokenizer, [said], about.max_tokens, about.end
        )
        only = torch.zeros(1, dtype=torch.int64)
        losses = caption_losses(
            self._model, self._language_model, image[None], tokens, only, prompt
        )
        return -losses.item()

    def nearest(self, picture: Picture, number: int = 5) -> list[Near]:
        """Return the captions of the corpus that are nearest to a picture, the nearest first.

        Raises:
            InputError: as `embed`, or the captioner has no corpus.
        """
        return self.nearest_of_embedding(self.embed([picture])[0], number)

    def nearest_of_embedding(self, image: Tensor, number: int = 5) -> list[Near]:
        """Return the captions of the corpus that are nearest to an image embedding, (embed_dim,)."""
        if self._corpus is None:
            raise InputError(
                f"captioner {self.name}: expected a corpus for words and nearest captions, found none beside it; export it with captions of its corpus"
            )
        return nearest_captions(image[None], self._corpus, number)[0]

    def suggest(
        self,
        picture: Picture,
        caption: str | Caption | None = None,
        *,
        without: Sequence[str] = (),
        number: int = 8,
    ) -> list[str]:
        """Return words to refine a picture's caption with: nouns of the nearest captions that it lacks.

        Args:
            picture: as of `Picture`.
            caption: of it; by default what `caption` returns.
            without: words that are not offered, as they were given before.
            number: how many at most.

        Raises:
            InputError: as `nearest`.
        """
        image = self.embed([picture])[0]
        if caption is None:
            caption = self.caption_embeddings(image[None])[0]
        return self.suggest_for_embedding(
            image, str(caption), without=without, number=number
        )

    def suggest_for_embedding(
        self,
        image: Tensor,
        caption: str,
        *,
        without: Sequence[str] = (),
        number: int = 8,
    ) -> list[str]:
        """Return as `suggest` for an image embedding, (embed_dim,)."""
        with extras_told():
            from tipcap.io.nouns import extract_nouns  # spaCy takes a second

        near = [found.text for found in self.nearest_of_embedding(image, _NEAREST)]
        kind = self.about.prompts or "nouns"
        nouns = extract_nouns(
            [caption, *near], kind, self.about.compounds, shows_progress=False
        )
        offered = suggested_words(caption, near, nouns, number + len(without))
        return [word for word in offered if word not in without][:number]

    def check_words(self, words: Words) -> None:
        """Refuse a word that neither its corpus nor its language model has and that is near to one of the corpus.

        Raises:
            InputError: there is one, with what may be meant.
        """
        if self._corpus is None:
            return
        known = words_in(self._corpus.captions)
        texts = words_of([words] if isinstance(words, str) else words)
        check_spelling(texts, known, self._is_token)

    def _is_token(self, word: str) -> bool:
        """Whether the language model has a word whole, as it has those that are common."""
        both = ["a", f"a {word}"]
        found, _ = encode_prompts(self._tokenizer, both, len(word) + 2)
        return int(found.length[1] - found.length[0]) == 1

    def save(self, folder: str | Path, num_captions: int = 2000) -> None:
        """Write the captioner as a folder that `load` opens anywhere.

        Args:
            folder: must not be there, or be empty.
            num_captions: of its corpus that go along for suggestions, a seeded sample; 0 for none.

        Raises:
            InputError: the folder holds something, or there is no space.
        """
        from tipcap.interface.exporting import save_parts

        save_parts(self.parts, Path(folder), num_captions)

    @cached_property
    def _encoder(self) -> Encoder:
        if self.parts.encoder is None:
            raise InputError(
                f"captioner {self.name}: expected an encoder of pictures, found none, since it was made from embeddings; call caption_embeddings"
            )
        with without_collecting():
            return load_encoder(self.parts.encoder).to(self._device)

    @cached_property
    def _corpus(self) -> Corpus | None:
        return self.parts.corpus()

    def _candidates(
        self,
        vectors: Tensor,
        texts: Sequence[str],
        beam: int | None,
        words: Sequence[str] = (),
    ) -> list[list[Candidate]]:
        """Return captions of each embedding after the text of its prompt; after the padding where that is empty.

        With words they name them all, and there may be none.
        """
        about = self.about
        if beam is not None and beam < 1:
            raise InputError(
                f"beam: expected at least 1, found {beam}; give a greater one"
            )
        room = prompt_room(self._model, self._language_model, about.max_tokens)
        prompts, too_long = encode_prompts(self._tokenizer, texts, room)
        if too_long:
            raise InputError(
                f"prompt: expected at most {room} tokens with the rough caption, found more; give fewer words"
            )
        padding, _ = encode_prompts(self._tokenizer, [PADDING[about.padding]], room)
        return candidates_of_embeddings(
            self._model,
            self._language_model,
            self._tokenizer,
            vectors,
            beam or about.beam,
            about.max_tokens,
            pad_prompts(prompts, padding),
            words,
            end=about.end,
            length_exponent=about.length_exponent,
        )
