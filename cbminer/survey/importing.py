"""Taking a copy of a server's archive into the cache: a folder or a tar file that the user copied by hand."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from cbminer.errors import ArchiveError
from cbminer.monitor import Monitor
from cbminer.survey.cache import CLOUDS, ArchiveCache
from cbminer.survey.content import fault_of_bytes
from cbminer.survey.intake import BULK_FILE, galaxy_of_star
from cbminer.survey.manifest import Entry, Manifest
from cbminer.survey.mock import MOCK_PREFIX
from cbminer.survey.ogle import CATALOGUE_FILES
from cbminer.survey.part import Part
from cbminer.survey.store import Band
from cbminer.survey.store_writer import SourceFile, StoreWriter
from cbminer.survey.tarball import TableMember, read_tarball
from cbminer.survey.transfer import Remote

__all__ = ["import_into"]

_FILE = re.compile(r"([A-Za-z0-9]+(?:-[A-Za-z0-9]+)*-\d+)\.dat")
_STEP = 4096
_SHOWN = 3
# Bytes that hold the name of the first star of ident.dat.
_NAME = 32
_MOCK = MOCK_PREFIX.encode()


@dataclass
class _Taken:
    """What was taken in so far: catalogue files and their hashes, light curves by Cloud, and what was not."""

    files: dict[str, str] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)
    curves: dict[str, int] = field(default_factory=dict)


def import_into(cache: ArchiveCache, path: Path, *, monitor: Monitor | None = None) -> list[str]:
    """Take a copy of an archive in.

    Parameters
    ----------
    cache : ArchiveCache
        Place of the archive in the cache.
    path : `~pathlib.Path`
        Folder, at whatever level, with catalogue files, folders I and V of light curves or phot.tar.gz; or such a
        tar file itself.
    monitor : Monitor, optional
        Told of the progress.

    Returns
    -------
    list of str
        What was taken in, a sentence each.

    Raises
    ------
    ArchiveError
        If there is nothing to take in, it holds simulated stars, or a file is damaged. A tar file is then not taken
        in at all; of a folder, what came before it stays.
    """
    try:
        source = path.expanduser().resolve()
    except RuntimeError as error:
        msg = f"{path} cannot be found ({error})"
        raise ArchiveError(msg) from error
    telling = monitor or Monitor()
    if not source.exists():
        msg = f"{source} is not there: give the folder or tar file that you copied"
        raise ArchiveError(msg)
    with cache.locked(monitor), cache.manifest() as manifest:
        taking = _Import(cache, manifest, telling)
        if source.is_dir():
            taking.take_folder(source)
        else:
            taking.take_tarball(source)
        taking.drop_other_releases()
    return _sentences(source, taking.taken)


def _sentences(source: Path, taken: _Taken) -> list[str]:
    if not taken.files and not taken.curves:
        msg = (
            f"{source} holds neither {', '.join(CATALOGUE_FILES[:2])} nor light curves (I/STAR.dat, V/STAR.dat or "
            f"{BULK_FILE}): nothing was taken in"
        )
        raise ArchiveError(msg)
    lines = [f"{name}: taken in" for name in taken.files]
    lines += [f"{galaxy}: {number:,} light curves taken in" for galaxy, number in sorted(taken.curves.items())]
    if taken.passed_over:
        shown = "; ".join(taken.passed_over[:_SHOWN])
        lines.append(f"{len(taken.passed_over):,} light curves passed over: {shown}")
    return lines


class _Import:
    """One import on its way."""

    def __init__(self, cache: ArchiveCache, manifest: Manifest, monitor: Monitor) -> None:
        self._cache = cache
        self._manifest = manifest
        self._monitor = monitor
        self.taken = _Taken()

    def take_folder(self, folder: Path) -> None:
        for ident in sorted(folder.rglob("ident.dat")):
            if not _is_of_binaries(_first_star(ident)):
                continue
            galaxy = _galaxy_of(_first_star(ident), ident)
            for name in CATALOGUE_FILES:
                if (ident.parent / name).is_file():
                    self._take_table(galaxy, ident.parent / name)
        self._take_curves(_curve_files(folder))
        for tarball in sorted(folder.rglob(BULK_FILE)):
            self.take_tarball(tarball)

    def _take_table(self, galaxy: str, path: Path) -> None:
        data = path.read_bytes()
        _refuse_faulty(data, str(path))
        self._keep(galaxy, path.name, data, str(path.resolve()))

    def _keep(self, galaxy: str, name: str, data: bytes, source: str) -> None:
        """Keep a catalogue file. Its bytes are on the disk before the manifest and the old file change."""
        kept, digest = f"{galaxy.lower()}/ecl/{name}", hashlib.sha256(data).hexdigest()
        if self.taken.files.get(kept, digest) != digest:
            msg = f"{source} is another {name} of the {galaxy} than the one before: import one copy at a time"
            raise ArchiveError(msg)
        with closing(Part(self._cache.incoming / f"{kept}.part")) as part:
            part.begin(Remote(len(data)), offset=0)
            part.write(data)
            part.settle()
            self._manifest.put(Entry(kept, f"import:{source}", len(data), digest))
            part.move_to(self._cache.root / kept)
        self.taken.files[kept] = digest

    def drop_other_releases(self) -> None:
        """Drop the catalogue files of a Cloud that did not come with its new ident.dat: they may not fit it."""
        for galaxy in CLOUDS:
            names = [f"{galaxy.lower()}/ecl/{name}" for name in CATALOGUE_FILES]
            if names[0] in self.taken.files:
                others = [name for name in names if name not in self.taken.files]
                self._manifest.forget(*others)
                for name in others:
                    (self._cache.root / name).unlink(missing_ok=True)

    def _take_curves(self, found: Iterable[tuple[str, Band, Path]]) -> None:
        by_cloud: dict[str, list[tuple[str, Band, Path]]] = {}
        for item in found:
            by_cloud.setdefault(_galaxy_of(item[0], item[2]), []).append(item)
        for galaxy, items in by_cloud.items():
            with self._monitor.step(f"storing {galaxy} light curves", len(items)) as advance:
                for first in range(0, len(items), _STEP):
                    with StoreWriter(self._cache.store_folder(galaxy)) as writer:
                        for star, band, path in items[first : first + _STEP]:
                            self._take_curve(writer, galaxy, (star, band), path)
                            advance(1)

    def _take_curve(self, writer: StoreWriter, galaxy: str, curve: tuple[str, Band], path: Path) -> None:
        try:
            data = path.read_bytes() if path.is_file() else None
        except OSError:
            data = None
        if data is None:
            self.taken.passed_over.append(f"{path} cannot be read")
        else:
            self._add(writer, galaxy, SourceFile(*curve, data), str(path))

    def _add(self, writer: StoreWriter, galaxy: str, source: SourceFile, name: str) -> None:
        """Add a light curve, unless it is no whole one."""
        fault = fault_of_bytes(source.data) if source.data else ""
        if fault:
            self.taken.passed_over.append(f"{name} {fault}")
            return
        writer.add(source)
        self.taken.curves[galaxy] = self.taken.curves.get(galaxy, 0) + 1

    def take_tarball(self, path: Path) -> None:
        """Take a tar file in: everything, or nothing if it is damaged."""
        folders: dict[str, dict[str, bytes]] = {}
        with ExitStack() as stack, self._monitor.step(f"storing {path.name}", path.stat().st_size) as advance:
            writers: dict[str, StoreWriter] = {}
            for member in read_tarball(path, advance=advance):
                if isinstance(member, TableMember):
                    folders.setdefault(member.folder, {})[member.name] = member.data
                    continue
                galaxy = _galaxy_of(member.star, path)
                if galaxy not in writers:
                    writers[galaxy] = stack.enter_context(StoreWriter(self._cache.store_folder(galaxy)))
                source = SourceFile(member.star, member.band, member.data)
                self._add(writers[galaxy], galaxy, source, f"{path}: {member.band}/{member.star}.dat")
            # The stores change when the block ends: a table that is refused keeps everything as it was.
            tables = list(_tables_by_cloud(folders, path))
        for galaxy, name, data in tables:
            self._keep(galaxy, name, data, str(path.resolve()))


def _tables_by_cloud(folders: dict[str, dict[str, bytes]], path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Cloud, name and content of the catalogue files of a tar file; a folder without ident.dat is no catalogue."""
    for folder, tables in folders.items():
        ident = tables.get("ident.dat")
        star = ident[:_NAME].decode("utf-8", "replace") if ident is not None else ""
        if not _is_of_binaries(star):
            continue
        galaxy = _galaxy_of(star, path)
        for name, data in tables.items():
            _refuse_faulty(data, f"{path}: {folder}{name}")
            yield galaxy, name, data


def _simulated(path: Path | str) -> ArchiveError:
    return ArchiveError(
        f"{path} holds simulated stars, which must not be mixed with observed ones: name their folder with "
        "select --archive"
    )


def _refuse_faulty(data: bytes, name: str) -> None:
    fault = fault_of_bytes(data)
    if fault:
        msg = f"{name} is not taken in: it {fault}"
        raise ArchiveError(msg)
    if data.startswith(_MOCK) or b"\n" + _MOCK in data:
        raise _simulated(name)


def _curve_files(folder: Path) -> Iterator[tuple[str, Band, Path]]:
    """Light curves in folders named I or V, at whatever level."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        band = Path(place).name
        if band not in {"I", "V"}:
            continue
        for name in sorted(names):
            match = _FILE.fullmatch(name)
            if match:
                yield match[1], "I" if band == "I" else "V", Path(place) / name


def _first_star(ident: Path) -> str:
    with ident.open("rb") as stream:
        return stream.read(_NAME).decode("utf-8", "replace")


def _is_of_binaries(star: str) -> bool:
    """Tell by its first star whether a catalogue is that of the eclipsing and ellipsoidal binaries."""
    return "-ECL-" in star or "-ELL-" in star


def _galaxy_of(star: str, path: Path) -> str:
    if star.startswith(MOCK_PREFIX):
        raise _simulated(path)
    galaxy = galaxy_of_star(star)
    if not galaxy:
        msg = f"{path}: {star[:24].strip()!r} is no star of the {' or the '.join(CLOUDS)}"
        raise ArchiveError(msg)
    return galaxy
