"""What a run used, as far as it has to be cited: read from its provenance and from the products in its folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cbminer.errors import CbminerError, OutputError
from cbminer.provenance import PROVENANCE_FILE, Provenance, read_provenance

__all__ = ["Usage", "usage_of_run"]

_DEFAULT_MODULI = {"LMC": "18.477 mag", "SMC": "18.977 mag"}
_OBSERVED = "ogle"
_SIMULATED = "mock"


@dataclass(frozen=True)
class Usage:
    """What was used.

    Attributes
    ----------
    everything : bool
        Whether this is about no run: all that cbminer can use.
    survey : str
        Survey; "mock" for simulated stars.
    galaxies, releases : tuple of str
        Clouds, and releases of their catalogues.
    settings : mapping
        Resolved settings.
    network, variant : str
        Method of binarisation and variant of the network; empty where none classified, or where it is not known.
    ranked : bool
        Whether probabilities were computed.
    grid : str
        All words in which an imported grid of models speaks of itself; empty for the package's.
    products : frozenset of str
        Later products in the folder: fits, phoebe, completeness, gaia, simbad.
    remarks : tuple of str
        What cannot be cited from here, and must be by the user.
    """

    everything: bool = False
    survey: str = ""
    galaxies: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    network: str = ""
    variant: str = ""
    ranked: bool = False
    grid: str = ""
    products: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether the stars are made up."""
        return self.survey == _SIMULATED

    @property
    def ogle(self) -> bool:
        """Whether the stars are OGLE's."""
        return self.survey == _OBSERVED

    @property
    def selected(self) -> bool:
        """Whether stars were selected, with distances and reddening, and not only measured."""
        return bool(self.galaxies)

    @property
    def preset(self) -> str:
        """Layout of a known survey, of which tables were measured; empty for none."""
        observed = not self.selected and not self.simulated
        return str(self.setting("table.preset") or "") if observed else ""

    def default_modulus(self, galaxy: str) -> bool:
        """Tell whether the distance of a Cloud is that of the package.

        Parameters
        ----------
        galaxy : str
            The Cloud.

        Returns
        -------
        bool
            False also where the run does not say.
        """
        return bool(self.setting(f"cloud.{galaxy}.distance.distance_modulus") == _DEFAULT_MODULI.get(galaxy))

    def setting(self, path: str) -> Any:
        """Look a setting up.

        Parameters
        ----------
        path : str
            Its name, parted by dots.

        Returns
        -------
        object
            The value; None where the run has no such setting.
        """
        found: Any = self.settings
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found


def usage_of_run(run: Path) -> Usage:
    """Find what a run used.

    Parameters
    ----------
    run : `~pathlib.Path`
        Its output folder.

    Returns
    -------
    Usage
        What it used.

    Raises
    ------
    UnknownStarError
        If the folder does not exist.
    OutputError
        If it is not the output of a run.
    """
    provenance = read_provenance(run)
    try:
        return _usage(run, provenance)
    except (AttributeError, KeyError, TypeError) as error:
        msg = f"{run / PROVENANCE_FILE} is not as cbminer writes it ({error}): run the command again with --overwrite"
        raise OutputError(msg) from error


def _usage(run: Path, provenance: Provenance) -> Usage:
    remarks = [*_remarks(provenance)]
    # Settings name a grid in runs too that make no use of it.
    grid, about = _grid(provenance.settings) if provenance.ranking else ("", [])
    method, lost = _network(provenance.classifier)
    return Usage(
        survey=provenance.survey,
        galaxies=tuple(provenance.galaxies),
        releases=tuple(provenance.releases.values()),
        settings=provenance.settings,
        network=method,
        variant=(provenance.classifier or {}).get("variant", ""),
        ranked=bool(provenance.ranking),
        grid=grid,
        products=frozenset(_products(run)),
        remarks=(*remarks, *about, *lost),
    )


def _remarks(provenance: Provenance) -> list[str]:
    """Say what the user has to cite beside what is listed."""
    found = []
    usage = Usage(survey=provenance.survey, galaxies=tuple(provenance.galaxies), settings=provenance.settings)
    if usage.preset:
        found.append(f"the layout was that of {usage.preset}: acknowledge {provenance.survey} as its archive asks")
    elif provenance.survey not in (_OBSERVED, _SIMULATED):
        found.append(f"the stars are of {provenance.survey}: cite that survey and its catalogue")
    if provenance.survey == _SIMULATED:
        found.append("the stars are SIMULATED: nothing observed was used, so no survey is cited")
    return [*found, *(_remarks_of_selection(provenance, usage) if usage.selected else [])]


def _remarks_of_selection(provenance: Provenance, usage: Usage) -> list[str]:
    """Say what is to be cited for distances, reddening and a relation that are the user's."""
    found = []
    table = usage.setting("reddening.map")
    if table:
        found.append(f"reddening is of the map {Path(table).name}: cite its source")
    published = usage.setting("morphology_table.table")
    if published and published != "vizier":
        found.append(f"published c is of {Path(published).name}: cite its source if it is not Bodi & Hajdu")
    if usage.setting("selection.plc.mode") == "coefficients":
        found.append("coefficients of the period-luminosity-colour relation were given: cite their source")
    for galaxy in provenance.galaxies:
        modulus = usage.setting(f"cloud.{galaxy}.distance.distance_modulus")
        if modulus is not None and not usage.default_modulus(galaxy):
            found.append(f"the distance modulus of the {galaxy} is {modulus}: cite its source")
    if provenance.survey == _OBSERVED and any("not recognised" in text for text in provenance.releases.values()):
        found.append("the release of the catalogue was not recognised: cite the one that you mined")
    return found


def _grid(settings: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Words of an imported grid, and a remark where it cannot be asked."""
    from cbminer.theory.grid import read_runs

    path = Usage(settings=settings).setting("ranking.grid")
    if not path:
        return "", []
    remark = f"the population is of the grid {Path(path).name}: cite its source"
    try:
        runs, about = read_runs(Path(path).expanduser())
    except CbminerError:
        return str(path), [f"{remark}; it could not be read"]
    codes = {str(code) for code in runs.get("code", ())}
    return " ".join([str(path), str(about), *sorted(codes)]), [remark]


def _network(classifier: Mapping[str, str] | None) -> tuple[str, list[str]]:
    """Find the method of the network that classified, and a remark where its card does not tell."""
    from cbminer.classifier.card import read_card
    from cbminer.classifier.prediction import model_path

    if not classifier:
        return "", []
    try:
        card = read_card(model_path(classifier["model"]), sha256=classifier["sha256"])
        return str(card["network"]["method"]), []
    except (CbminerError, KeyError, TypeError):
        return "", [f"the network {classifier.get('version', '')} has no card here: cite its method of binarisation"]


def _products(run: Path) -> list[str]:
    found = [name for name in ("gaia", "simbad") if (run / f"cross_match_{name}.ecsv").is_file()]
    fits = run / "fits" / "fits.ecsv"
    if fits.is_file():
        found.append("fits")
        if "_phoebe_" in fits.read_text(encoding="utf-8", errors="replace"):
            found.append("phoebe")
    if (run / "completeness").is_dir():
        found.append("completeness")
    return found
