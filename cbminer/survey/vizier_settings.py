"""Settings of the tables of VizieR and SIMBAD."""

from pydantic import Field

from cbminer.quantities import Arcseconds, SettingsModel
from cbminer.survey.tap import TapSettings

__all__ = ["PAWLAK_2016", "GaiaColumns", "MorphologyColumns", "OgleColumns", "VizierSettings"]

PAWLAK_2016 = "J/AcA/66/421"


class MorphologyColumns(SettingsModel):
    """Columns of the table of c."""

    star: str | None = Field(default=None, description="column of the star; unset: found at run time")
    c: str | None = Field(default=None, description="column of c; unset: found at run time")
    period: str | None = Field(default=None, description="column of the period; unset: found at run time")


class OgleColumns(SettingsModel):
    """Columns of OGLE's catalogue; an empty name says that the catalogue has no such column."""

    star: str | None = Field(default=None, description="star; unset, as for all of these: found at run time")
    type: str | None = Field(default=None, description="type C, NC, ELL or CV")
    ra: str | None = Field(default=None, description="right ascension, in degrees or sexagesimal")
    dec: str | None = Field(default=None, description="declination, in degrees or sexagesimal")
    I_mag: str | None = Field(default=None, description="I magnitude at maximum light")
    V_mag: str | None = Field(default=None, description="V magnitude at maximum light")
    period: str | None = Field(default=None, description="orbital period in days")
    T0: str | None = Field(default=None, description="epoch of the primary minimum")
    depth1: str | None = Field(default=None, description="depth of the primary eclipse")
    depth2: str | None = Field(default=None, description="depth of the secondary eclipse")
    ogle4_id: str | None = Field(default=None, description="identifier in the OGLE-IV photometric maps")
    ogle3_id: str | None = Field(default=None, description="identifier in the OGLE-III photometric maps")
    ogle2_id: str | None = Field(default=None, description="identifier in the OGLE-II photometric maps")
    other_id: str | None = Field(default=None, description="other designation")
    remark: str | None = Field(default=None, description="remark")


class GaiaColumns(SettingsModel):
    """Columns of Gaia's tables; an empty name says that there is no such column."""

    source: str | None = Field(default=None, description="identifier of the source; unset, as for all of these: found")
    ra: str | None = Field(default=None, description="right ascension in degrees")
    dec: str | None = Field(default=None, description="declination in degrees")
    frequency: str | None = Field(default=None, description="frequency of the eclipsing binary in cycles a day")
    rank: str | None = Field(default=None, description="global ranking of the light-curve model")
    model: str | None = Field(default=None, description="type of the light-curve model")


class VizierSettings(TapSettings):
    """Tables of VizieR and SIMBAD."""

    tap_url: str = Field(
        default="https://tapvizier.cds.unistra.fr/TAPVizieR/tap",
        pattern=r"^https?://",
        description="TAP service of VizieR",
    )
    simbad_url: str = Field(
        default="https://simbad.cds.unistra.fr/simbad/sim-tap",
        pattern=r"^https?://",
        description="TAP service of SIMBAD",
    )
    morphology: str = Field(default="J/ApJS/255/1", description="catalogue of c, or one table of it")
    ogle: str = Field(default=PAWLAK_2016, description="OGLE's catalogue of eclipsing binaries, or one table of it")
    gaia_binaries: str = Field(default="I/358/veb", description="eclipsing binaries of Gaia DR3")
    gaia_sources: str = Field(
        default="I/355/gaiadr3", description="sources of Gaia DR3, asked for positions where the binaries have none"
    )
    radius_gaia: Arcseconds = Field(default=1.0, gt=0, le=60.0, description="radius of a match with Gaia")
    radius_simbad: Arcseconds = Field(default=2.0, gt=0, le=60.0, description="radius of a match with SIMBAD")
    batch: int = Field(default=2000, ge=1, le=50000, description="positions sent at a time")
    upload: bool = Field(
        default=True, description="whether positions are sent as a table; false: as circles in the query"
    )
    morphology_columns: MorphologyColumns = MorphologyColumns()
    ogle_columns: OgleColumns = OgleColumns()
    gaia_columns: GaiaColumns = GaiaColumns()
