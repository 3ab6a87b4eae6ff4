"""Published captions with published scores."""

import json
import zipfile
from pathlib import Path

import pytest

from tipcap.io.result_files import read_captions

FIXTURE = (
    Path(__file__).parents[1] / "fixtures" / "captions_val2014_fakecap_results.json"
)


@pytest.fixture(scope="module")
def fakecap():
    """Captions of 1,000 images of COCO val2014, and their references, by image."""
    import pycocoevalcap

    captions = read_captions(FIXTURE)
    jar = Path(next(iter(pycocoevalcap.__path__))) / "spice" / "spice-1.0.jar"
    with zipfile.ZipFile(jar) as archive:
        document = json.loads(archive.read("coco/annotations/captions_val2014.json"))
    references = {image: [] for image in captions}
    for annotation in document["annotations"]:
        if annotation["image_id"] in references:
            references[annotation["image_id"]].append(annotation["caption"])
    return captions, references
