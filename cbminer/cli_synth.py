"""The command ``cbminer synth``: one light curve of a binary, or a labelled library of them."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cbminer.cli_cache import CacheOption, cache_folder
from cbminer.cli_run import command_line
from cbminer.errors import CbminerError, SettingsError
from cbminer.terminal import TerminalMonitor

__all__ = ["synth_app"]

synth_app = typer.Typer(help="Make synthetic light curves.", no_args_is_help=True)


class CloudChoice(StrEnum):
    """Clouds in which the stars of a library can be."""

    LMC = "LMC"
    SMC = "SMC"


@synth_app.command("curve")
def curve(
    *,
    mass_ratio: Annotated[float, typer.Option("--mass-ratio", "-q", help="Mass of star 2 over that of star 1.")],
    inclination: Annotated[float, typer.Option("--inclination", "-i", help="Inclination in degrees, 0 to 90.")],
    fillout: Annotated[
        float | None, typer.Option(help="Fill-out factor of a contact binary: 0 at L1, 1 at L2.")
    ] = None,
    lobe_filling: Annotated[
        float | None, typer.Option(help="R / R_L of both stars of a detached pair; 1 fills the lobe.")
    ] = None,
    lobe_filling_1: Annotated[float | None, typer.Option(help="R / R_L of star 1, if it is another.")] = None,
    lobe_filling_2: Annotated[float | None, typer.Option(help="R / R_L of star 2, if it is another.")] = None,
    teff: Annotated[float, typer.Option(help="Mean effective temperature of star 1 in K.")] = 25000.0,
    teff_2: Annotated[
        float | None,
        typer.Option(help="The same of star 2. Default: one law over the envelope in contact, else that of star 1."),
    ] = None,
    gravity_darkening: Annotated[float, typer.Option(help="Exponent beta of both stars: 1 for hot stars.")] = 1.0,
    albedo: Annotated[float, typer.Option(help="Bolometric albedo of both stars: 1 for hot stars.")] = 1.0,
    limb_darkening_i: Annotated[float, typer.Option("--limb-darkening-I", help="Linear coefficient in I.")] = 0.30,
    limb_darkening_v: Annotated[float, typer.Option("--limb-darkening-V", help="Linear coefficient in V.")] = 0.30,
    third_light: Annotated[float, typer.Option(help="Share of the light at phase 0.25 that is of other stars.")] = 0.0,
    phases: Annotated[int, typer.Option(min=4, help="Points of the curve, a multiple of 4.")] = 100,
    bands_of_cells: Annotated[int, typer.Option(help="Resolution: bands of cells of a star, a multiple of 3.")] = 36,
    reflection: Annotated[bool, typer.Option(help="Whether the stars heat each other.")] = True,
    phoebe: Annotated[
        bool | None, typer.Option(help="Whether PHOEBE makes the same curve. Default: if it is installed.")
    ] = None,
    triangles: Annotated[int, typer.Option(min=100, help="Triangles of PHOEBE's mesh.")] = 3000,
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path("cbminer-curve"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier call.")] = False,
) -> None:
    """Make the light curve of one binary: a table, a figure, and PHOEBE's beside it."""
    from cbminer.output import check_output_folder, output_folder
    from cbminer.report.curve_figure import curve_figure
    from cbminer.synthesis import compare_with_phoebe, describe_curve, make_system, synthetic_curve, write_curve
    from cbminer.synthetic.limb_darkening import LimbDarkening
    from cbminer.synthetic.passbands import standard_passband
    from cbminer.synthetic.phoebe_passbands import phoebe_is_installed
    from cbminer.synthetic.roche import RocheEngine

    check_output_folder(out, overwrite=overwrite)
    system = make_system(
        mass_ratio,
        inclination,
        fillout_factor=fillout,
        lobe_fillings=(
            lobe_filling if lobe_filling_1 is None else lobe_filling_1,
            lobe_filling if lobe_filling_2 is None else lobe_filling_2,
        ),
        teffs=(teff, teff_2),
        gravity_darkening=gravity_darkening,
        albedo=albedo,
    )
    engine = RocheEngine(
        passbands=[
            standard_passband("I").darkened_by(LimbDarkening("linear", (limb_darkening_i,))),
            standard_passband("V").darkened_by(LimbDarkening("linear", (limb_darkening_v,))),
        ],
        reflection=reflection,
        n_bands=bands_of_cells,
    )
    made = synthetic_curve(system, engine=engine, n_phases=phases, third_light=(third_light, third_light))
    comparison = None
    left_out: list[str] = []
    if phoebe or (phoebe is None and phoebe_is_installed()):
        try:
            with TerminalMonitor().step("the same curve by PHOEBE", None):
                comparison = compare_with_phoebe(made, engine=engine, n_triangles=triangles)
        except CbminerError as error:
            # Who did not ask for PHOEBE gets the curve nevertheless.
            if phoebe:
                raise
            left_out = [f"without PHOEBE's curve: {error}"]
    lines = [*describe_curve(made, comparison), *left_out]
    with output_folder(out, overwrite=overwrite) as folder:
        theirs = None if comparison is None else comparison.flux
        figure = curve_figure(made.table, "\n".join(lines[:2]), phoebe=theirs)
        write_curve(folder, made, comparison, figure, command=command_line())
    for line in lines:
        typer.echo(line)
    typer.echo(f"written to {out}")


@synth_app.command("library")
def library(
    *,
    n: Annotated[int, typer.Option("--n", min=1, help="Number of light curves.")] = 10000,
    out: Annotated[Path, typer.Option(help="Parquet file.")] = Path("cbminer-library.parquet"),
    observed: Annotated[
        CloudChoice | None,
        typer.Option(help="Add what a survey of this Cloud would see: epochs, noise, blends.", case_sensitive=False),
    ] = None,
    cadence_of: Annotated[
        str | None,
        typer.Option(help="Archive whose light curves lend their epochs: a folder in OGLE's layout, or an address."),
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML: [library] and [sampling].")] = None,
    cache: CacheOption = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Threads. Default: one a core.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Make a labelled library of simulated light curves, binaries and what is mistaken for them."""
    from rich.filesize import decimal

    from cbminer.settings import load_settings
    from cbminer.survey.archive import open_archive
    from cbminer.synthesis import library_sight
    from cbminer.synthetic.library import refuse_existing, write_library

    if cadence_of is not None and observed is None:
        msg = "--cadence-of lends epochs to observed light curves: name the Cloud with --observed"
        raise typer.BadParameter(msg)
    refuse_existing(out, overwrite=overwrite)
    resolved, monitor = load_settings(settings), TerminalMonitor()
    sight = None
    if observed is not None:
        lender = None
        if cadence_of is not None:
            if "://" not in cadence_of and not Path(cadence_of).expanduser().is_dir():
                msg = f"--cadence-of {cadence_of}: there is no such folder; give one in OGLE's layout, or an address"
                raise SettingsError(msg)
            lender = open_archive(
                cadence_of,
                cache=cache_folder(cache),
                fetching=resolved.fetch,
                table=resolved.table,
                max_mag_err=resolved.cleaning.max_mag_err,
            )
        sight = library_sight(observed.value, settings=resolved, lender=lender, monitor=monitor)
    with monitor.step("light curves", n) as advance:
        write_library(
            out,
            n,
            settings=resolved.library,
            seed=resolved.seed if seed is None else seed,
            sight=sight,
            threads=jobs or os.cpu_count() or 1,
            overwrite=overwrite,
            progress=advance,
        )
    if sight is not None and sight.templates is not None:
        typer.echo(f"epochs of {len(sight.templates):,} stars of {cadence_of}")
        for fault, count in sight.templates.set_aside.items():
            typer.echo(f"  {count:,} stars not used: {fault}")
    typer.echo(f"{n:,} simulated light curves, {decimal(out.stat().st_size)}: written to {out}")
