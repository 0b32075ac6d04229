"""Mine a photometric survey for massive contact binaries.

The command line is the usual way in: ``cbminer select --galaxy LMC``. The names below are the same pipeline from
Python; they are imported when they are first used, so that ``import cbminer`` is instant.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _version
from typing import Any

__all__ = [
    "CbminerError",
    "Settings",
    "__version__",
    "explain_star",
    "known_massive_contact_binaries",
    "load_settings",
    "open_survey",
    "run_selection",
    "write_products",
]

_HOMES = {
    "CbminerError": "cbminer.errors",
    "Settings": "cbminer.settings",
    "explain_star": "cbminer.report.explanation",
    "known_massive_contact_binaries": "cbminer.resources",
    "load_settings": "cbminer.settings",
    "open_survey": "cbminer.pipeline",
    "run_selection": "cbminer.pipeline",
    "write_products": "cbminer.report.products",
}

try:
    __version__ = _version("cbminer")
except PackageNotFoundError:
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module 'cbminer' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
