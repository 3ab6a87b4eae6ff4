"""The commands of the rules that show results; they read the world's plan themselves."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def table(
    world: Path,
    table: str,
    out: Path,
    scores: Path | None = None,
    examples: Sequence[str] = (),
) -> None:
    """Render a table as CSV, cells and LaTeX; an example is CORPUS=ANNOTATIONS."""
    from tipcap.reports.tables import make_table

    make_table(world, table, out, scores, list(examples))


def cells(cells: Sequence[Path], out: Path) -> None:
    """Join the cells of all tables into one frame."""
    from tipcap.io.cells import join_cells

    join_cells(list(cells), out)


def document(world: Path, out: Path) -> None:
    """Join all tables into one LaTeX document."""
    from tipcap.reports.tables import make_document

    make_document(world, out)


def claims(world: Path, cells: Path, out: Path) -> None:
    """Judge what the paper says of its tables on the cells that were made."""
    from tipcap.reports.claims import make_claims

    make_claims(world, cells, out)


def figure(world: Path, figure: str, out: Path) -> None:
    """Draw a figure."""
    from tipcap.reports.figures import make_figure

    make_figure(world, figure, out)


def report(world: Path, out: Path) -> None:
    """Write one page with tables, figures, claims, pictures and costs."""
    from tipcap.reports.page import make_report

    make_report(world, out)


def track(world: Path, table: str, database: Path, out: Path) -> None:
    """Write a table's records into the MLflow database."""
    from tipcap.reports.tracking import track_table

    track_table(world, table, database, out)


def captioner(world: Path, out: Path) -> None:
    """Write the captioner of target `captioner` as a folder, and say how to use it."""
    from tipcap.reports.captioner import export_to_use

    for line in export_to_use(world, out):
        print(line)


_TABLES = "tipcap.reports.tables"
REPORTS: Mapping[Callable[..., None], tuple[str, ...]] = {
    table: (_TABLES,),
    cells: ("tipcap.io.cells", "pyarrow.parquet"),
    document: (_TABLES,),
    claims: ("tipcap.reports.claims", "tipcap.core.bootstrap", "pyarrow.parquet"),
    figure: ("tipcap.reports.figures", "seaborn"),
    report: ("tipcap.reports.page", "tipcap.core.bootstrap", "pyarrow.parquet"),
    track: (
        "tipcap.reports.tracking",
        "tipcap.io.tracking:client_class",
        "mlflow.store.tracking.sqlalchemy_store",
    ),
    captioner: ("tipcap.reports.captioner", "tipcap.interface.exporting"),
}
"""Command of a report -> what the warm process imports for it, as a step's `libraries`."""
