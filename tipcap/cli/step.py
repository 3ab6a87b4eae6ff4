"""`tipcap step NAME`: one command for each step, made from what its module declares, and for each report.

The options of a command are the parameters of its function: a file is a path, several of a role are the option
given several times, and what is a list or a mapping is JSON.
"""

import inspect
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from tipcap.cli.manners import epilog
from tipcap.cli.reports import REPORTS
from tipcap.config.reading import check
from tipcap.errors import InputError
from tipcap.step import PRECISION, Request, Step
from tipcap.steps import STEPS

steps = typer.Typer(
    help="The steps of the workflow, as its rules call them.",
    epilog=epilog(
        [
            "tipcap step train --help",
            "snakemake --configfile config/mini.yaml --dry-run --printshellcmds -- table_II",
        ]
    ),
    add_completion=False,
    rich_markup_mode=None,
)
_EVERY_STEP = {
    "spec": Annotated[str, typer.Option(help="Parameters of the step, JSON.")],
    "key": Annotated[str, typer.Option(help="Key of the artefact.")],
    "parents": Annotated[str, typer.Option(help="Keys of the inputs by role, JSON.")],
    "out": Annotated[Path, typer.Option(help="Folder of the artefact.")],
}
_VALUES = {
    "spec": "'{...}'",
    "key": "KEY",
    "parents": "'{...}'",
    "out": "FOLDER",
    "runs": "'[...]'",
    "world": "config/mini.yaml",
    "table": "II",
    "figure": "fig5",
}
"""What stands for an option's value in examples; a file for others."""
_THREADS = Annotated[
    int, typer.Option(min=1, help="CPU threads; more change the last digits.")
]
_DEVICE = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
_PRECISION = Annotated[
    str, typer.Option(help="auto, float32 or bfloat16.", envvar=PRECISION)
]


def _command_of(step: Step) -> Callable[..., None]:
    """Return the command of a step."""

    def command(**given: Any) -> None:
        own = {k: _parsed(k, given[k], step.options) for k in step.options}
        first: tuple[Any, ...] = ()
        if step.is_keyed:
            text = _json(given["spec"], "--spec", dict)
            spec = check(step.spec, text, f"tipcap step {_name_of(step)} --spec")
            parents = _json(given["parents"], "--parents", dict)
            fields = spec.model_dump(mode="json")
            request = Request(step.name, given["key"], parents, fields, given["out"])
            first = (request, spec)
        if step.torch_threads:
            from tipcap.io.processes import precision_named, set_up_torch

            device = set_up_torch(given["threads"], given.get("device", "cpu"))
            own |= {"device": device} if "device" in own else {}
            if "precision" in own:
                given_as = precision_named(given["precision"], device, "--precision")
                own["precision"] = given_as
        step.run(*first, **own)

    options = {name: _option(one) for name, one in step.options.items()}
    options |= {"threads": _parameter("threads", _THREADS, default=1)}
    if "device" in options:
        options["device"] = _parameter("device", _DEVICE, default="auto")
    if "precision" in options:
        options["precision"] = _parameter("precision", _PRECISION, default="auto")
    if step.is_keyed:
        options |= {name: _parameter(name, kind) for name, kind in _EVERY_STEP.items()}
    described = inspect.getmodule(step.run)
    return _with_options(command, options.values(), described)


def _report_of(run: Callable[..., None]) -> Callable[..., None]:
    """Return the command of a report."""
    parameters = inspect.signature(run).parameters

    def command(**given: Any) -> None:
        run(**{name: _parsed(name, value, parameters) for name, value in given.items()})

    return _with_options(command, map(_option, parameters.values()), run)


def _option(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter of a step's function as one that the command line understands."""
    kind, default = parameter.annotation, parameter.default
    if get_origin(kind) is Sequence:  # several of one role
        kind = list[get_args(kind)[0]]  # type: ignore[misc]
        if default is not inspect.Parameter.empty:
            kind, default = kind | None, None
    elif get_origin(kind) in (list, dict):
        kind = str
    return parameter.replace(
        kind=inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, typer.Option()],
    )


def _parsed(name: str, value: Any, declared: Any) -> Any:
    """Return a value of the command line as a step's function takes it."""
    kind = get_origin(declared[name].annotation) if name in declared else None
    if kind in (list, dict):
        return _json(value, f"--{name}", kind)
    return tuple(value or ()) if kind is Sequence else value


def _parameter(name: str, kind: Any, **default: Any) -> inspect.Parameter:
    by_name = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, by_name, annotation=kind, **default)


def _with_options(
    command: Callable[..., None],
    parameters: Iterable[inspect.Parameter],
    described: object,
) -> Callable[..., None]:
    """Give a function the options of a command, and the first line of what describes it."""
    signature = inspect.Signature(list(parameters))
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {
        name: one.annotation for name, one in signature.parameters.items()
    }
    command.__doc__ = (described.__doc__ or "").partition("\n")[0]
    return command


def _json(text: str, option: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{option}: expected JSON, found {text[:60]!r} ({error}); quote it as one word"
        ) from error
    if not isinstance(value, kind):
        raise InputError(
            f"{option}: expected a JSON {'object' if kind is dict else 'list'}, found {text[:60]!r}; correct it"
        )
    return value


def _name_of(step: Step) -> str:
    return step.name.replace("_", "-")


@steps.command(
    epilog=epilog(["tipcap step spread --devices 4 -- train --spec '{...}' ..."])
)
def spread(
    words: Annotated[
        list[str], typer.Argument(help="The command: train or prompt, with options.")
    ],
    devices: Annotated[
        int, typer.Option(min=1, help="Processes, one per device, on each node.")
    ] = 1,
    nodes: Annotated[
        int, typer.Option(min=1, help="Nodes of the SLURM job this runs in.")
    ] = 1,
    threads: Annotated[
        int, typer.Option(min=1, help="CPUs of the processes of a node together.")
    ] = 1,
) -> int:
    """Run a training in one process per device: tipcap step spread --devices 4 -- train ..."""
    from tipcap.io.spread import spread as run

    spreading = [name for name, step in STEPS.items() if step.spreads]
    if words[0] not in spreading:
        raise InputError(
            f"spread: expected {' or '.join(spreading)}, found {words[0]!r}; other steps use one device"
        )
    return run(words, devices, nodes, threads)


def _add(name: str, command: Callable[..., None]) -> None:
    """Add a command, with the words that a rule calls it by as its example."""
    words = ["tipcap step", name]
    for option, one in inspect.signature(command).parameters.items():
        if one.default is inspect.Parameter.empty:
            words.append(f"--{option.replace('_', '-')} {_VALUES.get(option, 'FILE')}")
    steps.command(name, epilog=epilog([" ".join(words)]))(command)


for one in STEPS.values():
    _add(_name_of(one), _command_of(one))
for report in REPORTS:
    _add(report.__name__, _report_of(report))
