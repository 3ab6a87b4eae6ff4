"""The command line: what people use, and under `tipcap step` what the workflow's rules call.

What a command computes with is imported when it runs, so that `tipcap plan` needs no torch.
"""

import sys
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from tipcap.cli import captions, people
from tipcap.cli.step import steps
from tipcap.errors import InputError, Stopped, refused
from tipcap.extras import extras_told

STOPPED = 75
"""Exit status of a step that was asked to end (EX_TEMPFAIL: try again)."""
app = typer.Typer(
    name="tipcap",
    help="Text data-centric image captioning with interactive prompts.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    captions.caption,
    captions.export,
    people.score,
    people.plan,
    people.trace,
    people.compare,
    people.doctor,
    people.sheet,
    people.example,
    people.version,
):
    app.command()(command)
app.command("new")(people.own_world)
app.add_typer(steps, name="step")


def _fail(message: str) -> NoReturn:
    print(f"tipcap: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def main(words: list[str] | None = None) -> None:
    """Run a subcommand; bad input ends in one line on stderr and exit status 2, a request to end in 75."""
    given = sys.argv[1:] if words is None else words
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
    except typer.Abort:
        sys.exit(130)  # interrupted from the keyboard
    except OSError as error:
        _fail(str(refused(error)))
    if status:
        sys.exit(status)
