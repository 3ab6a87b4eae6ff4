"""Pages that are made of the code whenever the site is built: commands and configuration. A hook of mkdocs."""

import ast
import contextlib
import importlib.util
import inspect
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from pydantic import BaseModel

WIDTH = "96"
COMMANDS, CONFIGURATION = "commands.md", "configuration.md"
_FILES = (
    (
        "experiments",
        "`config/experiments.yaml`",
        "`base` is the standard configuration, `rows` say what differs from it, `sweeps` make rows by rule.",
        "experiments",
    ),
    (
        "tables",
        "`config/tables/*.yaml`",
        "One file for each table, named `table_ID.yaml` or `ID.yaml`.",
        "tables",
    ),
    (
        "worlds",
        "a world's file, `config/NAME.yaml`",
        "With `extends: FILE` what that file says and this one does not; datasets, encoders and language models are those of both.",
        "world",
    ),
    (
        "models",
        "`parameters` of models that a world trains",
        "Encoders, and language models, those from scratch included.",
        "small_models",
    ),
    (
        "claims",
        "`config/claims.yaml`",
        "The paper's sentences as relations between cells.",
        "claims",
    ),
    ("figures", "`config/figures.yaml`", "The paper's figures.", "figures"),
    (
        "downloads",
        "`config/downloads.csv`",
        "Columns `file,urls,sha256,bytes,licence,note`. Addresses are parted by a bar: `http`, `https`, `file:`, a path from where Snakemake is "
        "started, `pip:NAME==VERSION`, or `by hand`; `~` before a size says about; `{000..03f}` in name and addresses stands for as many files.",
        "downloads",
    ),
)
"""Anchor, file, what it is, and the module of `tipcap.config` whose models check it."""


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages to the site."""
    for name, text in ((COMMANDS, commands()), (CONFIGURATION, configuration())):
        files.append(File.generated(config, name, content=text))
    return files


def commands() -> str:
    """Return the page of the commands: what `--help` says of each."""
    parts = [
        "# Commands\n\nWhat `--help` says, of the version that this site was built of.\n"
    ]
    for words in command_names():
        parts.append(f"## {' '.join(words)}\n\n```text\n{help_of(words)}\n```\n")
    return "\n".join(parts)


def command_names() -> list[tuple[str, ...]]:
    """Return every command that people use, and `tipcap step` as one."""
    import typer.main

    from tipcap.cli import app

    group = typer.main.get_command(app)
    names = [name for name, one in group.commands.items() if not one.hidden]
    return [("tipcap",), *(("tipcap", name) for name in names)]


def help_of(words: tuple[str, ...]) -> str:
    """Return what a command says of itself."""
    from tipcap.cli import main

    said, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main([*words[1:], "--help"])
    finally:
        os.environ.pop("COLUMNS")
        os.environ.update({} if before is None else {"COLUMNS": before})
    name = " ".join(words)
    text = re.sub(r"\AUsage: .*?(?= \[OPTIONS\])", f"Usage: {name}", said.getvalue())
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def configuration() -> str:
    """Return the page of the files under `config/`: every field, its type, its default, and what it means."""
    parts = [
        "# Configuration\n\nEvery field of the files under `config/`, from the models that check them. Fields without a default have to be "
        "given. A name that is not known is refused in one line, with the one that may have been meant.\n"
    ]
    for anchor, title, about, module in _FILES:
        parts.append(f"## {title[0].upper()}{title[1:]} {{#{anchor}}}\n\n{about}\n")
        parts += [_of_class(model) for model in models_of(f"tipcap.config.{module}")]
        if anchor == "experiments":
            parts.append(
                "Each block of an experiment holds fields of the step of its name:\n"
            )
            parts += [_of_class(spec, f"`{block}`") for block, spec in blocks()]
    parts.append(f"## Types {{#types}}\n\n{_types()}\n")
    return "\n".join(parts)


def models_of(module: str) -> Iterator[type[BaseModel]]:
    """Yield the models that a module declares, in its order, those for its own use left out."""
    for one in vars(importlib.import_module(module)).values():
        is_model = isinstance(one, type) and issubclass(one, BaseModel)
        if is_model and one.__module__ == module and not one.__name__.startswith("_"):
            yield one


def blocks() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the blocks of an experiment that are named as a step, with its specification."""
    from tipcap.config.experiments import Experiment

    for block in Experiment.model_fields:
        if importlib.util.find_spec(f"tipcap.steps.{block}"):
            yield block, importlib.import_module(f"tipcap.steps.{block}").STEP.spec


def _of_class(model: type[BaseModel], title: str | None = None) -> str:
    about = inspect.cleandoc(model.__doc__ or "")
    lines = [f"### {title or model.__name__}", "", about, ""]
    if rows := list(fields_of(model)):
        lines += ["| field | type | default | |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def fields_of(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and meaning of a model's fields, those of its bases first."""
    for base in reversed(model.__mro__):
        if not base.__module__.startswith("tipcap."):
            continue
        body = _class(base.__module__, base.__name__).body
        for one, following in zip(body, [*body[1:], None], strict=True):
            if not isinstance(one, ast.AnnAssign) or not isinstance(
                one.target, ast.Name
            ):
                continue
            field = one.target.id
            if field not in model.model_fields:
                continue
            default = "" if one.value is None else _default(one.value)
            yield (
                f"`{field}`",
                f"`{ast.unparse(one.annotation)}`",
                default,
                _docstring(following),
            )


def _default(value: ast.expr) -> str:
    """Return a default as it is written, of `Field(...)` its first argument."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "Field":
        if not value.args:
            return ""
        value = value.args[0]
    return f"`{ast.unparse(value)}`"


def _docstring(node: ast.stmt | None) -> str:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return (
        str(node.value.value) if is_text and isinstance(node.value.value, str) else ""
    )


def _class(module: str, name: str) -> ast.ClassDef:
    file = importlib.import_module(module).__file__
    body = ast.parse(Path(str(file)).read_text("utf-8")).body
    return next(n for n in body if isinstance(n, ast.ClassDef) and n.name == name)


def _types() -> str:
    """Return the types that several models share, as they are declared."""
    file = importlib.import_module("tipcap.specs").__file__
    body = ast.parse(Path(str(file)).read_text("utf-8")).body
    rows = [
        f"| `{one.targets[0].id}` | `{_cell(ast.unparse(one.value))}` |"
        for one in body
        if isinstance(one, ast.Assign)
        and isinstance(one.targets[0], ast.Name)
        and one.targets[0].id[0].isupper()
        and not one.targets[0].id.isupper()
    ]
    return "\n".join(["| type | what it is |", "|---|---|", *rows])
