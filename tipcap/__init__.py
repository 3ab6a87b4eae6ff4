"""TIPCap: text data-centric image captioning with interactive prompts, reproduced from end to end.

    tipcap.Captioner.load().caption("picture.png", prompt=["boat"])
    tipcap.fit(texts, captions, setting=3, images=images)
    tipcap.tables("mini-full")

They are imported when they are first asked for: the command line and the workflow start without PyTorch.
"""

import importlib
from typing import Any

from tipcap.arithmetic import pin_arithmetic

__version__ = "0.1.0"
__all__ = ["Captioner", "InputError", "fit", "tables"]

pin_arithmetic()  # before anything imports a numerical library

_PUBLIC = {
    "Captioner": "tipcap.interface.captioner",
    "fit": "tipcap.interface.fitting",
    "tables": "tipcap.interface.results",
    "InputError": "tipcap.errors",
}
"""Name -> its module. `__init__.pyi` says the same to type checkers."""


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tipcap.extras import extras_told

    with extras_told():
        return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """Return what Tab offers: the names above, which are not there before they are asked for."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
