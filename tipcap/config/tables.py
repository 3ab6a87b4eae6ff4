"""The tables as data: what each shows, which experiment fills a row, what the paper prints.

One file per table under `config/tables/`. Numbers of the paper are text in quotes, so that `30.0`
and `21.60±.00` keep their digits. No code here or in rendering knows any table by its name.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from tipcap.config.reading import check, read_yaml
from tipcap.errors import InputError, unknown_name

MetricName = Literal[
    "bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider", "nll", "spice"
]
TRAIN_SEED = "train.seed"
"""The field that several runs of a cell differ in, unless a table or row says otherwise."""
Printed = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+(±\d*\.\d+)?$")]
"""A number as the paper prints it, with its standard deviation where there is one."""
PrintedByGroup = dict[str, tuple[Printed | None, ...]]
_PAPER_ORDER = "I,II,III,IV,V,VI,VII,VIII,IX,X,XI,XII,XIII".split(",")  # noqa: SIM905


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Group(_Declared):
    """Neighbouring columns: one configuration, a few metrics."""

    label: str
    """Its name in rows and in `cells.csv`; unique in the table."""
    heading: str | None = None
    """What is printed above its columns, if not the label; equal neighbours share one heading."""
    metrics: tuple[MetricName, ...] | None = None
    """Default: the table's metrics."""
    columns: tuple[str, ...] | None = None
    """Printed names of its columns; default: the metrics' own."""
    set: dict[str, Any] = {}
    """Fields put over the row's experiment."""


class Row(_Declared):
    """A line of the table: a section heading, or labels with where the numbers come from."""

    section: str | None = None
    """Text of a heading line; empty: a rule."""
    label: tuple[str, ...] = ()
    """One text per header."""
    experiment: str | None = None
    quoted: PrintedByGroup | None = None
    """Numbers of another method, by group; null, or a group left out, is the paper's dash."""
    reference: str | None = None
    """Whose numbers `quoted` are."""
    paper: PrintedByGroup = {}
    """What the paper prints for the experiment, by group: only compared, never shown as ours."""
    set: dict[str, Any] = {}
    """Fields put over the experiment, below those of the group."""
    set_in: dict[str, dict[str, Any]] = {}
    """Group -> fields put over all others there."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    vary: str | None = None
    absent: dict[str, str] = {}
    """Group -> why the paper says N/A there."""
    lacking: dict[str, dict[MetricName, str]] = {}
    """Group -> metric -> why the row's runs have no such number, though others have."""
    bold: bool = False

    @property
    def is_section(self) -> bool:
        """Whether the line is a heading."""
        return self.section is not None


class Examples(_Declared):
    """Captions drawn from one corpus."""

    label: str
    corpus: str
    num: int = Field(ge=1)
    paper: tuple[str, ...] = ()


class Address(_Declared):
    """The cells of one row and group, as claims and figures name them.

    Where table and group stand elsewhere, the row's name alone is enough.
    """

    table: str | None = None
    row: str
    """The row's name (`Table.names`)."""
    group: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, written: Any) -> Any:
        return {"row": written} if isinstance(written, str) else written


class Run(NamedTuple):
    """One (row, group) that an experiment fills."""

    row_index: int
    """Position in `Table.rows`, headings counted."""
    row: Row
    group: Group


class Table(_Declared):
    """One table of the paper, or one of ours in the same form."""

    id: str
    caption: str
    kind: Literal["scores", "settings", "examples"] = "scores"
    headers: tuple[str, ...] = ()
    """Titles of the leading columns of text."""
    metrics: tuple[MetricName, ...] = ()
    digits: int = Field(1, ge=0, le=6)
    """Digits after the point, as the paper prints the table."""
    groups: tuple[Group, ...] = ()
    rows: tuple[Row, ...] = ()
    examples: tuple[Examples, ...] = ()
    seed: int = 0
    """Kind `examples`: which captions are drawn."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """Each cell becomes the mean over these, with its standard deviation; default: the world's."""
    vary: str = TRAIN_SEED
    """The field that `seeds` are values of."""
    readings: bool = False
    """Whether every row decides one thing that the paper leaves open otherwise than the first of its section does,
    which is a run that other tables show: the claims are then judged with each of them too."""

    def metrics_of(self, group: Group) -> tuple[MetricName, ...]:
        """Return the metrics of a group's columns."""
        return self.metrics if group.metrics is None else group.metrics

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The name of every line: the paper's label, as short as tells it from the others.

        The first label where no other line has it, else all labels; where these leave two lines
        alike, every line of the table is named after its heading too. Headings are named by their
        text.
        """
        whole = [", ".join(filter(None, row.label)) for row in self.rows]
        first = [row.label[0] if row.label else "" for row in self.rows]
        names = [
            short if short and first.count(short) == 1 else full
            for short, full in zip(first, whole, strict=True)
        ]
        labelled = [name for name in names if name]
        by_section = len(set(labelled)) < len(labelled)
        section = ""
        for index, row in enumerate(self.rows):
            if row.section is not None:
                section = row.section.removesuffix(":")
                names[index] = row.section
            elif by_section and section:
                names[index] = f"{section}: {names[index]}"
        return tuple(names)

    def runs(self) -> Iterator[Run]:
        """Yield every (row, group) that needs a run, in the order of the table."""
        for index, row in enumerate(self.rows):
            if row.experiment is not None:
                for group in self.groups:
                    if group.label not in row.absent:
                        yield Run(index, row, group)

    def printed(self, index: int, group: Group, metric: MetricName) -> Printed | None:
        """Return what the paper prints in a cell, quoted or its own; None for a dash."""
        row = self.rows[index]
        numbers = (row.paper if row.quoted is None else row.quoted).get(group.label)
        position = self.metrics_of(group).index(metric)
        return None if numbers is None else numbers[position]

    def inapplicable(self, index: int, group: Group, metric: MetricName) -> str | None:
        """Return why no run of ours fills a cell; None where one does, or none could."""
        row = self.rows[index]
        whole = row.absent.get(group.label)
        return whole or row.lacking.get(group.label, {}).get(metric)

    def seeds_of(self, row: Row) -> tuple[int, ...] | None:
        """Return the values that a row's cells are averaged over; None leaves it to the world."""
        return self.seeds if row.seeds is None else row.seeds

    def vary_of(self, row: Row) -> str:
        """Return the field that the row's seeds are values of."""
        return row.vary or self.vary


class Place(NamedTuple):
    """A row and a group that an address means."""

    table: Table
    row_index: int
    group: Group


def find_place(
    tables: Mapping[str, Table],
    address: Address,
    where: str,
    table: str | None = None,
    group: str | None = None,
) -> Place:
    """Return what an address means.

    Args:
        tables: all declared tables.
        address: its own table and group go before those given here.
        where: file and entry the address stands in.
        table: the table where the address names none.
        group: the group where the address names none.

    Raises:
        InputError: no such table, row or group, or none named.
    """
    name, label = address.table or table, address.group or group
    if name is not None and name not in tables:
        raise unknown_name("table", name, tables, where)
    if name is None or label is None:
        missing = "table" if name is None else "group"
        raise InputError(
            f"{where}: expected a {missing} for row {address.row!r}, found none; add it to the row or to the entry"
        )
    found = tables[name]
    rows = {
        row_name: index
        for index, (row_name, row) in enumerate(
            zip(found.names, found.rows, strict=True)
        )
        if not row.is_section
    }
    if address.row not in rows:
        raise unknown_name("row", address.row, rows, f"{where}: table {name}")
    groups = {one.label: one for one in found.groups}
    if label not in groups:
        raise unknown_name("group", label, groups, f"{where}: table {name}")
    return Place(found, rows[address.row], groups[label])


def load_tables(folder: Path) -> dict[str, Table]:
    """Return all tables of a folder by id, the paper's first and in its order.

    Args:
        folder: holds one `table_<id>.yaml` or `<id>.yaml` per table.

    Raises:
        InputError: no tables, or a file that is not a complete table: names file, place and remedy.
    """
    tables: dict[str, Table] = {}
    for path in sorted(folder.glob("*.yaml")):
        table = load_table(path)
        if table.id in tables:
            raise InputError(
                f"{path}: expected one file per table, found {table.id!r} in two; remove one"
            )
        tables[table.id] = table
    if not tables:
        raise InputError(
            f"{folder}: expected table_*.yaml files, found none; check the folder's name"
        )
    return {name: tables[name] for name in sorted(tables, key=paper_order)}


def paper_order(name: str) -> tuple[int, str]:
    """Return what sorts tables by: the paper's first and in its order, then others by name."""
    known = name in _PAPER_ORDER
    return (_PAPER_ORDER.index(name) if known else len(_PAPER_ORDER), name)


def load_table(path: Path) -> Table:
    """Return the table that one file declares.

    Raises:
        InputError: as `load_tables`.
    """
    table = checked_table(read_yaml(path), str(path))
    if table.id != (expected := path.stem.removeprefix("table_")):
        raise InputError(
            f"{path}: expected id {expected!r} as the file's name says, found {table.id!r}; change one"
        )
    return table


def checked_table(fields: Mapping[str, Any], path: str) -> Table:
    """Return the table that some fields declare.

    Raises:
        InputError: as `load_tables`; `path` says where they stand.
    """
    table = check(Table, fields, path)
    _check_kind(table, path)
    _check_groups(table, path)
    if table.readings and not (table.rows and table.rows[0].is_section):
        raise InputError(
            f"{path}: expected sections of readings, found a first row without one; put a section above the rows that are compared"
        )
    for row, name in zip(table.rows, table.names, strict=True):
        _check_row(table, row, f"{path}: row {name!r}")
    rows = zip(table.rows, table.names, strict=True)
    counts = Counter(name for row, name in rows if not row.is_section)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise InputError(
            f"{path}: expected rows that differ in section or label, found {twice[0]!r} twice; change a label"
        )
    return table


def _check_kind(table: Table, where: str) -> None:
    needed = {
        "scores": ("headers", "metrics", "groups", "rows"),
        "settings": ("headers", "rows"),
        "examples": ("examples",),
    }[table.kind]
    for field in ("headers", "metrics", "groups", "rows", "examples"):
        found = bool(getattr(table, field))
        # A table may leave `metrics` to its groups.
        if field == "metrics" and all(group.metrics for group in table.groups):
            continue
        if found != (field in needed):
            verb = "needs" if field in needed else "takes no"
            raise InputError(
                f"{where}: expected what kind {table.kind!r} shows, found {field} {'given' if found else 'missing'}; a table of this kind {verb} {field}"
            )


def _check_groups(table: Table, where: str) -> None:
    labels = [group.label for group in table.groups]
    for group in table.groups:
        if labels.count(group.label) > 1:
            raise InputError(
                f"{where}: expected groups of different labels, found {group.label!r} twice; rename one (`heading` may be shared)"
            )
        metrics = table.metrics_of(group)
        if group.columns is not None and len(group.columns) != len(metrics):
            raise InputError(
                f"{where}: group {group.label!r}: expected {len(metrics)} columns, one per metric, found {len(group.columns)}; add or remove some"
            )


def _check_row(table: Table, row: Row, where: str) -> None:
    if row.is_section:
        if stray := sorted(row.model_fields_set - {"section"}):
            raise InputError(
                f"{where}: expected a section alone on its line, found {stray[0]} too; make it a row of its own"
            )
        return
    if len(row.label) != len(table.headers):
        raise InputError(
            f"{where}: expected {len(table.headers)} labels, one per header, found {len(row.label)}; add or remove some"
        )
    labels = {group.label for group in table.groups}
    for field in ("quoted", "paper", "absent", "lacking", "set_in"):
        for label in getattr(row, field) or {}:
            if label not in labels:
                raise unknown_name("group", label, labels, f"{where}: {field}")
    wholly_absent = bool(row.absent) and labels == set(row.absent)
    sources = [row.experiment is not None, row.quoted is not None, wholly_absent]
    if table.kind == "scores" and sum(sources) != 1:
        raise InputError(
            f"{where}: expected either `experiment` or `quoted` (or `absent` in every group), found {sum(sources)} of them; keep exactly one"
        )
    if row.quoted is not None and not row.reference:
        raise InputError(
            f"{where}: expected a reference beside quoted numbers, found none; say whose they are"
        )
    if row.quoted is not None and row.paper:
        raise InputError(
            f"{where}: expected numbers under `quoted` alone, found `paper` too; `paper` belongs to experiments"
        )
    for group in table.groups:
        for field, printed in (("quoted", row.quoted or {}), ("paper", row.paper)):
            numbers = printed.get(group.label)
            metrics = table.metrics_of(group)
            if numbers is not None and len(numbers) != len(metrics):
                raise InputError(
                    f"{where}: {field}: {group.label}: expected {len(metrics)} numbers ({', '.join(metrics)}), found {len(numbers)}; give null for a dash"
                )
