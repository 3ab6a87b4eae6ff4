"""Language models of the Hugging Face hub: their files fetched, and any folder of such files taken in.

`HF_ENDPOINT` names another hub, `HF_TOKEN` opens models that their authors guard.
"""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.errors import InputError, reason_of
from tipcap.io.download import fetch
from tipcap.io.language_model import open_language_model
from tipcap.io.libraries import transformers_module
from tipcap.io.tokens import load_tokenizer

_SMALL = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json"
    r"|merges\.txt|.*\.model|LICENSE.*"
)
_SAFE = re.compile(r"model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json")
_OLDER = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin|pytorch_model\.bin\.index\.json")


_REMEDY = "run this again where there is a network, or fetch the model by hand and name its folder (source: folder)"


class Snapshot(NamedTuple):
    """What was fetched of a model."""

    commit: str
    """The one that the revision meant."""
    num_bytes: int


def fetch_snapshot(model: str, revision: str, folder: Path) -> Snapshot:
    """Fetch configuration, tokeniser and weights of a model; a fetching that was cut off goes on where it was.

    Weights are fetched as safetensors where the model has them, as PyTorch's own file otherwise.

    Args:
        model: its name on the hub, `openai-community/gpt2-medium`.
        revision: a branch, tag or commit.
        folder: where the files and, until they are complete, their beginnings lie.

    Raises:
        InputError: no such model or revision, a guarded model, one without weights in either form, or
            no network.
    """
    import huggingface_hub
    from huggingface_hub import errors

    endpoint = os.environ.get("HF_ENDPOINT") or None
    where = f"{endpoint or 'https://huggingface.co'}/{model}"
    api = huggingface_hub.HfApi(endpoint=endpoint)
    try:
        known = api.model_info(model, revision=revision, files_metadata=True)
        if known.gated:
            api.auth_check(model)
    except errors.GatedRepoError as error:
        raise InputError(
            f"{where}: expected a model that anybody may fetch, found one that its authors guard; accept its terms on its page and set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{where}: expected a model, found none of this name or none without HF_TOKEN; correct `model` in the world's file"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"{where}: expected the revision {revision}, found none; correct `revision` in the world's file"
        ) from error
    except Exception as error:  # whatever the network and the library come up with
        raise InputError(
            f"{where}: expected an answer, found {type(error).__name__} ({reason_of(error)}); {_REMEDY}"
        ) from error
    files = {file.rfilename: file for file in known.siblings or []}
    wanted = wanted_files(files)
    if not wanted:
        raise InputError(
            f"{where}: expected config.json and weights (model.safetensors or pytorch_model.bin), found {', '.join(sorted(files))[:200] or 'no file'}; choose another language model"
        )
    token = huggingface_hub.get_token()
    num_bytes = sum(files[name].size or 0 for name in wanted)
    print(f"{where}: {len(wanted)} files, {num_bytes / 1e9:.3f} GB", flush=True)
    for name in wanted:
        url = huggingface_hub.hf_hub_url(
            model, name, revision=known.sha, endpoint=endpoint
        )
        large = files[name].lfs
        fetch(
            [url],
            folder / name,
            large.sha256 if large else None,
            files[name].size,
            headers={"Authorization": f"Bearer {token}"} if token else None,
            remedy=_REMEDY,
        )
    return Snapshot(str(known.sha), num_bytes)


def wanted_files(names: Iterable[str]) -> list[str]:
    """Return those of a model's files that are fetched; none where it lacks a configuration or weights."""
    listed = list(names)
    safe = [name for name in listed if _SAFE.fullmatch(name)]
    weights = safe or [name for name in listed if _OLDER.fullmatch(name)]
    if not weights or "config.json" not in listed:
        return []
    return sorted([*weights, *(name for name in listed if _SMALL.fullmatch(name))])


def take_model(source: Path, folder: Path) -> dict[str, Any]:
    """Write a language model of any folder as this project keeps them, once it has shown that it works.

    Args:
        source: what `fetch_snapshot` left, or what else has a Hugging Face model's files.
        folder: gets `config.json`, `model.safetensors` (float32), `tokenizer.json`, `tokenizer_config.json`.

    Returns:
        What is worth noting: the architecture, and how many weights, tokens and positions it has.

    Raises:
        InputError: as `load_language_model` and `load_tokenizer`, or the tokeniser has no fast form.
    """
    if not source.is_dir():
        raise InputError(
            f"{source}: expected a folder with a language model, found none; correct `model` in the world's file"
        )
    transformers = transformers_module()
    shutil.copyfile(_existing(source / "config.json"), folder / "config.json")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            source, local_files_only=True, trust_remote_code=False
        )
        tokenizer.save_pretrained(folder)
    except Exception as error:  # the library raises nothing more precise
        raise InputError(
            f"{source}: expected a tokeniser, found none that transformers opens ({reason_of(error)}); choose another language model, or add its tokenizer.json"
        ) from error
    if not (folder / "tokenizer.json").exists():
        raise InputError(
            f"{source}: expected a fast tokeniser, found {type(tokenizer).__name__}; add its tokenizer.json or choose another language model"
        )
    end_of_text = load_tokenizer(folder).end_of_text
    model = open_language_model(source, end_of_text)
    model.save(folder)
    return {
        "architecture": model.base.config.model_type,
        "weights": sum(p.numel() for p in model.parameters()),
        "positions": model.max_positions,
        "lm_dim": model.lm_dim,
    }


def _existing(file: Path) -> Path:
    if not file.exists():
        raise InputError(
            f"{file}: expected a file, found none; fetch or copy the model again"
        )
    return file
