"""What all commands have alike: examples in their help, --quiet where they show progress, -h."""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer

CONTEXT = {"help_option_names": ["-h", "--help"]}
EXAMPLES: dict[str, tuple[str, ...]] = {
    "caption": (
        "tipcap caption picture.jpg",
        "tipcap caption holiday/ --prompt boat --json > captions.jsonl",
        "tipcap caption --samples --interactive",
    ),
    "export": ("tipcap export mini:s1-prompt captioner",),
    "score": (
        "tipcap score captions.json --references annotations.json",
        "tipcap score captions.json --references annotations.json --json scores.json",
        "tipcap score a.json b.json --references dataset_coco.json --metrics cider,meteor --best-and-worst cider",
    ),
    "plan": (
        "tipcap plan --world mini-full",
        "tipcap plan --world paper --table V --cost",
    ),
    "trace": ('tipcap trace II "TIPCap (S1)" MS-COCO cider --world mini',),
    "compare": (
        "tipcap compare results/mini/tables results/reference/mini",
        "tipcap compare results/mini/tables results/reference/mini --csv cells.csv --strict",
    ),
    "ui": ("tipcap ui --world mini-full",),
    "doctor": (
        "tipcap doctor",
        "tipcap doctor --world paper --profile slurm --network",
    ),
    "new": (
        "tipcap new mine --captions captions.txt",
        "tipcap new mine --captions captions.csv --pictures pictures --pairs pairs.csv",
    ),
    "example": ("tipcap example own-data",),
    "sheet": ("tipcap sheet --out sheet.png",),
    "version": ("tipcap version",),
    "demo": ("tipcap demo",),
}
"""Of what people type, by command."""
_WITH_PROGRESS = ("caption", "score", "new", "export")


def add_command(app: typer.Typer, name: str, command: Callable[..., Any]) -> None:
    """Add one that people use."""
    if name in _WITH_PROGRESS:
        command = _with_quiet(command)
    examples = EXAMPLES.get(name, (f"tipcap {name}",))
    app.command(name, epilog=epilog(examples))(command)


def epilog(examples: Sequence[str]) -> str:
    """Return examples as a help shows them at its end, each on a line of its own."""
    head = "Example:" if len(examples) == 1 else "Examples:"
    return "\n".join(["\b", head, *(f"  {example}" for example in examples)])


def _with_quiet(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command with the option --quiet beside its own."""

    @wraps(command)
    def quiet_or_not(*, quiet: bool, **given: Any) -> Any:
        if quiet:
            from tipcap.io.waiting import silence

            silence()
        return command(**given)

    option = Annotated[
        bool, typer.Option("--quiet", "-q", help="Results, warnings and errors alone.")
    ]
    own = inspect.signature(command, eval_str=True)
    parameter = inspect.Parameter(
        "quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option
    )
    parameters = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for one in own.parameters.values()
        if one.name != "quiet"
    ]
    signature = own.replace(parameters=[*parameters, parameter])
    quiet_or_not.__signature__ = signature  # type: ignore[attr-defined]
    quiet_or_not.__annotations__ = {
        name: one.annotation for name, one in signature.parameters.items()
    }
    return quiet_or_not
