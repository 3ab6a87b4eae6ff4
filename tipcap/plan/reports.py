"""How scores, tables, claims, figures and the report are made: the files they read, and their commands' arguments."""

import json
from pathlib import Path

from tipcap import paths
from tipcap.config.figures import Curve, Pictures, suffix_of
from tipcap.config.tables import Address, find_place
from tipcap.errors import unknown_name
from tipcap.keys import canonical
from tipcap.plan.commands import as_json, file_of, inputs
from tipcap.plan.graph import Plan


def score_inputs(plan: Plan, table: str) -> dict[str, list[str]]:
    """Return the files that the scoring of a table reads, by role."""
    files: dict[str, list[str]] = {"captions": [], "references": []}
    for key in plan.score_keys(table):
        for role, found in inputs(plan, "score", key).items():
            files.setdefault(role, [])
            files[role] += [file for file in found if file not in files[role]]
    return files


def score_arguments(plan: Plan, table: str) -> list[str]:
    """Return the command line that scores all runs of a table after `tipcap step score`.

    `--runs` is a JSON list of {key, spec, parents, captions, references}; `--out` the folder
    of the runs' own artefacts; `--index` the file with all their corpus scores; `--reference-sets`
    the folder of counted references; for SPICE the folders `--spice` of its jars and `--parses`.
    """
    runs = []
    jars: dict[str, None] = {}
    for key in plan.score_keys(table):
        here = plan.step("score", key)
        files = {role: f[0] for role, f in inputs(plan, "score", key).items()}
        if files.pop("spice", None):
            jars[here.parents["spice"]] = None
        spec = json.loads(canonical(here.spec))
        runs.append({"key": key, "spec": spec, "parents": dict(here.parents), **files})
    out = f"{paths.RESULTS}/{plan.name}/score"
    index = paths.score_index(plan.name, table)
    tokens = ["--runs", as_json(runs), "--out", out, "--index", index]
    tokens += ["--reference-sets", paths.reference_sets(plan.name)]
    for key in jars:  # one at most: a world has one SPICE
        tokens += ["--spice", paths.folder(plan.name, "spice", key)]
        tokens += ["--parses", paths.parses(plan.name, key)]
    return tokens


def table_inputs(plan: Plan, table: str) -> dict[str, list[str]]:
    """Return the files that a table is rendered from, by role."""
    if plan.table_of(table).kind == "scores":
        return {"scores": [paths.score_index(plan.name, table)]}
    found = plan.examples.get(table, {}).values()
    return {"examples": [file_of(plan, "corpus", key) for key in found]}


def table_arguments(plan: Plan, table: str) -> list[str]:
    """Return the command line that renders a table after `tipcap step table`.

    `--world`, `--table`, `--scores INDEX` or, for examples, one `--examples CORPUS=FILE` per
    corpus, `--out FOLDER`.
    """
    tokens = ["--world", plan.world_file, "--table", table]
    if plan.table_of(table).kind == "scores":
        tokens += ["--scores", paths.score_index(plan.name, table)]
    for corpus, key in plan.examples.get(table, {}).items():
        tokens += ["--examples", f"{corpus}={file_of(plan, 'corpus', key)}"]
    return [*tokens, "--out", paths.tables_folder(plan.name)]


def cells_inputs(plan: Plan) -> list[str]:
    """Return the cells of all tables of `all_tables`."""
    return [paths.table_file(plan.name, table, "cells.csv") for table in plan.wanted]


def cells_arguments(plan: Plan) -> list[str]:
    """Return the command line that joins them after `tipcap step cells`."""
    tokens = [token for file in cells_inputs(plan) for token in ("--cells", file)]
    return [*tokens, "--out", paths.tables_folder(plan.name)]


def claim_arguments(plan: Plan) -> list[str]:
    """Return the command line that judges the claims after `tipcap step claims`."""
    tokens = ["--world", plan.world_file]
    tokens += ["--cells", paths.cells(plan.name, "parquet")]
    return [*tokens, "--out", str(Path(paths.claims(plan.name, "md")).parent)]


def claim_files(plan: Plan) -> dict[str, str]:
    """Return what the claims' report writes, by role; with a table of readings also their verdicts."""
    found = {"markdown": paths.claims(plan.name, "md")}
    found["csv"] = paths.claims(plan.name, "csv")
    if any(plan.tables[table].readings for table in plan.wanted):
        found["readings"] = paths.readings(plan.name)
    return found


def figure_file(plan: Plan, name: str) -> str:
    """Return the file of a figure.

    Raises:
        InputError: this world makes no such figure.
    """
    if name not in plan.figures:
        where = f"figures of world {plan.name!r}"
        raise unknown_name("figure", name, plan.figures, where)
    return paths.figure(plan.name, name, suffix_of(plan.figures[name]))


def figure_inputs(plan: Plan, name: str) -> dict[str, list[str]]:
    """Return the files that a figure is drawn from, by role."""
    match plan.figures[name]:
        case Curve(table=table):
            return {"cells": [paths.table_file(plan.name, table, "cells.csv")]}
        case Pictures() as figure:
            found: dict[str, list[str]] = {}
            for strip in figure.strips:
                for text in strip.texts:
                    for role, file in shown(plan, text.of).items():
                        found.setdefault(role, []).extend(file)
            return {role: list(dict.fromkeys(found[role])) for role in found}
        case _:
            return {
                role: [plan.main_file(key)] for role, key in plan.embedded[name].items()
            }


def figure_arguments(plan: Plan, name: str) -> list[str]:
    """Return the command line that draws a figure after `tipcap step figure`."""
    tokens = ["--world", plan.world_file, "--figure", name]
    return [*tokens, "--out", figure_file(plan, name)]


def claims_are_here(plan: Plan) -> bool:
    """Return whether the world makes a table that the paper's text says something of."""
    made = set(plan.wanted)
    return any(
        {pair.left.place.table.id, pair.right.place.table.id} <= made
        for pairs in plan.claims.values()
        for pair in pairs
    )


def report_inputs(plan: Plan) -> dict[str, list[str]]:
    """Return the files that the report shows, by role; without tables the captioners of the world."""
    if not plan.wanted:
        return {"captioners": [plan.main_file(k) for k in plan.captioners.values()]}
    return {
        "cells": [paths.cells(plan.name, "parquet")],
        "tables": [
            paths.table_file(plan.name, table, "csv")
            for table in plan.wanted
            if plan.tables[table].kind != "scores"
        ],
        "claims": [paths.claims(plan.name, "csv")] if claims_are_here(plan) else [],
        "figures": [figure_file(plan, name) for name in plan.figures],
    }


def report_arguments(plan: Plan) -> list[str]:
    """Return the command line that writes the report after `tipcap step report`."""
    return ["--world", plan.world_file, "--out", paths.page(plan.name)]


def shown(plan: Plan, address: Address) -> dict[str, list[str]]:
    """Return what shows a run's captions: captions, rough ones, references and pictures, by role.

    Of several seeds the first.
    """
    place = find_place(plan.tables, address, f"world {plan.name!r}")
    score = next(
        plan.steps[cell.score_keys[0]]
        for cell in plan.cells[place.table.id]
        if (cell.row_index, cell.group) == (place.row_index, place.group.label)
    )
    run = plan.steps[score.parents["captions"]]
    files = {
        "captions": [file_of(plan, "captions", run.key)],
        "references": [file_of(plan, "references", score.parents["references"])],
    }
    if "rough" in run.parents:
        files["rough"] = [file_of(plan, "rough", run.parents["rough"])]
    if "images" in run.parents:
        embedded = inputs(plan, "embed", run.parents["images"])
        files["pictures"] = embedded["pictures"]
    return files


def exported_inputs(plan: Plan, target: str) -> dict[str, str]:
    """Return the files of a trained captioner and of what goes along with it, by role."""
    key = plan.exported[target]
    parents = plan.steps[key].parents
    encoder = plan.steps[parents["texts"]].parents["encoder"]
    along = {role: parents[role] for role in ("corpus", "texts", "language_model")}
    keys = {"model": key, "encoder": encoder, **along}
    return {role: plan.main_file(found) for role, found in keys.items()}


def exported_arguments(plan: Plan, target: str) -> list[str]:
    """Return the command line that exports a captioner after `tipcap step captioner`."""
    return ["--world", plan.world_file, "--out", paths.exported(plan.name, target)]


def document_arguments(plan: Plan) -> list[str]:
    """Return the command line that joins all tables after `tipcap step document`."""
    out = paths.document(plan.name)
    return ["--world", plan.world_file, "--out", out]


def track_arguments(plan: Plan, table: str) -> list[str]:
    """Return the command line that records a table after `tipcap step track`."""
    tokens = ["--world", plan.world_file, "--table", table]
    tokens += ["--database", paths.tracking_database(plan.name)]
    return [*tokens, "--out", paths.tracked(plan.name, table)]
