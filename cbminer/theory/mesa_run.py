"""A MESA run of a binary: its histories brought together, its initial values, and why it ended."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.theory.grid import STEP_COLUMNS, EndReason
from cbminer.theory.mesa import MesaHistory, read_history
from cbminer.theory.mesa_end import STOPPED, run_end
from cbminer.theory.mesa_inlist import InlistValues, inlist_files, read_inlists
from cbminer.theory.roche_lobe import orbital_period

__all__ = ["MesaRun", "hash_run", "history_files", "read_run"]

IntArray = npt.NDArray[np.int64]

# Columns by their names over the versions, the newest first.
_BINARY = {
    "age": ("age", "star_age"),
    "period": ("period_days",),
    "separation": ("binary_separation",),
    "M1": ("star_1_mass",),
    "M2": ("star_2_mass",),
    "overflow_1": ("rl_relative_overflow_1", "rl_relative_gap_1"),
    "overflow_2": ("rl_relative_overflow_2", "rl_relative_gap_2"),
    "lobe_1": ("rl_1",),
    "lobe_2": ("rl_2",),
    "log_transfer_rate": ("lg_mtransfer_rate",),
}
_STAR = {
    "log_L": ("log_L",),
    "log_Teff": ("log_Teff",),
    "log_R": ("log_R",),
    "radius": ("radius",),
    "Teff": ("effective_T", "Teff"),
    "mass": ("star_mass",),
    "hydrogen": ("center_h1", "center h1"),
    "surface_hydrogen": ("surface_h1",),
    "surface_helium": ("surface_he4",),
}
# Marks of models before the evolution begins, of the published grids and of MESA itself.
_RELAXING = ("pre_zams_or_relax", "Pre_zams", "pre_zams", "ignore_rlof_flag", "ignore_rlof")
_POINT = "point_mass_index"
_ONLY = [name for names in (*_BINARY.values(), *_STAR.values()) for name in names] + [*_RELAXING, STOPPED, _POINT]
# Beyond this a period is that of an orbit that is no more.
_MOST_PERIOD = 1e12
_TEFF_SUN = 5772.0
_DIFFERENT = 0.002


@dataclass(frozen=True)
class MesaRun:
    """A binary run.

    Attributes
    ----------
    folder : `~pathlib.Path`
        Its folder.
    M1_initial, M2_initial : float
        Initial masses in solar masses, the larger one first.
    period_initial : float
        Initial period in days.
    Z : float
        Metallicity, NaN where nothing says it.
    end : EndReason
        Why it ended.
    code : str
        Version of MESA.
    note : str
        What is odd about it.
    sha256 : str
        Hash of its histories and inlists.
    n_bytes : int
        Size of its histories.
    steps : dict of str to `~numpy.ndarray`
        Columns of `~cbminer.theory.grid.STEP_COLUMNS`, NaN where unknown.
    """

    folder: Path
    M1_initial: float
    M2_initial: float
    period_initial: float
    Z: float
    end: EndReason
    code: str
    note: str
    sha256: str
    n_bytes: int
    steps: Mapping[str, FloatArray]


def history_files(folder: Path) -> dict[str, Path]:
    """Find the histories of a run.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Any folder.

    Returns
    -------
    dict of str to `~pathlib.Path`
        By "binary", "star 1" and "star 2", those that there are; empty if the folder is no run.
    """
    places = {
        "binary": ("binary_history.data", "LOGS/binary_history.data", "LOGS_b*/binary_history.data"),
        "star 1": ("LOGS1/history.data", "LOGS*1/history.data", "LOGS/history.data", "history.data"),
        "star 2": ("LOGS2/history.data", "LOGS*2/history.data"),
    }
    found = {}
    for what, patterns in places.items():
        files = (file for name in patterns for suffix in ("", ".gz") for file in sorted(folder.glob(name + suffix)))
        path = next((file for file in files if file.is_file()), None)
        if path is not None:
            found[what] = path
    return found


def hash_run(folder: Path) -> str:
    """Hash all that a run is read from.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the run.

    Returns
    -------
    str
        SHA-256 over the names and the bytes of its histories and inlists.

    Raises
    ------
    InputFormatError
        If one of the files cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in (*history_files(folder).values(), *inlist_files(folder)):
            data = path.read_bytes()
            digest.update(f"{os.path.relpath(path, folder)} {len(data)} ".encode())
            digest.update(data)
    except OSError as error:
        msg = f"{error.filename} cannot be read ({error.strerror})"
        raise InputFormatError(msg) from error
    return digest.hexdigest()


def read_run(folder: Path) -> MesaRun:
    """Read a binary run of any version of MESA.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder with `binary_history.data`, `LOGS1/history.data` and `LOGS2/history.data`, or with some of them: what
        a binary history would say is also read from the history of a star that has its columns. The folders may
        have other names that begin with LOGS and end with the number of the star.

    Returns
    -------
    MesaRun
        The run. Luminosity and temperature of a star whose history is absent are NaN.

    Raises
    ------
    InputFormatError
        If there is no history, one is broken, or the run is not one of a binary. The message names the file and what
        is wrong with it.
    """
    files = history_files(folder)
    if not files:
        msg = f"{folder}: no binary_history.data and no LOGS1/history.data: has this run been started?"
        raise InputFormatError(msg)
    histories = {what: read_history(path, only=_ONLY) for what, path in files.items()}
    main = next((item for item in histories.values() if _name(item, _BINARY["M1"]) is not None), None)
    if main is None:
        msg = f"{folder}: the history of a single star, without the columns of a binary such as star_1_mass"
        raise InputFormatError(msg)
    notes: list[str] = []
    kept = _evolving(main, notes)
    steps = _orbit(main, kept)
    hydrogen = [_add_star(steps, number, main, kept, histories, notes) for number in (1, 2)]
    stopped = _get(main, (STOPPED,))
    end = run_end(steps, hydrogen, code=None if stopped is None else int(stopped[-1]))
    initial = _initial(folder, main, steps, histories, notes)
    if initial.M1 < initial.M2:
        steps = _swapped(steps)
        notes.append("stars renumbered, the more massive one first")
    return MesaRun(
        folder=folder,
        M1_initial=max(initial.M1, initial.M2),
        M2_initial=min(initial.M1, initial.M2),
        period_initial=initial.period,
        Z=initial.Z,
        end=end,
        code=f"MESA {main.header.get('version_number', 'of unknown version')}",
        note="; ".join(notes),
        sha256=hash_run(folder),
        n_bytes=sum(path.stat().st_size for path in files.values()),
        steps={name: steps[name] for name in STEP_COLUMNS},
    )


def _name(history: MesaHistory, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in history), None)


def _get(history: MesaHistory, names: Sequence[str]) -> FloatArray | None:
    name = _name(history, names)
    return None if name is None else history.column(name)


def _evolving(main: MesaHistory, notes: list[str]) -> IntArray:
    """Rows of the evolution proper, and a check that time goes on in them."""
    flags = _get(main, _RELAXING)
    rows = np.arange(len(main)) if flags is None else np.flatnonzero(flags < 1)
    if not rows.size:
        msg = f"{main.path}: none of its {len(main)} models has come to the zero-age main sequence"
        raise InputFormatError(msg)
    if rows.size < len(main):
        notes.append(f"{len(main) - rows.size} models before the zero-age main sequence left out")
    rows = rows[_both_there(main, rows, notes)]
    age = _required(main, "age")[rows]
    back = np.flatnonzero(np.diff(age) < 0)
    if back.size:
        model = main.table["model_number"][rows[back[0] + 1]] if "model_number" in main else rows[back[0] + 1] + 1
        msg = f"{main.path}: the age of model {model} is below that of the one before: pieces of several runs?"
        raise InputFormatError(msg)
    return rows


def _both_there(main: MesaHistory, rows: IntArray, notes: list[str]) -> slice:
    """Rows up to the one in which a star that has evolved becomes a point mass."""
    point = _get(main, (_POINT,))
    if point is None or point[rows[0]] != 0 or not point[rows].any():
        return slice(None)
    first = int(np.flatnonzero(point[rows])[0])
    notes.append(f"{len(rows) - first} models after star {int(point[rows[first]])} became a point mass left out")
    return slice(first)


def _required(history: MesaHistory, what: str) -> FloatArray:
    column = _get(history, _BINARY[what])
    if column is None:
        msg = f"{history.path} has no column {' or '.join(_BINARY[what])}: add it to the list of history columns"
        raise InputFormatError(msg)
    return column


def _orbit(main: MesaHistory, rows: IntArray) -> dict[str, FloatArray]:
    """Age, masses, period, overflows and rate of transfer."""
    steps = {name: _required(main, name)[rows] for name in ("age", "M1", "M2")}
    period = _get(main, _BINARY["period"])
    if period is None:
        axis = _get(main, _BINARY["separation"])
        total = _required(main, "M1") + _required(main, "M2")
        period = _required(main, "period") if axis is None else orbital_period(axis, total)
    steps["period"] = np.where(period[rows] < _MOST_PERIOD, period[rows], np.nan)
    for number in (1, 2):
        lobe, overflow = _get(main, _BINARY[f"lobe_{number}"]), _get(main, _BINARY[f"overflow_{number}"])
        unknown = np.full(len(rows), np.nan)
        steps[f"overflow_{number}"] = unknown if overflow is None else overflow[rows]
        # Also the radius where no history of the star has it.
        steps[f"R{number}"] = unknown if lobe is None else lobe[rows] * (1 + steps[f"overflow_{number}"])
        steps[f"lobe_{number}"] = unknown if lobe is None else lobe[rows]
    rate = _get(main, _BINARY["log_transfer_rate"])
    steps["log_transfer_rate"] = np.full(len(rows), np.nan) if rate is None else rate[rows]
    return steps


def _add_star(
    steps: dict[str, FloatArray],
    number: int,
    main: MesaHistory,
    rows: IntArray,
    histories: Mapping[str, MesaHistory],
    notes: list[str],
) -> FloatArray:
    """Add radius, luminosity and temperature of a star; return the hydrogen of its centre."""
    history = histories.get(f"star {number}")
    point = _get(main, (_POINT,))
    is_point = point is not None and point[rows[-1]] == number
    unknown = np.full(len(rows), np.nan)
    log_radius, log_l, log_teff, hydrogen = unknown, unknown, unknown, unknown
    if is_point:
        notes.append(f"star {number} is a point mass")
        steps[f"R{number}"] = unknown
    elif history is None:
        notes.append(f"no history of star {number}")
    else:
        place = _Places.of(history, main, rows, notes)
        log_radius, log_l, log_teff = _atmosphere(history, place)
        column = _get(history, _STAR["hydrogen"])
        hydrogen = unknown if column is None else place.take(column)
    radius = np.where(np.isfinite(log_radius), 10.0**log_radius, steps[f"R{number}"])
    overflow = steps[f"overflow_{number}"]
    steps[f"overflow_{number}"] = np.where(np.isfinite(overflow), overflow, radius / steps[f"lobe_{number}"] - 1)
    if not np.isfinite(steps[f"overflow_{number}"]).any():
        msg = (
            f"{main.path} has neither rl_relative_overflow_{number} nor rl_{number} with a radius: add them to the list"
        )
        raise InputFormatError(msg)
    steps[f"R{number}"] = radius
    steps[f"log_L{number}"], steps[f"log_Teff{number}"] = log_l, log_teff
    return hydrogen


@dataclass(frozen=True)
class _Places:
    """Where the models of the binary lie among those of a star's history."""

    wanted: FloatArray
    there: FloatArray

    @classmethod
    def of(cls, history: MesaHistory, main: MesaHistory, rows: IntArray, notes: list[str]) -> "_Places":
        if "model_number" not in history or "model_number" not in main:
            if len(history) != len(main):
                msg = f"{history.path} has no model_number and {len(history)} rows for the {len(main)} of {main.path}"
                raise InputFormatError(msg)
            return cls(rows.astype(float), np.arange(len(main), dtype=float))
        wanted, there = main.column("model_number")[rows], history.column("model_number")
        beyond = (wanted < there[0]) | (wanted > there[-1])
        between = int((~beyond & ~np.isin(wanted, there)).sum())
        place = history.path.parent.name
        if between:
            notes.append(f"{between} of {len(wanted)} models interpolated in {place}")
        if beyond.any():
            notes.append(f"{int(beyond.sum())} of {len(wanted)} models not in {place}")
        return cls(wanted, there)

    def take(self, column: FloatArray) -> FloatArray:
        taken: FloatArray = np.interp(self.wanted, self.there, column, left=np.nan, right=np.nan)
        return taken


def _atmosphere(history: MesaHistory, place: _Places) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Radius, luminosity and temperature as logarithms; any two of them give the third."""
    found = {name: _get(history, names) for name, names in _STAR.items()}
    log_r, log_l, log_teff = found["log_R"], found["log_L"], found["log_Teff"]
    if log_r is None and found["radius"] is not None:
        log_r = np.log10(found["radius"])
    if log_teff is None and found["Teff"] is not None:
        log_teff = np.log10(found["Teff"])
    if log_teff is None and log_l is not None and log_r is not None:
        log_teff = np.log10(_TEFF_SUN) + (log_l - 2 * log_r) / 4
    if log_l is None and log_teff is not None and log_r is not None:
        log_l = 2 * log_r + 4 * (log_teff - np.log10(_TEFF_SUN))
    if log_r is None and log_l is not None and log_teff is not None:
        log_r = (log_l - 4 * (log_teff - np.log10(_TEFF_SUN))) / 2
    unknown = np.full(len(place.wanted), np.nan)
    log_r, log_l, log_teff = (unknown if item is None else place.take(item) for item in (log_r, log_l, log_teff))
    return log_r, log_l, log_teff


@dataclass(frozen=True)
class _Initial:
    M1: float
    M2: float
    period: float
    Z: float


def _initial(
    folder: Path,
    main: MesaHistory,
    steps: Mapping[str, FloatArray],
    histories: Mapping[str, MesaHistory],
    notes: list[str],
) -> _Initial:
    """Take initial values from inlists, else from the header, else from the first model."""
    given = read_inlists(folder)
    header = main.header
    first = {"M1": steps["M1"][0], "M2": steps["M2"][0], "period": steps["period"][0]}
    named = {"M1": "initial_don_mass", "M2": "initial_acc_mass", "period": "initial_period_days"}
    chosen: dict[str, float] = {}
    for what, start in first.items():
        said = getattr(given, what)
        if said is None:
            said = _to_float(header.get(named[what]))
        chosen[what] = float(start if said is None else said)
        if abs(chosen[what] - start) > _DIFFERENT * abs(start):
            notes.append(f"{what} {chosen[what]:.6g} by its settings, {start:.6g} in the first model")
    return _Initial(**chosen, Z=_metallicity(given, histories))


def _to_float(text: str | None) -> float | None:
    try:
        number = None if text is None else float(text.lower().replace("d", "e"))
    except ValueError:
        return None
    return number if number is not None and number > 0 else None


def _metallicity(given: InlistValues, histories: Mapping[str, MesaHistory]) -> float:
    if given.Z is not None:
        return given.Z
    for history in histories.values():
        said = _to_float(history.header.get("initial_z"))
        if said is not None:
            return said
        hydrogen, helium = _get(history, _STAR["surface_hydrogen"]), _get(history, _STAR["surface_helium"])
        if hydrogen is not None and helium is not None:
            return float(1 - hydrogen[0] - helium[0])
    return float("nan")


def _swapped(steps: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Let the stars change their numbers."""
    other = str.maketrans("12", "21")
    return {name: steps[name.translate(other)] for name in steps}
