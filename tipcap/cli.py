"""The command line: one subcommand per step, which reads its options and calls one function.

A step's modules are imported inside its subcommand, so that `tipcap table` needs no torch.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from typer.exceptions import TyperException

from tipcap import __version__
from tipcap.config.reading import check
from tipcap.errors import InputError, Stopped
from tipcap.io.record import Request
from tipcap.specs import (
    CollectSpec,
    DownloadSpec,
    DrawSpec,
    EmbedSpec,
    EncoderSpec,
    EstimateSpec,
    GenerateSpec,
    LanguageModelSpec,
    NounsSpec,
    PrepareSpec,
    PromptSpec,
    RetrieveSpec,
    Spec,
    SpiceSpec,
    TrainSpec,
)

app = typer.Typer(
    name="tipcap",
    help="Text data-centric image captioning with interactive prompts: the steps of the workflow.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

SpecText = Annotated[str, typer.Option("--spec", help="Parameters of the step, JSON.")]
Key = Annotated[str, typer.Option(help="Key of the artefact.")]
Parents = Annotated[str, typer.Option(help="Keys of the inputs by role, JSON.")]
Out = Annotated[Path, typer.Option(help="Folder of the artefact.")]
Threads = Annotated[
    int, typer.Option(min=1, help="CPU threads; more change the last digits.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
File = Annotated[Path, typer.Option()]
OptionalFile = Annotated[Path | None, typer.Option()]
Files = Annotated[list[Path] | None, typer.Option()]
STOPPED = 75
"""Exit status of a step that was asked to end (EX_TEMPFAIL: try again)."""
AnySpec = TypeVar("AnySpec", bound=Spec)
Given = TypeVar("Given", Path, str)


def _json(text: str, option: str, kind: type = dict) -> Any:
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


def _request(
    kind: type[AnySpec], spec: str, key: str, parents: str, out: Path
) -> tuple[Request, AnySpec]:
    parsed = check(kind, _json(spec, "--spec"), f"tipcap {kind.step} --spec")
    fields = parsed.model_dump(mode="json")
    return Request(kind.step, key, _json(parents, "--parents"), fields, out), parsed


def _torch(threads: int, device: str = "cpu") -> str:
    """Set up torch for reproducible results and return the device to use."""
    import torch

    from tipcap.io.processes import gpu_of_this_process, threads_of_this_process

    torch.set_num_threads(threads_of_this_process(threads))
    torch.use_deterministic_algorithms(True, warn_only=True)
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(
            f"--device: expected auto, cpu or cuda, found {device!r}; choose one of them"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"--device: expected a GPU for {device!r}, found none; use --device cpu"
        )
    return gpu_of_this_process() if device == "cuda" else device


def _archives(pictures: list[Path] | None) -> list[Path]:
    """Return archives; a folder stands for the archives in it."""
    found: list[Path] = []
    for path in pictures or []:
        found += sorted(path.glob("*.zip")) if path.is_dir() else [path]
    return found


@app.command()
def download(
    spec: SpecText, key: Key, parents: Parents, out: Out, downloads: File
) -> None:
    """Fetch one file and check it."""
    from tipcap.steps.download import download as run

    request, parsed = _request(DownloadSpec, spec, key, parents, out)
    run(request, parsed, downloads)


@app.command()
def draw(
    spec: SpecText, key: Key, parents: Parents, out: Out, threads: Threads = 1
) -> None:
    """Draw the raw files of a dataset of the mini world."""
    from tipcap.steps.data import draw as run

    run(*_request(DrawSpec, spec, key, parents, out))


@app.command()
def collect(
    spec: SpecText,
    key: Key,
    parents: Parents,
    out: Out,
    raw: File,
    threads: Threads = 1,
) -> None:
    """Fetch pictures published as a list of addresses."""
    from tipcap.steps.data import collect as run

    run(*_request(CollectSpec, spec, key, parents, out), raw)


@app.command()
def prepare(
    spec: SpecText,
    key: Key,
    parents: Parents,
    out: Out,
    raw: File,
    pictures: Files = None,
    threads: Threads = 1,
) -> None:
    """Bring a dataset's annotations into one form."""
    from tipcap.steps.data import prepare as run

    run(*_request(PrepareSpec, spec, key, parents, out), raw, _archives(pictures))


@app.command()
def encoder(
    spec: SpecText,
    key: Key,
    parents: Parents,
    out: Out,
    weights: OptionalFile = None,
    pairs: OptionalFile = None,
    pictures: Files = None,
    threads: Threads = 1,
    device: Device = "cpu",
) -> None:
    """Make a CLIP encoder's folder."""
    from tipcap.steps.models import make_encoder as run

    _torch(threads)
    request, parsed = _request(EncoderSpec, spec, key, parents, out)
    run(request, parsed, weights, pairs, _archives(pictures))


@app.command("language-model")
def language_model_step(
    spec: SpecText,
    key: Key,
    parents: Parents,
    out: Out,
    weights: Files = None,
    documents: OptionalFile = None,
    encoder: OptionalFile = None,
    threads: Threads = 1,
    device: Device = "cpu",
) -> None:
    """Make a GPT-2's folder."""
    from tipcap.steps.models import make_language_model as run

    _torch(threads)
    request, parsed = _request(LanguageModelSpec, spec, key, parents, out)
    run(request, parsed, weights or [], documents, encoder)


@app.command()
def embed(
    spec: SpecText,
    key: Key,
    parents: Parents,
    out: Out,
    dataset: File,
    encoder: File,
    pictures: Files = None,
    threads: Threads = 1,
    device: Device = "auto",
) -> None:
    """Embed a split's pictures or captions."""
    from tipcap.steps.embed import embed as run

    chosen = _torch(threads, device)
    request, parsed = _request(EmbedSpec, spec, key, parents, out)
    run(request, parsed, dataset, encoder, _archives(pictures), chosen)


@app.command()
def estimate(
    spec: SpecText,
    key: Key,
    parents: Parents,
    out: Out,
    images: File,
    texts: File,
    corpus: OptionalFile = None,
    threads: Threads = 1,
) -> None:
    """Estimate the modality gap and print what it looks like."""
    from tipcap.steps.estimate import estimate as run

    _torch(threads)
    run(*_request(EstimateSpec, spec, key, parents, out), images, texts, corpus)


@app.command()
def train(
    spec: SpecText,
    key: Key,
    parents: Parents,
    out: Out,
    corpus: File,
    texts: File,
    language_model: File,
    checkpoints: File,
    gap: OptionalFile = None,
    images: OptionalFile = None,
    threads: Threads = 1,
    device: Device = "auto",
) -> None:
    """Train a captioner on text; goes on where an interrupted run stopped."""
    from tipcap.steps.train import train_captioner as run

    chosen = _torch(threads, device)
    request, parsed = _request(TrainSpec, spec, key, parents, out)
    run(
        request, parsed, corpus, texts, language_model, gap, images, checkpoints, chosen
    )


@app.command()
def nouns(
    spec: SpecText,
    key: Key,
    parents: Parents,
    out: Out,
    dataset: OptionalFile = None,
    captions: OptionalFile = None,
    threads: Threads = 1,
) -> None:
    """Find the words of captions that prompts may name."""
    from tipcap.steps.nouns import nouns as run

    run(*_request(NounsSpec, spec, key, parents, out), dataset, captions)


@app.command()
def prompt(
    spec: SpecText,
    key: Key,
    parents: Parents,
    out: Out,
    model: File,
    corpus: File,
    texts: File,
    language_model: File,
    nouns: File,
    checkpoints: File,
    images: OptionalFile = None,
    threads: Threads = 1,
    device: Device = "auto",
) -> None:
    """Train a captioner to follow prompts; goes on where an interrupted run stopped."""
    from tipcap.steps.prompt import train_with_prompts as run

    chosen = _torch(threads, device)
    request, parsed = _request(PromptSpec, spec, key, parents, out)
    run(
        request,
        parsed,
        model,
        corpus,
        texts,
        language_model,
        nouns,
        images,
        checkpoints,
        chosen,
    )


@app.command()
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
    """Run a training in one process per device: tipcap spread --devices 4 -- train ..."""
    from tipcap.io.spread import spread as run

    if words[0] not in ("train", "prompt"):
        raise InputError(
            f"spread: expected train or prompt, found {words[0]!r}; other steps use one device"
        )
    return run(words, devices, nodes, threads)


@app.command()
def generate(
    spec: SpecText,
    key: Key,
    parents: Parents,
    out: Out,
    dataset: File,
    model: OptionalFile = None,
    language_model: OptionalFile = None,
    images: OptionalFile = None,
    corpus: OptionalFile = None,
    texts: OptionalFile = None,
    rough: OptionalFile = None,
    nouns: OptionalFile = None,
    rough_nouns: OptionalFile = None,
    threads: Threads = 1,
    device: Device = "auto",
) -> None:
    """Write the captions of a split."""
    from tipcap.steps import generate as step

    chosen = _torch(threads, device)
    if "method" in _json(spec, "--spec"):
        request, retrieving = _request(RetrieveSpec, spec, key, parents, out)
        step.retrieve(
            request, retrieving, dataset, _given(corpus, "corpus"), images, texts
        )
        return
    request, parsed = _request(GenerateSpec, spec, key, parents, out)
    simulation = None
    if parsed.prompts == "simulated":
        files = {"rough": rough, "nouns": nouns, "rough-nouns": rough_nouns}
        given = [_given(path, option) for option, path in files.items()]
        simulation = step.Simulation(dataset, *given)
    step.generate(
        request,
        parsed,
        _given(model, "model"),
        _given(language_model, "language-model"),
        _given(images, "images"),
        chosen,
        simulation,
        texts,
    )


def _given(value: Given | None, option: str, kind: str = "file") -> Given:
    if value is None:
        raise InputError(f"--{option}: expected a {kind}, found none; name it")
    return value


@app.command()
def spice(spec: SpecText, key: Key, parents: Parents, out: Out, wheel: File) -> None:
    """Unpack SPICE's jars."""
    from tipcap.steps.score import unpack_spice as run

    run(*_request(SpiceSpec, spec, key, parents, out), wheel)


@app.command()
def score(
    captions: Annotated[
        Path, typer.Argument(help="COCO result file, or a mapping image: caption.")
    ],
    references: Annotated[
        Path,
        typer.Option(
            help="COCO annotations, Karpathy file, or a mapping image: captions."
        ),
    ],
    against: Annotated[
        Path | None,
        typer.Option(help="Second result file, compared image by image."),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write corpus and image scores here."),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Every image with references needs a caption."),
    ] = False,
    spice: Annotated[
        bool,
        typer.Option("--spice", help="Fetch SPICE's jars (520 MB) if missing."),
    ] = False,
    jars: Annotated[
        Path | None, typer.Option(help="Folder of SPICE's jars to use instead.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="For SPICE's parser.")] = 2,
) -> None:
    """Score a file of captions: BLEU, METEOR, ROUGE-L, CIDEr and SPICE with 95 % intervals."""
    from tipcap.steps.score_file import score_file, user_spice

    tools = user_spice(spice, jars, threads)
    score_file(
        captions,
        references,
        against,
        json_file=json_file,
        strict=strict,
        spice=tools,
        seed=seed,
    )


@app.command("score-runs")
def score_runs(
    request: Annotated[
        str,
        typer.Option(
            help="JSON list of runs: key, spec, parents, captions, references."
        ),
    ],
    out: Out,
    index: File,
    reference_sets: OptionalFile = None,
    spice: OptionalFile = None,
    parses: OptionalFile = None,
    threads: Threads = 1,
) -> None:
    """Score runs of the workflow in one call; those that have their scores already are skipped."""
    from tipcap.steps.score import score as run
    from tipcap.steps.score import spice_tools

    tools = spice_tools(spice, parses, threads)
    run(_json(request, "--request", list), out, index, tools, reference_sets)


@app.command()
def table(
    world: File,
    table: Annotated[str, typer.Option(help="Number of the table.")],
    out: Out,
    scores: OptionalFile = None,
    examples: Annotated[
        list[str] | None, typer.Option(help="CORPUS=ANNOTATIONS, repeated.")
    ] = None,
) -> None:
    """Render a table as CSV, cells and LaTeX."""
    from tipcap.steps.report import make_table as run

    run(world, table, out, scores, examples or [])


@app.command()
def cells(
    cells: Annotated[list[Path], typer.Option(help="Of one table, repeated.")],
    out: Out,
) -> None:
    """Join the cells of all tables into one frame."""
    from tipcap.io.cells import join_cells as run

    run(cells, out)


@app.command()
def document(world: File, out: File) -> None:
    """Join all tables into one LaTeX document."""
    from tipcap.steps.report import make_document as run

    run(world, out)


@app.command()
def claims(world: File, cells: File, out: Out) -> None:
    """Judge what the paper says of its tables on the cells that were made."""
    from tipcap.steps.claims import make_claims as run

    run(world, cells, out)


@app.command()
def figure(
    world: File,
    figure: Annotated[str, typer.Option(help="Name of the figure.")],
    out: File,
) -> None:
    """Draw a figure."""
    from tipcap.steps.figures import make_figure as run

    run(world, figure, out)


@app.command()
def report(world: File, out: File) -> None:
    """Write one page with tables, figures, claims, pictures and costs."""
    from tipcap.steps.page import make_report as run

    run(world, out)


@app.command()
def track(
    world: File,
    table: Annotated[str, typer.Option(help="Number of the table.")],
    database: File,
    out: File,
) -> None:
    """Write a table's records into the MLflow database."""
    from tipcap.steps.report import track_table as run

    run(world, table, database, out)


@app.command()
def plan(
    world: File = Path("config/mini.yaml"),
    table: Annotated[str | None, typer.Option(help="Only this table.")] = None,
    row: Annotated[str | None, typer.Option(help="Only this row of it.")] = None,
    target: Annotated[
        bool, typer.Option("--target", help="Print only the file to make.")
    ] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Hours, disk and downloads per table.")
    ] = False,
) -> None:
    """Show what each table needs, what is done, what is left and what that costs."""
    from tipcap.plan import load
    from tipcap.steps.overview import show_plan, target_of

    planned = load(world)
    if target:
        typer.echo(target_of(planned, _given(table, "table", "table"), row))
        return
    if cost:
        from tipcap.steps.costs import show_costs

        for line in show_costs(planned, table):
            typer.echo(line)
        return
    for line in show_plan(planned, table, row):
        typer.echo(line)


@app.command()
def doctor(
    world: File = Path("config/mini.yaml"),
    profile: Annotated[
        str | None, typer.Option(help="Snakemake profile: slurm looks at the cluster.")
    ] = None,
) -> int:
    """Say what of this machine or cluster is ready, and what to do about the rest; status 1 if something is missing."""
    from tipcap.plan import load
    from tipcap.steps.doctor import examine, line_of

    findings = []
    for finding in examine(load(world), profile):
        findings.append(finding)
        typer.echo(line_of(finding))
    return int(any(finding.state == "missing" for finding in findings))


@app.command()
def sheet(out: File, seed: int = 0) -> None:
    """Draw a sheet of the mini world's pictures with their captions, as PNG."""
    from tipcap.io.store import replace_file
    from tipcap.mini.sheet import draw_sheet

    with replace_file(out) as partial:
        draw_sheet(seed).save(partial, "PNG")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _fail(message: str) -> NoReturn:
    print(f"tipcap: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def main(words: list[str] | None = None) -> None:
    """Run a subcommand; bad input ends in one line on stderr and exit status 2, a request to end in 75."""
    given = sys.argv[1:] if words is None else words
    try:
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
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
