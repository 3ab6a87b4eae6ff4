"""YAML files and pydantic's complaints, both turned into one clear line."""

import re
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from tipcap.errors import InputError, edge, reason_of, unknown_name

try:  # libyaml reads a world's files in a third of the time
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

Model = TypeVar("Model", bound=BaseModel)
_FLOAT, _INT, _MERGE = (
    f"tag:yaml.org,2002:{name}" for name in ("float", "int", "merge")
)
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_MOST_SHOWN = 400  # characters of a wrong value
_EXACT = 2**53
"""Below this every whole number is a float."""


class _Loader(SafeLoader):
    """PyYAML's safe loader, with three differences.

    A name that stands twice is an error and not overwritten; what `<<` merges may be. `1e-3`, `-.5` and `1E3` are
    numbers, as in YAML 1.2 and everywhere else; those that are whole are integers, since `1e3` may be how often
    something is done. `010` is ten and `1:30` a text, as there: in YAML 1.1 they are 8 and 90.
    """

    name: str
    """What is read, for errors."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            is_merge = key_node.tag == _MERGE
            key = "<<" if is_merge else self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise InputError(
                    f"{self.name}: line {key_node.start_mark.line + 1}: expected each name once, found {key!r} twice; rename or remove one"
                )
            if isinstance(key, Hashable):  # else the next line says what is wrong
                seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> Any:
        """Return a whole number, in which a leading zero says nothing; or the text of a time."""
        if ":" in node.value:
            return str(node.value)
        if _DECIMAL.fullmatch(node.value):
            return int(node.value)
        return super().construct_yaml_int(node)

    def construct_yaml_float(self, node: yaml.ScalarNode) -> Any:
        """Return a number, which is an integer where it is whole and has an exponent; or the text of a time."""
        if ":" in node.value:
            return str(node.value)
        number: float = super().construct_yaml_float(node)
        is_whole = "e" in node.value.lower() and abs(number) < _EXACT
        return int(number) if is_whole and number.is_integer() else number


_Loader.add_constructor(_INT, _Loader.construct_yaml_int)
_Loader.add_constructor(_FLOAT, _Loader.construct_yaml_float)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"(?:[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+|[-+]\.[0-9]+)\Z"),
    list("-+.0123456789"),
)


def _parsed(content: IO[bytes] | str, where: str, expected: str) -> Any:
    loader = _Loader(content)
    loader.name = where
    try:
        node = loader.get_single_node()
        # deep: what holds itself is refused
        return None if node is None else loader.construct_object(node, deep=True)
    except yaml.YAMLError as error:
        raise InputError(
            f"{where}: expected {expected}, found something else ({reason_of(error, 1000)}); mend that line"
        ) from error
    finally:
        loader.dispose()


def read_value(text: str, where: str) -> Any:
    """Return what a value means that is written as in a YAML file.

    Raises:
        InputError: it is none.
    """
    expected = "a value as in a YAML file"
    with edge(where, expected, "correct it"):
        return _parsed(text, where, expected)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        InputError: no such file, not YAML, a name that stands twice, or no mapping at the top.
    """
    absent = "check the name or the folder you run in"
    with edge(path, "YAML", "mend it", absent), path.open("rb") as file:
        document = _parsed(file, str(path), "YAML")
    if not isinstance(document, dict):
        raise InputError(
            f"{path}: expected names with values at the top, found {type(document).__name__}; see the other files beside it"
        )
    return document


def check(model: type[Model], fields: object, where: str) -> Model:
    """Return `model` made of `fields`.

    Raises:
        InputError: no mapping, or the first field that is wrong, as `where: place: what is wrong`.
    """
    try:
        return model.model_validate(
            dict(fields) if isinstance(fields, Mapping) else fields
        )
    except ValidationError as error:
        raise _clear(model, error, where) from error


def checked_field(model: type[BaseModel], name: str, value: object, where: str) -> Any:
    """Return one field's value as the model would have it, for what is reckoned with before the rest is known.

    Raises:
        InputError: it is wrong.
    """
    kind: Any = model.model_fields[name].rebuild_annotation()
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise _clear(model, error, f"{where}: {name}") from error


def _clear(model: type[BaseModel], error: ValidationError, where: str) -> InputError:
    # A misspelt name also leaves a missing one behind: the misspelling is the better message.
    problems = sorted(
        error.errors(include_url=False),
        key=lambda problem: problem["type"] != "extra_forbidden",
    )
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"])
    spot = f"{where}: {place}" if place else where
    match first["type"]:
        case "extra_forbidden":
            name = str(first["loc"][-1])
            parent = ".".join(str(part) for part in first["loc"][:-1])
            return unknown_name(
                "field",
                name,
                _fields_at(model, first["loc"][:-1]),
                f"{where}: {parent}" if parent else where,
            )
        case "missing":
            return InputError(f"{spot}: expected a value, found none; add it")
        case _:
            message = first["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
            return InputError(
                f"{spot}: expected: {message}; found {first['input']!r:.{_MOST_SHOWN}}; correct the value"
            )


def _fields_at(model: type[BaseModel], place: Iterable[str | int]) -> Iterable[str]:
    """The names allowed at a place inside a model, as far as its annotations say."""
    current: Any = model
    for part in place:
        fields = getattr(current, "model_fields", {})
        if part in fields:
            current = _model_in(fields[part].annotation)
        if current is None:
            return []
    return getattr(current, "model_fields", {})


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [_model_in(option) for option in getattr(annotation, "__args__", ())]
    return next((option for option in inner if option is not None), None)
