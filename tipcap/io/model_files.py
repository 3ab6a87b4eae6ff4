"""Which files of a Hugging Face model's folder are read."""

import re
from collections.abc import Iterable

_SMALL = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json"
    r"|merges\.txt|vocab\.txt|[\w.-]+\.model"
)
_LICENCE = re.compile(r"LICENSE[\w.-]*")
_SAFE = re.compile(r"model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json")
_OLDER = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin|pytorch_model\.bin\.index\.json")


def read_files(names: Iterable[str]) -> list[str]:
    """Return which of a folder's files make its model: configuration, tokeniser and weights in the safest form.

    None where it lacks a configuration or weights. Files of folders below are never among them.
    """
    listed = sorted(names)
    safe = [name for name in listed if _SAFE.fullmatch(name)]
    weights = safe or [name for name in listed if _OLDER.fullmatch(name)]
    if not weights or "config.json" not in listed:
        return []
    return sorted([*weights, *(name for name in listed if _SMALL.fullmatch(name))])


def wanted_files(names: Iterable[str]) -> list[str]:
    """Return which of a hub's files are fetched: those that are read, and under which licence they are."""
    listed = list(names)
    needed = read_files(listed)
    licences = [name for name in listed if _LICENCE.fullmatch(name)]
    return sorted([*needed, *licences]) if needed else []
