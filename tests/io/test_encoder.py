import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tipcap.errors import InputError
from tipcap.io.encoder import (
    END_OF_TEXT,
    Encoder,
    build_small_model,
    caption_tokenizer,
    import_openai_weights,
    load_encoder,
    load_tokenize,
    precision_on,
    small_tokenize,
    word_by_word,
)
from tipcap.io.libraries import open_clip_module, without_drawn_weights
from tipcap.io.pixels import Preparation
from tipcap.io.pretraining import train_tokenizer
from tipcap.io.store import read_tensors, write_json, write_tensors
from tipcap.mini.pretrain import PIXEL_MEAN, PIXEL_STD

NORM_TOLERANCE = 1e-5  # rounding of a float32 division
TEXTS = ["a red box on the beach", "two blue boats", "a red box"]


def some_pictures(number=3, side=64):
    pixels = np.random.default_rng(0).integers(
        0, 256, (number, side, side, 3), np.uint8
    )
    return [Image.fromarray(picture) for picture in pixels]


@pytest.fixture
def folder(tiny_encoder, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(tiny_encoder, tmp_path / "encoder")


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return load_encoder(tiny_encoder)


def test_embeddings_of_pictures_have_unit_norm(encoder):
    prepared = torch.stack([encoder.prepare(picture) for picture in some_pictures()])
    found = encoder.embed_images(prepared)
    assert found.shape == (3, encoder.embed_dim)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.norm(dim=1), torch.ones(3), atol=NORM_TOLERANCE, rtol=0
    )


def test_embeddings_of_texts_have_unit_norm(encoder):
    found = encoder.embed_texts(encoder.tokenize(TEXTS))
    assert found.shape == (3, encoder.embed_dim)
    torch.testing.assert_close(
        found.norm(dim=1), torch.ones(3), atol=NORM_TOLERANCE, rtol=0
    )


def test_different_inputs_have_different_embeddings(encoder):
    prepared = torch.stack([encoder.prepare(picture) for picture in some_pictures()])
    for found in (
        encoder.embed_images(prepared),
        encoder.embed_texts(encoder.tokenize(TEXTS)),
    ):
        assert len(found.unique(dim=0)) == 3


@pytest.fixture(scope="module")
def resnet(tiny_parameters):
    """An encoder with the picture tower of RN50x4, small."""
    vision = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64}
    torch.manual_seed(0)
    parameters = {**tiny_parameters, "vision": {**vision, "patch_size": None}}
    tokenizer = train_tokenizer(TEXTS, 300)
    model = build_small_model(parameters, tokenizer.get_vocab_size())
    return Encoder(model, small_tokenize(tokenizer, 32), Preparation(64), 16)


def pixels_of(encoder, pictures):
    return torch.from_numpy(np.stack([encoder.prepare.pixels(one) for one in pictures]))


@pytest.mark.parametrize("name", ["encoder", "resnet"])
def test_crops_are_embedded_as_prepared_pictures_are(name, request):
    encoder, pictures = request.getfixturevalue(name), some_pictures()
    prepared = torch.stack([encoder.prepare(picture) for picture in pictures])
    found = encoder.embed_pixels(pixels_of(encoder, pictures))
    assert torch.equal(found, encoder.embed_images(prepared))


@pytest.mark.parametrize("name", ["encoder", "resnet"])
@pytest.mark.parametrize(
    ("precision", "least"), [(torch.float16, 0.9999), (torch.bfloat16, 0.999)]
)
def test_half_precision_is_near_and_its_norm_is_of_single(
    name, precision, least, request
):
    encoder = request.getfixturevalue(name)
    pixels = pixels_of(encoder, some_pictures())
    tokens = encoder.tokenize(TEXTS)
    found = []
    for one in (torch.float32, precision, torch.float32):
        encoder.to("cpu", one)
        found.append(
            torch.cat([encoder.embed_pixels(pixels), encoder.embed_texts(tokens)])
        )
    exact, half, again = found
    assert torch.equal(exact, again)
    assert not torch.equal(exact, half)
    assert half.dtype == torch.float32
    assert (exact * half).sum(1).min() > least
    torch.testing.assert_close(
        half.norm(dim=1), torch.ones(6), atol=NORM_TOLERANCE, rtol=0
    )


def test_precision_is_the_devices():
    assert precision_on("cpu", "float32") == torch.float32
    assert precision_on("cuda", "float32") == torch.float32
    assert precision_on("cpu", "bfloat16") == torch.bfloat16
    for device in ("cuda", "cuda:1"):
        assert precision_on(device, "bfloat16") == torch.float16


def test_an_embedding_does_not_depend_on_what_else_is_in_the_batch(encoder):
    prepared = torch.stack([encoder.prepare(picture) for picture in some_pictures()])
    alone = torch.cat([encoder.embed_images(picture[None]) for picture in prepared])
    torch.testing.assert_close(encoder.embed_images(prepared), alone)
    tokens = encoder.tokenize(TEXTS)
    alone = torch.cat([encoder.embed_texts(row[None]) for row in tokens])
    torch.testing.assert_close(encoder.embed_texts(tokens), alone)


def test_grey_and_transparent_pictures_are_read_as_colour(encoder):
    (picture,) = some_pictures(1)
    for kind in ("L", "RGBA", "P"):
        assert encoder.prepare(picture.convert(kind)).shape == (3, 64, 64)


def test_a_saved_model_embeds_as_before(
    encoder, tiny_encoder, tiny_parameters, tmp_path
):
    torch.manual_seed(1)
    tokenizer = train_tokenizer(TEXTS, 300)
    model = build_small_model(tiny_parameters, tokenizer.get_vocab_size()).eval()
    config = {"source": "trained", "model": "small", "parameters": tiny_parameters}
    write_json(tmp_path / "config.json", config)
    write_tensors(tmp_path / "model.safetensors", model.state_dict())
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    found = load_encoder(tmp_path)
    tokens = small_tokenize(tokenizer, 32)(TEXTS)
    assert torch.equal(found.tokenize(TEXTS), tokens)
    pictures = torch.stack([found.prepare(picture) for picture in some_pictures()])
    before = Encoder(model, found.tokenize, found.prepare, 16)
    assert torch.equal(found.embed_images(pictures), before.embed_images(pictures))
    assert torch.equal(found.embed_texts(tokens), before.embed_texts(tokens))


def test_loading_draws_no_weights_and_gives_the_saved_ones(tiny_encoder):
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        encoder = load_encoder(tiny_encoder)
        assert torch.equal(torch.get_rng_state(), state)
        found.append(encoder.embed_texts(encoder.tokenize(TEXTS)))
    assert torch.equal(*found)


def test_a_published_architecture_is_built_without_a_draw_or_a_warning(caplog):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    with without_drawn_weights():
        model = open_clip_module().create_model("RN50-quickgelu")
    assert torch.equal(torch.get_rng_state(), state)
    assert not caplog.records
    # buffers that no file of weights holds
    assert torch.isneginf(model.attn_mask[0, 1:]).all()


def test_a_long_text_keeps_its_start_and_its_end_of_text(tiny_parameters):
    tokenizer = train_tokenizer(TEXTS, 300)
    length = tiny_parameters["context_length"]
    row = small_tokenize(tokenizer, length)(["red boats " * 100])[0]
    start = tokenizer.get_vocab_size()
    assert row.shape == (length,)
    assert (row[0], row[-1]) == (start, start + 1)
    whole = tokenizer.encode("red boats " * 100).ids
    assert row[1:-1].tolist() == whole[: length - 2]


def test_the_end_of_text_is_where_open_clip_pools(tiny_parameters):
    """open_clip takes the text at its highest token id."""
    tokenizer = train_tokenizer(TEXTS, 300)
    for row in small_tokenize(tokenizer, 32)(["", *TEXTS]):
        assert row[row.argmax()] == tokenizer.get_vocab_size() + 1
        assert not row[row.argmax() + 1 :].any()


def test_openais_tokens_are_those_of_open_clip_and_can_be_written(tmp_path):
    name = "RN50x4-quickgelu"
    config = {"source": "openai", "model": name, "parameters": {}}
    write_json(tmp_path / "config.json", config)
    tokenizer = caption_tokenizer(tmp_path)
    assert tokenizer.get_vocab_size() == 49408
    assert tokenizer.token_to_id(END_OF_TEXT) == 49407
    clip = open_clip_module().get_tokenizer(name)
    for text in (
        "A man's riding 123 bikes, isn't he?",
        "café naïve 日本 — under_score",
        " two\t  spaces\n",
        "",
    ):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert ids == clip.encode(text)
        assert tokenizer.decode(ids).replace(" ", "") == "".join(text.lower().split())
    assert tokenizer.decode(tokenizer.encode("a red box").ids) == "a red box "


@pytest.fixture(scope="module")
def clip_bpe():
    return open_clip_module().get_tokenizer("RN50x4-quickgelu")


def test_texts_cut_word_by_word_have_open_clips_tokens(clip_bpe):
    texts = [
        "A man's riding 123 bikes, isn't he?",
        "café naïve 日本 — under_score",
        "salt &amp; pepper, AT&T",
        " two\t  spaces\n",
        "<start_of_text> <end_of_text>s",
        "",
        "\ufffd a\u0300 ﬁne \x1b[0m",
        "a red box " * 40,
        "日本 " * 80,
    ]
    assert torch.equal(word_by_word(clip_bpe)(texts), clip_bpe(texts))
    assert word_by_word(clip_bpe)([]).shape == (0, clip_bpe.context_length)


@given(texts=st.lists(st.text(st.characters(max_codepoint=0x17F)), max_size=4))
def test_any_texts_cut_word_by_word_have_open_clips_tokens(clip_bpe, texts):
    assert torch.equal(word_by_word(clip_bpe)(texts), clip_bpe(texts))


def test_each_word_is_cut_once(clip_bpe, monkeypatch):
    words = []

    def encode(text, original=clip_bpe.encode):
        words.append(text)
        return original(text)

    monkeypatch.setattr(clip_bpe, "encode", encode)
    tokenize = word_by_word(clip_bpe)
    tokenize(["a red box", "a blue box"])
    tokenize(["a box"])
    assert words == ["a", "red", "box", "blue"]


def small_tokenize_of(clip):
    return small_tokenize(train_tokenizer(TEXTS, 300), 5)


def test_published_encoders_cut_word_by_word(tmp_path, monkeypatch):
    config = {"source": "openai", "model": "RN50x4-quickgelu", "parameters": {}}
    write_json(tmp_path / "config.json", config)
    monkeypatch.setattr("tipcap.io.encoder.word_by_word", small_tokenize_of)
    assert load_tokenize(tmp_path)(TEXTS).shape == (len(TEXTS), 5)


def test_a_small_encoders_tokens_are_its_own(folder):
    tokenizer = caption_tokenizer(folder)
    assert tokenizer.decode(tokenizer.encode(TEXTS[0]).ids) == TEXTS[0]
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer\.json: expected a tokeniser"):
        caption_tokenizer(folder)


def test_weights_of_another_model_are_refused(folder):
    weights = read_tensors(folder / "model.safetensors")
    weights["text_projection"] = torch.zeros(3, 3)
    write_tensors(folder / "model.safetensors", weights)
    with pytest.raises(InputError, match=r"model\.safetensors.*small-vit") as caught:
        load_encoder(folder)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_refused(folder):
    weights = read_tensors(folder / "model.safetensors")
    del weights["text_projection"]
    write_tensors(folder / "model.safetensors", weights)
    with pytest.raises(InputError, match="text_projection"):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_or_damaged_file_is_named(folder, name):
    (folder / name).write_text("not this")
    with pytest.raises(InputError, match=name):
        load_encoder(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        load_encoder(folder)


def test_a_configuration_without_its_fields_is_named(folder):
    (folder / "config.json").write_text(json.dumps({"source": "trained"}))
    with pytest.raises(InputError, match=r"config\.json"):
        load_encoder(folder)


class SmallClip(torch.nn.Module):
    """The parts of OpenAI's archive that matter here: half precision, and three sizes kept as buffers."""

    def __init__(self):
        super().__init__()
        self.text_projection = torch.nn.Parameter(torch.full((2, 3), 0.5).half())
        self.visual = torch.nn.Linear(2, 2).half()
        for name, size in (
            ("input_resolution", 288),
            ("context_length", 77),
            ("vocab_size", 49408),
        ):
            self.register_buffer(name, torch.tensor(size))

    def forward(self, inputs):
        return inputs @ self.text_projection


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_the_weights_of_openais_archive_are_taken_in_as_float32(tmp_path):
    model = SmallClip()
    file = tmp_path / "RN50x4.pt"
    torch.jit.script(model).save(str(file))
    found = import_openai_weights(file)
    assert found.keys() == {"text_projection", "visual.weight", "visual.bias"}
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    assert torch.equal(found["visual.weight"], model.visual.weight.float())
    write_tensors(tmp_path / "model.safetensors", found)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("content", [b"", b"<html>gone</html>", b"PK\x03\x04", None])
def test_what_is_not_openais_archive_is_one_line(tmp_path, content):
    file = tmp_path / "RN50x4.pt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(
        InputError, match=r"RN50x4\.pt: expected OpenAI's CLIP"
    ) as caught:
        import_openai_weights(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "CMYK"])
@pytest.mark.parametrize("size", [(64, 64), (640, 480), (3, 200), (1, 1)])
def test_pictures_of_any_size_and_kind_are_read(encoder, mode, size):
    prepared = encoder.prepare(Image.new(mode, size))
    assert prepared.shape == (3, 64, 64)
    assert prepared.isfinite().all()


def test_a_picture_of_the_models_own_size_is_read_as_it_is(encoder):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    prepared = encoder.prepare(Image.fromarray(pixels))
    colours = torch.from_numpy(pixels).float() / 255
    expected = (colours - torch.tensor(PIXEL_MEAN)) / torch.tensor(PIXEL_STD)
    assert torch.equal(prepared, expected.movedim(-1, 0))


def test_the_middle_of_a_wide_picture_is_read(encoder):
    pixels = np.zeros((64, 192, 3), np.uint8)
    pixels[:, 64:128] = 255
    prepared = encoder.prepare(Image.fromarray(pixels))
    white = encoder.prepare(Image.new("RGB", (64, 64), "white"))
    assert torch.equal(prepared, white)


def test_openais_weights_may_come_as_safetensors(tmp_path):
    """As timm hands them on, in half precision."""
    file = tmp_path / "RN50x4_open_clip.safetensors"
    write_tensors(file, {"logit_scale": torch.tensor(4.5, dtype=torch.float16)})
    found = import_openai_weights(file)
    assert found["logit_scale"].dtype == torch.float32
    assert found["logit_scale"] == 4.5
