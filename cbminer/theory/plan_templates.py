"""Templates of MESA runs, and what they are filled in with: the physics of all stars of a plan, and its batch jobs."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from cbminer.errors import SettingsError
from cbminer.quantities import SettingsModel
from cbminer.resources import grid_path

__all__ = ["Cloud", "MesaSettings", "SlurmSettings", "fill", "fortran_number", "read_templates"]

Cloud = Literal["LMC", "SMC"]

# Files of every run, and files of the plan.
RUN_TEMPLATES = (
    "inlist",
    "inlist_project",
    "inlist1",
    "inlist2",
    "inlist_star",
    "history_columns.list",
    "binary_history_columns.list",
)
PLAN_TEMPLATES = ("run_array.sh", "build.sh", "src/run_binary_extras.f90", "src/run_star_extras.f90")

_PLACEHOLDER = re.compile(r"@([A-Z][A-Z0-9_]*)@")
_SAFE = r"^[A-Za-z0-9_./+-]*$"
# Metallicity and helium of Menon et al. (2021, MNRAS 507, 5013): Z of their opacities, helium of their models.
_COMPOSITIONS: Mapping[Cloud, tuple[float, float]] = {"LMC": (0.0047, 0.2562165), "SMC": (0.0021, 0.2515)}


class MesaSettings(SettingsModel):
    """What the stars of a plan are made of and how they mix; defaults of Menon et al. (2021) for the LMC."""

    Z: float = Field(
        default=0.0047, gt=0, lt=0.1, description="metallicity as mass fraction; Menon et al. (2021), SMC 0.0021"
    )
    helium: float = Field(
        default=0.2562165, gt=0, lt=1, description="mass fraction of helium; Menon et al. (2021), SMC 0.2515"
    )
    zfracs: int = Field(
        default=6,
        ge=1,
        le=8,
        description="MESA's number of the mixture of metals; 6 is Asplund et al. (2009), as Fabry et al. (2025) take "
        "it. Menon et al. scale each element by itself",
    )
    opacities: str = Field(
        default="a09",
        pattern=_SAFE,
        description="MESA's prefix of opacity tables of that mixture; Fabry et al. (2025). Menon et al. leave MESA's",
    )
    net: str = Field(
        default="approx21_cr56_plus_co56.net",
        pattern=_SAFE,
        description="nuclear network; what approx21_plus_co56 of Menon et al. (2021) is called today",
    )
    mixing_length: float = Field(
        default=1.5, gt=0, description="alpha of the mixing-length theory; Menon et al. (2021)"
    )
    semiconvection: float = Field(default=1.0, ge=0, description="alpha of semiconvection; Menon et al. (2021)")
    thermohaline: float = Field(
        default=1.0, ge=0, description="coefficient of thermohaline mixing; Menon et al. (2021)"
    )
    overshoot: float = Field(
        default=0.345,
        ge=0,
        description="step overshooting above the hydrogen-burning core, in pressure scale heights; Brott et al. (2011)",
    )
    max_transfer_rate: float = Field(
        default=1e-2,
        gt=0,
        description="transfer rate in solar masses a year at which a run ends; Fabry et al. (2025)",
    )
    end_hydrogen: float = Field(
        default=1e-4,
        gt=0,
        lt=0.1,
        description="mass fraction of hydrogen in the centre at which the main sequence ends; a usual choice",
    )

    @classmethod
    def of_cloud(cls, cloud: Cloud) -> "MesaSettings":
        """Take the composition of a Cloud.

        Parameters
        ----------
        cloud : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        MesaSettings
            The settings.
        """
        metallicity, helium = _COMPOSITIONS[cloud]
        return cls(Z=metallicity, helium=helium)


class SlurmSettings(SettingsModel):
    """Batch jobs of a plan."""

    name: str = Field(default="mesa", min_length=1, pattern=_SAFE, description="name of the job")
    cpus: int = Field(default=4, ge=1, description="processors, and threads of MESA, of a task")
    hours: int = Field(default=72, ge=1, description="time limit of a task; what is cut off goes on when resubmitted")
    max_jobs: int | None = Field(default=None, ge=1, description="tasks at a time; no limit by default")
    max_tasks: int = Field(
        default=1000, ge=1, description="tasks of the array at most; Slurm's MaxArraySize is 1001 unless changed"
    )
    mesa_dir: str = Field(
        default="", pattern=r"^[^'\n]*$", description="folder of MESA; that of the environment by default"
    )


def fortran_number(value: float) -> str:
    """Write a number as Fortran reads it in double precision.

    Parameters
    ----------
    value : float
        Finite number.

    Returns
    -------
    str
        Such as ``13.7d0``; reading it gives `value` again.
    """
    mantissa, _, exponent = repr(float(value)).partition("e")
    return f"{mantissa}d{int(exponent or 0)}"


def read_templates(folder: Path | None = None) -> dict[str, str]:
    """Read the templates.

    Parameters
    ----------
    folder : `~pathlib.Path`, optional
        Folder of changed copies; what it lacks, and all by default, is that of the package.

    Returns
    -------
    dict of str to str
        Texts by name.

    Raises
    ------
    SettingsError
        If there is no such folder, or it holds no template.
    """
    names = (*RUN_TEMPLATES, *PLAN_TEMPLATES)
    if folder is not None and not any((folder / name).is_file() for name in names):
        msg = f"{folder} holds none of {', '.join(names)}: copy the templates from grids/mesa and change them"
        raise SettingsError(msg)
    texts = {}
    for name in names:
        own = folder is not None and (folder / name).is_file()
        path = folder / name if own and folder is not None else grid_path(f"mesa/{name}")
        texts[name] = path.read_text(encoding="utf-8")
    return texts


def fill(name: str, text: str, values: Mapping[str, str]) -> str:
    """Fill in a template.

    Parameters
    ----------
    name : str
        Name of the template, for messages.
    text : str
        Its text; a placeholder is a name in capitals between two ``@``.
    values : mapping of str to str
        What takes their places.

    Returns
    -------
    str
        The text without placeholders.

    Raises
    ------
    SettingsError
        If a placeholder has no value; the message names the line.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        unknown = [word for word in _PLACEHOLDER.findall(line) if word not in values]
        if unknown:
            msg = f"template {name}, line {number}: @{unknown[0]}@ is not one of {', '.join(sorted(values))}"
            raise SettingsError(msg)
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)
