from pathlib import Path

import pytest
import yaml

from tests.workflow_copy import copy_config
from tipcap.plan import load

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="session")
def paper():
    return load(CONFIG / "paper.yaml")


@pytest.fixture(scope="session")
def mini():
    return load(CONFIG / "mini.yaml")


@pytest.fixture(scope="session")
def mini_full():
    return load(CONFIG / "mini-full.yaml")


@pytest.fixture
def science(tmp_path):
    """A copy of the declarations, and a way to change them."""
    folder = tmp_path / "config"
    copy_config(folder)

    def edit(file, old, put):
        path = folder / file
        text = path.read_text()
        assert old in text, f"{file} has changed: {old!r} is gone"
        path.write_text(text.replace(old, put, 1))
        return folder

    def world(**changes):
        """The mini world, sizes fixed here so that tuning them breaks no test."""
        path = folder / "mini.yaml"
        declared = yaml.safe_load(path.read_text())
        declared["datasets"]["coco"]["raw"]["draw"] |= {"num_val": 500, "num_test": 500}
        declared["datasets"]["yfcc15m"]["raw"]["draw"]["num_train"] = 5000
        fixed = {"fraction_scale": 4.0, "count_scale": 0.05, "seeds": [0]}
        path.write_text(yaml.safe_dump(declared | fixed | changes))
        return path

    edit.folder = folder
    edit.world = world
    return edit
