"""The commands that people use."""

import itertools
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from tipcap import __version__
from tipcap.errors import InputError


def _world_file(given: str | Path) -> Path:
    """Return the file of a world, which may also be given as the name of one in `config/`."""
    file = Path(given)
    is_name = len(file.parts) == 1 and not file.suffix and not file.exists()
    return Path("config", f"{file}.yaml") if is_name else file


def _worlds() -> list[str]:
    """Return the names that a shell completes."""
    from tipcap.config.world import worlds_in

    return worlds_in(Path("config"))


World = Annotated[
    Path,
    typer.Option(
        help="The world's file, or its name.",
        parser=_world_file,
        metavar="PATH",
        autocompletion=_worlds,
    ),
]


def plan(
    world: World = Path("config/mini.yaml"),
    table: Annotated[
        str | None, typer.Option(help="Only this table; with --cost also `captioner`.")
    ] = None,
    row: Annotated[str | None, typer.Option(help="Only this row of it.")] = None,
    target: Annotated[
        bool, typer.Option("--target", help="Print only the file to make.")
    ] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Hours, disk and downloads per table.")
    ] = False,
) -> None:
    """Show what each table needs, what is done, what is left and what that costs."""
    from tipcap.commands.overview import show_plan, target_of
    from tipcap.plan import load
    from tipcap.plan.oddities import warnings_of

    planned = load(world)
    if target:
        if table is None:
            raise InputError("--table: expected a table, found none; name it")
        typer.echo(target_of(planned, table, row))
        return
    if cost:
        from tipcap.commands.costs import show_costs

        for line in show_costs(planned, table):
            typer.echo(line)
        return
    for line in show_plan(planned, table, row):
        typer.echo(line)
    for line in warnings_of(planned):
        typer.echo(f"warning: {line}", err=True)


def doctor(
    world: World = Path("config/mini.yaml"),
    profile: Annotated[
        str | None, typer.Option(help="Snakemake profile: slurm looks at the cluster.")
    ] = None,
    network: Annotated[
        bool, typer.Option("--network", help="Ask every address of downloads.csv.")
    ] = False,
) -> int:
    """Say what of this machine or cluster is ready, and what to do about the rest; status 1 if something is missing."""
    from tipcap.commands.doctor import examine
    from tipcap.commands.findings import line_of
    from tipcap.plan import load

    findings, planned = [], load(world)
    parts = [examine(planned, profile)]
    if network:
        from tipcap.commands.network import examine_network

        parts.append(examine_network(planned))
    for finding in itertools.chain.from_iterable(parts):
        findings.append(finding)
        typer.echo(line_of(finding))
    return int(any(finding.state == "missing" for finding in findings))


def ui(
    world: World = Path("config/mini.yaml"),
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Of 127.0.0.1; default: 5000, or the next free.",
        ),
    ] = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the address, open no browser.")
    ] = False,
) -> None:
    """Show a world's runs in MLflow, in the browser; on this machine alone."""
    from tipcap.reports.ui import show_runs

    for line in show_runs(world, port, not no_open and sys.stdout.isatty()):
        print(line, flush=True)


def trace(
    table: Annotated[str, typer.Argument(help="Its name: II, sanity.")],
    row: Annotated[str, typer.Argument(help="Any part of its name that is its own.")],
    group: Annotated[str, typer.Argument(help="Of columns, likewise.")],
    metric: Annotated[str, typer.Argument(help="cider, nll, ...")],
    world: World = Path("config/mini.yaml"),
) -> None:
    """Show where a number comes from: runs, steps, parameters, times, files, and the command for it."""
    from tipcap.commands.trace import trace as lines_of
    from tipcap.plan import load

    for line in lines_of(load(world), table, row, group, metric):
        typer.echo(line)


def compare(
    results: Annotated[
        Path, typer.Argument(help="A folder of tables, or a file of cells.")
    ],
    reference: Annotated[Path, typer.Argument(help="What it is compared with.")],
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write every cell here.")
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show equal cells too.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Status 1 where a cell differs.")
    ] = False,
) -> int:
    """Compare two computations of the tables cell by cell: same, within what seeds change, or different."""
    from tipcap.commands.compare import Comparison

    comparison = Comparison(results, reference)
    for line in comparison.lines(show_all):
        typer.echo(line)
    if csv_file is not None:
        comparison.write(csv_file)
    return int(strict and comparison.differs)


def own_world(
    name: Annotated[str, typer.Argument(help="Of the world: a to z, 0 to 9 and -.")],
    captions: Annotated[
        Path,
        typer.Option(
            help="CSV, TSV, JSON, JSON lines, Karpathy, COCO, or one on each line."
        ),
    ],
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of pictures, or of archives of them.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Some pictures with their captions.")
    ] = None,
    web_pairs: Annotated[
        Path | None, typer.Option(help="Pictures with texts of another kind.")
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="mini, clip, rn50x4, vit-l-14, vit-b-32, or any of open_clip."
        ),
    ] = "mini",
    weights: Annotated[
        Path | None, typer.Option(help="File of the weights of one of open_clip.")
    ] = None,
    language_model: Annotated[
        str | None, typer.Option(help="A folder, or a name on the Hugging Face hub.")
    ] = None,
) -> None:
    """Make a world of your own files: say which of the paper's settings they allow, and write config/NAME.yaml."""
    from tipcap.commands.own_world import OwnFiles, make_world

    files = OwnFiles(captions, pictures, pairs, web_pairs)
    for line in make_world(name, files, encoder, weights, language_model):
        typer.echo(line)


def example(folder: Annotated[Path, typer.Argument(help="New.")]) -> None:
    """Draw files to try `tipcap new` with: captions, pictures, pairs and web pairs of the mini world."""
    from tipcap.mini.example import draw_example

    draw_example(folder)
    files = {
        "captions": "captions.txt",
        "pictures": "pictures",
        "pairs": "pairs.csv",
        "web-pairs": "web.tsv",
    }
    options = [(f"--{name}", str(folder / file)) for name, file in files.items()]
    typer.echo(f"tipcap new example {shlex.join(itertools.chain(*options))}")


def sheet(out: Annotated[Path, typer.Option()], seed: int = 0) -> None:
    """Draw a sheet of the mini world's pictures with their captions, as PNG."""
    from tipcap.io.store import replace_file
    from tipcap.mini.sheet import draw_sheet

    with replace_file(out) as partial:
        draw_sheet(seed).save(partial, "PNG")


def version() -> None:
    """Print the version."""
    typer.echo(__version__)
