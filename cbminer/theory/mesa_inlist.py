"""What the inlists of a MESA binary run say of its beginning."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import f90nml

from cbminer.errors import InputFormatError

__all__ = ["InlistValues", "inlist_files", "read_inlists"]

# In the order in which they are asked: the metallicity of the model itself, if it is changed to that, before that of
# its opacities and of the model that it began with.
_NEW_Z = ("relax_initial_z", "relax_z", "change_initial_z", "change_z")
_METALLICITY = (("kap", "zbase"), ("controls", "zbase"), ("controls", "initial_z"))


@dataclass(frozen=True)
class InlistValues:
    """Initial values of a binary, as far as its inlists have them.

    Attributes
    ----------
    M1, M2 : float or None
        Initial masses in solar masses, in MESA's numbering of the stars.
    period : float or None
        Initial orbital period in days; None also where they give a separation in its place.
    Z : float or None
        Metallicity.
    """

    M1: float | None = None
    M2: float | None = None
    period: float | None = None
    Z: float | None = None


def inlist_files(folder: Path) -> list[Path]:
    """Find the inlists of a run, in the order in which MESA reads them.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the run.

    Returns
    -------
    list of `~pathlib.Path`
        `inlist` and those that it names, each once; all there are where none is called `inlist`.

    Raises
    ------
    InputFormatError
        If one cannot be read; the message names it.
    """
    waiting = [folder / "inlist"] if (folder / "inlist").is_file() else sorted(folder.glob("inlist*"))
    found: list[Path] = []
    while waiting:
        path = waiting.pop(0)
        if path not in found and path.is_file():
            found.append(path)
            # MESA reads an inlist that another names before it goes on with the next that the other names.
            waiting[:0] = [folder / name for name in _named(_read(path))]
    return found


def read_inlists(folder: Path) -> InlistValues:
    """Read the inlists of a run as MESA does: from `inlist` on, and those that it names over it.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the run.

    Returns
    -------
    InlistValues
        What they say; nothing if there are none.

    Raises
    ------
    InputFormatError
        If one cannot be read; the message names it.
    """
    groups: dict[str, dict[str, Any]] = {}
    for path in inlist_files(folder):
        for group, entries in _read(path).items():
            groups.setdefault(group, {}).update(entries)
    controls, job = groups.get("binary_controls", {}), groups.get("star_job", {})
    metallicity = [groups.get(group, {}).get(name) for group, name in _METALLICITY]
    if any(job.get(name) is True for name in _NEW_Z):
        metallicity.insert(0, job.get("new_z"))
    return InlistValues(
        M1=_number(controls.get("m1")),
        M2=_number(controls.get("m2")),
        period=_number(controls.get("initial_period_in_days")),
        Z=next((value for value in map(_number, metallicity) if value is not None), None),
    )


def _number(value: object) -> float | None:
    """Take a number; MESA's way to say that it is to be found otherwise is a negative one."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value > 0 else None  # type: ignore[operator, arg-type]


def _read(path: Path) -> Mapping[str, dict[str, Any]]:
    try:
        # Comments may be in any encoding.
        groups: dict[str, Any] = f90nml.reads(path.read_bytes().decode("utf-8", errors="replace")).todict()
    # The parser has no errors of its own for what it cannot take apart.
    except (OSError, ValueError, KeyError, IndexError, StopIteration, TypeError, AttributeError) as error:
        msg = f"{path} cannot be read as a list of settings of Fortran ({type(error).__name__}: {error})"
        raise InputFormatError(msg) from error
    return {name: entries for name, entries in groups.items() if isinstance(entries, dict)}


def _named(groups: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for entries in groups.values():
        for name, value in entries.items():
            names = value if isinstance(value, list) else [value]
            if name == "inlist_names":
                yield from (item for item in names if isinstance(item, str))
            # read_extra_controls_inlist1 and, of newer versions, read_extra_controls_inlist(1).
            elif name.startswith("extra_") and "inlist" in name and name.rpartition("inlist")[2].endswith("name"):
                switch = entries.get("read_" + name.removesuffix("_name"))
                switches = switch if isinstance(switch, list) else [switch]
                yield from (item for item, on in zip(names, switches, strict=False) if on and isinstance(item, str))
