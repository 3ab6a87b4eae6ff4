import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from tipcap.io.libraries import open_clip_module
from tipcap.io.pixels import Preparation
from tipcap.mini.pretrain import PIXEL_MEAN, PIXEL_STD


def a_picture(width, height, kind="RGB"):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(kind)


@pytest.mark.parametrize(
    ("width", "height"), [(64, 48), (47, 65), (48, 48), (24, 24), (20, 151), (333, 50)]
)
@pytest.mark.parametrize("kind", ["RGB", "L", "RGBA", "P", "CMYK", "1"])
def test_a_picture_is_prepared_as_open_clip_does(width, height, kind):
    picture = a_picture(width, height, kind)
    transform = open_clip_module().transform.image_transform(48, is_train=False)
    assert torch.equal(Preparation(48)(picture), transform(picture))


@pytest.mark.parametrize("name", ["RN50x4-quickgelu", "ViT-L-14-quickgelu"])
def test_that_is_how_openais_models_want_them(name):
    wanted = open_clip_module().get_pretrained_cfg(name, "openai")
    assert (wanted["interpolation"], wanted["resize_mode"]) == ("bicubic", "shortest")
    assert (wanted["mean"], wanted["std"]) == (PIXEL_MEAN, PIXEL_STD)


def test_a_picture_of_the_right_size_stays_as_it_is():
    picture = a_picture(48, 48)
    assert np.array_equal(Preparation(48).pixels(picture), np.array(picture))


def test_a_preparation_can_go_to_another_process():
    assert pickle.loads(pickle.dumps(Preparation(48))) == Preparation(48)
