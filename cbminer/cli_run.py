"""The run that a command is about, and the command itself."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from cbminer.errors import SettingsError

__all__ = ["RunOption", "command_line", "only_run"]

RunOption = Annotated[Path | None, typer.Option("--run", help="Output folder of the run. Default: the only one here.")]


def only_run() -> Path:
    """Find the only output folder of a run: this folder, or the one below it.

    Returns
    -------
    `~pathlib.Path`
        The folder.

    Raises
    ------
    SettingsError
        If there is none, or more than one.
    """
    from cbminer.judged import JUDGED_FILE
    from cbminer.provenance import PROVENANCE_FILE

    here = Path()
    # Products made of a run have a provenance of their own.
    folders = [here] if (here / JUDGED_FILE).exists() else sorted(path.parent for path in here.glob(f"*/{JUDGED_FILE}"))
    runs = [folder for folder in folders if (folder / PROVENANCE_FILE).exists()]
    if len(runs) == 1:
        return runs[0]
    found = f"found {', '.join(str(run) for run in runs)}" if runs else "found none here"
    msg = f"name the output folder of a run with --run ({found})"
    raise SettingsError(msg)


def command_line() -> str:
    """Give the command as it was typed, for provenance.

    Returns
    -------
    str
        Quoted for a shell; addresses are without the names and passwords of users.
    """
    from cbminer.survey.download import without_password

    return shlex.join(["cbminer", *(without_password(word) if "://" in word else word for word in sys.argv[1:])])
