"""The command ``cbminer grid``: grids of binary-evolution models, taken in from MESA, made here, told of, planned."""

import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbminer.cli_run import command_line
from cbminer.errors import SettingsError
from cbminer.terminal import TerminalMonitor

if TYPE_CHECKING:
    from cbminer.columns import FloatArray
    from cbminer.theory.grid import EvolutionGrid

__all__ = ["grid_app"]

grid_app = typer.Typer(help="Grids of binary-evolution models.", no_args_is_help=True)

# Folders, below that of computed files, of the grids that the package ships.
_EMBEDDED = {"LMC": "roche-sse/lmc", "SMC": "roche-sse/smc"}
_TRACKS = "roche-sse/tracks.npz"
_FORMATS = ("png", "pdf")


class CloudChoice(StrEnum):
    """Clouds whose metallicity a grid can have."""

    LMC = "LMC"
    SMC = "SMC"


class MassChoice(StrEnum):
    """What a mass of a plan can be."""

    TOTAL = "total"
    PRIMARY = "primary"


_GalaxyOption = Annotated[CloudChoice, typer.Option(help="Cloud of the composition.", case_sensitive=False)]
_MassIsOption = Annotated[
    MassChoice, typer.Option(help="Whether masses are those of both stars or of star 1.", case_sensitive=False)
]
_MASSES_HELP = "Initial masses in solar masses: 20,26,40 or 20:80:5 (first, last, step) or 20:80:12log (of values)."


@grid_app.command("import")
def import_grid(
    root: Annotated[Path, typer.Argument(help="Folder of MESA runs, in any layout.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder of the grid; one that is there is brought up to date.")],
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one a core.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first run that cannot be read.")] = False,
    metallicity: Annotated[
        float | None, typer.Option("--Z", min=0.0, max=1.0, help="Metallicity of runs that do not say theirs.")
    ] = None,
) -> None:
    """Take MESA runs into a grid. What an earlier call has read is not read again."""
    from rich.filesize import decimal

    from cbminer.theory.grid_import import import_runs

    begin = time.monotonic()
    report = import_runs(
        root, out, jobs=jobs or os.cpu_count() or 1, strict=strict, Z=metallicity, monitor=TerminalMonitor()
    )
    seconds = max(time.monotonic() - begin, 1e-3)
    typer.echo(f"{report.n_runs:,} runs, {report.n_steps:,} time steps: written to {out}")
    rate = f", {report.n_bytes / 1e6 / seconds:.1f} MB/s" if report.n_bytes else ""
    typer.echo(f"read {report.n_read:,} runs, {decimal(report.n_bytes)}, in {seconds:.1f} s{rate}")
    if report.skipped:
        typer.echo(f"skipped {len(report.skipped):,}:")
        for item in report.skipped:
            typer.echo(f"  {item.run}: {item.reason}")


@grid_app.command("info")
def info(
    grid: Annotated[
        str | None, typer.Argument(help="Folder of a grid, or LMC or SMC: that of the package.", show_default=False)
    ] = None,
    *,
    galaxy: Annotated[
        CloudChoice, typer.Option(help="Cloud of the package's grid that is meant without one.", case_sensitive=False)
    ] = CloudChoice.LMC,
) -> None:
    """Say where a grid comes from, what it spans, how its runs ended, and their time in phases."""
    from cbminer.report.grid_summary import grid_lines

    for line in grid_lines(_open(grid or galaxy.value)):
        typer.echo(line)


@grid_app.command("show")
def show(
    grid: Annotated[str, typer.Argument(help="Folder of a grid, or LMC or SMC: that of the package.")],
    run: Annotated[str, typer.Argument(help="Name of a run, or a part that only one has.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Figure to draw, .png or .pdf. Default: none.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing figure.")] = False,
) -> None:
    """Tell how long the phases of one run last and what the pair is like in them, and draw it."""
    from cbminer.report.grid_summary import find_run, run_lines

    if out is not None:
        _check_figure(out, overwrite=overwrite)
    opened = _open(grid)
    index = find_run(opened, run)
    for line in run_lines(opened, index):
        typer.echo(line)
    if out is not None:
        _draw(opened, index, out)
        typer.echo(f"drawn in {out}")


@grid_app.command("build")
def build(
    *,
    out: Annotated[Path, typer.Option(help="Folder of the grid; one that is there is replaced.")],
    galaxy: _GalaxyOption = CloudChoice.LMC,
    masses: Annotated[str | None, typer.Option(help=f"{_MASSES_HELP} Default: as in the package's.")] = None,
    mass_ratios: Annotated[str | None, typer.Option(help="Initial mass ratios, at most 1, in the same way.")] = None,
    periods: Annotated[str | None, typer.Option(help="Initial periods in days, in the same way.")] = None,
    mass_is: _MassIsOption = MassChoice.TOTAL,
    metallicity: Annotated[
        float | None, typer.Option("--Z", help="Metallicity, one of the tracks. Default: the Cloud's.")
    ] = None,
    radius_scale: Annotated[float | None, typer.Option(help="Factor on all radii.")] = None,
    lifetime_scale: Annotated[float | None, typer.Option(help="Factor on all lifetimes.")] = None,
    energy_transfer: Annotated[
        bool | None, typer.Option(help="Whether stars in contact share their luminosity.")
    ] = None,
) -> None:
    """Make a grid from single-star tracks and Roche geometry, as the package's grids are made."""
    from cbminer.resources import grid_path
    from cbminer.theory.binary_evolution import EvolutionSettings, evolve_grid, evolve_pairs
    from cbminer.theory.grid import check_grid_place, write_grid
    from cbminer.theory.plan_templates import MesaSettings
    from cbminer.theory.tracks import SingleStarTracks

    check_grid_place(out)
    given = {"radius_scale": radius_scale, "lifetime_scale": lifetime_scale, "energy_transfer": energy_transfer}
    settings = _validated(EvolutionSettings, {name: value for name, value in given.items() if value is not None})
    wanted = MesaSettings.of_cloud(galaxy.value).Z if metallicity is None else metallicity
    tracks = SingleStarTracks.load(grid_path(_TRACKS), wanted)
    chosen = {"--masses": masses, "--mass-ratios": mass_ratios, "--periods": periods}
    with TerminalMonitor().step("evolving pairs", None):
        if mass_is is MassChoice.PRIMARY or any(value is not None for value in chosen.values()):
            made = evolve_pairs(tracks, _pairs(chosen, mass_is), settings=settings)
            made.about["axes"] = {name.lstrip("-"): text or "as in the package's" for name, text in chosen.items()}
        else:
            made = evolve_grid(tracks, settings=settings)
    write_grid(made, out)
    typer.echo(f"{len(made):,} runs, {len(made.steps):,} time steps: written to {out}")


@grid_app.command("plan")
def plan(
    *,
    masses: Annotated[str, typer.Option(help=_MASSES_HELP)],
    mass_ratios: Annotated[str, typer.Option(help="Initial mass ratios, at most 1, in the same way.")],
    periods: Annotated[str, typer.Option(help="Initial periods in days, in the same way.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")] = Path("cbminer-plan"),
    mass_is: _MassIsOption = MassChoice.TOTAL,
    galaxy: _GalaxyOption = CloudChoice.LMC,
    metallicity: Annotated[float | None, typer.Option("--Z", help="Metallicity. Default: the Cloud's.")] = None,
    helium: Annotated[float | None, typer.Option(help="Mass fraction of helium. Default: the Cloud's.")] = None,
    templates: Annotated[Path | None, typer.Option(help="Folder of changed templates.")] = None,
    mesa_dir: Annotated[Path | None, typer.Option(help="Folder of MESA. Default: of the environment.")] = None,
    max_jobs: Annotated[int | None, typer.Option(min=1, help="Tasks at a time. Default: no limit.")] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="Processors of a task. Default: 4.")] = None,
    hours: Annotated[int | None, typer.Option(min=1, help="Time limit of a task. Default: 72.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be made.")] = False,
) -> None:
    """Make the folders of MESA runs and a Slurm array for a list of masses, mass ratios and periods."""
    from cbminer.output import check_output_folder
    from cbminer.theory.plan import make_plan, parse_values, write_plan
    from cbminer.theory.plan_templates import MesaSettings, SlurmSettings

    check_output_folder(out, overwrite=False)
    composition = MesaSettings.of_cloud(galaxy.value).model_dump()
    if (metallicity is None) != (helium is None):
        msg = "--Z and --helium belong together: give both, or neither for the composition of the Cloud"
        raise SettingsError(msg)
    if metallicity is not None:
        composition |= {"Z": metallicity, "helium": helium}
    mesa = _validated(MesaSettings, composition)
    given = {"mesa_dir": mesa_dir and str(mesa_dir), "max_jobs": max_jobs, "cpus": cpus, "hours": hours}
    slurm = _validated(SlurmSettings, {name: value for name, value in given.items() if value is not None})
    axes = [
        parse_values(text, name=name)
        for name, text in (("--masses", masses), ("--mass-ratios", mass_ratios), ("--periods", periods))
    ]
    table = make_plan(*axes, mass_is=mass_is.value)
    counts = " x ".join(
        f"{len(axis):,} {name}" for axis, name in zip(axes, ("masses", "mass ratios", "periods"), strict=True)
    )
    typer.echo(f"{counts} = {len(table):,} runs at Z {mesa.Z:g} in {min(len(table), slurm.max_tasks):,} tasks")
    typer.echo(f"star 1 of {table['M1'].min():.4g} to {table['M1'].max():.4g}")
    if dry_run:
        return
    with TerminalMonitor().step("writing folders", None):
        write_plan(table, out, mesa=mesa, slurm=slurm, templates=templates, command=command_line())
    typer.echo(f"written to {out}")
    typer.echo(f"next, where MESA is: cd {out} && ./build.sh && sbatch run_array.sh")
    typer.echo(f"then: cbminer grid import {out / 'runs'} --out GRID")


def _open(grid: str) -> "EvolutionGrid":
    """Open a grid: a folder or, by the name of its Cloud, one of the package."""
    from cbminer.resources import grid_path
    from cbminer.theory.grid import read_grid

    cloud = grid.upper()
    if cloud in _EMBEDDED and not Path(grid).exists():
        return read_grid(grid_path(f"{_EMBEDDED[cloud]}/runs.parquet").parent)
    return read_grid(Path(grid))


def _pairs(chosen: dict[str, str | None], mass_is: MassChoice) -> "FloatArray":
    """Combine the initial values of a grid: those that are given, and else the package's."""
    import numpy as np

    from cbminer.theory.binary_evolution import GridAxes
    from cbminer.theory.plan import make_plan, parse_values

    usual = GridAxes()
    defaults = {
        "--masses": usual.total_masses(),
        "--mass-ratios": usual.mass_ratios(),
        "--periods": usual.periods(),
    }
    if mass_is is MassChoice.PRIMARY and chosen["--masses"] is None:
        msg = "--mass-is primary says what the values of --masses are: give these too"
        raise SettingsError(msg)
    axes = [
        default if chosen[name] is None else parse_values(chosen[name] or "", name=name)
        for name, default in defaults.items()
    ]
    table = make_plan(*axes, mass_is=mass_is.value)
    columns: FloatArray = np.column_stack([table[name].value for name in ("M1", "M2", "period")])
    return columns


def _validated(model: type, values: dict[str, Any]) -> Any:
    """Make settings from options, with the option named where a value is impossible."""
    from pydantic import ValidationError

    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = "-".join(str(part) for part in first["loc"]).replace("_", "-")
        msg = f"--{name} {first['input']}: {first['msg'][:1].lower()}{first['msg'][1:]}"
        raise SettingsError(msg) from error


def _check_figure(path: Path, *, overwrite: bool) -> None:
    if path.suffix.lower().lstrip(".") not in _FORMATS:
        msg = f"--out {path}: the name of a figure ends with .png or .pdf"
        raise SettingsError(msg)
    if path.exists() and not overwrite:
        msg = f"{path} exists: replace it with --overwrite"
        raise SettingsError(msg)


def _draw(grid: "EvolutionGrid", index: int, path: Path) -> None:
    from cbminer.report.figures import save_figure
    from cbminer.report.run_figure import run_figure
    from cbminer.whole_file import written_whole

    figure = run_figure(grid, index)
    suffix = path.suffix.lower().lstrip(".")
    with written_whole(path) as temporary:
        # The figure's own writer adds the suffix by which it chooses the format.
        (drawn,) = save_figure(figure, temporary, formats=[suffix])
        drawn.replace(temporary)
