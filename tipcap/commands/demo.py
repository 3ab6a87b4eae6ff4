"""`tipcap demo`: what happens on the page, without the page; nothing here remembers a picture."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from tipcap.commands.demo_html import (
    Card,
    captions_html,
    driven_html,
    near_html,
    picture_html,
)
from tipcap.core.nearest import Near
from tipcap.core.refining import Caption, words_of
from tipcap.errors import InputError
from tipcap.interface.captioner import Captioner
from tipcap.interface.influence import influences
from tipcap.io.demo_page import Shown
from tipcap.io.picture_sources import picture_of

_NUM_NEAR = 5
_NUM_OFFERED = 10


class Seen(NamedTuple):
    """A picture as the captioners see it, which the session of its owner keeps."""

    images: tuple[Tensor, ...]
    """Its embedding for each captioner, (embed_dim,)."""
    rough: tuple[Caption, ...]
    near: tuple[Near, ...]
    offered: tuple[str, ...]


class Demo:
    """Captioners that caption the same picture."""

    def __init__(self, captioners: Sequence[Captioner]) -> None:
        self._captioners = tuple(captioners)
        # one of them gives words and nearest captions
        self._first = next(
            (each for each in self._captioners if each.parts.corpus() is not None), None
        )

    @property
    def takes_words(self) -> bool:
        """Whether any of them was trained with prompts."""
        return any(each.about.prompts for each in self._captioners)

    def look(self, content: bytes, name: str) -> tuple[Seen, Shown]:
        """Return what the captioners make of a picture, and what is shown of it.

        Args:
            content: of its file.
            name: of the file.

        Raises:
            InputError: it is no picture, or a captioner takes none.
        """
        picture = picture_of(content, name)
        images = tuple(each.embed([picture])[0] for each in self._captioners)
        rough = tuple(
            each.caption_embeddings(image[None])[0]
            for each, image in zip(self._captioners, images, strict=True)
        )
        near: list[Near] = []
        offered: list[str] = []
        if self._first is not None:
            place = self._captioners.index(self._first)
            near = self._first.nearest_of_embedding(images[place], _NUM_NEAR)
            offered = self._first.suggest_for_embedding(
                images[place], rough[place].text, number=_NUM_OFFERED
            )
        seen = Seen(images, rough, tuple(near), tuple(offered))
        shown = self.refine(seen, ())
        return seen, shown._replace(picture=picture_html(picture, name))

    def refine(self, seen: Seen, words: Sequence[str], must_name: bool = True) -> Shown:
        """Return what is shown of a picture when a person names words; none: of its rough captions.

        Args:
            seen: the picture, of `look`.
            words: that the person gives.
            must_name: as of `Captioner.caption`.

        Raises:
            InputError: the words are too many for the captioners.
        """
        given = words_of(words)
        cards, driven = [], []
        for captioner, image, rough in zip(
            self._captioners, seen.images, seen.rough, strict=True
        ):
            caption = rough
            if given and captioner.about.prompts:
                (caption,) = captioner.caption_embeddings(
                    image[None], given, rough=[rough.text], must_name=must_name
                )
                found = influences(captioner, image, caption, must_name=must_name)
                driven.append((captioner.name, found))
            cards.append(
                Card(
                    captioner.name, rough, caption, captioner.about.prompts is not None
                )
            )
        return Shown(
            offered=seen.offered,
            captions=captions_html(cards, bool(given)),
            driven=driven_html(driven),
            near=near_html(seen.near),
        )


def demo_of(names: Sequence[str], device: str = "auto") -> Demo:
    """Return the page's captioners by name; by default those that ship and take words.

    Raises:
        InputError: there is no such captioner, or none.
    """
    from tipcap.io.exported import read_about, shipped_captioners

    shipped = shipped_captioners()
    chosen = list(dict.fromkeys(names)) or [
        name for name, folder in shipped.items() if read_about(folder).prompts
    ]
    if not chosen:
        raise InputError(
            "demo: expected captioners, found none that ship; name one with --model"
        )
    return Demo([Captioner.load(name, device=device) for name in chosen])
