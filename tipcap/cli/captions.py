"""The commands that caption pictures, and hand captioners on."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from tipcap import paths
from tipcap.errors import InputError
from tipcap.imports import without_collecting
from tipcap.wording import counted

_DEVICE = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
_NUM_CAPTIONS = 2000


def caption(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, patterns, addresses, or - for standard input.",
            metavar="PICTURE...",
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="A word that the caption should have; may be repeated."),
    ] = None,
    must_name: Annotated[
        bool,
        typer.Option(
            "--must-name/--may-miss",
            help="Write captions that name the words, or leave it to the captioner as the paper does.",
        ),
    ] = True,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Offer words and take yours.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="WORLD:EXPERIMENT, as mini:s1-prompt, or a folder."),
    ] = None,
    models: Annotated[
        bool, typer.Option("--models", help="List the models that are there.")
    ] = False,
    samples: Annotated[
        bool, typer.Option("--samples", help="Caption the pictures that ship too.")
    ] = False,
    beams: Annotated[
        int | None, typer.Option(min=1, help="Hypotheses of the search.")
    ] = None,
    n_best: Annotated[
        int, typer.Option(min=1, help="So many captions of each, with their scores.")
    ] = 1,
    json_lines: Annotated[
        bool, typer.Option("--json", help="One JSON object per picture.")
    ] = False,
    device: _DEVICE = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; by default all.")
    ] = None,
) -> int:
    """Caption pictures: a table on a terminal, plain lines in a pipe; --prompt WORD gives the refined caption too."""
    if models:
        from tipcap.interface.finding import available

        for name, origin in available():
            typer.echo(f"{name}\t{origin}")
        return 0
    from tipcap.io.picture_sources import STANDARD_INPUT, picture_sources
    from tipcap.io.waiting import is_terminal

    given = list(pictures or [])
    if samples:
        given.append(str(paths.packaged(paths.SAMPLES)))
    if not given and not sys.stdin.isatty() and not interactive:
        given = [STANDARD_INPUT]
    if not given:
        raise InputError(
            "caption: expected pictures, found none; name files, folders, patterns or addresses, or give --samples"
        )
    if interactive and STANDARD_INPUT in given:
        raise InputError(
            "--interactive: expected pictures by name, found standard input, which your answers come from; name a file"
        )
    sources = picture_sources(given, lambda: sys.stdin.buffer.read())

    with without_collecting(for_good=True):
        from tipcap.commands.caption import (
            caption_pictures,
            refine_pictures,
            warn_on_standard_error,
            words_given,
        )
        from tipcap.commands.caption_output import Output
        from tipcap.interface.captioner import Captioner
        from tipcap.io.processes import set_up_torch

        words = words_given(prompt or [])
        captioner = Captioner.load(
            model, device=set_up_torch(threads or len(os.sched_getaffinity(0)), device)
        )
        captioner.embed([])  # loads the encoder
    if n_best > (beams or captioner.about.beam):
        raise InputError(
            f"--n-best: expected at most as many as the search keeps, {beams or captioner.about.beam}, found {n_best}; raise --beams"
        )
    on_terminal = sys.stdout.isatty()
    output = Output(
        "json" if json_lines else "table" if on_terminal else "plain",
        lambda line: typer.echo(line, color=True),
        num_best=n_best,
        is_prompted=bool(words),
        in_bold=is_terminal(sys.stdout) and not os.environ.get("NO_COLOR"),
        name_width=max((len(source.name) for source in sources), default=0),
        # a person who refines is told after each answer
        note=None if interactive else warn_on_standard_error,
    )
    captioner.check_words(words)
    if interactive:
        failed = refine_pictures(
            sources,
            captioner,
            output,
            warn_on_standard_error,
            _asked,
            prompt=words,
            beam=beams,
            must_name=must_name,
        )
    else:
        failed = caption_pictures(
            sources,
            captioner,
            output,
            lambda line: warn_on_standard_error(f"tipcap: error: {line}"),
            prompt=words,
            beam=beams,
            must_name=must_name,
        )
    return 2 if failed else 0


def _asked(question: str) -> str:
    """Ask on standard error, so that only captions go down a pipe."""
    print(question, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        print(file=sys.stderr)
        raise EOFError
    return line


def export(
    name: Annotated[
        str, typer.Argument(help="WORLD:EXPERIMENT, as mini:s1-prompt, or a folder.")
    ],
    folder: Annotated[Path, typer.Argument(help="New; what is written.")],
    captions: Annotated[
        int,
        typer.Option(min=0, help="Of the corpus that go along, for words to offer."),
    ] = _NUM_CAPTIONS,
    push: Annotated[
        str | None,
        typer.Option(help="Then upload it to a hub as OWNER/NAME.", metavar="NAME"),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="What --push makes is seen by you alone.")
    ] = False,
) -> None:
    """Write a captioner as a folder that works anywhere: tipcap caption --model FOLDER."""
    from tipcap.interface.exporting import export_captioner
    from tipcap.io.model_card import why_no_cells

    parts = export_captioner(name, folder, captions)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    number = len(parts.about.cells)
    cells = (
        counted(number, "cell") if number else f"no cells: {why_no_cells(parts.about)}"
    )
    typer.echo(f"{folder}: {parts.about.name}, {size / 1e6:.1f} MB, {cells}")
    typer.echo(f"tipcap caption --model {shlex.quote(str(folder))} PICTURE")
    if push is not None:
        from tipcap.io.hub_upload import push_folder

        typer.echo(push_folder(folder, push, is_private=private))


def demo(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="WORLD:EXPERIMENT or a folder; may be repeated. By default all that ship and take words."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Of this machine; by default from 7860 on, 0 for any.",
        ),
    ] = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Open no browser.")
    ] = False,
    device: _DEVICE = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; by default all.")
    ] = None,
) -> None:
    """Serve a page on this machine: drop a picture, see its captions, refine them with words."""
    from tipcap.io.demo_page import build_page, check_gradio, serve_page

    check_gradio()  # before seconds of loading
    samples = sorted(paths.packaged(paths.SAMPLES).glob("*.png"))
    with without_collecting(for_good=True):
        from tipcap.commands.demo import demo_of
        from tipcap.commands.demo_html import error_html
        from tipcap.io.processes import set_up_torch

        chosen = set_up_torch(threads or len(os.sched_getaffinity(0)), device)
        actions = demo_of(list(model or []), chosen)
        # what is loaded at first need is loaded before anybody waits for it
        actions.look(samples[0].read_bytes(), samples[0].name)
    serve_page(
        lambda: build_page(actions, samples, error_html), port, typer.echo, not no_open
    )
