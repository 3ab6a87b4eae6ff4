"""Captioners by name: a folder, one that ships with the package, or any experiment of a world that was trained."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tipcap import paths
from tipcap.config.world import worlds_in
from tipcap.core.nearest import Corpus
from tipcap.errors import InputError, unknown_name
from tipcap.io.exported import (
    About,
    Part,
    Parts,
    read_about,
    read_exported,
    shipped_captioners,
    shipped_part,
)
from tipcap.io.store import read_tensors
from tipcap.paths import WEIGHTS
from tipcap.plan.captioners import (
    CaptionerName,
    PlannedCaptioner,
    parse_name,
    plan_captioner,
    plan_captioners,
    target_with,
)
from tipcap.plan.loading import TARGET

DEFAULT = "mini:s1-prompt"
_CHECKOUT = Path(__file__).parents[2]
_TOLD = ("encoder", "language_model", "estimate", "train", "prompt", "generate")
"""The steps whose specifications are the decisions behind a captioner."""


def find_captioner(name: str | Path | None = None) -> Parts:
    """Return the parts of a captioner.

    Args:
        name: a folder of `tipcap export`, or WORLD:EXPERIMENT as in `mini:s1-prompt`; by default the one that
            ships with the package.

    Raises:
        InputError: there is none, with what there is and how to make it.
    """
    if name is None:
        shipped = shipped_captioners()
        if DEFAULT in shipped:
            return read_exported(shipped[DEFAULT])
        name = DEFAULT
    folder = Path(name)
    if isinstance(name, Path) or folder.is_dir() or ":" not in str(name):
        if not folder.is_dir() and len(folder.parts) == 1:
            raise _unknown(str(name))
        return read_exported(folder)
    return _of_world(parse_name(name))


def captioner_to_use(world_file: Path) -> Parts:
    """Return the parts of the captioner that target `captioner` of a world has trained, where Snakemake was started.

    Raises:
        InputError: the world has no such target, or it was not made.
    """
    name = CaptionerName(world_file.stem, TARGET)
    planned = plan_captioner(name, world_file)
    if (trained := _trained(planned, Path())) is None:
        raise _untrained(name, planned, Path(), world_file)
    return _parts(name, planned, Path(), trained)


def root_of(world: str) -> Path | None:
    """Return the folder with `config/WORLD.yaml`: the current one, or the repository that this package is run from."""
    for root in (Path(), _CHECKOUT):
        if (root / "config" / f"{world}.yaml").is_file():
            return root
    return None


def known_worlds() -> set[str]:
    """Return the names of the worlds that `root_of` finds."""
    return {
        world for root in (Path(), _CHECKOUT) for world in worlds_in(root / "config")
    }


def results_of(root: Path, world: str) -> Iterator[Path]:
    """Yield the folders in which a world's artefacts may lie: its own, then other worlds', whose keys mean the same."""
    own = root / paths.RESULTS / world
    yield own
    for other in sorted((root / paths.RESULTS).glob("*")):
        if other != own and other.is_dir():
            yield other


def available() -> Iterator[tuple[str, str]]:
    """Yield the captioners that are there: names, and where each comes from."""
    shipped = shipped_captioners()
    for name in shipped:
        yield name, "ships with tipcap"
    worlds = {
        file.stem: root
        for root in (_CHECKOUT, Path())
        for file in sorted((root / "config").glob("*.yaml"))
    }
    for world, root in worlds.items():
        if not (root / paths.RESULTS / world).is_dir():
            continue
        for name, planned in plan_captioners(root / "config" / f"{world}.yaml"):
            if name not in shipped and _trained(planned, root):
                yield name, f"trained in {root / paths.RESULTS}"


def _of_world(name: CaptionerName) -> Parts:
    shipped = shipped_captioners()
    root = root_of(name.world)
    if root is None:
        if str(name) in shipped:
            return read_exported(shipped[str(name)])
        raise _unknown(str(name))
    world_file = root / "config" / f"{name.world}.yaml"
    planned = plan_captioner(name, world_file)
    if (trained := _trained(planned, root)) is not None:
        return _parts(name, planned, root, trained)
    for folder in shipped.values():
        if _key_of(read_about(folder)) == planned.model:
            return read_exported(folder)
    raise _untrained(name, planned, root, world_file)


def _untrained(
    name: CaptionerName, planned: PlannedCaptioner, root: Path, world_file: Path
) -> InputError:
    target = target_with(name, world_file)
    remedy = (
        f"make it: snakemake --configfile {world_file} --cores all -- {target}"
        if target
        else f"make a table with this experiment, which no table of {world_file} has"
    )
    return InputError(
        f"captioner {name}: expected one that was trained ({planned.model}), found none in {root / paths.RESULTS}; {remedy}; or choose one of `tipcap caption --models`"
    )


def _unknown(name: str) -> InputError:
    known = [known for known, _ in available()]
    if not known:
        return InputError(
            f"captioner {name!r}: expected the folder of an exported captioner or WORLD:EXPERIMENT, found neither, and none that ships or was trained here; make one with `tipcap export`"
        )
    return unknown_name("captioner", name, known, "captioner")


def _key_of(about: About) -> str | None:
    stage = about.steps.get("prompt") or about.steps.get("train") or {}
    return stage.get("key")


def _trained(planned: PlannedCaptioner, root: Path) -> Path | None:
    step = planned.plan.steps[planned.model].spec.step
    for results in results_of(root, planned.plan.name):
        file = results / step / planned.model / WEIGHTS
        if file.is_file():
            return file
    return None


def _parts(
    name: CaptionerName, planned: PlannedCaptioner, root: Path, trained: Path
) -> Parts:
    plan = planned.plan
    step = plan.steps[planned.generate]
    writing = step.spec.model_dump()
    if writing["projection"] != "none":
        raise InputError(
            f"captioner {name}: expected one that reads image embeddings, found one that reads averages of its corpus; choose another experiment"
        )
    behind = {
        plan.steps[key].spec.step: key
        for key in plan.ancestors(planned.generate)
        if plan.steps[key].spec.step in _TOLD
    }
    texts = plan.steps[behind["train"]].parents["texts"]
    behind |= {"encoder": plan.steps[texts].parents["encoder"]}
    behind |= {"language_model": step.parents["language_model"]}
    steps: dict[str, dict[str, Any]] = {
        kind: {"key": behind[kind], "spec": _fields(plan.steps[behind[kind]].spec)}
        for kind in _TOLD
        if kind in behind
    }
    prompt: dict[str, Any] = steps.get("prompt", {}).get("spec", {})
    weights = read_tensors(trained)
    about = About(
        name=str(name),
        embed_dim=weights["captioner.projector.linear.weight"].shape[1],
        precision=steps["train"]["spec"]["precision"],
        prompts=prompt.get("prompts"),
        compounds=prompt.get("compounds", True),
        padding=writing["padding"] if prompt else "bare",
        end=writing["end"],
        beam=writing["beam"],
        max_tokens=writing["max_tokens"],
        length_exponent=writing["length_exponent"],
        steps=steps,
    )

    def corpus() -> Corpus | None:
        from tipcap.io.embeddings import corpus_captions, read_embeddings

        vectors = _artefact(planned, root, texts)
        annotations = plan.steps[behind["train"]].parents["corpus"]
        captions = _artefact(planned, root, annotations)
        if vectors is None or captions is None:
            return None
        embeddings = read_embeddings(vectors)
        return Corpus(corpus_captions(captions, embeddings), embeddings.vectors)

    def folder(part: Part) -> Path:
        file = _artefact(planned, root, behind[part])
        found = file.parent if file else shipped_part(part, behind[part])
        if found is None:
            raise InputError(
                f"captioner {name}: expected its {part} {behind[part]}, found none in {root / paths.RESULTS}; run the workflow again"
            )
        return found

    language_model, encoder = folder("language_model"), folder("encoder")
    return Parts(about, weights, language_model, encoder, corpus, str(trained))


def _artefact(planned: PlannedCaptioner, root: Path, key: str) -> Path | None:
    """Return the main file of a step, in the results of whichever world made it."""
    inside = Path(planned.plan.main_file(key)).relative_to(
        Path(paths.RESULTS) / planned.plan.name
    )
    for results in results_of(root, planned.plan.name):
        if (results / inside).is_file():
            return results / inside
    return None


def _fields(spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = spec.model_dump(mode="json")
    return found
