"""Measured light curves of runs that did not end: kept chunk by chunk, so that the same run goes on where it was ended.

A chunk is known by all that decides what comes out of it: the code, the settings, the stars with their periods, and
the hashes of their light curves. What is not the same is not taken.
"""

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from cbminer.classifier.prediction import classifier_model
from cbminer.engine_worker import versions_here
from cbminer.errors import OutputError
from cbminer.measurement import MeasuredStars, MeasurementSettings, StarTask
from cbminer.morphology.embedding import EMBEDDING_FILE
from cbminer.resources import grid_path
from cbminer.survey.part import sha256_of
from cbminer.survey.store import LightCurveStore, StoredFile
from cbminer.survey.textfile import SetAside
from cbminer.whole_file import written_whole

__all__ = ["KeptMeasurements", "keep_measured", "read_measured"]

# Chunks of runs that nobody went on with.
_FORGOTTEN_AFTER = 14 * 86400.0
_SETTINGS = TypeAdapter(MeasurementSettings)
_DIGEST = hashlib.sha256().digest_size


class KeptMeasurements:
    """Chunks of measured stars in a folder.

    Parameters
    ----------
    folder : `~pathlib.Path`
        The folder; made when the first chunk is kept.
    """

    def __init__(self, folder: Path) -> None:
        # Workers elsewhere have another working folder.
        self.folder = folder.absolute()
        self._used: set[Path] = set()

    def places(
        self, store: LightCurveStore, *, settings: MeasurementSettings, strict: bool
    ) -> Callable[[Sequence[StarTask]], Path]:
        """Say where chunks of stars are kept.

        Parameters
        ----------
        store : LightCurveStore
            Where the light curves are.
        settings : MeasurementSettings
            How they are measured.
        strict : bool
            Whether malformed lines are errors.

        Returns
        -------
        callable
            Takes the stars of a chunk, and gives the file for `read_measured` and `keep_measured`.
        """
        # A network may be a file of the user's that has changed.
        models = [classifier_model(settings.classifier.model).digest(), sha256_of(grid_path(EMBEDDING_FILE))]
        common: list[object] = [versions_here(), models, _SETTINGS.dump_json(settings).decode(), strict]

        def place(tasks: Sequence[StarTask]) -> Path:
            sources = store.sources([task.star for task in tasks])
            stars = [_describe(task, source) for task, source in zip(tasks, sources, strict=True)]
            path = self.folder / f"{_digest([common, stars])}.npz"
            self._used.add(path)
            return path

        return place

    def clear(self) -> None:
        """Remove the chunks of this run, which is complete, and those that nobody asked for in two weeks."""
        oldest = time.time() - _FORGOTTEN_AFTER
        for path in list(self.folder.glob("*.npz")):
            with suppress(OSError):
                if path in self._used or path.stat().st_mtime < oldest:
                    path.unlink()
        # What a killed process was writing.
        mine = {path.name for path in self._used}
        for path in list(self.folder.glob(".*.partial")):
            with suppress(OSError):
                if path.name[1:].partition(".npz")[0] + ".npz" in mine or path.stat().st_mtime < oldest:
                    path.unlink()
        with suppress(OSError):
            self.folder.rmdir()


def _describe(task: StarTask, source: StoredFile | None) -> list[str]:
    numbers = (float(number).hex() for number in (task.period, task.epoch, task.VI0))
    return [task.star, *numbers, "" if source is None else source.sha256]


def _digest(content: Iterable[object]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def keep_measured(path: Path, measured: MeasuredStars) -> None:
    """Keep a chunk.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    measured : MeasuredStars
        What was measured. Without room for it the run goes on all the same, and only a later one would have gained.
    """
    about = {"set_aside": [asdict(item) for item in measured.set_aside], "counts": measured.counts}
    arrays: dict[str, Any] = {f"shape {name}": data for name, data in measured.shapes.items()}
    arrays |= {f"label {name}": data for name, data in measured.labels.items()}
    buffer = io.BytesIO()
    np.savez(buffer, flags=measured.flags, about=np.array(json.dumps(about)), **arrays)
    content = buffer.getvalue()
    with suppress(OutputError), written_whole(path) as temporary:
        temporary.write_bytes(hashlib.sha256(content).digest() + content)


def read_measured(path: Path) -> MeasuredStars | None:
    """Read a chunk.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    MeasuredStars or None
        None if it is not there, or not whole.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, content = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays.pop("about")))
    flags = arrays.pop("flags")
    shapes, labels = (
        {name.partition(" ")[2]: data for name, data in arrays.items() if name.startswith(kind)}
        for kind in ("shape ", "label ")
    )
    set_aside = [SetAside(**item) for item in about["set_aside"]]
    return MeasuredStars(shapes, labels, flags, set_aside, about["counts"])
