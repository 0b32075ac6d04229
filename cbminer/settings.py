"""All settings of a run: defaults, the presets of the galaxies, and a TOML file of the user, in this order."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

import tomlkit
from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from cbminer.classifier.prediction import ClassifierSettings
from cbminer.classifier.recipe import NetworkSettings, TrainingSettings
from cbminer.completeness.sensitivity_settings import SensitivitySettings
from cbminer.completeness.settings import InjectionSettings
from cbminer.errors import SettingsError
from cbminer.followup.settings import FollowUpSettings
from cbminer.followup.target_settings import TargetSettings
from cbminer.galaxies import CLOUDS, GALAXIES, Galaxy
from cbminer.lightcurves.adoption import AdoptionSettings
from cbminer.lightcurves.cleaning import CleaningSettings
from cbminer.lightcurves.period_search import PeriodSearchSettings
from cbminer.lightcurves.periods import PeriodSettings
from cbminer.measurement import MeasurementSettings
from cbminer.morphology.fourier import FourierSettings
from cbminer.morphology.published import MorphologyTableSettings
from cbminer.morphology.shape import ShapeSettings
from cbminer.photometry.cloud_settings import CloudSettings
from cbminer.photometry.magnitudes import ExtinctionSettings
from cbminer.photometry.parallax import ParallaxSettings
from cbminer.photometry.reddening import ReddeningSettings
from cbminer.quantities import Magnitudes, SettingsModel
from cbminer.ranking.fit_settings import FitSettings
from cbminer.ranking.settings import RankingSettings
from cbminer.report.against_settings import AgainstSettings
from cbminer.selection.cutflow import SelectionSettings
from cbminer.survey.archive import OGLE_URL
from cbminer.survey.download import FetchSettings
from cbminer.survey.mock import MockSettings
from cbminer.survey.table_settings import TableSettings
from cbminer.survey.vizier_settings import VizierSettings
from cbminer.synthetic.library import LibrarySettings
from cbminer.synthetic.sampling import SamplingSettings
from cbminer.theory.population_settings import PopulationSettings

__all__ = [
    "CloudSettings",
    "LightCurveSettings",
    "ReportSettings",
    "Settings",
    "SurveySettings",
    "load_settings",
    "settings_from_mapping",
    "settings_over",
    "settings_to_toml",
]

_PRESETS = Path(__file__).parent / "presets"


class SurveySettings(SettingsModel):
    """Where the stars come from and how strictly they are read."""

    archive: str = Field(default=OGLE_URL, description="folder in OGLE's layout, or base URL of a server")
    catalogue: Literal["archive", "vizier"] = Field(
        default="archive",
        description="where the catalogue comes from; vizier: OGLE's of 2016 as VizieR keeps it, with the light curves "
        "of the archive",
    )
    offline: bool = Field(
        default=False, description="whether a server is never asked: what the cache lacks counts as absent"
    )
    strict: bool = Field(default=False, description="whether a malformed line ends the run instead of being set aside")
    saturation_I: Magnitudes = Field(
        default=13.0, description="stars brighter than this in I are flagged; OGLE-IV saturates there"
    )


class LightCurveSettings(SettingsModel):
    """Which light curves are read."""

    measure: Literal["auto", "all", "needed"] = Field(
        default="auto",
        description="needed: those of stars that pass the catalogue-level cuts; all: every one; auto: all of a local "
        "folder, the needed ones of a server",
    )
    chunk: int = Field(default=500, ge=1, description="light curves in memory at a time and job")
    phase_zero: Literal["minimum", "catalogue", "maximum"] = Field(
        default="minimum",
        description="phase 0 of the figures: the deeper minimum, T0 of the catalogue, or the maximum",
    )


class ReportSettings(SettingsModel):
    """What the figures show."""

    atlas_max: int = Field(default=96, ge=0, description="candidates, the first by rank, whose light curves are drawn")
    sheets_max: int = Field(
        default=200, ge=0, description="candidates, the first by rank, whose light curves report.html holds"
    )
    points_max: int = Field(
        default=2000,
        ge=0,
        description="stars that report.html holds as points with all their numbers, candidates first",
    )
    table_max: int = Field(
        default=2000, ge=0, description="candidates, the first by rank, that report.html and vetting sheets list"
    )


class Settings(SettingsModel):
    """All settings of a run."""

    seed: int = Field(default=20260101, ge=0, description="seed of everything random")
    survey: SurveySettings = SurveySettings()
    fetch: FetchSettings = FetchSettings()
    vizier: VizierSettings = VizierSettings()
    cloud: dict[Galaxy, CloudSettings]
    parallax: ParallaxSettings = ParallaxSettings()
    extinction: ExtinctionSettings = ExtinctionSettings()
    reddening: ReddeningSettings = ReddeningSettings()
    lightcurves: LightCurveSettings = LightCurveSettings()
    cleaning: CleaningSettings = CleaningSettings()
    period_choice: AdoptionSettings = AdoptionSettings()
    periods: PeriodSettings = PeriodSettings()
    period_search: PeriodSearchSettings = PeriodSearchSettings()
    fourier: FourierSettings = FourierSettings()
    shape: ShapeSettings = ShapeSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    morphology_table: MorphologyTableSettings = MorphologyTableSettings()
    selection: SelectionSettings = SelectionSettings()
    mock: MockSettings = MockSettings()
    library: LibrarySettings = LibrarySettings()
    sampling: SamplingSettings = SamplingSettings()
    population: PopulationSettings = PopulationSettings()
    ranking: RankingSettings = RankingSettings()
    fit: FitSettings = FitSettings()
    completeness: InjectionSettings = InjectionSettings()
    sensitivity: SensitivitySettings = SensitivitySettings()
    against: AgainstSettings = AgainstSettings()
    follow_up: FollowUpSettings = FollowUpSettings()
    table: TableSettings = TableSettings()
    targets: TargetSettings = TargetSettings()
    report: ReportSettings = ReportSettings()

    @model_validator(mode="after")
    def _clouds_have_a_place(self) -> Self:
        for galaxy, common in self.cloud.items():
            lacking = [name for name in ("distance", "reddening") if getattr(common, name) is None]
            if lacking and galaxy in CLOUDS:
                msg = f"cloud.{galaxy}.{lacking[0]} is not set: only the Milky Way (MW) can do without it"
                raise ValueError(msg)
        return self

    @property
    def measurement(self) -> MeasurementSettings:
        """Settings of all that is done to a light curve."""
        return MeasurementSettings(
            cleaning=self.cleaning,
            period_choice=self.period_choice,
            periods=self.periods,
            period_search=self.period_search,
            fourier=self.fourier,
            shape=self.shape,
            classifier=self.classifier,
        )


def load_settings(path: Path | None = None) -> Settings:
    """Load the presets and, over them, a settings file.

    Parameters
    ----------
    path : `~pathlib.Path`, optional
        TOML file; it needs to hold only what differs from the defaults.

    Returns
    -------
    Settings
        The settings.

    Raises
    ------
    SettingsError
        If the file is missing or no TOML, has an unknown key, or a value of the wrong kind or unit.
    """
    merged: dict[str, Any] = {}
    for preset in sorted(_PRESETS.glob("*.toml")):
        merged = _merge(merged, tomllib.loads(preset.read_text(encoding="utf-8")))
    if path is None:
        return Settings.model_validate(merged)
    return _over(merged, path)


def settings_over(base: Settings, path: Path) -> Settings:
    """Load a settings file over settings that are there already, such as those of a run.

    Parameters
    ----------
    base : Settings
        What holds where the file says nothing.
    path : `~pathlib.Path`
        TOML file.

    Returns
    -------
    Settings
        The settings.

    Raises
    ------
    SettingsError
        As `load_settings` raises it.
    """
    return _over(base.model_dump(mode="json"), path)


def _over(merged: dict[str, Any], path: Path) -> Settings:
    text = _read(path)
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"settings file {path} is not valid TOML: {error}"
        raise SettingsError(msg) from error
    try:
        return Settings.model_validate(_merge(merged, given))
    except ValidationError as error:
        raise SettingsError(_explain(path, text, error)) from error


def settings_from_mapping(mapping: dict[str, Any]) -> Settings:
    """Rebuild settings that a run has recorded.

    Parameters
    ----------
    mapping : dict
        Resolved settings as ``Settings.model_dump(mode="json")`` writes them.

    Returns
    -------
    Settings
        The settings.

    Raises
    ------
    SettingsError
        If another version of the package wrote them and they no longer fit.
    """
    try:
        return Settings.model_validate(mapping)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        msg = f"the settings recorded by the run do not fit this version of cbminer ({place}: {first['msg']})"
        raise SettingsError(msg) from error


def settings_to_toml(settings: Settings) -> str:
    """Write settings as TOML, with the meaning of each one as a comment.

    Parameters
    ----------
    settings : Settings
        The settings.

    Returns
    -------
    str
        A file that `load_settings` reads back to the same settings.
    """
    document = tomlkit.document()
    document.add(tomlkit.comment("Settings of cbminer. A file needs to hold only what differs from these."))
    document.add(tomlkit.nl())
    _write_model(document, settings)
    return tomlkit.dumps(document)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"settings file {path} cannot be read: {error.strerror}"
        raise SettingsError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"settings file {path} is not UTF-8 text"
        raise SettingsError(msg) from error


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(merged.get(key), dict) and isinstance(value, dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _explain(path: Path, text: str, error: ValidationError) -> str:
    """One line on the first thing that is wrong, with the line of the file and what would be right."""
    details = error.errors()[0]
    location = [str(part) for part in details["loc"] if part != "[key]"]
    line = _line_of(text, location)
    place = f"settings file {path}, line {line}" if line else f"settings file {path}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{place}: {'.'.join(location)}: {_what_is_wrong(details)}{more}"


def _what_is_wrong(details: ErrorDetails) -> str:
    if details["type"] == "extra_forbidden":
        known = _known_keys([str(part) for part in details["loc"][:-1]])
        return f"unknown key; known here: {', '.join(known)}" if known else "unknown key"
    message = details["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:] if details["type"] != "value_error" else message


def _known_keys(location: list[str]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in location:
        if part in GALAXIES:
            model = CloudSettings
            continue
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        for candidate in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
    return sorted(model.model_fields)


def _line_of(text: str, location: list[str]) -> int | None:
    """Line of a key in a TOML text: the longest part of its path that a line names."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+([^\]]+)\]", line)
        if header:
            table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            lines.setdefault(table, number)
        key = re.match(r"\s*([\w.\"'-]+)\s*=", line)
        if key:
            path = table + tuple(part.strip("\"'") for part in key[1].split("."))
            lines.setdefault(path, number)
    for length in range(len(location), 0, -1):
        if tuple(location[:length]) in lines:
            return lines[tuple(location[:length])]
    return None


def _write_model(container: Any, model: BaseModel) -> None:
    """Write plain values first and tables after them, as TOML asks for."""
    dumped = model.model_dump(mode="json")
    fields = type(model).model_fields
    for name in fields:
        if name in dict(_tables(model)):
            continue
        description = fields[name].description or ""
        if dumped[name] is None:
            container.add(tomlkit.comment(f"{name} is unset: {description}"))
            continue
        item = tomlkit.item(dumped[name])
        container.add(name, item.comment(description) if description else item)
    for name, child in _tables(model):
        table = tomlkit.table()
        for key, entry in child.items() if isinstance(child, dict) else ():
            inner = tomlkit.table()
            _write_model(inner, entry)
            table.add(key, inner)
        if isinstance(child, BaseModel):
            _write_model(table, child)
        container.add(name, table)


def _tables(model: BaseModel) -> Iterator[tuple[str, Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel | dict):
            yield name, value
