"""CLIP and GPT-2 as they are published, with drawn weights: OpenAI's TorchScript archives, the hub's files."""

import json

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tipcap.io.encoder import END_OF_TEXT
from tipcap.io.libraries import open_clip_module, transformers_module

CLIP = {
    "RN50x4.pt": "RN50x4-quickgelu",
    "ViT-L-14.pt": "ViT-L-14-quickgelu",
    "ViT-B-32.pt": "ViT-B-32-quickgelu",
}
GPT2_CONFIG = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 50257,
}
_NUM_TRAINED = 800
"""Tokens that are learnt from text; the others stand for the true model's and are never written."""


def write_clip(path, name):
    """Write a CLIP of the true sizes as OpenAI does: TorchScript, weights in half precision but for norms."""
    open_clip = open_clip_module()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model(CLIP[name]).eval()
    open_clip.model.convert_weights_to_fp16(model)
    size = model.visual.image_size
    sizes = {
        "input_resolution": size if isinstance(size, int) else size[0],
        "context_length": 77,
        "vocab_size": 49408,
    }
    for part, number in sizes.items():  # OpenAI's archives carry them as tensors
        model.__dict__.pop(part, None)
        model.register_buffer(part, torch.tensor(number))
    model.attn_mask = model._buffers.pop("attn_mask")  # a constant there
    torch.jit.script(model).save(str(path))


def write_gpt2(path, name):
    """Write one of the hub's files of GPT-2 small: `gpt2_config.json`, `gpt2_tokenizer.json`, the weights."""
    if name.endswith("config.json"):
        path.write_text(json.dumps(GPT2_CONFIG, indent=2))
    elif name.endswith("tokenizer.json"):
        path.write_text(gpt2_tokenizer().to_str())
    else:
        save_file(gpt2_weights(), path, {"format": "pt"})


def gpt2_weights():
    """Return the tensors of the published file, by its names: without the head, with the attention's masks."""
    transformers = transformers_module()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.GPT2Model(transformers.GPT2Config(**GPT2_CONFIG))
    weights = dict(model.state_dict())
    mask = torch.tril(torch.ones(1024, 1024)).view(1, 1, 1024, 1024)
    for layer in range(GPT2_CONFIG["n_layer"]):
        weights[f"h.{layer}.attn.bias"] = mask.clone()
    return weights


def gpt2_tokenizer():
    """Return a byte-level BPE with GPT-2's number of tokens, which has the words of the rehearsal's sentences."""
    from tests.rehearsal.files import SENTENCES

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=_NUM_TRAINED, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    learnt = json.loads(tokenizer.to_str())["model"]
    vocabulary = learnt["vocab"]
    merges = [tuple(pair) for pair in learnt["merges"]]
    for pair in ((first, second) for first in alphabet for second in alphabet):
        if len(vocabulary) == GPT2_CONFIG["eos_token_id"]:
            break
        if "".join(pair) not in vocabulary:
            vocabulary["".join(pair)] = len(vocabulary)
            merges.append(pair)
    vocabulary[END_OF_TEXT] = len(vocabulary)
    whole = _byte_level(models.BPE(vocabulary, merges))
    whole.add_special_tokens([END_OF_TEXT])
    return whole


def _byte_level(model):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
