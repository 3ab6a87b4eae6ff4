"""The page of `tipcap demo` in pieces of HTML: captions, words and names come from people, so all of it is escaped."""

import base64
import io
import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from PIL import Image

from tipcap.core.nearest import Near
from tipcap.core.refining import Caption, about_words
from tipcap.interface.influence import Influence

_SHOWN_SIDE = 512
"""Pixels of the longer side of the picture on the page."""
_MEASURE = (
    "Each word is left out in turn, the others stay. <b>Without it</b> is what the captioner then says. <b>Likelier</b> is "
    "how many times as likely the refined caption is with the word as without it, "
    "p(refined | picture, rough caption, all words) / p(refined | picture, rough caption, the other words): "
    "about 1 says that the word did nothing, below 1 that it spoke against the caption. "
    "It tells what the captioner reacts to, not what is in the picture."
)


class Card(NamedTuple):
    """What one captioner says."""

    name: str
    rough: Caption
    refined: Caption
    """The rough one where no words are given."""
    takes_words: bool


def picture_html(picture: Image.Image, name: str) -> str:
    """Return a picture as an image that holds its own data."""
    small = picture.copy()
    small.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    shown = escape(name)
    return (
        f'<figure class="tipcap-picture"><img src="data:image/png;base64,{content}" alt="the picture {shown}">'
        f"<figcaption>{shown}</figcaption></figure>"
    )


def captions_html(cards: Iterable[Card], is_refined: bool) -> str:
    """Return the captioners' captions side by side, changed words marked."""
    return f'<div class="tipcap-cards">{"".join(_card(c, is_refined) for c in cards)}</div>'


def _card(card: Card, is_refined: bool) -> str:
    lines = [f"<h3>{escape(card.name)}</h3>"]
    if not is_refined or not card.takes_words:
        lines.append(f'<p class="tipcap-caption">{escape(card.rough.text)}</p>')
        if is_refined:
            lines.append(
                '<p class="tipcap-note">trained without words: stage 1 alone</p>'
            )
    else:
        lines.append(f'<p class="tipcap-rough">{escape(card.rough.text)}</p>')
        lines.append(f'<p class="tipcap-caption">{marked_html(card.refined)}</p>')
        note = about_words(card.refined)
        lines.append(f'<p class="tipcap-note">{escape(note)}</p>' if note else "")
    return f"<article>{''.join(lines)}</article>"


def marked_html(caption: Caption) -> str:
    """Return a caption with its changed words marked."""
    return " ".join(
        f"<mark>{escape(part.text)}</mark>" if part.is_changed else escape(part.text)
        for part in caption.parts
    )


def driven_html(driven: Sequence[tuple[str, Sequence[Influence]]]) -> str:
    """Return which words drove the captioners' changes, and what that means; nothing without words."""
    rows = [
        f"<tr><td>{escape(name)}</td><td>{escape(each.word)}</td><td>{times(each.gain)}</td>"
        f"<td>{escape(each.without)}</td></tr>"
        for name, found in driven
        for each in found
    ]
    if not rows:
        return ""
    head = "".join(
        f'<th scope="col">{title}</th>'
        for title in ("captioner", "word", "likelier", "without it")
    )
    return (
        f'<h2>Which words drove the change</h2><div class="tipcap-scroll"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div><p class="tipcap-note">{_MEASURE}</p>'
    )


def times(gain: float) -> str:
    """Return a difference of log-likelihoods as a factor: three digits, or a power of ten."""
    power = gain / math.log(10)
    if -2 <= power < 4:
        return f"&times;{math.exp(gain):.3g}"
    return f"&times;10<sup>{power:.0f}</sup>"


def near_html(near: Sequence[Near]) -> str:
    """Return the nearest captions of the corpus; nothing where there is none."""
    if not near:
        return ""
    items = "".join(
        f"<li>{escape(each.text)} <span>{each.cosine:.3f}</span></li>" for each in near
    )
    return (
        f"<h2>Nearest captions of the corpus</h2><ol>{items}</ol>"
        '<p class="tipcap-note">Captions that the captioners learnt from, with the cosine of their embedding and the '
        "picture's. The words that are offered are nouns of the ten nearest.</p>"
    )


def error_html(message: str) -> str:
    """Return what went wrong, in one line that a screen reader says at once."""
    line = " ".join(message.split())
    return f'<p class="tipcap-error" role="alert">{escape(line)}</p>'
