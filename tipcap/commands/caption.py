"""`tipcap caption`: pictures in, captions out; one bad picture costs its own line only."""

import sys
from collections.abc import Callable, Iterator, Sequence

from PIL import Image
from torch import Tensor

from tipcap.commands.caption_output import Output, Say
from tipcap.core.refining import (
    Caption,
    about_words,
    chosen_words,
    names,
    names_all,
    words_of,
)
from tipcap.errors import InputError, one_line
from tipcap.interface.captioner import Captioner
from tipcap.io.picture_sources import Source

_PICTURES_PER_BATCH = 16
_QUESTION = "words or numbers, with commas between them (nothing: done) > "


def words_given(prompt: Sequence[str]) -> tuple[str, ...]:
    """Return the words of all `--prompt`.

    Raises:
        InputError: one of them holds none.
    """
    for text in prompt:
        if not words_of([text]):
            raise InputError(
                f"--prompt: expected a word that the caption should have, found {text!r}; give one, or leave the option out"
            )
    return words_of(prompt)


def caption_pictures(
    sources: Sequence[Source],
    captioner: Captioner,
    output: Output,
    warn: Say,
    *,
    prompt: Sequence[str] = (),
    beam: int | None = None,
    must_name: bool = True,
) -> int:
    """Show the captions of pictures in their order and return how many could not be read.

    Args:
        sources: of the pictures.
        captioner: that writes.
        output: that shows the captions.
        warn: told what is wrong with a picture, in one line.
        prompt: words that refine each caption.
        beam: hypotheses of the search; None: as the captioner is evaluated.
        must_name: as of `Captioner.caption`.

    Raises:
        InputError: the captioner takes no pictures or no prompts, or the prompt is too long.
    """
    failed = 0
    for batch in _batches(sources):
        pictures: list[Image.Image | InputError] = [_opened(source) for source in batch]
        whole = [found for found in pictures if not isinstance(found, InputError)]
        captions = iter(
            captioner.captions(whole, prompt, beam=beam, must_name=must_name)
            if whole
            else []
        )
        for source, found in zip(batch, pictures, strict=True):
            if isinstance(found, InputError):
                failed += 1
                _refuse(source, found, output, warn)
            else:
                output.write(source.name, next(captions))
    return failed


def refine_pictures(
    sources: Sequence[Source],
    captioner: Captioner,
    output: Output,
    warn: Say,
    ask: Callable[[str], str],
    *,
    prompt: Sequence[str] = (),
    beam: int | None = None,
    must_name: bool = True,
) -> int:
    """As `caption_pictures`, but a person refines each caption until content with it.

    Args:
        sources: of the pictures.
        captioner: that writes.
        output: shows what a person was content with.
        warn: told all that is said in between.
        ask: a question; returns the answer.
        prompt: words that refine each caption at first.
        beam: as of `caption_pictures`.
        must_name: likewise.
    """
    failed = 0
    offers = _Offers(captioner, warn)
    for source in sources:
        found = _opened(source)
        if isinstance(found, InputError):
            failed += 1
            _refuse(source, found, output, warn)
            continue
        warn(one_line(source.name))
        output.write(
            source.name,
            _refined(found, captioner, offers, warn, ask, prompt, beam, must_name),
        )
    return failed


class _Offers:
    """Words to choose from; what lacks for them is said once, and words can be typed all the same."""

    def __init__(self, captioner: Captioner, warn: Say) -> None:
        self._captioner, self._warn = captioner, warn
        self._is_able = True

    def of(self, image: Tensor, caption: str, without: Sequence[str]) -> list[str]:
        """Return the words for a caption of an image embedding, (embed_dim,)."""
        if not self._is_able:
            return []
        try:
            return self._captioner.suggest_for_embedding(
                image, caption, without=without
            )
        except InputError as error:
            self._is_able = False
            self._warn(f"  no words are offered: {one_line(str(error))}")
            return []


def _refuse(source: Source, error: InputError, output: Output, warn: Say) -> None:
    warn(one_line(str(error)))
    output.refuse(source.name, str(error))


def _refined(
    picture: Image.Image,
    captioner: Captioner,
    offers: _Offers,
    warn: Say,
    ask: Callable[[str], str],
    prompt: Sequence[str],
    beam: int | None,
    must_name: bool,
) -> Caption:
    image = captioner.embed([picture])
    caption = captioner.caption_embeddings(
        image, prompt, beam=beam, must_name=must_name
    )[0]
    given = list(words_of(prompt))
    while True:
        warn(f"  {caption.marked()}")
        if said := about_words(caption, given):
            warn(f"  {one_line(said)}")
        offered = offers.of(image[0], caption.text, given)
        if offered:
            numbered = (f"{i} {word}" for i, word in enumerate(offered, 1))
            warn(f"  {'  '.join(numbered)}")
        try:
            chosen = chosen_words(ask(_QUESTION), offered)
            if not chosen:
                return caption
            # what an earlier word brought may be lost again: it is named once more
            lost = [word for word in given if not names(caption.text, word)]
            found = _again(captioner, image, caption, (*lost, *chosen), beam, must_name)
            given = list(dict.fromkeys((*given, *chosen)))
            if must_name and not names_all(found.text, given):
                found = _again(captioner, image, caption, given, beam, must_name)
            caption = found
        except EOFError:
            return caption
        except InputError as error:
            warn(f"  {error}")


def _again(
    captioner: Captioner,
    image: Tensor,
    caption: Caption,
    words: Sequence[str],
    beam: int | None,
    must_name: bool,
) -> Caption:
    return captioner.caption_embeddings(
        image, words, rough=[caption.text], beam=beam, must_name=must_name
    )[0]


def _batches(sources: Sequence[Source]) -> Iterator[Sequence[Source]]:
    for first in range(0, len(sources), _PICTURES_PER_BATCH):
        yield sources[first : first + _PICTURES_PER_BATCH]


def _opened(source: Source) -> Image.Image | InputError:
    try:
        return source.open()
    except InputError as error:
        return error


def warn_on_standard_error(line: str) -> None:
    """Say a line that is no caption."""
    print(line, file=sys.stderr, flush=True)
