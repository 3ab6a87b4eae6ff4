"""What each image contributes to a run's corpus scores, on disk beside them: small, and quick to read for hundreds of runs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from tipcap.core.bootstrap import image_parts
from tipcap.errors import InputError
from tipcap.io.scoring import Scores, resampled
from tipcap.io.store import replace_file

_CORPUS = "corpus"


class ImageParts(NamedTuple):
    """A run's scores as fractions, by the names of `scores.json`."""

    corpus: Mapping[str, float]
    images: Mapping[str, np.ndarray]
    """A number per image, in the order of their ids, whose mean varies as the corpus score does; of SPICE only
    those images of which it was computed."""


def write_image_parts(path: Path, scores: Scores) -> None:
    """Write what `read_image_parts` reads, of scores as `score_runs` returns them; equal scores give equal bytes."""
    parts = {name: image_parts(one) for name, one in resampled(scores).items()}
    with replace_file(path) as partial:
        # one entry: safetensors writes several in any order
        save_file(parts, partial, {_CORPUS: json.dumps(scores.corpus)})


def read_image_parts(path: Path) -> ImageParts:
    """Return the parts of a file that `write_image_parts` wrote.

    Raises:
        InputError: the file is missing, damaged or holds something else.
    """
    try:
        with safe_open(path, "np") as content:
            corpus = json.loads(content.metadata()[_CORPUS])
            images = {name: content.get_tensor(name) for name in corpus}
        return ImageParts(
            {name: float(score) for name, score in corpus.items()}, images
        )
    except Exception as error:  # whatever a damaged file makes the library trip over
        raise InputError(
            f"{path}: expected what images contribute to scores, found something else ({type(error).__name__}: {error}); delete its folder and score again"
        ) from error
