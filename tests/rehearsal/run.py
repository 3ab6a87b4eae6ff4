"""The rehearsal of the paper's world: `python -m tests.rehearsal.run [TARGET...]` (make rehearsal).

Small files in the published formats are served on this machine under their true addresses, and Snakemake makes
the targets from them, by default the downloads and Table II. What is made once stays; nothing leaves this machine.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.rehearsal.files import true_list, write_files
from tests.rehearsal.server import VIRUS_SCAN_PAGE, Address, load_addresses, web
from tipcap.config.downloads import load_downloads
from tipcap.plan import load

WORLD = "config/rehearsal.yaml"
MADE = ".rehearsal"
"""Where the made files lie, in the folder in which Snakemake runs."""
TARGETS = ("downloads", "table_II")
DEAD = {
    "cs.stanford.edu": Address(status=404),
    "nocaps.s3.amazonaws.com": Address(status=403),
    "drive.google.com": Address(page=VIRUS_SCAN_PAGE),
}
"""What hosts answer whose file lies elsewhere, too."""
BY_HAND = ("ss1m",)
"""Beginnings of the names of files that no address has any more."""
CDN = "https://cdn-lfs.rehearsal.example"


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
            if name.startswith(BY_HAND) or (host in DEAD and not is_last):
                found[url] = DEAD.get(host, Address(status=404))
            elif host == "huggingface.co":
                found[url] = Address(to=f"{CDN}/{name}?X-Amz-Signature=0")
                found[found[url].to] = Address(file, first=("429", "cut"))
            elif host == "drive.google.com":
                found[url] = Address(to=f"https://drive.usercontent.google.com/{name}")
                found[found[url].to] = Address(file)
            else:
                found[url] = Address(file, first=("cut", "503"))
    pictures = load_addresses(folder)
    for number, (url, file) in enumerate(pictures.items()):
        found[url] = Address(file, first=((), ("429",), ("cut",))[number % 3])
    return found


def lay_by_hand(root):
    """Put the files that nobody serves where the download step expects them, as a user does."""
    plan = load(root / WORLD)
    for key, step in plan.steps.items():
        if step.spec.step == "download" and step.spec.file.startswith(BY_HAND):
            target = root / plan.main_file(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(root / MADE / "files" / step.spec.file, target)


def snakemake(root, environment, targets, cores="1", *options, **kept):
    """Return the finished process of a run of the rehearsal's world."""
    command = [sys.executable, "-m", "snakemake", "--configfile", WORLD]
    command += ["--cores", cores, "--rerun-incomplete", "--scheduler", "greedy"]
    return subprocess.run(
        [*command, *options, "--", *targets],
        cwd=root,
        env=environment,
        check=False,
        **kept,
    )


def environment_for(server, root):
    """Return the environment in which everything that is fetched comes from the server."""
    other = {"all_proxy", "no_proxy", "hf_endpoint"}
    kept = {
        name: value for name, value in os.environ.items() if name.lower() not in other
    }
    paths = [str(root), *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, **server.environment, "PYTHONPATH": os.pathsep.join(paths)}


def main():
    """Rehearse in the folder of the project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=TARGETS)
    parser.add_argument("--cores", default="all")
    given = parser.parse_args()
    root = Path(__file__).parents[2]
    folder = root / MADE
    write_files(true_list(), folder)
    lay_by_hand(root)
    with web(addresses(folder), folder / "certificates") as server:
        environment = environment_for(server, root)
        done = snakemake(root, environment, given.targets, given.cores)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
