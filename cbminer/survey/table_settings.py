"""How a table of light curves of another survey is laid out: settings, presets, and both together."""

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from cbminer.errors import SettingsError
from cbminer.quantities import Days, Magnitudes, SettingsModel

__all__ = ["QualityRule", "TableLayout", "TableSettings", "preset_names", "table_layout"]

_PRESETS = Path(__file__).parent / "table_presets"
_SINGLE_BAND = "-"


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
TimeScale = Literal["utc", "tai", "tt", "tdb", "tcb"]
TimePlace = Literal["sun", "barycentre", "earth"]


class QualityRule(SettingsModel):
    """Which values of one column mark a good point; a point without a value is not good."""

    allowed: tuple[bool | int | str, ...] | None = Field(default=None, description="values of good points")
    forbidden_bits: int | None = Field(
        default=None, ge=1, le=2**63 - 1, description="bit mask: a point with any of these bits set is dropped"
    )
    required: bool = Field(
        default=True, description="whether a table without the column is an error, and not just left unfiltered"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "QualityRule":
        if (self.allowed is None) == (self.forbidden_bits is None):
            msg = 'say either allowed, such as allowed = ["G"], or forbidden_bits, such as forbidden_bits = 32768'
            raise ValueError(msg)
        return self


class TableSettings(SettingsModel):
    """Columns of a table of light curves; what is unset is taken from the preset."""

    preset: str = Field(default="", description="layout of a known survey, such as ztf; empty for a layout of your own")
    survey: str | None = Field(default=None, description="name of the survey in the products; mock: simulated stars")
    id_column: Names | None = Field(
        default=None, description="identifier of the star; several names: the first there is; []: the file is the star"
    )
    unknown_ids: Names | None = Field(default=None, description='identifiers that mean none, such as ["0"]')
    time_column: Names | None = Field(default=None, description="time of the point in days")
    time_zero: Days | None = Field(
        default=None,
        description="Julian date of time 0: 0 d for JD, 2400000.5 d for MJD, 2450000 d for JD - 2450000",
    )
    time_scale: TimeScale | None = Field(default=None, description="time scale; utc if unset. Products hold UTC")
    time_at: TimePlace | None = Field(
        default=None,
        description="where light is timed: sun (HJD), barycentre (BJD, within 5 s of it, left alone) or earth (JD, "
        "brought to the Sun where the table has coordinates); sun if unset",
    )
    mag_column: Names | None = Field(default=None, description="magnitude; counts before a flux")
    mag_err_column: Names | None = Field(default=None, description="error of the magnitude; else from the flux's")
    flux_column: Names | None = Field(default=None, description="flux, linear")
    flux_err_column: Names | None = Field(
        default=None,
        description="error of the flux, same unit; of equally many names, the one at the place of the flux's",
    )
    total_flux_marks: Names | None = Field(
        default=None,
        description="columns that show that fluxes are those of the star and not of difference images: in a table with "
        "none of them only the first of flux_column is taken",
    )
    zero_point: Magnitudes | None = Field(
        default=None, description="magnitude of flux 1: 31.4 mag for nJy, 23.9 for uJy, 16.4 for mJy, 8.9 for Jy (AB)"
    )
    mag_err: Magnitudes | None = Field(default=None, gt=0, description="one error for all points of a table without")
    band_column: Names | None = Field(default=None, description="photometric band; unset: all points are of one band")
    bands: Names | None = Field(
        default=None, description="bands to measure, as the table writes them: of a star, the one with most points"
    )
    bands_second: Names | None = Field(
        default=None, description="bands whose median magnitude is told beside it, for a colour"
    )
    quality: dict[str, QualityRule] | None = Field(
        default=None, description="rules by column that a point has to pass; they replace those of the preset"
    )
    ra_column: Names | None = Field(default=None, description="right ascension in degrees, ICRS")
    dec_column: Names | None = Field(default=None, description="declination in degrees, ICRS")
    period_column: Names | None = Field(default=None, description="period of the star in days, the same in all rows")
    epoch_column: Names | None = Field(
        default=None, description="epoch of the primary minimum, full HJD, the same in all rows"
    )
    brightest: Magnitudes = Field(default=-5.0, description="brighter numbers are no magnitudes, but magic numbers")
    faintest: Magnitudes = Field(default=35.0, description="fainter numbers are no magnitudes, but magic numbers")
    points_in_memory: int = Field(
        default=4_000_000, ge=1000, description="points held in memory, 24 bytes each; of larger tables the rest is "
        "sorted by star in a temporary folder"
    )  # fmt: skip


@dataclass(frozen=True)
class TableLayout:
    """A layout in which nothing is left open.

    Attributes
    ----------
    names : dict of str to tuple of str
        Names of columns by what they hold (``id``, ``time``, ``mag``, ``mag_err``, ``flux``, ``flux_err``, ``band``,
        ``ra``, ``dec``, ``period``, ``epoch``), in order of preference; what the layout does not have is absent.
    optional : frozenset of str
        Those of a preset that a table may lack.
    bands, bands_second : tuple of str
        Bands to measure, and those for a colour; `bands` is ``("-",)`` where there is no column of bands.
    unknown_ids : tuple of str
        Identifiers that mean none.
    total_flux_marks : tuple of str
        Columns of which a table must have one, if any are named, where its flux is not the first of the names.
    quality : dict of str to QualityRule
        Rules by column.
    survey : str
        Name of the survey.
    time_zero : float
        Julian date of time 0, days.
    time_scale, time_at : str
        Scale and place of the times.
    zero_point : float or None
        Magnitude of flux 1.
    mag_err : float or None
        Error of all points, mag.
    max_mag_err : float
        Largest error of a point, mag; larger ones mark upper limits.
    brightest, faintest : float
        Limits of what is a magnitude.
    points_in_memory : int
        Points held in memory.
    """

    names: dict[str, tuple[str, ...]]
    optional: frozenset[str]
    bands: tuple[str, ...]
    bands_second: tuple[str, ...]
    unknown_ids: tuple[str, ...]
    total_flux_marks: tuple[str, ...]
    quality: dict[str, QualityRule]
    survey: str
    time_zero: float
    time_scale: TimeScale
    time_at: TimePlace
    zero_point: float | None
    mag_err: float | None
    max_mag_err: float
    brightest: float
    faintest: float
    points_in_memory: int


def preset_names() -> list[str]:
    """Names of the layouts that are known.

    Returns
    -------
    list of str
        In alphabetical order.
    """
    return sorted(path.stem for path in _PRESETS.glob("*.toml"))


def table_layout(settings: TableSettings, *, max_mag_err: float = math.inf) -> TableLayout:
    """Put settings over the preset that they name.

    Parameters
    ----------
    settings : TableSettings
        Settings.
    max_mag_err : float, optional
        Largest error of a point, mag.

    Returns
    -------
    TableLayout
        The layout.

    Raises
    ------
    SettingsError
        If there is no such preset, or something is missing or contradicts itself.
    """
    own = {name: value for name in _OPEN if (value := getattr(settings, name)) is not None}
    preset = _read_preset(settings.preset) if settings.preset else {}
    # Whoever names other numbers does not want those of the preset beside them.
    if "flux_column" in own and "mag_column" not in own:
        preset = {name: value for name, value in preset.items() if name not in {"mag_column", "mag_err_column"}}
    if "flux_column" in own:
        preset = _without_its_fluxes(preset, own["flux_column"])
    if "mag_err" in own:
        preset = {name: value for name, value in preset.items() if name not in {"mag_err_column", "flux_err_column"}}
    merged = preset | own
    _check(merged)
    names = {
        name.removesuffix("_column"): value for name, value in merged.items() if name.endswith("_column") and value
    }
    return TableLayout(
        names=names,
        optional=frozenset({"ra", "dec"} - {name.removesuffix("_column") for name in own}) if preset else frozenset(),
        bands=merged.get("bands", (_SINGLE_BAND,)) if "band" in names else (_SINGLE_BAND,),
        bands_second=merged.get("bands_second", ()) if "band" in names else (),
        unknown_ids=merged.get("unknown_ids", ()),
        total_flux_marks=merged.get("total_flux_marks", ()),
        quality=merged.get("quality", {}),
        survey=merged.get("survey") or "table",
        time_zero=merged["time_zero"],
        time_scale=merged.get("time_scale", "utc"),
        time_at=merged.get("time_at", "sun"),
        zero_point=merged.get("zero_point"),
        mag_err=merged.get("mag_err"),
        max_mag_err=max_mag_err,
        brightest=settings.brightest,
        faintest=settings.faintest,
        points_in_memory=settings.points_in_memory,
    )


_OPEN = [name for name, field in TableSettings.model_fields.items() if field.default is None]


def _without_its_fluxes(preset: dict[str, Any], fluxes: tuple[str, ...]) -> dict[str, Any]:
    """Preset of which only the errors of fluxes are left that somebody chose by name, and no doubt about these."""
    errors = dict(zip(preset.get("flux_column", ()), preset.get("flux_err_column", ()), strict=True))
    kept = {name: value for name, value in preset.items() if name not in {"flux_err_column", "total_flux_marks"}}
    own = tuple(errors[flux] for flux in fluxes if flux in errors)
    return kept | ({"flux_err_column": own} if own else {})


def _read_preset(name: str) -> dict[str, Any]:
    path = _PRESETS / f"{name}.toml"
    if name not in preset_names():
        msg = f"there is no preset {name!r} of a table: choose one of {', '.join(preset_names())}, or name the columns"
        raise SettingsError(msg)
    found = TableSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    return {name: value for name in _OPEN if (value := getattr(found, name)) is not None}


def _check(merged: dict[str, Any]) -> None:
    """Say what is missing, in the words of a settings file."""
    has = {name for name, value in merged.items() if value not in (None, ())}
    faults = (
        ("id_column" not in merged, 'id_column, such as id_column = "star", or [] where every file is a star'),
        ("time_column" not in has, 'time_column, such as time_column = "hjd"'),
        ("time_zero" not in merged, 'time_zero, the Julian date of time 0, such as time_zero = "2400000.5 d" for MJD'),
        (not has & {"mag_column", "flux_column"}, "mag_column or flux_column"),
        (
            "mag_column" not in has and "flux_column" in has and "zero_point" not in has,
            'zero_point, such as zero_point = "31.4 mag" for nJy',
        ),
        (
            not (has & {"mag_err_column", "mag_err"} or {"flux_column", "flux_err_column"} <= has),
            "mag_err_column, flux_column with flux_err_column, or mag_err for all points",
        ),
        ("band_column" in has and "bands" not in has, 'bands, such as bands = ["r"]'),
        ("bands" in has and "band_column" not in has, "band_column, as bands are asked for"),
        (("ra_column" in has) != ("dec_column" in has), "both of ra_column and dec_column, or none"),
    )
    missing = [what for wrong, what in faults if wrong]
    if missing:
        msg = (
            f"the layout of the table lacks {'; '.join(missing)}: set it under [table] in a settings file, "
            f"or choose a preset ({', '.join(preset_names())})"
        )
        raise SettingsError(msg)
