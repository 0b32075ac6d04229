"""How a table of light curves of another survey is laid out: settings, presets, and both together."""

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from cbminer.errors import SettingsError
from cbminer.quantities import Days, Magnitudes, SettingsModel

__all__ = ["STAR_ROLES", "QualityRule", "TableLayout", "TableSettings", "preset_names", "table_layout"]

_PRESETS = Path(__file__).parent / "table_presets"
_SINGLE_BAND = "-"
# What a catalogue says of a star beside identifier, position, period and epoch, which tables of points may hold too.
STAR_ROLES = (
    "galaxy", "type", "I", "e_I", "V", "e_V", "depth1", "depth2", "remark", "parallax", "e_parallax",
    "distance_modulus", "e_distance_modulus", "E_VI", "e_E_VI", "M_V", "e_M_V", "VI0", "e_VI0",
)  # fmt: skip
# Roles of single points, whose columns are inside the nested one where there is one.
_POINT_ROLES = ("time", "mag", "mag_err", "flux", "flux_err", "band")


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
    """Columns of a table of light curves or of stars; what is unset is taken from the preset.

    Columns from `catalogue` on are for ``select`` alone, which needs a catalogue of stars; ``measure`` does not.
    """

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
    nested_column: str | None = Field(
        default=None,
        description="column that holds a light curve a row; columns of points are then named without it. Of a HATS "
        "catalogue with one such column it need not be named",
    )
    catalogue: str | None = Field(
        default=None,
        description="table of stars, joined to the light curves by id_column; relative to the archive. Unset: the "
        "columns of stars are beside the points",
    )
    galaxy_column: Names | None = Field(
        default=None, description="LMC, SMC or MW; unset: all stars are of the one asked"
    )
    type_column: Names | None = Field(default=None, description="C, NC, ELL or CV as OGLE has them; others are unknown")
    type: Literal["C", "NC", "ELL", "CV"] | None = Field(
        default=None, description="type of the stars of which the tables state none"
    )
    I_column: Names | None = Field(default=None, description="I magnitude at maximum light")
    e_I_column: Names | None = Field(default=None, description="its error, mag")
    V_column: Names | None = Field(default=None, description="V magnitude at maximum light")
    e_V_column: Names | None = Field(default=None, description="its error, mag")
    depth1_column: Names | None = Field(default=None, description="depth of the primary eclipse, mag")
    depth2_column: Names | None = Field(default=None, description="depth of the secondary eclipse, mag")
    remark_column: Names | None = Field(default=None, description="free text on the star")
    parallax_column: Names | None = Field(default=None, description="parallax, mas")
    e_parallax_column: Names | None = Field(default=None, description="its error, mas")
    distance_modulus_column: Names | None = Field(default=None, description="true distance modulus of the star, mag")
    e_distance_modulus_column: Names | None = Field(default=None, description="its error, mag")
    E_VI_column: Names | None = Field(default=None, description="reddening E(V-I) of the star, mag")
    e_E_VI_column: Names | None = Field(default=None, description="its error, mag")
    M_V_column: Names | None = Field(default=None, description="absolute V magnitude at maximum light, mag")
    e_M_V_column: Names | None = Field(default=None, description="its error, mag")
    VI0_column: Names | None = Field(default=None, description="intrinsic colour (V-I)_0 at maximum light, mag")
    e_VI0_column: Names | None = Field(default=None, description="its error, mag")
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
    star_names : dict of str to tuple of str
        The same of the columns of `STAR_ROLES`.
    optional : frozenset of str
        Those of a preset that a table may lack.
    bands, bands_second : tuple of str
        Bands to measure, and those for a colour; `bands` is ``("-",)`` where there is no column of bands.
    unknown_ids : tuple of str
        Identifiers that mean none.
    type : str
        Type of the stars of which the tables state none; empty if it is not known.
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
    any_error : bool
        Whether points are kept whatever their error, as a store of light curves keeps them. Those without a good one
        do not choose the band.
    """

    names: dict[str, tuple[str, ...]]
    star_names: dict[str, tuple[str, ...]]
    optional: frozenset[str]
    bands: tuple[str, ...]
    bands_second: tuple[str, ...]
    unknown_ids: tuple[str, ...]
    type: str
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
    any_error: bool = False


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
    if own.get("band_column") == ():
        preset = {name: value for name, value in preset.items() if name not in {"bands", "bands_second"}}
        merged = preset | own
    _check(merged)
    names = _names_of_columns(merged)
    return TableLayout(
        names={role: columns for role, columns in names.items() if role not in STAR_ROLES},
        star_names={role: columns for role, columns in names.items() if role in STAR_ROLES},
        optional=_optional(preset, own),
        bands=merged.get("bands", (_SINGLE_BAND,)) if "band" in names else (_SINGLE_BAND,),
        bands_second=merged.get("bands_second", ()) if "band" in names else (),
        unknown_ids=merged.get("unknown_ids", ()),
        type=merged.get("type", ""),
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


def _names_of_columns(merged: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Names of columns by what they hold; those of points in the nested column have its name before theirs."""
    columns = {
        name.removesuffix("_column"): value
        for name, value in merged.items()
        if name.endswith("_column") and value and not isinstance(value, str)
    }
    nested = merged.get("nested_column")
    if not nested:
        return columns
    return columns | {
        role: tuple(f"{nested}.{name.removeprefix(f'{nested}.')}" for name in columns[role])
        for role in _POINT_ROLES
        if role in columns
    }


def _optional(preset: dict[str, Any], own: dict[str, Any]) -> frozenset[str]:
    """Columns that a preset names and a table may lack; what somebody names himself must be there."""
    if not preset:
        return frozenset()
    roles = {"ra", "dec", "period", "epoch", *STAR_ROLES}
    return frozenset(roles - {name.removesuffix("_column") for name in own if name.endswith("_column")})


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
