"""What ran: settings, versions, inputs by their hashes, seed and counts, in one JSON file beside the products."""

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cbminer.errors import OutputError, UnknownStarError

__all__ = [
    "PROVENANCE_FILE",
    "InputFile",
    "Provenance",
    "hash_files",
    "hash_group",
    "read_provenance",
    "write_provenance",
]

PROVENANCE_FILE = "provenance.json"
_PACKAGES = ("cbminer", "numpy", "scipy", "astropy", "numba", "matplotlib", "pydantic", "httpx")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


@dataclass(frozen=True)
class InputFile:
    """A file that was read, or a group of files hashed together."""

    name: str
    size: int
    sha256: str
    n_files: int = 1


@dataclass(frozen=True)
class Provenance:
    """Everything that is needed to run again and to trust the result.

    Attributes
    ----------
    command : str
        The command, without the program's path.
    survey, archive : str
        Survey, and folder or address of the archive as given.
    galaxies : list of str
        Clouds of the run.
    releases : dict
        Release of the survey's catalogue by Cloud.
    settings : dict
        Resolved settings.
    seed : int
        Seed of everything random.
    relations : dict
        Period-luminosity-colour relation in force, by Cloud.
    counts : dict
        Lines, stars and light curves, by Cloud.
    inputs : list of InputFile
        Files that were read.
    c_calibration : dict or None
        Nodes and quality of the function that brought measured c to published values, if there was one.
    classifier : dict or None
        Model as the settings name it, variant, version and hash of the network that classified light curves.
    ranking : dict or None
        Shares of the kinds of stars that the odds rest on, and the population's numbers, by Cloud.
    versions : dict
        Versions of Python and of the packages.
    """

    command: str
    survey: str
    archive: str
    galaxies: list[str]
    releases: dict[str, str]
    settings: dict[str, Any]
    seed: int
    relations: dict[str, Any]
    counts: dict[str, dict[str, int]]
    inputs: list[InputFile]
    c_calibration: dict[str, Any] | None = None
    classifier: dict[str, str] | None = None
    ranking: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=_versions)


def hash_files(name: str, paths: Iterable[Path]) -> InputFile:
    """Hash files one after the other.

    Parameters
    ----------
    name : str
        Name of the file or of the group.
    paths : iterable of `~pathlib.Path`
        The files, in a fixed order.

    Returns
    -------
    InputFile
        Sizes added up, and the SHA-256 of all contents; of a group it covers the names and hashes of the members.
    """
    return hash_group(name, ((path.name, path.stat().st_size, _sha256(path)) for path in paths))


def hash_group(name: str, members: Iterable[tuple[str, int, str]]) -> InputFile:
    """Hash files whose own hashes are known.

    Parameters
    ----------
    name : str
        Name of the file or of the group.
    members : iterable of (str, int, str)
        Name, bytes and SHA-256 of each file, in a fixed order. None of them is kept.

    Returns
    -------
    InputFile
        Sizes added up, and the hash of a single file, or that of the names and hashes of several.
    """
    listing = hashlib.sha256()
    size, n_files, only = 0, 0, ""
    for member, member_size, digest in members:
        listing.update(f"{digest}  {member}\n".encode())
        size, n_files, only = size + member_size, n_files + 1, digest
    return InputFile(name, size, only if n_files == 1 else listing.hexdigest(), n_files)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_provenance(folder: Path, provenance: Provenance) -> Path:
    """Write the provenance of a run into its folder.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Output folder.
    provenance : Provenance
        What ran.

    Returns
    -------
    `~pathlib.Path`
        The file.
    """
    path = folder / PROVENANCE_FILE
    text = json.dumps({"written_by": "cbminer", **asdict(provenance)}, indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def read_provenance(folder: Path) -> Provenance:
    """Read the provenance of a run.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Output folder of a run.

    Returns
    -------
    Provenance
        What ran.

    Raises
    ------
    UnknownStarError
        If the folder does not exist.
    OutputError
        If the folder is not the output of a run.
    """
    path = folder / PROVENANCE_FILE
    if not folder.is_dir():
        msg = f"there is no run in {folder}: name the output folder of a run with --run"
        raise UnknownStarError(msg)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content.pop("written_by")
        content["inputs"] = [InputFile(**item) for item in content["inputs"]]
        return Provenance(**content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{folder} is not the output of a run of cbminer: {PROVENANCE_FILE} is missing or damaged"
        raise OutputError(msg) from error
