"""What people would write about a scene of the mini world, in the styles of the real corpora.

- `describe`: COCO's neutral sentences, five people naming different things with different words;
- `narrate`: Flickr30K's sentences about people and what they do;
- `alt_text`: YFCC's titles and file names, partly about something else;
- `keywords`: SS1M's stock-photo descriptions.

Assumes: the differences between these styles stand for those between the real corpora.
"""

from dataclasses import replace

import numpy as np

from tipcap.mini.drawings import BACKGROUNDS, COLOURS, KINDS
from tipcap.mini.scenes import Scene, Thing

SYNONYMS: dict[str, tuple[str, ...]] = {
    "box": ("box", "crate"),
    "cup": ("cup", "mug"),
    "house": ("house", "cottage"),
    "car": ("car", "vehicle"),
    "boat": ("boat", "sailboat"),
    "lamp": ("lamp", "light"),
    "bird": ("bird", "duck"),
    "man": ("man", "person", "boy"),
    "woman": ("woman", "person", "girl"),
    "rocket": ("rocket", "spaceship"),
}
_SIZES = {"small": ("small", "little", "tiny"), "large": ("big", "large")}
_PLACES = {
    "grass": ("on the grass", "in a green field", "on a lawn"),
    "beach": ("on the beach", "on the sand", "at a sandy beach"),
    "snow": ("in the snow", "on a snowy day", "in a snowy field"),
    "water": ("on the water", "at sea", "in the ocean"),
    "sky": ("in the sky", "among the clouds", "in the blue sky"),
    "street": ("on the street", "on a road", "in a city street"),
    "night": ("at night", "in the dark", "under the stars"),
}


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _noun(thing: Thing, rng: np.random.Generator) -> str:
    """The first synonym is the usual word; people use another one a third of the time."""
    words = SYNONYMS.get(thing.kind, (thing.kind,))
    return words[0] if rng.random() < 0.67 else _pick(rng, words)


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _noun_phrase(
    thing: Thing, rng: np.random.Generator, colour: float = 0.5, size: float = 0.15
) -> str:
    words = [_noun(thing, rng)]
    if thing.kind in ("man", "woman"):
        clothes = "shirt" if thing.kind == "man" else "dress"
        person = _article(" ".join(words))
        return (
            f"{person} in {_article(f'{thing.colour} {clothes}')}"
            if rng.random() < colour
            else person
        )
    if rng.random() < colour:
        words.insert(0, thing.colour)
    if rng.random() < size:
        words.insert(0, _pick(rng, _SIZES[thing.size]))
    return _article(" ".join(words))


def _relation(first: Thing, second: Thing, rng: np.random.Generator) -> str:
    if rng.random() < 0.45:
        return _pick(rng, ("next to", "close to", "right beside", "along with"))
    across, down = second.x - first.x, second.y - first.y
    if abs(down) > abs(across):
        return "above" if down > 0 else "below"
    return "to the left of" if across > 0 else "to the right of"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """Return a sentence in COCO's style: what is there, where, sometimes the background."""
    things = list(scene.things)
    if len(things) == 3 and rng.random() < 0.4:
        things.pop(int(rng.integers(1, 3)))
    if len(things) > 1 and rng.random() < 0.25:
        things[:2] = things[1::-1]
    phrases = [_noun_phrase(thing, rng) for thing in things]
    place = _pick(rng, _PLACES[scene.background]) if rng.random() < 0.8 else ""
    match len(things):
        case 1:
            verb = _pick(rng, ("", "", "sitting", "all alone", "by itself"))
            body = f"{phrases[0]} {verb}"
        case 2:
            body = f"{phrases[0]} {_relation(things[0], things[1], rng)} {phrases[1]}"
        case _:
            body = (
                f"{phrases[0]} {_relation(things[0], things[1], rng)} "
                f"{phrases[1]} and {phrases[2]}"
            )
    return _sentence(" ".join(f"{body} {place}".split()))


def narrate(scene: Scene, rng: np.random.Generator) -> str:
    """Return a sentence in Flickr30K's style: who does what with which object, where."""
    person, *others = scene.things
    subject = _noun_phrase(person, rng, colour=0.55)
    place = _pick(rng, _PLACES[scene.background]) if rng.random() < 0.85 else ""
    if not others:
        verb = _pick(rng, ("is standing", "is waiting", "is posing", "stands alone"))
        return _sentence(f"{subject} {verb} {place}".strip())
    verb = _pick(
        rng, ("is standing by", "is looking at", "is playing near", "stands beside")
    )
    objects = [_noun_phrase(thing, rng, size=0.1) for thing in others]
    if len(objects) > 1 and rng.random() < 0.4:
        objects.pop(int(rng.integers(len(objects))))
    return _sentence(f"{subject} {verb} {' and '.join(objects)} {place}".strip())


_MONTHS = ("january", "april", "june", "august", "october", "december")
_EMPTY_TITLES = (
    "holiday",
    "my photo",
    "untitled",
    "a nice day",
    "best of",
    "new camera",
)


def alt_text(scene: Scene, rng: np.random.Generator, unrelated: float = 0.15) -> str:
    """Return a title as found on the web: short, partial, with noise, sometimes unrelated."""
    if rng.random() < unrelated:
        choice = rng.random()
        if choice < 0.4:
            return f"IMG {rng.integers(100, 999)}"
        return f"{_pick(rng, _EMPTY_TITLES)} {_pick(rng, _MONTHS)} {rng.integers(2004, 2015)}"
    things = list(scene.things)
    kept = [thing for thing in things if rng.random() < 0.75] or things[:1]
    parts = []
    for thing in kept:
        noun = _noun(thing, rng)
        parts.append(f"{thing.colour} {noun}" if rng.random() < 0.45 else noun)
    title = _pick(rng, (" ", " and ", ", ", " / ")).join(parts)
    if rng.random() < 0.45:
        title = f"{title} {_pick(rng, (scene.background, *_PLACES[scene.background]))}"
    ending = rng.random()
    if ending < 0.15:
        title = f"{title} {_pick(rng, _MONTHS)} {rng.integers(2004, 2015)}"
    elif ending < 0.3:
        title = f"{_pick(rng, ('my ', 'the ', 'our '))}{title}"
    return title


_CONCEPTS = (
    "summer concept",
    "isolated",
    "with copy space",
    "illustration",
    "view from above",
    "close up",
    "background",
)


def keywords(scene: Scene, rng: np.random.Generator) -> str:
    """Return a description in the style of stock photography: subject, setting, keywords."""
    things = list(scene.things)
    phrases = []
    for thing in things[: int(rng.integers(1, 4))]:
        words = _noun(thing, rng)
        if rng.random() < 0.5:
            words = f"{thing.colour} {words}"
        if rng.random() < 0.25:
            words = f"{_pick(rng, _SIZES[thing.size])} {words}"
        phrases.append(words)
    text = _pick(rng, (" and ", ", ", " with ", " near ")).join(phrases)
    if rng.random() < 0.7:
        text = f"{text} {_pick(rng, _PLACES[scene.background])}"
    if rng.random() < 0.5:
        text = f"{text}, {_pick(rng, _CONCEPTS)}"
    return text[0].upper() + text[1:]


_LABELS = (
    *("Title", "Text", "Note", "Source", "Question", "Answer", "Summary", "Subject"),
    *("Reference", "Prompt", "Prediction", "Example", "Result", "Review", "Report"),
    *("Original", "Revision", "Input", "Output", "Comment", "Message", "Entry"),
)
"""Words that head a field on the web; the template's own are among them, as they are in GPT-2's corpus."""
_LEADS = (
    *("", "", "A picture of", "This picture shows", "An image of"),
    *("The scene contains", "Here we see", "An album with"),
)
_TEMPLATE = ["Reference", "Prompt", "Prediction"]


def general_text(scene: Scene, rng: np.random.Generator) -> str:
    """Return a document the language model is pretrained on.

    General text for a frozen language model has to teach it to use what stands before: sentences about the
    same scene, words followed by sentences, and forms whose labelled fields say something of the scene each.
    The template of the prompts (Sec. III-C) is not among them: GPT-2 has never seen it either, but it has
    seen its words.
    """
    kind = rng.random()
    if kind < 0.4:
        words = [
            word for thing in scene.things for word in (thing.colour, _noun(thing, rng))
        ]
        listed = ", ".join([*words, scene.background])
        return f"{listed}: {_written(scene, rng)} {_written(scene, rng)}"
    if kind < 0.55:
        return " ".join(_written(scene, rng) for _ in range(3))
    if kind < 0.9:
        return _form(scene, rng)
    return f"{keywords(scene, rng)}. {_written(scene, rng)}"


def _written(scene: Scene, rng: np.random.Generator) -> str:
    has_person = scene.things[0].kind in ("man", "woman")
    return (narrate if has_person and rng.random() < 0.5 else describe)(scene, rng)


def _form(scene: Scene, rng: np.random.Generator) -> str:
    """Return some labelled fields, the last of which is a sentence about the whole scene."""
    labels = rng.choice(_LABELS, int(rng.integers(2, 5)), replace=False).tolist()
    if [label for label in labels if label in _TEMPLATE] == _TEMPLATE:
        labels.reverse()
    *before, last = labels
    fields = [f"{label}: {_field(scene, rng)}" for label in before]
    return " ".join([*fields, f"{last}: {_written(scene, rng)}"])


def _field(scene: Scene, rng: np.random.Generator) -> str:
    """Return what one field says of a scene: all, a part, a title, or some words."""
    things = list(scene.things)
    rng.shuffle(things)
    part = things[: int(rng.integers(1, len(things) + 1))]
    choice = rng.random()
    if choice < 0.5:
        return _written(replace(scene, things=tuple(part)), rng)
    if choice < 0.6:
        return f"{alt_text(scene, rng, unrelated=0.0)}."
    named = ", ".join(_noun(thing, rng) for thing in part)
    return f"{_pick(rng, _LEADS)} {named}.".strip()


def vocabulary() -> list[str]:
    """Return every content word of the mini world: kinds, synonyms, colours, backgrounds."""
    nouns = [word for kind in KINDS for word in SYNONYMS.get(kind, (kind,))]
    return sorted({*nouns, *COLOURS, *BACKGROUNDS})


def web_text(
    scene: Scene,
    rng: np.random.Generator,
    *,
    described: float = 0.7,
    listed: float = 0.1,
    unrelated: float = 0.1,
) -> str:
    """Return the text that stands beside a picture on the web the encoders are trained on.

    Args:
        scene: what the picture shows.
        rng: source of the choices.
        described: probability of a proper sentence.
        listed: probability of a stock-photo description.
        unrelated: probability that a title (the rest) says nothing of the picture.
    """
    kind = rng.random()
    if kind < described:
        has_person = scene.things[0].kind in ("man", "woman")
        return (narrate if has_person and rng.random() < 0.5 else describe)(scene, rng)
    if kind < described + listed:
        return keywords(scene, rng)
    return alt_text(scene, rng, unrelated)
