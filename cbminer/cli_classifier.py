"""The commands ``cbminer train`` and ``cbminer model``: make a classifier of light curves, and read its card."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbminer.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from cbminer.classifier.building import Stage
    from cbminer.classifier.labelled import LabelledCurves
    from cbminer.classifier.training import EpochReport
    from cbminer.settings import Settings

__all__ = ["model_app", "train"]

model_app = typer.Typer(help="Networks that classify light curves.", no_args_is_help=True)


class VariantChoice(StrEnum):
    """Variants of the network."""

    STANDARD = "standard"
    TINY = "tiny"


class MethodChoice(StrEnum):
    """Estimators of the gradients whose networks the engine can pack."""

    STE = "ste"
    APPROX_SIGN = "approx_sign"
    RESTE = "reste"
    BIPER = "biper"
    IRNET = "irnet"
    STATISTICS = "statistics"
    CENTRED = "centred"


def train(
    library: Annotated[Path, typer.Argument(help="Labelled light curves of `cbminer synth library`.")],
    *,
    out: Annotated[
        Path, typer.Option(help="Folder of the network, and of the state of an interrupted training.")
    ] = Path("cbminer-network"),
    name: Annotated[str, typer.Option(help="Name of the network and of its files.")] = "network",
    variant: Annotated[VariantChoice | None, typer.Option(help="Default: standard.")] = None,
    method: Annotated[MethodChoice | None, typer.Option(help="Estimator of gradients. Default: reste.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs.")] = None,
    examples: Annotated[int | None, typer.Option(min=1, help="Examples of an epoch.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    labelled: Annotated[
        Path | None, typer.Option(help="CSV table (file, period, class) of real light curves to train on further.")
    ] = None,
    distil: Annotated[bool, typer.Option(help="Learn from a float twin that is trained first.")] = True,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads. Default: those that torch takes.")] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train anew, whatever the folder holds.")] = False,
) -> None:
    """Train, calibrate, pack and judge a network; an interrupted training goes on where it stopped."""
    from cbminer.settings import load_settings

    torch = _torch()
    from cbminer.classifier.building import build_classifier, divide_library
    from cbminer.classifier.card import render_card

    given = {"epochs": epochs, "examples": examples, "seed": seed}
    chosen = _with_choices(load_settings(settings), variant, method, given)
    path = _refuse_finished(out, name, overwrite=overwrite)
    if threads is not None:
        torch.set_num_threads(threads)
    # All that is given is read before anything of an earlier training goes.
    real = _labelled(labelled, chosen)
    division = divide_library(library, seed=chosen.training.seed)
    _prepare(path, overwrite=overwrite)
    try:
        built = build_classifier(
            library,
            out,
            name=name,
            network=chosen.network,
            training=chosen.training,
            distil=distil,
            labelled=real,
            division=division,
            tell=_tell,
        )
    except KeyboardInterrupt:
        typer.echo(f"interrupted: the same command goes on from what {out} keeps", err=True)
        raise
    typer.echo(render_card(built.card))
    typer.echo(f'\nwritten to {built.path}; classify with it by model = "{built.path}" under [classifier]')


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        msg = 'training needs torch: install it with pip install "cbminer[train]"; classifying does not'
        raise SettingsError(msg) from error
    return torch


def _with_choices(
    settings: "Settings", variant: VariantChoice | None, method: MethodChoice | None, training: dict[str, int | None]
) -> "Settings":
    """Add what the command line says to the settings; the tiny variant has a topology of its own."""
    from cbminer.classifier.recipe import NetworkSettings

    network = settings.network
    if variant is not None and variant.value != network.variant:
        # Channels and pools of the one do not suit the other; what both have is kept.
        shared = ("method", "n_bins", "stem_kernel", "kernel", "scalars", "scalar_hidden", "side_rank")
        other = NetworkSettings.tiny() if variant is VariantChoice.TINY else NetworkSettings()
        network = other.model_copy(update={item: getattr(network, item) for item in shared})
    if method is not None:
        network = network.model_copy(update={"method": method.value})
    given = {key: value for key, value in training.items() if value is not None}
    return settings.model_copy(update={"network": network, "training": settings.training.model_copy(update=given)})


def _refuse_finished(out: Path, name: str, *, overwrite: bool) -> Path:
    """Refuse a place that cannot be used; give the file of the network."""
    if not name or Path(name).name != name:
        msg = f"--name {name!r} is no name of a file: give a plain word"
        raise SettingsError(msg)
    if out.exists() and not out.is_dir():
        msg = f"{out} is a file: name another folder with --out"
        raise OutputError(msg)
    path = out / f"{name}.npz"
    if path.exists() and not overwrite:
        msg = f"{path} exists: train anew with --overwrite, or choose another --name or --out"
        raise OutputError(msg)
    return path


def _prepare(path: Path, *, overwrite: bool) -> None:
    """Make the folder, and forget kept states that are not to be taken up. A finished network stays till the next."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{path.parent} cannot be made ({error.strerror}): name another folder with --out"
        raise OutputError(msg) from error
    for kept in (path.with_suffix(".pt"), path.with_suffix(".teacher.pt")):
        if overwrite:
            kept.unlink(missing_ok=True)
        elif kept.exists():
            typer.echo(f"going on from {kept}", err=True)


def _labelled(table: Path | None, settings: "Settings") -> "LabelledCurves | None":
    from cbminer.classifier.labelled import read_labelled_curves

    if table is None:
        return None
    network = settings.network
    return read_labelled_curves(table, scalars=network.scalars, n_bins=network.n_bins, cleaning=settings.cleaning)


def _tell(stage: "Stage", report: "EpochReport") -> None:
    figures = "".join(f", {name.replace('_', ' ')} {value:.3g}" for name, value in report.diagnostics.items())
    typer.echo(
        f"{stage}, epoch {report.epoch}: loss {report.loss:.4f}, accuracy {report.accuracy:.4f}{figures}", err=True
    )


@model_app.command("card")
def card(
    model: Annotated[
        str, typer.Argument(help="standard or tiny, those of the package, or a file of a training.")
    ] = "standard",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole card as JSON.")] = False,
) -> None:
    """Print what a network was made of, how good it is, on what, and where it fails."""
    import json

    from cbminer.classifier.card import read_card, render_card
    from cbminer.classifier.prediction import classifier_model, model_path

    found = read_card(model_path(model), sha256=classifier_model(model).digest())
    typer.echo(json.dumps(found, indent=2) if as_json else render_card(found))
