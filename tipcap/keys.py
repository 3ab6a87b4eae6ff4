"""Content names: a step's key is its readable parameters and a hash of everything that decides it."""

import hashlib
import json
import re
from collections.abc import Mapping

from tipcap.errors import InputError
from tipcap.specs import Spec

ALPHABET = re.compile(r"[a-z0-9_.+-]+")
"""What a key is made of."""
MAX_LENGTH = 200
_HASH = re.compile(r"-[0-9a-f]{8}$")


def canonical(spec: Spec) -> str:
    """Return the fields that decide a step's result as JSON: equal parameters, equal text."""
    fields = spec.model_dump(mode="json", exclude_defaults=True)
    kept = {name: fields[name] for name in fields if name not in spec.unkeyed}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))


def step_key(spec: Spec, parents: Mapping[str, str]) -> str:
    """Return the key of a step: equal work gets an equal key, whatever it is called.

    Args:
        spec: the step's parameters.
        parents: role -> key of the steps it reads.

    Raises:
        InputError: the readable part makes the key longer than a file name may be.
    """
    lines = [
        f"{spec.step.upper()}:v{spec.version}",
        *(f"{role}={parents[role]}" for role in sorted(parents)),
        canonical(spec),
    ]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]
    words = [*_inherited(spec, parents), slug_of(spec)]
    key = f"{'+'.join(word for word in words if word)}-{digest}"
    if len(key) > MAX_LENGTH:
        raise InputError(
            f"step {spec.step}: expected a key of at most {MAX_LENGTH} characters, found {len(key)} ({key}); shorten the names in the configuration or set fewer fields"
        )
    return key


def _inherited(spec: Spec, parents: Mapping[str, str]) -> list[str]:
    """The readable parts of the lineage; what already stands is not said again, but for its end."""
    words: list[str] = []
    for role in spec.lineage:
        if role in parents:
            *before, last = _HASH.sub("", parents[role]).split("+")
            words += [word for word in before if word not in words] + [last]
    return words


def slug_of(spec: Spec) -> str:
    """Return the readable part of a step's own parameters.

    Fields without a default come first and always, others where they differ; lists and nested
    parameters are left to the hash.
    """
    changed = spec.model_dump(mode="json", exclude_defaults=True)
    words = [
        _word(name, changed[name], bool(field.is_required()))
        for name, field in sorted(
            type(spec).model_fields.items(), key=lambda item: not item[1].is_required()
        )
        if name in changed and name not in spec.unkeyed | spec.unread
    ]
    return ".".join(word for word in words if word)


def _word(name: str, value: object, identity: bool) -> str:
    match value:
        case None | list() | dict():
            return ""
        case bool():
            return name if value else f"no_{name}"
        case str():
            return _letters(value if identity else f"{name}_{value}")
        case _:
            return _letters(f"{name}{value}")


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9_.+-]+", "-", text.lower())
