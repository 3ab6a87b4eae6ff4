"""The rehearsal of the paper's world: `python -m tests.rehearsal.run [TARGET...]` (make rehearsal).

Small files in the published formats are served on this machine under their true addresses, and Snakemake makes
the targets from them, by default the downloads and Table II. What is made once stays; nothing leaves this machine.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.rehearsal.server import Address, load_addresses, virus_scan_page, web
from tipcap.config.downloads import load_downloads
from tipcap.plan import load

ROOT = Path(__file__).parents[2]
WORLD = "config/rehearsal.yaml"
MADE = ".rehearsal"
"""Where the made files lie, in the folder in which Snakemake runs."""
TARGETS = ("downloads", "table_II")
DEAD = {
    "cs.stanford.edu": Address(status=404),
    "nocaps.s3.amazonaws.com": Address(status=403),
    "openaipublic.azureedge.net": Address(status=404),
}
"""What hosts answer whose file lies elsewhere, too."""
BY_HAND = ("ss1m",)
"""Beginnings of the names of files that no address has any more."""
CDN = "https://cdn-lfs.huggingface.co"
UNAVAILABLE = "https://s.yimg.com/pw/images/en-us/photo_unavailable.png"
"""Where Flickr leads for pictures that it no longer has."""
_LARGE = 1 << 20


def addresses(folder):
    """Return what every address of the made downloads.csv and of single pictures answers."""
    found = {}
    for name, listed in load_downloads(folder / "downloads.csv").items():
        file = folder / "files" / name
        urls = [url for url in listed.urls if not url.startswith("pip:")]
        if not file.exists():
            continue
        for number, url in enumerate(urls):
            host = str(urlsplit(url).hostname)
            is_last = number == len(urls) - 1
            if host in DEAD and not is_last:
                found[url] = DEAD[host]
            elif host == "huggingface.co":
                found[url] = Address(to=f"{CDN}/{name}?X-Amz-Signature=0")
                first = "cut" if file.stat().st_size > _LARGE else "429"
                found[found[url].to] = Address(file, first=(first,))
            elif host == "drive.google.com":
                page, behind = virus_scan_page(parse_qs(urlsplit(url).query)["id"][0])
                found[url], found[behind] = Address(page=page), Address(file)
            else:
                found[url] = Address(file, first=("cut",))
    for number, (url, file) in enumerate(load_addresses(folder).items()):
        faults = ((), ("429",), ("cut",))[number % 3]
        found[url] = Address(file, first=faults) if file else Address(to=UNAVAILABLE)
    found[UNAVAILABLE] = Address(page=b"no picture")
    return found


def write_files(root):
    """Write the files of the rehearsal, in a process of its own: models need memory while they are made."""
    command = [sys.executable, "-m", "tests.rehearsal.files", MADE]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths.strip(os.pathsep)}
    subprocess.run(command, cwd=root, env=environment, check=True)


def lay_by_hand(root):
    """Put the files that nobody serves where the download step expects them, as a user does."""
    plan = load(root / WORLD)
    for key, step in plan.steps.items():
        if step.spec.step == "download" and step.spec.file.startswith(BY_HAND):
            target = root / plan.main_file(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(root / MADE / "files" / step.spec.file, target)


def snakemake_command(targets, cores, *options):
    """Return the command that makes targets of the rehearsal's world."""
    command = [sys.executable, "-m", "snakemake", "--configfile", WORLD]
    command += ["--cores", cores, "--rerun-incomplete", "--scheduler", "greedy"]
    return [*command, *options, "--", *targets]


def environment_for(server):
    """Return the environment in which everything that is fetched comes from the server."""
    other = {"all_proxy", "no_proxy", "hf_endpoint"}
    kept = {
        name: value for name, value in os.environ.items() if name.lower() not in other
    }
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, **server.environment, "PYTHONPATH": os.pathsep.join(paths)}


def family(pid):
    """Return the ids of a process and of all that came of it."""
    found, before = {pid}, 0
    while len(found) > before:
        before = len(found)
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has just ended
                if int(stat.read_text().rpartition(")")[2].split()[1]) in found:
                    found.add(int(stat.parent.name))
    return found


def peak_memory(process, limit_s=None):
    """Wait for a process; return the most bytes that it and all that came of it held at once.

    Raises:
        TimeoutError: it takes longer than the limit.
    """
    peak, end = 0, time.monotonic() + (limit_s or float("inf"))
    while process.poll() is None:
        held = 0
        for pid in family(process.pid):
            with contextlib.suppress(OSError):
                shared = Path(f"/proc/{pid}/smaps_rollup").read_text()
                held += 1024 * int(shared.partition("Pss:")[2].split()[0])
        peak = max(peak, held)
        if time.monotonic() > end:
            raise TimeoutError(f"more than {limit_s} s")
        time.sleep(1.0)
    return peak


def main():
    """Rehearse in the folder of the project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=TARGETS)
    parser.add_argument("--cores", default="all")
    given = parser.parse_args()
    write_files(ROOT)
    lay_by_hand(ROOT)
    folder = ROOT / MADE
    with web(addresses(folder), folder / "certificates") as server:
        process = subprocess.Popen(
            snakemake_command(given.targets, given.cores),
            cwd=ROOT,
            env=environment_for(server),
        )
        peak = peak_memory(process)
    print(f"rehearsal: at most {peak / 1e9:.1f} GB of memory")
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()
