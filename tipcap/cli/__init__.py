"""The command line: what people use, and under `tipcap step` what the workflow's rules call.

What a command computes with is imported when it runs, so that `tipcap plan` needs no torch.
"""

import io
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from tipcap import __version__
from tipcap.cli import captions, people, scores
from tipcap.cli.manners import CONTEXT, add_command, epilog
from tipcap.cli.step import steps
from tipcap.errors import INTERRUPTED, InputError, Stopped, one_line, refused
from tipcap.extras import extras_told

STOPPED = 75
"""Exit status of a step that was asked to end (EX_TEMPFAIL: try again)."""
_LACKING = "backslashreplace"
"""What is written where an encoding lacks a letter."""
app = typer.Typer(
    name="tipcap",
    context_settings=CONTEXT,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback(epilog=epilog(["tipcap caption picture.jpg", "tipcap plan --help"]))
def _of_all(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show it and end."
        ),
    ] = False,
) -> None:
    """Text data-centric image captioning with interactive prompts."""


for command in (
    captions.caption,
    captions.demo,
    captions.export,
    scores.score,
    people.plan,
    people.ui,
    people.trace,
    people.compare,
    people.doctor,
    people.sheet,
    people.example,
    people.version,
):
    add_command(app, command.__name__, command)
add_command(app, "new", people.own_world)
app.add_typer(steps, name="step")


def prepare_streams() -> None:
    """See to it that all can be said: where a stream was closed, and what an encoding lacks.

    The name of a file need not be UTF-8, and not every terminal knows a plus-minus sign.
    """
    for name, access in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(access))  # noqa: SIM115 - for good
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors != _LACKING:
        sys.stdout.reconfigure(errors=_LACKING)


def _fail(message: str) -> NoReturn:
    print(f"tipcap: error: {one_line(message)}", file=sys.stderr)
    sys.exit(2)


def main(words: list[str] | None = None) -> None:
    """Run a subcommand; bad input ends in one line on stderr and exit status 2, a request to end in 75."""
    given = sys.argv[1:] if words is None else words
    prepare_streams()
    try:
        with extras_told():
            status = app(given or ["--help"], standalone_mode=False)
    except InputError as error:
        _fail(str(error))
    except Stopped as error:
        print(f"tipcap: stopped {error}; run it again to go on", file=sys.stderr)
        sys.exit(STOPPED)
    except TyperException as error:
        _fail(f"{error.format_message()} (see --help)")
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except OSError as error:
        _fail(str(refused(error)))
    if status == INTERRUPTED:
        print("tipcap: interrupted", file=sys.stderr, flush=True)
    if status:
        sys.exit(status)
