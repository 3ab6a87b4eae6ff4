"""Tiny random language models of several families, as folders that transformers opens too."""

import torch

from tipcap.io.encoder import END_OF_TEXT
from tipcap.io.language_model import build_language_model
from tipcap.io.pretraining import initialise, train_tokenizer

FAMILIES = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 4},  # learned positions, tied
    "opt": {  # learned positions, tied; the embeddings are wider than the blocks
        "model_type": "opt",
        "hidden_size": 16,
        "word_embed_proj_dim": 24,
        "ffn_dim": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
    "llama": {  # rotary positions, untied; heads share keys
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "qwen2": {  # rotary positions, tied
        "model_type": "qwen2",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "gpt_neox": {  # rotary positions in part of a head, untied
        "model_type": "gpt_neox",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    },
}


def write_language_model(
    folder, architecture, texts, vocabulary=280, positions=192, spread=1.0
):
    """Write a model with drawn weights, `spread` times as large as fresh ones, that has the words of some texts."""
    tokenizer = train_tokenizer(texts, vocabulary)
    sizes = {"max_position_embeddings": positions, **architecture}
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    model = build_language_model(sizes, tokenizer.get_vocab_size(), end_of_text)
    initialise(model, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= spread
    folder.mkdir(exist_ok=True)
    model.save(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
