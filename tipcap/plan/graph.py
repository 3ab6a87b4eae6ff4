"""The plan of a world: every step that its tables need, by key, and what stands in each cell."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tipcap import paths
from tipcap.config.claims import Claim, Pair
from tipcap.config.figures import Figure, Gallery
from tipcap.config.tables import Table
from tipcap.config.world import World
from tipcap.errors import InputError, unknown_name
from tipcap.keys import step_key
from tipcap.specs import Spec
from tipcap.steps import STEPS

Parents = Mapping[str, str]
PART = re.compile(r"[A-Za-z0-9-]+([.][0-9]+)?")
"""The name of a table or of one row of it, as in file names."""


@dataclass(frozen=True)
class PlannedStep:
    """One piece of work: what it does and what it reads."""

    key: str
    spec: Spec
    parents: Parents
    """Role -> key. Several parents of one role are numbered: `raw`, `raw2`."""


@dataclass(frozen=True)
class Cell:
    """One (row, group) of a table and the runs behind it, one per seed."""

    row_index: int
    """Position in the table's rows, headings counted."""
    group: str
    experiment: str
    score_keys: tuple[str, ...]
    deviations: tuple[str, ...] = ()
    """What of another method is not as its authors run it."""


@dataclass(frozen=True)
class Plan:
    """All steps of a world's tables."""

    world: World
    world_file: str
    tables: Mapping[str, Table]
    """The tables this world makes: those of `all_tables` first, then the extra ones."""
    wanted: tuple[str, ...]
    """The tables of `all_tables`."""
    gallery: Gallery
    """The pictures of the report."""
    steps: dict[str, PlannedStep] = field(default_factory=dict)
    cells: dict[str, list[Cell]] = field(default_factory=dict)
    examples: dict[str, dict[str, str]] = field(default_factory=dict)
    """Table -> corpus -> key of its prepared captions, for tables that show captions."""
    claims: Mapping[Claim, Sequence[Pair]] = field(default_factory=dict)
    """What the paper says of its tables, those too that this world does not make."""
    figures: dict[str, Figure] = field(default_factory=dict)
    """The figures of this world: those whose tables `all_tables` makes."""
    captioners: dict[str, str] = field(default_factory=dict)
    """Experiment -> key of the training that makes its captioner, of those that the world names."""
    exported: dict[str, str] = field(default_factory=dict)
    """Target -> key of the training whose captioner it exports: what it needs, tables need not."""
    beside: set[str] = field(default_factory=set)
    """Steps that nothing but `exported` needs."""
    embedded: dict[str, dict[str, str]] = field(default_factory=dict)
    """Figure -> role -> key of the embeddings it shows."""

    @property
    def name(self) -> str:
        """The world's name, which is also its folder below `results`."""
        return self.world.name

    def step(self, step: str, key: str) -> PlannedStep:
        """Return a step.

        Raises:
            InputError: no table needs a step of this key.
        """
        found = self.steps.get(key)
        if found is None or found.spec.step != step:
            known = [k for k, other in self.steps.items() if other.spec.step == step]
            raise unknown_name("key", key, known, f"step {step} of world {self.name!r}")
        return found

    def add(self, spec: Spec, parents: Parents) -> str:
        """Plan a step, if no equal one is planned already, and return its key.

        Args:
            spec: its parameters.
            parents: role -> key; several parents of one role are numbered.

        Raises:
            TypeError: the step reads no such file, or needs one more.
        """
        step = STEPS[spec.step]
        if step.is_keyed:
            roles = set(map(role_of, parents))
            if roles - step.roles.keys() or step.needed - roles:
                raise TypeError(
                    f"step {step.name}: expected files by the roles {sorted(step.roles)}, of which {sorted(step.needed)} always, found {sorted(roles)}"
                )
        key = step_key(spec, parents)
        self.steps[key] = PlannedStep(key, spec, parents)
        return key

    def main_file(self, key: str) -> str:
        """Return the file of a step that other steps read."""
        spec = self.steps[key].spec
        name = STEPS[spec.step].file_for("", spec)
        return paths.artefact(self.name, spec.step, key, name)

    def is_shipped(self, key: str) -> bool:
        """Return whether the repository holds this artefact, so that what it is made of is not needed."""
        step = self.steps[key].spec.step
        return STEPS[step].hands_on_folder and Path(paths.shipped(step, key)).is_dir()

    def models(self) -> list[str]:
        """Return the main files of all encoders and language models but those from scratch."""
        return [
            self.main_file(key)
            for key, step in self.steps.items()
            if STEPS[step.spec.step].hands_on_folder
            and step.spec.model_dump()["source"] != "scratch"
        ]

    def of_tables(self) -> list[str]:
        """Return the keys of all steps that a table or figure of this world needs, or a captioner beside them."""
        own = [key for key in self.steps if key not in self.beside]
        parents = {p for key in own for p in self.steps[key].parents.values()}
        ends = [key for key in own if key not in parents]
        return list(dict.fromkeys(key for end in ends for key in self.ancestors(end)))

    def downloads(self) -> list[str]:
        """Return those of them that use the network."""
        return [
            k for k in self.of_tables() if STEPS[self.steps[k].spec.step].uses_network
        ]

    def download_files(self) -> list[str]:
        """Return the files, and folders of collected pictures or of models, of `downloads`."""
        return [self.main_file(key) for key in self.downloads()]

    def score_keys(self, table: str) -> list[str]:
        """Return the keys of all runs of a table, each once, in the order of its rows."""
        return list(
            dict.fromkeys(
                key for cell in self.cells_of(table) for key in cell.score_keys
            )
        )

    def cells_of(self, name: str) -> list[Cell]:
        """Return the cells of a table, or of one row of it (`VI.3`).

        Raises:
            InputError: as `table_of`.
        """
        cells, (_, row) = self.cells[self.table_of(name).id], part(name)
        return [cell for cell in cells if row is None or cell.row_index == row]

    def keys_of(self, cell: Cell, metric: str) -> tuple[str, ...]:
        """Return the runs of a cell that have a metric: all of them, or with SPICE of the first seed the first."""
        return tuple(
            key
            for key in cell.score_keys
            if metric in self.steps[key].spec.model_dump()["metrics"]
        )

    def remarks_of(self, name: str) -> dict[int, tuple[str, ...]]:
        """Return what is not as the authors of other methods run them, by the rows of a table, or of one row of it."""
        cells = self.cells_of(name)
        return {cell.row_index: cell.deviations for cell in cells if cell.deviations}

    def table_of(self, name: str) -> Table:
        """Return the table that a name means, or whose row it means (`VI.3`).

        Raises:
            InputError: no such name, this world makes no such table, or nothing is run for that row.
        """
        number, row = part(name)
        table = self._table(number)
        known = dict.fromkeys(run.row_index for run in table.runs())
        if row is not None and row not in known:
            raise InputError(
                f"table {name}: expected a row of runs by its place ({', '.join(map(str, known)) or 'none here'}), found {row}; `tipcap plan --table {number} --row LABEL` says what a row is called"
            )
        return table

    def _table(self, name: str) -> Table:
        if name not in self.tables:
            where = f"tables of world {self.name!r}"
            raise unknown_name("table", name, self.tables, where)
        return self.tables[name]

    def part_name(self, table: str, row: str | None) -> str:
        """Return what a table, or one row of it, is called in file names: `VI`, `VI.3`.

        Raises:
            InputError: this world makes no such table, or the table has no such row of ours.
        """
        found = self._table(table)
        if row is None:
            return table
        known = {found.names[run.row_index]: run.row_index for run in found.runs()}
        if row not in known:
            raise unknown_name("row", row, known, f"table {table}")
        return f"{table}.{known[row]}"

    def ancestors(self, key: str) -> list[str]:
        """Return a step's key and those of all steps behind it, parents before children.

        The line ends at what the repository ships.
        """
        order: dict[str, None] = {}

        def visit(current: str) -> None:
            parents = {} if self.is_shipped(current) else self.steps[current].parents
            for parent in parents.values():
                if parent not in order:
                    visit(parent)
            order[current] = None

        visit(key)
        return list(order)

    def turn(self, key: str) -> int:
        """Return which step of its kind this is on the longest way to it, from 1 on.

        Captions are made for prompts, and again after the training with prompts. Steps of one kind and
        turn never wait for each other, nor do those of two kinds in both directions.
        """
        kind = self.steps[key].spec.step
        before = [
            k for k in self.ancestors(key)[:-1] if self.steps[k].spec.step == kind
        ]
        return 1 + max((self.turn(other) for other in before), default=0)


def role_of(numbered: str) -> str:
    """Return the role that a numbered one is: several parents of `raw` are `raw`, `raw2`, ..."""
    return numbered.rstrip("0123456789")


def part(name: str) -> tuple[str, int | None]:
    """Return the table and the position of the row that a name means: `VI`, or `VI.3` for one row.

    Raises:
        InputError: it is no such name.
    """
    if not PART.fullmatch(name):
        raise InputError(
            f"table {name!r}: expected the name of a table, or with the place of one row as in VI.3, found something else; correct it"
        )
    table, _, row = name.partition(".")
    return table, int(row) if row else None
