"""Language models of the Hugging Face hub: their files fetched, and any folder of such files taken in.

`HF_ENDPOINT` names another hub, `HF_TOKEN` opens models that their authors guard.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.errors import InputError, edge, reason_of
from tipcap.io.addresses import shown_address, shown_reason
from tipcap.io.connection import set_up_connection
from tipcap.io.download import fetch
from tipcap.io.language_model import open_language_model
from tipcap.io.libraries import transformers_module
from tipcap.io.model_files import wanted_files
from tipcap.io.tokens import load_tokenizer, read_config
from tipcap.wording import counted

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_REMEDY = "run this again where there is a network, or fetch the model by hand and name its folder (source: folder)"


class Snapshot(NamedTuple):
    """What was fetched of a model."""

    commit: str
    """The one that the revision meant."""
    num_bytes: int
    folder: Path
    """Where its files lie."""


def fetch_snapshot(model: str, revision: str, kept: Path) -> Snapshot:
    """Fetch configuration, tokeniser and weights of a model; a fetching that was cut off goes on where it was.

    Weights are fetched as safetensors where the model has them, as PyTorch's own file otherwise. The user's
    token is shown only for a model that nobody may have without.

    Args:
        model: its name on the hub, `openai-community/gpt2-medium`.
        revision: a branch, tag or commit.
        kept: gets a folder for each commit, with the files and, until they are complete, their beginnings.

    Raises:
        InputError: no such model or revision, a guarded model, one without weights in either form, or
            no network.
    """
    import huggingface_hub
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    set_up_connection()
    endpoint = os.environ.get("HF_ENDPOINT") or None
    where = shown_address(f"{endpoint or 'https://huggingface.co'}/{model}")
    known, is_open = _look_up(model, revision, endpoint, where)
    files = {file.rfilename: file for file in known.siblings or []}
    wanted = wanted_files(files)
    if not wanted:
        raise InputError(
            f"{where}: expected config.json and weights (model.safetensors or pytorch_model.bin), found {', '.join(sorted(files))[:200] or 'no file'}; choose another language model"
        )
    commit = str(known.sha)
    if not _COMMIT.fullmatch(commit):
        raise InputError(
            f"{where}: expected a commit, found {commit[:80]!r}; correct HF_ENDPOINT"
        )
    num_bytes = sum(files[name].size or 0 for name in wanted)
    print(
        f"{where}: {counted(len(wanted), 'file')}, {num_bytes / 1e9:.3f} GB", flush=True
    )
    for name in wanted:
        with edge(where, "an address and a token", _REMEDY):
            url = huggingface_hub.hf_hub_url(
                model, name, revision=commit, endpoint=endpoint
            )
            headers = build_hf_headers(token=False if is_open else None)
        large = files[name].lfs
        fetch(
            [url],
            kept / commit / name,
            large.sha256 if large else None,
            files[name].size,
            headers=headers,
            remedy=_REMEDY,
        )
    return Snapshot(commit, num_bytes, kept / commit)


def _look_up(
    model: str, revision: str, endpoint: str | None, where: str
) -> tuple[Any, bool]:
    """Return what a hub knows of a model, and whether anybody may have it."""
    import huggingface_hub
    from huggingface_hub import errors

    is_open = True
    try:
        api = huggingface_hub.HfApi(endpoint=endpoint)
        try:
            known = api.model_info(
                model, revision=revision, files_metadata=True, token=False
            )
        except errors.RepositoryNotFoundError:  # or one that nobody else may see
            is_open = False
            known = api.model_info(model, revision=revision, files_metadata=True)
        if known.gated:
            is_open = False
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
            f"{where}: expected an answer, found {shown_reason(error)}; {_REMEDY}"
        ) from error
    return known, is_open


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
    shutil.copyfile(_existing(source / "config.json"), folder / "config.json")
    read_config(folder)  # before the tokeniser, which another kind of model may lack
    try:
        tokenizer = transformers_module().AutoTokenizer.from_pretrained(
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
