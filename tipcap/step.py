"""What a step is: parameters, the files it reads by role, its function, and what else the workflow must know of it.

A module of `tipcap.steps` holds one step whole. The command `tipcap step NAME`, the arguments of its rule, the
hash of its code and what the warm process imports for it follow from there.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a machine that only computes needs no pydantic
    from tipcap.specs import Spec

NO_ROLES = frozenset(
    {"checkpoints", "downloads", "folder", "device", "precision", "threads"}
)
"""Parameters of a step's function that are no file of a parent."""
SHARED = frozenset(
    {
        "adopt",
        "collect",
        "download",
        "draw",
        "embed",
        "encoder",
        "fetch",
        "language_model",
        "prepare",
        "spice",
        "take",
    }
)
"""Steps that are made once for all runs: data, models and embeddings. Any other, also one that is added, is a run's own."""
PRECISION = "TIPCAP_PRECISION"
"""Environment variable: the world's choice, so that the rules' commands do not change with it."""


@dataclass(frozen=True)
class Request:
    """One artefact to make: its step, key, parents' keys and folder."""

    step: str
    key: str
    parents: Mapping[str, str]
    spec: Mapping[str, Any]
    out: Path


@dataclass(frozen=True)
class Step:
    """A kind of step, as its module declares it."""

    spec: "type[Spec]"
    """Its parameters, which also give its name, version and lineage."""
    run: Callable[..., None]
    """`run(request, spec, ...)` publishes one artefact; without these two it makes many, of which it is told in
    `runs`. Its other parameters are the command's options:

    - the files it reads, each named as the role of the parent that makes them: `Path`, `Path | None = None`
      where not every specification reads it, `Sequence[Path] = ()` for several;
    - `checkpoints: Path`, a folder of its own that outlives a kill, where it has one;
    - `downloads: Path`, the world's downloads.csv;
    - `folder: Path | None`, what the world's file names in the place of a step's artefact;
    - `device: str`, the name of PyTorch's device, where it can use a GPU;
    - `precision: str`, float32 or bfloat16, where it can compute in either;
    - `threads: int`, where it shares out its threads itself. PyTorch's are set for those that compute with it."""
    main_file: str | None
    """The file that later steps read; None: the specification's own `file`."""
    further_files: tuple[str, ...] = ()
    """Files beside it and `meta.json`; `pictures` is a folder of zip archives."""
    file_of_role: Mapping[str, str] = field(default_factory=dict)
    """The files that are read in another role than the main one, by that role."""
    hands_on_folder: bool = False
    """Whether later steps read its whole folder. Such an artefact may ship with the repository."""
    has_record: bool = True
    """Whether `meta.json` lies beside the main file."""
    in_one_process: bool = False
    """Whether it goes on from checkpoints and yet cannot share its work with other processes."""
    uses_network: bool = False
    """Whether it fetches something: its rule runs where Snakemake does, and target `downloads` beforehand."""
    torch_threads: bool = False
    """Whether it computes with PyTorch, which then is set up for results that repeat."""
    libraries: tuple[str, ...] = ()
    """What the warm process imports for it: modules, or `module:function` to call."""

    @property
    def name(self) -> str:
        """The step's name: of its rule, its command and its folder in results."""
        return self.spec.step

    @cached_property
    def options(self) -> Mapping[str, inspect.Parameter]:
        """The parameters of `run` after request and specification, by name."""
        parameters = inspect.signature(self.run).parameters
        return {k: p for k, p in parameters.items() if k not in ("request", "spec")}

    @cached_property
    def is_keyed(self) -> bool:
        """Whether a command makes one artefact, not many."""
        return "spec" in inspect.signature(self.run).parameters

    @cached_property
    def roles(self) -> Mapping[str, inspect.Parameter]:
        """The files that it reads, by role."""
        return {k: one for k, one in self.options.items() if k not in NO_ROLES}

    @cached_property
    def needed(self) -> frozenset[str]:
        """The roles that every specification needs."""
        empty = inspect.Parameter.empty
        return frozenset(k for k, one in self.roles.items() if one.default is empty)

    @property
    def resumes(self) -> bool:
        """Whether it goes on from checkpoints."""
        return "checkpoints" in self.options

    @property
    def spreads(self) -> bool:
        """Whether several processes may share its work."""
        return self.resumes and not self.in_one_process

    def file_for(self, role: str, spec: "Spec") -> str:
        """Return the name of the file that a step reads in a role."""
        name = self.file_of_role.get(role, self.main_file)
        return name if name is not None else str(spec.model_dump()["file"])
