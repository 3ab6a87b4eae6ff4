"""`tipcap doctor --network`: which address of each file answers, and with what; nothing is fetched."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import httpx

from tipcap import paths
from tipcap.commands.findings import Finding
from tipcap.commands.overview import is_done
from tipcap.config.downloads import PIP_ADDRESS, Download, load_downloads, local_path
from tipcap.errors import reason_of
from tipcap.io.addresses import shown_address
from tipcap.io.annotations import READERS, ImageRecord
from tipcap.io.asking import Answer, ask, ask_side_by_side
from tipcap.io.collect import PLACEHOLDER
from tipcap.io.connection import set_up_connection
from tipcap.io.wheels import find_wheel
from tipcap.plan import Plan
from tipcap.plan.sources import downloads_file
from tipcap.steps.collect import CollectSpec
from tipcap.steps.download import DownloadSpec
from tipcap.steps.fetch import FetchSpec

ANSWER_SECONDS = 10.0
"""What one answer may take."""
ALL_SECONDS = 120.0
"""What all of them together may take."""
CONNECTIONS = 6
NUM_PICTURES = 12
"""Pictures of each dataset that are asked for."""
_NUM_READ = 1000
"""Records at the beginning of a file among which these are chosen."""
_HUB = "https://huggingface.co"


class _Asked(NamedTuple):
    """A file, the addresses that may have it, and what they said."""

    name: str
    urls: Sequence[str]
    sha256: str | None = None
    num_bytes: int | None = None
    is_there: bool = False


def examine_network(plan: Plan) -> Iterator[Finding]:
    """Yield what the addresses of downloads.csv, of the hub's models and of some pictures answer.

    Raises:
        InputError: no downloads.csv, or a proxy that cannot be used.
    """
    set_up_connection()
    listed = load_downloads(downloads_file(plan))
    there, models = _planned(plan)
    files = [_of_download(one, one.file in there) for one in listed.values()] + models
    pictures = dict(_pictures(plan))
    samples = [r for records in pictures.values() for r in _spread(records)]
    with httpx.Client(follow_redirects=True, timeout=ANSWER_SECONDS) as client:
        questions: list[Callable[[], Answer]] = [
            functools.partial(_ask, client, url, file.sha256, file.num_bytes)
            for file in files
            for url in file.urls
        ]
        questions += [functools.partial(_ask_picture, client, r) for r in samples]
        answers = iter(ask_side_by_side(questions, CONNECTIONS, ALL_SECONDS))
    for file in files:
        yield _finding(file, [_in_time(next(answers)) for _ in file.urls])
    for name, records in pictures.items():
        said = [_in_time(next(answers)) for _ in _spread(records)]
        yield _of_pictures(name, records, said)


def _of_download(listed: Download, is_there: bool) -> _Asked:
    return _Asked(listed.file, listed.urls, listed.sha256, listed.bytes, is_there)


def _planned(plan: Plan) -> tuple[set[str], list[_Asked]]:
    """Return the files that are there, and the models of the hub that the world uses."""
    there, models = set(), []
    endpoint = (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")
    for key in plan.downloads():
        spec = plan.steps[key].spec
        if isinstance(spec, DownloadSpec) and is_done(plan, key):
            there.add(spec.file)
        if isinstance(spec, FetchSpec):
            url = f"{endpoint}/{spec.model}/resolve/{spec.revision}/config.json"
            models.append(_Asked(spec.model, [url], is_there=is_done(plan, key)))
    return there, models


def _ask(
    client: httpx.Client, url: str, sha256: str | None, num_bytes: int | None
) -> Answer:
    if (place := local_path(url)) is not None:
        return Answer(
            *(("file", "there") if place.exists() else ("none", "nothing there"))
        )
    if package := PIP_ADDRESS.fullmatch(url):
        problem = find_wheel(package[1], 2 * ANSWER_SECONDS)
        return Answer("none", problem) if problem else Answer("file", "found by pip")
    return ask(client, url, sha256, num_bytes)


def _in_time(answer: Answer | None) -> Answer:
    late = f"no answer within the {ALL_SECONDS:g} s that all have together"
    return answer or Answer("none", late)


def _finding(file: _Asked, answers: Sequence[Answer]) -> Finding:
    """Return what is to be said of a file: first the address that has it, then the others."""
    shown = [
        f"{local_path(url) or shown_address(url)}: {', '.join(filter(None, (a.found, a.moved, a.remark)))}"
        for url, a in zip(file.urls, answers, strict=True)
    ]
    states = [answer.state for answer in answers]
    best = next((s for s in ("file", "busy") if s in states), "none")
    if best in states:
        shown.insert(0, shown.pop(states.index(best)))
    found = "; ".join(shown) or "no address is known"
    if file.is_there:
        return Finding(file.name, "ok", f"is there; {found}")
    if best == "file":
        working = answers[states.index("file")]
        if working.moved.startswith("moved to"):
            remedy = (
                "write the new address into downloads.csv while the old one leads there"
            )
            return Finding(file.name, "ok", found, remedy)
        return Finding(file.name, "warning" if working.remark else "ok", found)
    if best == "busy":
        return Finding(file.name, "warning", found, "ask again later")
    if not answers:
        return Finding(file.name, "missing", found, "fetch it by hand")
    remedy = "add another address to downloads.csv, or fetch it by hand"
    return Finding(file.name, "missing", found, remedy)


# Pictures, of which only annotations know the addresses


def _pictures(plan: Plan) -> Iterator[tuple[str, list[ImageRecord] | str]]:
    """Yield by dataset the first records of pictures that are collected; or why their addresses are not known."""
    for step in plan.steps.values():
        if not isinstance(spec := step.spec, CollectSpec):
            continue
        files = []
        for role, key in step.parents.items():
            raw = plan.steps[key].spec
            if role.startswith("raw") and isinstance(raw, DownloadSpec):
                files.append(Path(paths.artefact(plan.name, raw.step, key, raw.file)))
        file = next((one for one in files if one.exists()), None)
        if file is None:
            wanted = files[0].name if files else "its list"
            yield (
                spec.dataset,
                f"their addresses are known when {wanted} has been fetched",
            )
            continue
        yield spec.dataset, _first_records(file, spec)


def _first_records(file: Path, spec: CollectSpec) -> list[ImageRecord] | str:
    try:
        read = READERS[spec.reader](file, spec.dataset)
        known = (r for r in read if isinstance(r, ImageRecord) and r.urls)
        return list(islice(known, _NUM_READ)) or f"{file.name} names no address"
    except Exception as error:  # the step that reads it says more
        return f"{file.name} cannot be read ({reason_of(error)})"


def _spread(records: list[ImageRecord] | str) -> list[ImageRecord]:
    """Return a few of them, from the first to the last."""
    if isinstance(records, str):
        return []
    number = min(NUM_PICTURES, len(records))
    return [records[i * len(records) // number] for i in range(number)]


def _ask_picture(client: httpx.Client, record: ImageRecord) -> Answer:
    """Return the answer of the first address that has a picture, or of the first one."""
    answers = []
    for url in record.urls:
        answer = ask(client, url, None, None)
        if PLACEHOLDER in answer.moved:
            answer = Answer("none", "removed by its owner")
        host = shown_address(url).partition("://")[2].partition("/")[0]
        answers.append(answer._replace(found=f"{host}: {answer.found.split(',')[0]}"))
        if answer.state == "file":
            return answers[-1]
    return answers[0]


def _of_pictures(
    name: str, records: list[ImageRecord] | str, answers: Sequence[Answer]
) -> Finding:
    shown = f"pictures of {name}"
    if isinstance(records, str):
        return Finding(shown, "warning", records, "run this again then")
    counts: Mapping[str, int] = {
        found: sum(a.found == found for a in answers)
        for found in dict.fromkeys(a.found for a in answers)
    }
    found = ", ".join(
        f"{count} of {len(answers)} {what}" for what, count in counts.items()
    )
    states = {answer.state for answer in answers}
    if states == {"file"}:
        return Finding(shown, "ok", found)
    remedy = "those that are gone are left out; others are asked for again"
    if states & {"file", "busy"}:
        return Finding(shown, "warning", found, remedy)
    return Finding(shown, "missing", found, remedy)
