"""A folder handed on to a hub, by the hub's own library. `HF_ENDPOINT` names another hub, `HF_TOKEN` says who asks."""

import os
from pathlib import Path

from tipcap.errors import InputError
from tipcap.io.addresses import shown_address, shown_reason


def push_folder(folder: Path, name: str, *, is_private: bool = False) -> str:
    """Upload a folder as a model, which is made where there is none, and return its address.

    Args:
        folder: whose files are uploaded; others that the model has stay.
        name: OWNER/NAME.
        is_private: whether a model that is made is seen by its owner alone.

    Raises:
        InputError: no network, no such owner, or nobody who may write there.
    """
    import huggingface_hub
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    endpoint = os.environ.get("HF_ENDPOINT") or None
    where = shown_address(f"{endpoint or 'https://huggingface.co'}/{name}")
    disable_progress_bars()
    api = huggingface_hub.HfApi(endpoint=endpoint)
    try:
        api.create_repo(name, private=is_private, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=folder, commit_message="Captioner of tipcap"
        )
    except Exception as error:  # whatever the network and the library come up with
        raise InputError(
            f"{where}: expected to upload {folder}, found {shown_reason(error)}; set HF_TOKEN to a token that may write there and run `tipcap export {folder} NEW --push {name}` again, the folder is whole"
        ) from error
    return where
