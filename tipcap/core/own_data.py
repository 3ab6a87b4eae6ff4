"""What a person's own files allow: which of the paper's settings, and how long a training of them should be."""

from typing import NamedTuple

from tipcap.wording import counted

MIN_CAPTIONS = 8
MIN_PICTURES = 4
"""Fewer pairs or pictures give no covariance, however much it is shrunk."""
MIN_TEST = 5
"""Fewer pictures give no scores: these are learnt from like others."""
_MIN_BATCHES = 8  # of an epoch: with fewer, an epoch is a handful of updates
_MIN_BATCH = 4
_MAX_EPOCHS = 30
_WARMUP_SHARE = 16
_WITH_CAPTIONS = ("picture with captions", "pictures with captions")
_OF_THE_WEB = ("pair of the web", "pairs of the web")


class Material(NamedTuple):
    """How much there is to learn from, and to score with."""

    captions: int
    pictures: int = 0
    """For setting 3: without those for scoring."""
    web: int = 0
    """Pictures with texts of another kind."""
    pairs: int = 0
    """Pictures with captions, without those for scoring."""
    test: int = 0
    """Pictures with captions that are kept for scoring."""
    spared: int = 0
    """Those that would be kept for it if they were enough: they are learnt from."""


class Verdict(NamedTuple):
    """Whether files allow a setting."""

    setting: int
    is_allowed: bool
    why: str


def settings_of(material: Material) -> list[Verdict]:
    """Return what files say of each of the paper's settings (Table I)."""
    few = f"needs at least {MIN_PICTURES}, which --"
    return [
        _verdict(1, material.pairs, _WITH_CAPTIONS, f"{few}pairs names"),
        _verdict(2, material.web, _OF_THE_WEB, f"{few}web-pairs names"),
        _verdict(3, material.pictures, ("picture", "pictures"), f"{few}pictures holds"),
        Verdict(4, True, counted(material.captions, "caption")),
    ]


class Scoring(NamedTuple):
    """Whether files allow scores."""

    is_allowed: bool
    why: str


def scoring_of(material: Material) -> Scoring:
    """Return what files say of scores."""
    if material.test >= MIN_TEST:
        return Scoring(True, counted(material.test, *_WITH_CAPTIONS))
    found = counted(material.test + material.spared, *_WITH_CAPTIONS)
    why = f"{found} for it: needs at least {MIN_TEST}, a fifth of those that --pairs names"
    if material.spared and material.test:
        why += f"; {material.spared} of them are learnt from"
    elif material.spared:
        why += "; they are learnt from instead"
    return Scoring(False, why)


def _verdict(setting: int, number: int, what: tuple[str, str], why_not: str) -> Verdict:
    is_allowed = number >= MIN_PICTURES
    found = counted(number, *what)
    return Verdict(setting, is_allowed, found if is_allowed else f"{found}: {why_not}")


class Length(NamedTuple):
    """How long a training is."""

    batch_size: int
    epochs: int
    warmup_steps: int
    updates: int


def length_for(
    num_captions: int, batch_size: int, epochs: int, warmup_steps: int, aim: int
) -> Length:
    """Return the length of a training on some captions.

    Args:
        num_captions: of the corpus, at least `MIN_CAPTIONS`.
        batch_size: of a large corpus; halved until an epoch has a few batches.
        epochs: of a large corpus; of a small one as many more, up to 30, as lead to `aim` updates.
        warmup_steps: of a large corpus; at most a sixteenth of the updates.
        aim: updates below which a captioner has learnt little.
    """
    while batch_size > _MIN_BATCH and num_captions < batch_size * _MIN_BATCHES:
        batch_size //= 2
    per_epoch = -(-num_captions // batch_size)
    wanted = min(_MAX_EPOCHS, -(-aim // per_epoch))
    epochs = max(epochs, wanted)
    updates = epochs * per_epoch
    warmup = min(warmup_steps, updates // _WARMUP_SHARE)
    return Length(batch_size, epochs, warmup, updates)
