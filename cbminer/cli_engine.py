"""Options of commands that measure light curves by an engine."""

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["EngineChoice", "EngineOption", "SchedulerOption"]


class EngineChoice(StrEnum):
    """Engines that can be asked for."""

    THREADS = "threads"
    DASK = "dask"


EngineOption = Annotated[
    EngineChoice,
    typer.Option(
        help="Who measures: threads of this process, or workers of Dask, which are processes here or anywhere.",
        case_sensitive=False,
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        help="Cluster of Dask: tcp://HOST:PORT or a scheduler file. Default: --jobs worker processes on this machine."
    ),
]
