"""The command ``cbminer cache``: what is kept of every archive, whether it is whole, and how to mend it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import platformdirs
import typer
from rich.filesize import decimal

from cbminer.errors import ArchiveError, SettingsError

if TYPE_CHECKING:
    from cbminer.survey.cache import ArchiveCache

__all__ = ["CacheOption", "cache_app", "cache_folder"]

CacheOption = Annotated[
    Path | None,
    typer.Option(envvar="CBMINER_CACHE", help="Folder for fetched files, stores and mock surveys."),
]
_ArchiveOption = Annotated[
    str | None, typer.Option(help="Only what is kept of this folder or server. Default: of all.")
]

cache_app = typer.Typer(help="Look after the files that were fetched or taken in.", no_args_is_help=True)


def cache_folder(given: Path | None) -> Path:
    """Choose the folder of the cache.

    Parameters
    ----------
    given : `~pathlib.Path` or None
        What the user says.

    Returns
    -------
    `~pathlib.Path`
        That, or the usual place of the system.
    """
    folder = given if given is not None else platformdirs.user_cache_path("cbminer")
    try:
        folder = folder.expanduser()
    except RuntimeError as error:
        msg = f"{folder} cannot be found ({error}): choose another folder with --cache"
        raise SettingsError(msg) from error
    if folder.exists() and not folder.is_dir():
        msg = f"{folder} is a file: choose another folder with --cache"
        raise SettingsError(msg)
    return folder


@cache_app.command("info")
def info(*, cache: CacheOption = None, archive: _ArchiveOption = None) -> None:
    """Say what is kept, where, and how large it is."""
    from cbminer.survey.cache import OTHER_SECTIONS

    folder = cache_folder(cache)
    typer.echo(f"cache {folder}")
    for kept in _chosen(folder, archive):
        typer.echo(kept.location)
        uses = list(kept.use())
        for use in uses:
            curves = ", ".join(f"{number:,} light curves in {band}" for band, number in use.n_curves.items())
            latest = f", the latest of {use.latest}" if use.latest else ""
            typer.echo(f"  {use.galaxy}  {use.n_files} files, {curves}, {decimal(use.size)}{latest}")
        if not uses:
            typer.echo("  nothing yet")
    for section in OTHER_SECTIONS:
        size = sum(path.stat().st_size for path in (folder / section).rglob("*") if path.is_file())
        if size and archive is None:
            typer.echo(f"{section}\n  {decimal(size)}")


@cache_app.command("verify")
def verify(*, cache: CacheOption = None, archive: _ArchiveOption = None) -> None:
    """Hash everything that is kept and name what is damaged. The exit status is 1 if anything is."""
    from cbminer.terminal import TerminalMonitor

    n_damaged = 0
    for kept in _chosen(cache_folder(cache), archive):
        with kept.locked(TerminalMonitor()):
            damages = list(kept.damages())
        n_damaged += len(damages)
        typer.echo(f"{kept.location}: {'whole' if not damages else f'{len(damages)} damaged'}")
        for damage in damages:
            typer.echo(f"  {kept.root / damage.name}: {damage.reason}")
    if n_damaged:
        typer.echo("mend it with: cbminer cache repair")
        raise typer.Exit(1)


@cache_app.command("repair")
def repair(
    *,
    cache: CacheOption = None,
    archive: _ArchiveOption = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML.")] = None,
) -> None:
    """Fetch or make again what is damaged, and nothing else."""
    from cbminer.settings import load_settings
    from cbminer.survey.archive import open_archive
    from cbminer.terminal import TerminalMonitor

    folder, resolved = cache_folder(cache), load_settings(settings)
    n_done, failed = 0, False
    for kept in _chosen(folder, archive):
        try:
            opened = open_archive(
                kept.location,
                cache=folder,
                fetching=resolved.fetch,
                table=resolved.table,
                max_mag_err=resolved.cleaning.max_mag_err,
            )
            for line in opened.repair(monitor=TerminalMonitor()):
                typer.echo(line)
                n_done += 1
        except ArchiveError as error:
            # One archive that cannot be mended is no reason to leave the others as they are.
            typer.echo(f"cbminer: error: {error}", err=True)
            failed = True
    if failed:
        raise typer.Exit(1)
    if n_done == 0:
        typer.echo("nothing is damaged")


@cache_app.command("clear")
def clear(
    *,
    cache: CacheOption = None,
    archive: _ArchiveOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove what is kept: of one archive, or everything that cbminer made in the cache."""
    from cbminer.survey.cache import clear_cache

    folder = cache_folder(cache)
    only = _chosen(folder, archive)[0] if archive is not None else None
    if not yes:
        what = only.location if only is not None else f"everything in {folder}"
        typer.confirm(f"Remove what is kept of {what}?", abort=True)
    typer.echo(f"removed {decimal(clear_cache(folder, only=only))}")


@cache_app.command("import")
def import_copy(
    path: Annotated[Path, typer.Argument(help="Folder, or tar file, that was copied by hand.")],
    *,
    cache: CacheOption = None,
    archive: Annotated[str | None, typer.Option(help="Server that it is a copy of. Default: OGLE's.")] = None,
) -> None:
    """Take a copy of the archive into the cache, as if it had been fetched."""
    from cbminer.survey.archive import OGLE_URL, is_url, open_archive
    from cbminer.survey.importing import import_into
    from cbminer.terminal import TerminalMonitor

    location = archive or OGLE_URL
    if not is_url(location):
        msg = f"{location} is a folder: use it with select --archive as it is; import is for the copy of a server"
        raise SettingsError(msg)
    kept = open_archive(location, cache=cache_folder(cache)).cache
    for line in import_into(kept, path, monitor=TerminalMonitor()):
        typer.echo(line)


def _chosen(folder: Path, archive: str | None) -> "list[ArchiveCache]":
    """Find what is kept: of all archives, or of the one that the user names."""
    from cbminer.survey.archive import open_archive
    from cbminer.survey.cache import find_caches

    if archive is None:
        return find_caches(folder)
    kept = open_archive(archive, cache=folder).cache
    if not kept.root.is_dir():
        msg = f"nothing is kept of {archive} in {folder}: cbminer cache info lists what is"
        raise ArchiveError(msg)
    return [kept]
