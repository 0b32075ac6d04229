"""Plans of MESA grids: a table of runs over masses, mass ratios and periods, and the folders to compute them in."""

import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError
from cbminer.output import output_folder
from cbminer.theory.plan_templates import (
    PLAN_TEMPLATES,
    RUN_TEMPLATES,
    MesaSettings,
    SlurmSettings,
    fill,
    fortran_number,
    read_templates,
)

__all__ = ["MassMeaning", "make_plan", "parse_values", "write_plan"]

MassMeaning = Literal["total", "primary"]

PLAN_TABLE = "plan.ecsv"
RUNS = "runs"
_RANGE = re.compile(r"^([^:,]+):([^:,]+):([^:,]+?)(log|lin)?$")
# Beyond this a slip of the keyboard is likelier than a wish.
_MOST_VALUES = 10_000
_MOST_RUNS = 200_000


def parse_values(text: str, *, name: str) -> FloatArray:
    """Read a list or a range of positive numbers.

    Parameters
    ----------
    text : str
        Numbers with commas between them, ``0.6,0.8,1``; a range with a step, ``10:40:2``; or one with a number of
        values, evenly spaced in the logarithm, ``0.6:2:12log``, or in the value, ``0.6:1:9lin``. Ends are included.
    name : str
        What it is, for messages.

    Returns
    -------
    `~numpy.ndarray`
        The values, ascending in a range and as given in a list; shape (n,).

    Raises
    ------
    SettingsError
        If it cannot be read so, or a value is not positive, or occurs twice.
    """
    match = _RANGE.match(text.strip())
    values = _range(match, name) if match else np.array([_number(item, name) for item in text.split(",")])
    if not np.all(np.isfinite(values) & (values > 0)):
        msg = f"{name} {text}: every value must be above 0"
        raise SettingsError(msg)
    if len(np.unique(values)) < len(values):
        msg = f"{name} {text}: a value occurs twice"
        raise SettingsError(msg)
    return values


def _range(match: re.Match[str], name: str) -> FloatArray:
    first, last, step = (_number(match[k], name) for k in (1, 2, 3))
    if not 0 < first <= last:
        msg = f"{name} {match[0]}: a range runs from a value above 0 to one that is not smaller"
        raise SettingsError(msg)
    if match[4] is None:
        if step <= 0:
            msg = f"{name} {match[0]}: the step must be above 0"
            raise SettingsError(msg)
        # Half a step in a million for what binary fractions lose of the last value.
        n_values = int((last - first) / step * (1 + 1e-12) + 1e-6) + 1
        _check_count(n_values, match[0], name)
        return np.round(first + step * np.arange(n_values), 12)
    if step != int(step) or step < 1 or (step == 1 and first != last):
        msg = f"{name} {match[0]}: the number of values must be whole, and at least 2"
        raise SettingsError(msg)
    _check_count(int(step), match[0], name)
    spaced: FloatArray = (np.geomspace if match[4] == "log" else np.linspace)(first, last, int(step))
    return spaced


def _check_count(n_values: int, text: str, name: str) -> None:
    if n_values > _MOST_VALUES:
        msg = f"{name} {text}: {n_values:,} values are more than {_MOST_VALUES:,}; take a larger step"
        raise SettingsError(msg)


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        msg = (
            f"{name}: {text.strip() or 'nothing'} is no number; write 0.6,0.8,1 or 10:40:2 (first, last, step) "
            "or 0.6:2:12log (first, last, number of values)"
        )
        raise SettingsError(msg)
    return value


def make_plan(
    masses: npt.ArrayLike,
    mass_ratios: npt.ArrayLike,
    periods: npt.ArrayLike,
    *,
    mass_is: MassMeaning = "total",
) -> QTable:
    """Make the table of the runs of a plan: every mass with every mass ratio and every period.

    Parameters
    ----------
    masses : array_like
        Initial masses in solar masses.
    mass_ratios : array_like
        Initial masses of star 2 over those of star 1, at most 1.
    periods : array_like
        Initial periods in days.
    mass_is : {"total", "primary"}, optional
        Whether a mass is that of both stars together, as in the grids of Menon et al. (2021), or of star 1, as in
        those of Fabry et al. (2025).

    Returns
    -------
    `~astropy.table.QTable`
        A row a run: ``index`` from 1 on, ``run``, ``M1``, ``M2``, ``mass_ratio`` and ``period``.

    Raises
    ------
    SettingsError
        If a value is impossible, or two runs would have the same name.
    """
    n_runs = int(np.prod([np.size(axis) for axis in (masses, mass_ratios, periods)]))
    if n_runs > _MOST_RUNS:
        msg = f"{n_runs:,} runs are more than {_MOST_RUNS:,}: split the plan"
        raise SettingsError(msg)
    mass, q, period = (
        array.ravel() for array in np.meshgrid(masses, np.asarray(mass_ratios, dtype=float), periods, indexing="ij")
    )
    if not (np.all(mass > 0) and np.all(period > 0)):
        msg = "masses and periods of a plan must be above 0"
        raise SettingsError(msg)
    if not np.all((q > 0) & (q <= 1)):
        msg = f"mass ratio {q[(q <= 0) | (q > 1)][0]:g}: give that of the lighter star to the heavier one, at most 1"
        raise SettingsError(msg)
    primary = mass / (1 + q) if mass_is == "total" else mass
    names = [f"m{m:.3f}_q{r:.3f}_p{p:.4f}" for m, r, p in zip(primary, q, period, strict=True)]
    _refuse_repeated(names)
    plan = QTable(
        {
            "index": np.arange(1, len(names) + 1),
            "run": names,
            "M1": primary * u.solMass,
            "M2": primary * q * u.solMass,
            "mass_ratio": q,
            "period": period * u.d,
        }
    )
    for name, description in {
        "index": "number of the run in the Slurm array",
        "run": "its folder below runs/",
        "M1": "initial mass of star 1",
        "M2": "initial mass of star 2",
        "mass_ratio": "M2 over M1",
        "period": "initial orbital period",
    }.items():
        plan[name].info.description = description
    return plan


def _refuse_repeated(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            msg = f"two runs of the plan would be called {name}: space the values further apart"
            raise SettingsError(msg)
        seen.add(name)


def write_plan(
    plan: QTable,
    folder: Path,
    *,
    mesa: MesaSettings | None = None,
    slurm: SlurmSettings | None = None,
    templates: Path | None = None,
    command: str = "",
) -> None:
    """Write the folders of a plan, whole or not at all.

    Parameters
    ----------
    plan : `~astropy.table.QTable`
        Table of `make_plan`.
    folder : `~pathlib.Path`
        Folder to make: `plan.ecsv`, `run_array.sh`, `build.sh`, `src/` with the hooks, and a folder below `runs/`
        for every run, with its inlists.
    mesa : MesaSettings, optional
        What the stars are made of.
    slurm : SlurmSettings, optional
        Batch jobs.
    templates : `~pathlib.Path`, optional
        Folder of changed templates.
    command : str, optional
        Command that asked for it, for the record.

    Raises
    ------
    SettingsError
        If a template cannot be filled in, or the plan has no runs.
    OutputError
        If the folder holds something already or cannot be written.
    """
    if len(plan) == 0:
        msg = "a plan without runs: give at least one mass, mass ratio and period"
        raise SettingsError(msg)
    mesa, slurm = mesa or MesaSettings(), slurm or SlurmSettings()
    if mesa.Z + mesa.helium >= 1:
        msg = f"Z {mesa.Z:g} and helium {mesa.helium:g} leave no hydrogen"
        raise SettingsError(msg)
    texts = read_templates(templates)
    of_plan = _of_plan(len(plan), slurm)
    filled = {name: fill(name, texts[name], of_plan) for name in PLAN_TEMPLATES}
    physics = _of_physics(mesa)
    with output_folder(folder, overwrite=False) as made:
        for name, text in filled.items():
            _write(made / name, text, executable=name.endswith(".sh"))
        for row in plan:
            values = physics | _of_run(row)
            for name in RUN_TEMPLATES:
                _write(made / RUNS / str(row["run"]) / name, fill(name, texts[name], values))
        table = plan.copy()
        table.meta = _provenance(mesa, slurm, command)
        table.write(made / PLAN_TABLE, format="ascii.ecsv", delimiter=",")


def _of_run(row: Any) -> dict[str, str]:
    return {
        "M1": fortran_number(row["M1"].to_value(u.solMass)),
        "M2": fortran_number(row["M2"].to_value(u.solMass)),
        "PERIOD": fortran_number(row["period"].to_value(u.d)),
    }


def _of_physics(mesa: MesaSettings) -> dict[str, str]:
    values = mesa.model_dump()
    return {
        name.upper(): fortran_number(value) if isinstance(value, float) else str(value)
        for name, value in values.items()
    }


def _of_plan(n_runs: int, slurm: SlurmSettings) -> dict[str, str]:
    return {
        "NAME": slurm.name,
        "N_RUNS": str(n_runs),
        "N_TASKS": str(min(n_runs, slurm.max_tasks)),
        "AT_ONCE": "" if slurm.max_jobs is None else f"%{slurm.max_jobs}",
        "CPUS": str(slurm.cpus),
        "HOURS": str(slurm.hours),
        "MESA_DIR": f"export MESA_DIR='{slurm.mesa_dir}'" if slurm.mesa_dir else "# MESA_DIR: of the environment",
    }


def _provenance(mesa: MesaSettings, slurm: SlurmSettings, command: str) -> Mapping[str, Any]:
    return {
        "cbminer": version("cbminer"),
        "command": command,
        "mesa": mesa.model_dump(mode="json"),
        "slurm": slurm.model_dump(mode="json"),
    }


def _write(path: Path, text: str, *, executable: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if executable:
        path.chmod(0o755)
