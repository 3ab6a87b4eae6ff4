"""`tipcap ui`: a world's runs in MLflow's pages, on this machine alone.

What was made since is imported first, so a store that was moved, or that a former version wrote, shows what lies beside it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

from tipcap import paths
from tipcap.errors import InputError, edge
from tipcap.io.local_pages import HOST, listening, show, stopped_by_sigterm
from tipcap.io.tracking_database import experiment_of, schema_problem
from tipcap.io.tracking_rows import ARTIFACTS, VIEW
from tipcap.plan import Plan, load
from tipcap.reports.tracking import track_world, tracked_tables

_FIRST_PORT = 5000
"""MLflow's own."""
_PATIENCE_SECONDS = 300
_EVERY_SECONDS = 0.2
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # of language-model applications; five further processes
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def show_runs(world: Path, port: int | None, opens: bool) -> Iterator[str]:
    """Serve a world's runs until it is interrupted; yields lines for the person who waits, the address last.

    Args:
        world: the world's file.
        port: of the server; None: 5000, or the next that is free.
        opens: whether a browser is shown the page.

    Raises:
        InputError: no such world, nothing made of it yet, a store of another MLflow, or a port that is taken.
    """
    plan = load(world)
    results, database = (
        Path(paths.RESULTS) / plan.name,
        Path(paths.tracking_database(plan.name)),
    )
    if not tracked_tables(results):
        raise InputError(
            f"{database}: expected the runs of a table, found none; `make all_tables WORLD={plan.name}` makes them"
        )
    if database.exists() and (problem := schema_problem(database)):
        raise InputError(problem)
    with listening(port, _FIRST_PORT) as listener:
        chosen = listener.getsockname()[1]
    if added := track_world(plan, database).added:
        were = "run was" if added == 1 else "runs were"
        yield f"{added} {were} new to {database}"
    number = experiment_of(results, database)
    page = f"http://{HOST}:{chosen}/#/experiments/{number}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"
    yield "MLflow starts ..."
    with _server(plan, database, chosen):
        if opens:
            show(page)
        yield f"runs of world {plan.name}: {page} (Ctrl-C ends it)"
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


@contextlib.contextmanager
def _server(plan: Plan, database: Path, port: int) -> Iterator[None]:
    """Run MLflow's server, from its first answer to the end of the block; what it says goes to a log."""
    log = Path(paths.RESULTS, plan.name, "logs", "mlflow.log").absolute()
    results = database.parent.resolve()
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database.resolve()}"]
    command += ["--artifacts-destination", str(results / ARTIFACTS)]
    with edge(log, "a log", "change its owner"):
        log.parent.mkdir(parents=True, exist_ok=True)
        said = log.open("w")
    with said, stopped_by_sigterm():
        process = subprocess.Popen(
            command,
            cwd=results,  # what it writes by itself stays in the world
            env=os.environ | _ENVIRONMENT,
            stdout=said,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait(process, port, log)
            yield
        finally:
            # it has processes of its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(URLError, OSError):
            address = f"http://{HOST}:{port}/health"
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(address, timeout=5):
                return
        time.sleep(_EVERY_SECONDS)
    raise InputError(
        f"{log}: expected MLflow's server to answer, found that it does not; see there what it says"
    )
