"""Schema of observation blocks for ESO's Phase 2: the fields that p2api takes, as pydantic models.

`cbminer.followup.target_formats.eso` says where they are known from and what is not verified.
"""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from cbminer.followup.target_formats.sexagesimal import dec_degrees, ra_degrees

__all__ = [
    "PRIORITIES",
    "EsoBlock",
    "EsoConstraints",
    "EsoDescription",
    "EsoList",
    "EsoTarget",
    "EsoTimeConstraint",
]

PRIORITIES = 10
_TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$"
_Name = Annotated[str, Field(min_length=1, max_length=68, pattern=r"^[ -~]+$")]


class _EsoModel(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )


class EsoTarget(_EsoModel):
    """Target of a block; positions ``hh:mm:ss.sss`` and ``sdd:mm:ss.sss``, proper motions in arcsec a year."""

    name: _Name
    ra: str
    dec: str
    equinox: Literal["J2000"] = "J2000"
    epoch: float = Field(default=2000.0, ge=1900, le=2100)
    proper_motion_ra: float = Field(default=0.0, ge=-20, le=20)
    proper_motion_dec: float = Field(default=0.0, ge=-20, le=20)
    differential_ra: float = 0.0
    differential_dec: float = 0.0

    @field_validator("ra")
    @classmethod
    def _ra(cls, text: str) -> str:
        ra_degrees(text)
        return text

    @field_validator("dec")
    @classmethod
    def _dec(cls, text: str) -> str:
        dec_degrees(text)
        return text


class EsoConstraints(_EsoModel):
    """Observing constraints of a block; those that are absent stay as p2 has them."""

    name: _Name
    airmass: float | None = Field(default=None, ge=1, le=5)
    sky_transparency: Literal["Photometric", "Clear", "Variable, thin cirrus", "Variable, thick cirrus"] | None = None
    seeing: float | None = Field(default=None, gt=0, le=10)
    moon_distance: int | None = Field(default=None, ge=0, le=180)
    fli: float | None = Field(default=None, ge=0, le=1)
    twilight: int | None = Field(default=None, ge=-120, le=120)
    water_vapour: float | None = Field(default=None, gt=0, le=50)


class EsoDescription(_EsoModel):
    """Texts of a block."""

    name: _Name
    user_comments: str = Field(default="", max_length=1000)
    instrument_comments: str = Field(default="", max_length=1000)


class EsoTimeConstraint(_EsoModel):
    """Times, UTC to the minute, between which a block may start."""

    start: str = Field(alias="from", pattern=_TIME)
    end: str = Field(alias="to", pattern=_TIME)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not _time(self.start) < _time(self.end):
            msg = f"from {self.start} is not earlier than to {self.end}"
            raise ValueError(msg)
        return self


class EsoBlock(_EsoModel):
    """An observation block."""

    item_type: Literal["OB"] = "OB"
    name: _Name
    user_priority: int = Field(ge=1, le=PRIORITIES)
    target: EsoTarget
    constraints: EsoConstraints
    obs_description: EsoDescription
    absolute_time_constraints: tuple[EsoTimeConstraint, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        times = sorted(self.absolute_time_constraints, key=lambda constraint: constraint.start)
        for before, after in pairwise(times):
            if before.end >= after.start:
                msg = f"the time constraints from {before.start} and from {after.start} overlap or touch"
                raise ValueError(msg)
        return self


class EsoList(_EsoModel):
    """The file."""

    format: Literal["ESO Phase 2 observation blocks"] = "ESO Phase 2 observation blocks"
    simulated: bool
    comment: str = ""
    obs_blocks: tuple[EsoBlock, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [block.name for block in self.obs_blocks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"two blocks are called {twice[0]}"
            raise ValueError(msg)
        return self


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
