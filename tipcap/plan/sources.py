"""What a world is made of, as steps: datasets, pictures, models and embeddings."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from tipcap import paths
from tipcap.config.datasets import Dataset, PictureFolder
from tipcap.config.downloads import Download, in_range, load_downloads
from tipcap.config.reading import check
from tipcap.config.small_models import (
    EncoderParameters,
    LanguageModelParameters,
    ScratchParameters,
)
from tipcap.errors import InputError, unknown_name
from tipcap.io.digests import remembered_digest, remembered_listing
from tipcap.io.model_files import read_files
from tipcap.plan.graph import Plan
from tipcap.specs import Spec
from tipcap.steps.adopt import AdoptSpec
from tipcap.steps.collect import CollectSpec
from tipcap.steps.download import DownloadSpec
from tipcap.steps.draw import DrawSpec
from tipcap.steps.embed import EmbedSpec
from tipcap.steps.encoder import EncoderSpec
from tipcap.steps.fetch import FetchSpec
from tipcap.steps.language_model import LanguageModelSpec
from tipcap.steps.prepare import PrepareSpec
from tipcap.steps.take import TakeSpec

AnySpec = TypeVar("AnySpec", bound=Spec)
Rest = ParamSpec("Rest")
Planning = Callable[Concatenate["Sources", str, Rest], str]
_PARAMETERS: Mapping[str, type[ScratchParameters]] = {
    "trained": LanguageModelParameters,
    "scratch": ScratchParameters,
}
_SPLITS: Mapping[str, tuple[str, ...]] = {
    "karpathy": ("train", "val", "test"),
    "coco": ("train", "val"),
    "nocaps": ("val",),
    "yfcc": ("train",),
    "ss1m": ("train",),
    "texts": ("train",),
    "pairs": ("train", "val", "test"),
    "unscored": ("train", "val", "test"),
    "web": ("train",),
    "pictures": ("train",),
    "unpaired": ("train",),
}


def downloads_file(plan: Plan) -> Path:
    """Return the list of files to download of a world."""
    return Path(plan.world_file).parent / plan.world.downloads


def named_folder(plan: Plan, spec: Spec) -> str | None:
    """Return the folder or file that a world's file names in the place of a step's artefact, if it names one."""
    if isinstance(spec, TakeSpec):
        of_encoder = spec.kind == "weights"
        encoders, datasets = plan.world.encoders, plan.world.datasets
        return encoders[spec.name].file if of_encoder else datasets[spec.name].raw.file
    if isinstance(spec, AdoptSpec):
        pictures = plan.world.datasets[spec.dataset].raw.pictures
        return pictures.folder if isinstance(pictures, PictureFolder) else None
    if not isinstance(spec, LanguageModelSpec) or spec.source != "folder":
        return None
    return plan.world.language_models[spec.name].model


def content_of(folder: Path, memory: Path, where: str) -> str:
    """Return what tells a model's files from others', the same wherever the folder lies.

    Args:
        folder: of the model; those of its files count that are read.
        memory: as of `remembered_digest`, so that parsing stays fast.
        where: the place in the world's file that names the folder.

    Raises:
        InputError: there is no such folder, or no `config.json` or no weights in it.
    """
    files = [file.name for file in folder.glob("*") if file.is_file()]
    needed = read_files(files)
    if not needed:
        raise InputError(
            f"{where}: expected a folder with a model's config.json and weights (model.safetensors or pytorch_model.bin), found {', '.join(sorted(files))[:200] or 'none'} at {folder}; correct `model`, a path from where Snakemake is started"
        )
    digest = hashlib.sha256()
    for name in needed:
        digest.update(f"{name} {remembered_digest(folder / name, memory)}\n".encode())
    return digest.hexdigest()[:16]


def _once(plan: Planning[Rest]) -> Planning[Rest]:
    """Keep the keys that a method returns by name: thousands of cells ask for the same."""

    @wraps(plan)
    def kept(
        self: "Sources", name: str, /, *rest: Rest.args, **named: Rest.kwargs
    ) -> str:
        place = plan.__name__, name
        if place not in self.kept:
            self.kept[place] = plan(self, name, *rest, **named)
        return self.kept[place]

    return kept


class Sources:
    """Plans the steps behind a world's datasets, encoders and language models."""

    def __init__(self, plan: Plan, by_address: Iterable[str] = ()) -> None:
        """Begin; `by_address` names datasets whose pictures are fetched so, whatever the world's file says."""
        self.plan = plan
        self._addressed = frozenset(by_address)
        self.world = plan.world
        self._downloads: Mapping[str, Download] | None = None
        self.kept: dict[tuple[str, str], str] = {}

    def embed(
        self,
        dataset: str,
        modality: str,
        split: str,
        encoder: str,
        where: str,
        sample: Mapping[str, Any] | None = None,
    ) -> str:
        """Return the key of the embeddings of a split's images or captions.

        Args:
            dataset: its name.
            modality: `image` or `text`.
            split: of the dataset.
            encoder: as experiments name it.
            where: the place in the declarations, for errors.
            sample: fields of `SampleSpec`: the images that are needed. They alone are fetched and embedded where pictures
                come by address; else all are.
        """
        self.check_split(dataset, split, where)
        parents = {
            "dataset": self.prepare(dataset, where),
            "encoder": self.encoder(encoder, where),
        }
        fields: dict[str, Any] = {"modality": modality, "split": split}
        if modality == "image":
            if self.is_by_address(dataset):
                fields |= sample or {}
            pictures = self._pictures(dataset, where, split, sample)
            if not pictures:
                raise InputError(
                    f"{self.plan.world_file}: {where}: expected pictures of dataset {dataset!r}, found none declared; name them under `pictures` or choose another dataset"
                )
            parents |= pictures
        return self.plan.add(check(EmbedSpec, fields, where), parents)

    # Models

    @_once
    def encoder(self, name: str, where: str) -> str:
        """Return the key of an encoder, or of what stands in for it in this world."""
        name = self.world.encoder_for(name)
        if name not in self.world.encoders:
            raise self._unknown("encoder", name, self.world.encoders, where)
        declared = self.world.encoders[name]
        parameters = {}
        if declared.source == "trained":
            place = f"{self.plan.world_file}: encoders.{name}.parameters"
            parameters = check(EncoderParameters, declared.parameters, place).fields()
        spec = EncoderSpec(
            name=name,
            source=declared.source,
            model=declared.model,
            parameters=parameters,
        )
        parents = self._weights(declared.weights)
        if declared.file is not None:
            place = f"encoders.{name}.file"
            parents["weights"] = self._take("weights", name, declared.file, place)
        if declared.pairs is not None:
            parents |= {"pairs": self.prepare(declared.pairs, f"encoder {name!r}")}
            parents |= self._pictures(declared.pairs, f"encoder {name!r}")
        return self.plan.add(spec, parents)

    @_once
    def language_model(self, name: str, where: str) -> str:
        """Return the key of a language model."""
        if name not in self.world.language_models:
            raise self._unknown(
                "language model", name, self.world.language_models, where
            )
        declared = self.world.language_models[name]
        place = f"{self.plan.world_file}: language_models.{name}"
        content = None
        if declared.source == "folder":
            memory = Path(paths.model_digests(self.world.name))
            content = content_of(Path(str(declared.model)), memory, place)
        parameters = {}
        if kind := _PARAMETERS.get(declared.source):
            given = check(kind, declared.parameters, f"{place}.parameters")
            parameters = given.fields()
        spec = LanguageModelSpec(
            name=name, source=declared.source, content=content, parameters=parameters
        )
        parents = self._weights(declared.weights)
        if declared.source == "hub" and declared.model is not None:
            fields = {"model": declared.model, "revision": declared.revision}
            parents["published"] = self.plan.add(check(FetchSpec, fields, place), {})
        if declared.documents is not None:
            source = self.prepare(declared.documents, f"language model {name!r}")
            parents["documents"] = source
        if declared.encoder is not None:
            parents["encoder"] = self.encoder(
                declared.encoder, f"language model {name!r}"
            )
        return self.plan.add(spec, parents)

    def _weights(self, files: Sequence[str]) -> dict[str, str]:
        return _numbered("weights", self._all(files))

    # Datasets

    def _dataset(self, name: str, where: str) -> Dataset:
        if name not in self.world.datasets:
            raise self._unknown("dataset", name, self.world.datasets, where)
        return self.world.datasets[name]

    def _unknown(
        self, kind: str, name: str, known: Iterable[str], where: str
    ) -> InputError:
        return unknown_name(kind, name, known, f"{self.plan.world_file}: {where}")

    @_once
    def prepare(self, name: str, where: str) -> str:
        """Return the key of a dataset's prepared annotations."""
        declared = self._dataset(name, where)
        parents = self._raw(name, where)
        if declared.raw.pictures == "collect":
            parents |= self._pictures(name, where)
        sizes = {"sizes": declared.sizes}
        spec = self._selection(PrepareSpec, name, declared, sizes)
        return self.plan.add(spec, parents)

    def _selection(
        self,
        spec: type[AnySpec],
        name: str,
        declared: Dataset,
        more: Mapping[str, Any],
    ) -> AnySpec:
        fields = {
            "dataset": name,
            "reader": declared.reader,
            "sample_size": declared.sample_size,
            "seed": declared.seed,
            "leave_out": declared.leave_out,
            **more,
        }
        return check(spec, fields, f"{self.plan.world_file}: datasets.{name}")

    def _raw(self, name: str, where: str) -> dict[str, str]:
        drawn = self._draw_spec(name, where)
        if drawn is not None:
            return {"raw": self.plan.add(drawn, {})}
        raw = self._dataset(name, where).raw
        if raw.file is not None:
            place = f"datasets.{name}.raw.file"
            return {"raw": self._take("annotations", name, raw.file, place)}
        if isinstance(raw.pictures, PictureFolder) and not raw.download:
            return {"raw": self._adopt(name, Path(raw.pictures.folder))}
        return _numbered("raw", self._all(raw.download))

    def _take(self, kind: str, name: str, file: str, where: str) -> str:
        path, memory = Path(file), Path(paths.model_digests(self.world.name))
        if not path.is_file():
            raise InputError(
                f"{self.plan.world_file}: {where}: expected a file, found none at {path}; correct the path, which starts where Snakemake does"
            )
        content = remembered_digest(path, memory)[:16]
        suffix = path.suffix.lower() if re.fullmatch(r"\.\w+", path.suffix) else ""
        fields = {"kind": kind, "name": name, "file": f"{kind}{suffix}"}
        return self.plan.add(
            TakeSpec.model_validate({**fields, "content": content}), {}
        )

    def _draw_spec(self, name: str, where: str) -> DrawSpec | None:
        declared = self._dataset(name, where)
        if declared.raw.draw is None:
            return None
        fields = {"dataset": name, "reader": declared.reader, **declared.raw.draw}
        return check(
            DrawSpec, fields, f"{self.plan.world_file}: datasets.{name}.raw.draw"
        )

    def is_by_address(self, dataset: str) -> bool:
        """Whether a dataset's pictures are fetched one by one, and no more of them than are needed."""
        declared = self.world.datasets[dataset].raw.pictures
        if isinstance(declared, PictureFolder):  # they are at hand
            return False
        return declared == "by_address" or dataset in self._addressed

    def _pictures(
        self,
        name: str,
        where: str,
        split: str = "train",
        sample: Mapping[str, Any] | None = None,
    ) -> dict[str, str]:
        declared = self._dataset(name, where)
        if self.is_by_address(name):
            addresses = declared.raw.addresses
            fields = {"split": split, "addresses": addresses, **(sample or {})}
            spec = self._selection(CollectSpec, name, declared, fields)
            return {"pictures": self.plan.add(spec, self._raw(name, where))}
        drawn = self._draw_spec(name, where)
        if drawn is not None:
            return {"pictures": self.plan.add(drawn, {})} if drawn.pictures else {}
        if declared.raw.pictures == "collect":
            missing = {"missing": declared.raw.missing}
            spec = self._selection(CollectSpec, name, declared, missing)
            return {"pictures": self.plan.add(spec, self._raw(name, where))}
        if isinstance(declared.raw.pictures, PictureFolder):
            folder = declared.raw.pictures.folder
            return {"pictures": self._adopt(name, Path(folder))}
        return _numbered("pictures", self._all(_archives(declared)))

    def _all(self, files: Iterable[str]) -> list[str]:
        """Return the keys of files, each name meaning one or a range of them."""
        return [self.download(file) for name in files for file in in_range(name)]

    def _adopt(self, name: str, folder: Path) -> str:
        memory = Path(paths.model_digests(self.world.name))
        count, content = (
            remembered_listing(folder, memory) if folder.is_dir() else (0, "")
        )
        if not count:
            raise InputError(
                f"{self.plan.world_file}: datasets.{name}.raw.pictures.folder: expected a folder with pictures, found none at {folder}; correct the path, which starts where Snakemake does"
            )
        return self.plan.add(AdoptSpec(dataset=name, content=content[:16]), {})

    @_once
    def download(self, file: str) -> str:
        """Return the key of a file of downloads.csv."""
        listed = downloads_file(self.plan)
        if self._downloads is None:
            self._downloads = load_downloads(listed)
        if file not in self._downloads:
            raise unknown_name(
                "file", file, self._downloads, f"{self.plan.world_file}: {listed}"
            )
        declared = self._downloads[file]
        known = declared.model_dump(include=set(DownloadSpec.model_fields))
        return self.plan.add(DownloadSpec(**known), {})

    def _num_items(self, dataset: str, split: str, where: str) -> int | None:
        """How many images a split has, where the declarations say so."""
        drawn = self._draw_spec(dataset, where)
        if drawn is not None:
            return int(getattr(drawn, f"num_{split}"))
        declared = self._dataset(dataset, where)
        return declared.sample_size if split == "train" else None

    def check_split(self, dataset: str, split: str, where: str) -> None:
        """Refuse a split that a dataset lacks."""
        allowed = [
            name
            for name in _SPLITS[self._dataset(dataset, where).reader]
            if self._num_items(dataset, name, where) != 0
        ]
        if split not in allowed:
            raise InputError(
                f"{self.plan.world_file}: {where}: expected a split of dataset {dataset!r} ({', '.join(allowed)}), found {split!r}; correct the split or the dataset's sizes"
            )

    def check_count(self, count: Any, dataset: str, split: str, where: str) -> None:
        """Refuse a number of images that a split does not have, where its size is declared."""
        there = self._num_items(dataset, split, where)
        if isinstance(count, int) and there is not None and count > there:
            raise InputError(
                f"{self.plan.world_file}: {where}: expected at most {there} images ({dataset} {split}), found {count}; lower count_scale or enlarge the dataset"
            )


def _archives(dataset: Dataset) -> tuple[str, ...]:
    named = dataset.raw.pictures
    return named if isinstance(named, tuple) else ()


def _numbered(role: str, keys: Iterable[str]) -> dict[str, str]:
    return {
        role if number == 1 else f"{role}{number}": key
        for number, key in enumerate(keys, 1)
    }
