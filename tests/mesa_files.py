"""Histories in the layout of MESA, of numbers that tests choose."""

import numpy as np

VERSION = "r24.08.1"


def history_text(columns, *, header=None, quotes='"'):
    """Text of a history; `columns` by name, of equal length."""
    head = {"version_number": f"{quotes}{VERSION}{quotes}"} if header is None else header
    lines = ["".join(f"{number:>27}" for number in range(1, len(head) + 1))]
    lines += ["".join(f"{name:>27}" for name in head), "".join(f"{value:>27}" for value in head.values()), ""]
    lines += ["".join(f"{number:>27}" for number in range(1, len(columns) + 1))]
    lines += ["".join(f"{name:>27}" for name in columns)]
    for row in zip(*columns.values(), strict=True):
        lines.append("".join(f"{value if isinstance(value, str) else format(value, '.16E'):>27}" for value in row))
    return "\n".join(lines) + "\n"


def binary_columns(n=8, **changed):
    """Columns of a binary history: a pair whose stars grow past their Roche lobes."""
    model = np.arange(1, n + 1)
    columns = {
        "model_number": [str(number) for number in model],
        "age": 1e5 * np.arange(n),
        "period_days": np.full(n, 1.0),
        "star_1_mass": np.full(n, 12.0),
        "star_2_mass": np.full(n, 10.0),
        "rl_1": np.full(n, 4.0),
        "rl_2": np.full(n, 3.7),
        "rl_relative_overflow_1": np.linspace(-0.3, 0.2, n),
        "rl_relative_overflow_2": np.linspace(-0.35, 0.15, n),
        "lg_mtransfer_rate": np.full(n, -99.0),
    }
    return columns | changed


def star_columns(n=8, *, mass=12.0, log_l=4.0, log_teff=4.4, **changed):
    """Columns of the history of a star."""
    columns = {
        "model_number": [str(number) for number in range(1, n + 1)],
        "star_age": 1e5 * np.arange(n),
        "star_mass": np.full(n, mass),
        "log_L": np.linspace(log_l, log_l + 0.1, n),
        "log_Teff": np.linspace(log_teff, log_teff - 0.02, n),
        "log_R": np.linspace(0.6, 0.68, n),
        "center_h1": np.linspace(0.7, 0.3, n),
    }
    return columns | changed


def write_run(folder, *, binary=None, stars=None, inlist=None):
    """Write a run; None leaves a file out, and a column that is None."""
    folder.mkdir(parents=True, exist_ok=True)
    if binary is not None:
        _write(folder / "binary_history.data", binary)
    for number, columns in (stars or {}).items():
        (folder / f"LOGS{number}").mkdir(exist_ok=True)
        _write(folder / f"LOGS{number}" / "history.data", columns)
    if inlist is not None:
        (folder / "inlist").write_text(inlist)
    return folder


def write_good_run(folder, *, n=8):
    """Write a whole run of a binary."""
    return write_run(
        folder, binary=binary_columns(n), stars={1: star_columns(n), 2: star_columns(n, mass=10.0, log_l=3.8)}
    )


def _write(path, columns):
    text = columns if isinstance(columns, str) else history_text({k: v for k, v in columns.items() if v is not None})
    path.write_text(text)
