"""Draw the figures of the documentation that show the light-curve engine, the measured curve and the classifier.

Usage: python docs/figures.py [FOLDER [NAME ...]]
       python docs/figures.py --run RUN

Writes look_alikes.png, sky_images.png, roche_vs_phoebe.png, morph.png and classifier.png, or those that are named, by
default all to docs/images. The third needs the curves that ``python benchmarks/roche_vs_phoebe.py --save`` has written,
and no PHOEBE.

With --run nothing is drawn: colour_magnitude.png and odds.png of docs/images are made of the figures of RUN, the folder
that ``cbminer select --galaxy LMC --survey mock`` has written.
"""

import importlib.util
import math
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image
from scipy.optimize import brentq
from scipy.spatial import cKDTree

from cbminer.classifier.card import read_card
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.prediction import classifier_model, model_path
from cbminer.columns import FloatArray
from cbminer.measurement import MeasurementSettings, StarTask, fit_curves
from cbminer.report.shape_figure import shape_figure
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import LightCurve
from cbminer.synthetic.cadence import photometric_error, sample_light_curve, seasonal_cadence
from cbminer.synthetic.geometry import lagrange_points
from cbminer.synthetic.limb_darkening import LAWS, LimbDarkening
from cbminer.synthetic.lobe import AREA, N_COLUMNS, PATCH_SIDE, PLACE, fill_lobe, lay_bands, make_surface
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.radiation import INCLINATION, MASS_RATIO, POTENTIAL, fourth_powers, heat
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.sampling import SamplingSettings
from cbminer.synthetic.systems import BinarySystems

ROOT = Path(__file__).parents[1]
DPI = 150
MINUS = "\N{MINUS SIGN}"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.labelsize": 11.0,
    "axes.titlesize": 11.0,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
}
# Colours of Okabe & Ito, which colour-blind readers can tell apart.
BLUE, ORANGE, VERMILION = "#0072B2", "#E69F00", "#D55E00"

DARKENING = 0.3
LAW = LimbDarkening("linear", (DARKENING,))
PASSBAND = standard_passband("I").darkened_by(LAW)
TEFF = 30000.0
LOOK_ALIKE_RATIO, FILLOUT, FILLINGS = 0.9, 0.1, (0.95, 0.99)
DEPTHS = (0.15, 0.50)
TYPICAL_STAR = 17.0

SKY_RATIO, SKY_FILLOUT, SKY_INCLINATION = 0.6, 0.4, 75.0
# Intensity over the highest one at which the colours begin.
DARKEST = 0.4
SKY_PHASES = (0.0, 0.125, 0.25, 0.375)
# Window of the images about the centre of mass, in separations, and their pixels a separation before averaging.
WINDOW, PIXELS, SAMPLES = (1.15, 0.70), 150, 3

# Figures of a run, their names on the pages, and how much smaller they are there.
RUN_FIGURES = {"colour_magnitude": ("colour_magnitude", 1.0), "odds_LMC": ("odds", 0.6)}


def save(figure: Figure, path: Path, *, shaded: bool) -> None:
    """Write a figure; lines do with 256 colours. No file names the version of matplotlib."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    image = Image.open(buffer).convert("RGB")
    (image if shaded else image.quantize(256)).save(path, optimize=True)


def take_from_run(run: Path, folder: Path) -> None:
    """Bring figures of a run to the size at which the pages show them."""
    for source, (name, scale) in RUN_FIGURES.items():
        image = Image.open(run / "figures" / f"{source}.png").convert("RGB")
        size = (round(scale * image.width), round(scale * image.height))
        smaller = image if scale == 1.0 else image.resize(size, Image.Resampling.LANCZOS)
        # Shades of the probability would become steps.
        (smaller.quantize(256) if scale == 1.0 else smaller).save(folder / f"{name}.png", optimize=True)


def look_alikes() -> Figure:
    """Compare contact and nearly contact binaries whose minima are equally deep."""
    phases = np.linspace(-0.25, 0.75, 401)
    engine = RocheEngine(passbands=(PASSBAND,), n_bands=96)
    error = 1000.0 * float(photometric_error(np.array([TYPICAL_STAR]))[0])
    figure = Figure(figsize=(8.0, 5.8), layout="constrained")
    upper, lower = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(1.25, 1.0))
    for axes, below, depth in zip(upper, lower, DEPTHS, strict=True):
        tilt, curve = _at_depth(engine, _contact, depth, phases)
        axes.plot(phases, curve, color=BLUE, lw=2.2, label=f"contact, fill-out {FILLOUT:g}: $i$ = {tilt:.1f}°")
        name = f"± {error:.0f} mmag: a point of OGLE at $I$ = {TYPICAL_STAR:g}"
        below.axhspan(-error, error, color="0.88", lw=0, zorder=0, label=name)
        for filling, colour, style in zip(FILLINGS, (VERMILION, "black"), ("--", ":"), strict=True):
            other_tilt, other = _at_depth(engine, _near_contact(filling), depth, phases)
            name = f"near contact, $R/R_L$ = {filling:g}"
            axes.plot(phases, other, color=colour, lw=1.4, ls=style, label=f"{name}: $i$ = {other_tilt:.1f}°")
            below.plot(phases, 1000.0 * (other - curve), color=colour, lw=1.6, ls=style, label=name)
        axes.set_title(f"minima {depth:.2f} mag deep, $q$ = {LOOK_ALIKE_RATIO:g}")
        axes.legend(loc="lower center")
        below.set_xlabel("phase")
    upper[0].set_ylim(0.80, -0.03)
    upper[0].set_ylabel("$I$ relative to maximum [mag]")
    lower[0].set_ylim(18.0, -66.0)
    lower[0].set_ylabel(f"near contact\n{MINUS} contact [mmag]")
    lower[0].set_xlim(-0.25, 0.75)
    lower[0].legend(loc="upper left")
    return figure


def _contact(inclination: float) -> BinarySystems:
    return BinarySystems.contact(LOOK_ALIKE_RATIO, inclination, fillout_factor=FILLOUT, teff_1=TEFF, teff_2=TEFF)


def _near_contact(filling: float) -> Callable[[float], BinarySystems]:
    def make(inclination: float) -> BinarySystems:
        return BinarySystems.detached(
            LOOK_ALIKE_RATIO,
            inclination,
            lobe_filling_1=filling,
            lobe_filling_2=filling,
            teff_1=TEFF,
            teff_2=TEFF,
        )

    return make


def _at_depth(
    engine: RocheEngine, make: Callable[[float], BinarySystems], depth: float, phases: FloatArray
) -> tuple[float, FloatArray]:
    """Find the inclination at which the minimum at phase 0 has a depth; return it and the curve."""

    def curve(inclination: float, at: FloatArray) -> FloatArray:
        flux = engine.light_curves(make(inclination), np.append(at, 0.25))[0, 0]
        return np.asarray(-2.5 * np.log10(flux[:-1] / flux[-1]))

    inclination = brentq(lambda tilt: curve(tilt, np.zeros(1))[0] - depth, 20.0, 90.0, xtol=1e-6)
    return inclination, curve(inclination, phases)


def sky_images() -> Figure:
    """Show a contact binary as it would look on the sky."""
    systems = BinarySystems.contact(SKY_RATIO, SKY_INCLINATION, fillout_factor=SKY_FILLOUT, teff_1=TEFF)
    surface = _ShiningSurface(systems)
    images = [surface.image(phase) for phase in SKY_PHASES]
    highest = max(float(np.nanmax(image)) for image in images)
    cmap = mpl.colormaps["inferno"]
    scale = Normalize(DARKEST, 1.0)
    figure = Figure(figsize=(8.0, 4.55), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, image, phase in zip(grid.ravel(), images, SKY_PHASES, strict=True):
        colours = cmap(scale(np.nan_to_num(image / highest)))
        # Pixels off the stars are as dark as the sky; those on a limb are the mean of their parts.
        colours[np.isnan(image)] = (0.0, 0.0, 0.0, 1.0)
        high, wide = image.shape[0] // SAMPLES, image.shape[1] // SAMPLES
        mean = colours.reshape(high, SAMPLES, wide, SAMPLES, 4).mean(axis=(1, 3))
        axes.imshow(mean, extent=(-WINDOW[0], WINDOW[0], -WINDOW[1], WINDOW[1]), origin="lower", aspect="equal")
        axes.text(0.03, 0.93, f"phase {phase:g}", color="white", transform=axes.transAxes, va="top")
        axes.tick_params(color="0.7")
    for axes in grid[-1]:
        axes.set_xlabel("along the line of nodes [separations]")
    for axes in grid[:, 0]:
        axes.set_ylabel("across [separations]")
    figure.colorbar(
        ScalarMappable(scale, cmap), ax=grid, label="$I$-band intensity over the brightest", pad=0.02, aspect=28
    )
    return figure


class _ShiningSurface:
    """Surface of one contact binary; its light is interpolated between the cells of the engine's mesh."""

    def __init__(self, systems: BinarySystems, n_belts: int = 48) -> None:
        system = systems.as_columns()[0]
        self.q, self.omega, self.tilt = system[MASS_RATIO], system[POTENTIAL], math.radians(system[INCLINATION])
        tables = []
        for second in (False, True):
            surface = make_surface(self.omega, self.q, True, second)
            edges, n_patches = lay_bands(n_belts, surface)
            cells = np.empty((PATCH_SIDE**2 * int(n_patches.sum()), N_COLUMNS))
            fill_lobe(cells, edges, n_patches, surface)
            tables.append(cells)
        first, second = tables
        fourths = fourth_powers(first, second, system)
        heat((first, second), fourths, system, np.array([LAW.pair, LAW.pair]), LAWS.index(LAW.law))
        log_teff = 0.25 * np.log(np.concatenate(fourths))
        cells = np.concatenate(tables)
        self.cells = cKDTree(cells[:, PLACE : PLACE + 3])
        self.intensity = np.exp(np.interp(log_teff, PASSBAND.log_teff, PASSBAND.log_intensity[:, 0]))
        self.spacing = math.sqrt(float(np.median(cells[:, AREA])))

    def image(self, phase: float) -> FloatArray:
        """Intensity towards the observer at the pixels of the window; NaN off the stars."""
        angle = 2.0 * math.pi * phase
        flat = np.array([math.cos(angle), math.sin(angle), 0.0])
        sight = math.sin(self.tilt) * flat + np.array([0.0, 0.0, math.cos(self.tilt)])
        up = np.array([0.0, 0.0, math.sin(self.tilt)]) - math.cos(self.tilt) * flat
        right = np.cross(up, sight)
        across, along = (_middles(half) for half in WINDOW)
        # The origin of the window is the centre of mass, x = q / (1 + q).
        centre = np.array([self.q / (1.0 + self.q), 0.0, 0.0])
        rows = [self._row(centre + across[:, np.newaxis] * right + y * up, sight) for y in along]
        return np.array(rows)

    def _row(self, start: FloatArray, sight: FloatArray) -> FloatArray:
        """Follow lines of sight from the observer to the surface; return the intensities there."""
        result = np.full(len(start), np.nan)
        # From far in front of the stars to far behind.
        way = np.linspace(1.3, -1.3, 261)
        inside = self._excess(start[:, np.newaxis] + way[:, np.newaxis] * sight) > 0.0
        hit = inside.any(axis=1)
        if not hit.any():
            return result
        first = inside[hit].argmax(axis=1)
        outer, inner, start = way[first - 1], way[first], start[hit]
        for _ in range(30):
            middle = 0.5 * (outer + inner)
            within = self._excess(start + middle[:, np.newaxis] * sight) > 0.0
            inner, outer = np.where(within, middle, inner), np.where(within, outer, middle)
        places = start + inner[:, np.newaxis] * sight
        cosine = self._normal(places) @ sight
        result[hit] = self._intensity_at(places) * (1.0 - DARKENING * (1.0 - cosine))
        return result

    def _excess(self, places: FloatArray) -> FloatArray:
        """Potential above that of the surface; negative beyond the outer critical points, where it rises again."""
        x, y, z = np.moveaxis(places, -1, 0)
        points = lagrange_points(self.q)
        ends = sorted((float(points.x_2), float(points.x_3)))
        possible = (x > ends[0]) & (x < ends[1]) & (y * y + z * z < 0.25)
        with np.errstate(divide="ignore"):
            value = 1.0 / np.sqrt(x * x + y * y + z * z) + self.q / np.sqrt((x - 1.0) ** 2 + y * y + z * z)
        value += 0.5 * (1.0 + self.q) * (x * x + y * y) - self.q * x
        return np.where(possible, value - self.omega, -1.0)

    def _normal(self, places: FloatArray) -> FloatArray:
        """Find the unit vectors out of the surface."""
        towards_2 = places - [1.0, 0.0, 0.0]
        pull = places / np.linalg.norm(places, axis=1, keepdims=True) ** 3
        pull += self.q * (towards_2 / np.linalg.norm(towards_2, axis=1, keepdims=True) ** 3 + [1.0, 0.0, 0.0])
        pull -= (1.0 + self.q) * places * [1.0, 1.0, 0.0]
        return np.asarray(pull / np.linalg.norm(pull, axis=1, keepdims=True))

    def _intensity_at(self, places: FloatArray) -> FloatArray:
        """Interpolate the normal intensity between the nearest cells of the quarter of the surface that has any."""
        distance, near = self.cells.query(np.column_stack([places[:, 0], np.abs(places[:, 1:])]), k=9)
        weight = np.exp(-((distance / self.spacing) ** 2))
        return np.asarray((weight * self.intensity[near]).sum(axis=1) / weight.sum(axis=1))


def _middles(half: float) -> FloatArray:
    """Middles of the pixels, before averaging, from one end of the window to the other."""
    n = SAMPLES * round(2.0 * half * PIXELS)
    return np.asarray((np.arange(n) + 0.5) / n * 2.0 * half - half)


def against_phoebe() -> Figure:
    """Residuals of our curves from PHOEBE's."""
    benchmark = _benchmark()
    samples, made = benchmark.read(benchmark.RESULTS / "roche_vs_phoebe.json")
    figure = Figure(figsize=(8.0, 3.9), layout="constrained")
    for axes, sample in zip(figure.subplots(1, 2, sharey=True), samples, strict=True):
        found = sample.compared()
        curves = found.residual.reshape(-1, len(benchmark.PHASES))
        curves = curves[np.isfinite(curves).all(axis=1)]
        low, middle, high = np.percentile(curves, (2.5, 50.0, 97.5), axis=0)
        axes.plot(benchmark.PHASES, curves.T, color="0.6", lw=0.4, alpha=0.6, zorder=1)
        axes.fill_between(
            benchmark.PHASES, low, high, color=ORANGE, alpha=0.35, lw=0, label="95 per cent of curves", zorder=0
        )
        axes.plot(benchmark.PHASES, middle, color=BLUE, lw=2.0, label="median")
        axes.axhline(0.0, color="black", lw=0.7, ls=":")
        median, worst, *_ = found.numbers()
        axes.set_title(f"{sample.kind}: {found.n_compared} systems in $I$ and $V$")
        axes.text(
            0.5, 0.03, f"rms {median:.2f} mmag (median), {worst:.2f} (worst)", transform=axes.transAxes, ha="center"
        )
        axes.set_xlabel("phase")
        axes.set_xlim(0.0, 0.5)
    axes.legend(loc="upper center", ncols=2)
    figure.axes[0].set_ylabel(f"cbminer {MINUS} PHOEBE {made['versions']['phoebe']} [mmag]")
    lowest, highest = figure.axes[0].get_ylim()
    room = 0.15 * (highest - lowest)
    figure.axes[0].set_ylim(highest + room, lowest - room)
    return figure


def _benchmark() -> ModuleType:
    path = ROOT / "benchmarks" / "roche_vs_phoebe.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def measured_curve() -> Figure:
    """Show what is measured of one light curve: a contact binary as OGLE would see it at I = 17.5."""
    system = BinarySystems.contact(0.8, 72.0, fillout_factor=0.3, teff_1=TEFF, teff_2=0.98 * TEFF)
    grid = np.arange(1001) / 1000.0
    flux = RocheEngine(passbands=(PASSBAND,)).light_curves(system, grid)[0, 0]
    below = -2.5 * np.log10(flux / flux.max())
    rng = np.random.default_rng(17)
    settings = SamplingSettings()
    period, epoch = 0.9127, 2456000.3
    seen = sample_light_curve(
        lambda cycles, _band: np.interp(cycles % 1.0, grid, below),
        seasonal_cadence("LMC", settings, rng=rng),
        brightest={"I": 17.5},
        period=period,
        epoch=epoch,
        settings=settings,
        rng=rng,
    )["I"]
    curve = LightCurve(seen.time, seen.mag.astype(np.float32), seen.mag_err.astype(np.float32))
    # Listed at half its period, as contact binaries are.
    task = StarTask("simulated", period / 2.0, epoch)
    fitted = fit_curves(pack_light_curves(["simulated"], [curve]), [task], settings=MeasurementSettings())
    return shape_figure(fitted, 0, title="contact binary, q = 0.8, i = 72 deg", survey="mock")


def classifier_figures() -> Figure:
    """Confusion of the standard network, and its figures over magnitude, points and inclination, from its card."""
    path = model_path("standard")
    synthetic = read_card(path, sha256=classifier_model("standard").digest())["synthetic"]
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    confusion, magnitude, inclination = figure.subplots(1, 3, width_ratios=(1.15, 1.0, 1.0))
    draw_confusion(confusion, np.array(synthetic["bright"]["confusion"], dtype=float))
    draw_magnitudes(magnitude, synthetic["by_magnitude"])
    draw_inclinations(inclination, synthetic["by_inclination"])
    return figure


def draw_confusion(axes: Axes, counts: FloatArray) -> None:
    """Share of each true class by the class that it was given."""
    share = 100.0 * counts / counts.sum(axis=1, keepdims=True)
    words = ["contact", "near\ncontact", "detached", "ellip-\nsoidal", "not\neclipsing"]
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=100.0)
    for row, column in np.ndindex(share.shape):
        colour = "white" if share[row, column] > 55.0 else "black"
        axes.text(column, row, f"{share[row, column]:.1f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(words)), words, fontsize=8)
    axes.set_yticks(range(len(words)), words, fontsize=8)
    axes.tick_params(length=0)
    axes.set(xlabel="class by the network", ylabel="true class", title="I = 16 to 17, per cent of a true class")


def draw_magnitudes(axes: Axes, rows: dict[str, Any]) -> None:
    """Recall of each class over magnitude."""
    magnitudes = [float(value) for value in rows]
    styles = zip(CLASSES, (VERMILION, ORANGE, BLUE, "#009E73", "#666666"), "osD^v", strict=True)
    for name, colour, marker in styles:
        recall = np.array([row["recall"][name] for row in rows.values()])
        axes.errorbar(
            magnitudes,
            recall[:, 0],
            np.abs(recall[:, 1:] - recall[:, :1]).T,
            color=colour,
            marker=marker,
            markersize=4,
            linewidth=1.2,
            label=name.replace("_", " "),
        )
    axes.set(xlabel="I [mag]", ylabel="recall", ylim=(0.0, 1.0), title="400 to 700 points")
    axes.legend(loc="lower left")


def draw_inclinations(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """How often the network is right over inclination, and how sure of it it is."""
    middle = [0.5 * (row["from"] + row["to"]) for row in rows]
    accuracy = np.array([row["accuracy"] for row in rows])
    spread = np.abs(accuracy[:, 1:] - accuracy[:, :1]).T
    axes.errorbar(middle, accuracy[:, 0], spread, color=BLUE, marker="o", markersize=4, label="in their class")
    said = [row["mean_largest_probability"] for row in rows]
    axes.plot(middle, said, color=VERMILION, marker="s", markersize=4, linestyle="--", label="probability of it")
    axes.set(xlabel="inclination [deg]", xlim=(0.0, 90.0), ylim=(0.0, 1.0))
    axes.set(ylabel="share, probability", title="contact, near contact, detached")
    axes.legend(loc="lower right")


FIGURES: dict[str, Callable[[], Figure]] = {
    "look_alikes": look_alikes,
    "sky_images": sky_images,
    "roche_vs_phoebe": against_phoebe,
    "morph": measured_curve,
    "classifier": classifier_figures,
}


def main() -> None:
    """Draw the figures."""
    if sys.argv[1:2] == ["--run"]:
        take_from_run(Path(sys.argv[2]), ROOT / "docs" / "images")
        return
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name in sys.argv[2:] or FIGURES:
            draw = FIGURES[name]
            save(draw(), folder / f"{name}.png", shaded=draw is sky_images)


if __name__ == "__main__":
    main()
