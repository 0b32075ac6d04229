"""Our light curves against PHOEBE's: how far apart they are, how far each is from its own limit, and what they cost.

Usage: python benchmarks/roche_vs_phoebe.py [--systems 30] [--subset 6] [--triangles 3000] [--save [FOLDER]]
       python benchmarks/roche_vs_phoebe.py --check [FILE]

Draws contact binaries, and as many that are nearly in contact, by a Sobol sequence of each kind. Both codes compute
them in I and V at 51 phases from 0 to a half, as black bodies of radiative envelopes that send all light back, with
the linear limb darkening 0.30; then once more with stars that do not heat each other. PHOEBE works in one process;
its time is that of ``run_compute`` alone, with the attempts that failed. It has to be installed: ``pip install
"cbminer[phoebe]"``. A run takes about half an hour.

``--save`` writes what is printed to roche_vs_phoebe.txt, and the systems and PHOEBE's curves to roche_vs_phoebe.json.
``--check`` compares with the curves of such a file, by default the one in benchmarks/results: that needs no PHOEBE,
and seconds.

Curves are compared in magnitudes relative to the brightest of the 51 phases, that of each code by itself. Their rms
difference is over the 51 phases, after subtraction of the mean difference. The difference of a depth is that of the
relative magnitudes at phase 0 or 0.5, with nothing subtracted.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.stats import qmc

from cbminer.synthetic.limb_darkening import LimbDarkening
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.phoebe import PhoebeCurves, phoebe_light_curves
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems

SEED = 20261124
RESULTS = Path(__file__).parent / "results"
JSON = "roche_vs_phoebe.json"
PHASES = np.linspace(0.0, 0.5, 51)
BANDS = ("I", "V")
LAW = LimbDarkening("linear", (0.30,))
# Range and number of decimals of each parameter; `size` is a fill-out factor or a radius over that of the lobe.
COMMON = {
    "mass_ratio": (0.3, 1.0, 4),
    "inclination": (30.0, 90.0, 3),
    "teff_1": (15000.0, 40000.0, 0),
    "teff_ratio": (0.8, 1.0, 4),
}
RANGES = {
    "contact": COMMON | {"fillout_factor": (0.05, 0.95, 4)},
    "near contact": COMMON | {"lobe_filling_1": (0.85, 0.99, 4), "lobe_filling_2": (0.85, 0.99, 4)},
}
# Bands of our mesh: the standard one is among them, and the last one judges the others.
MESHES = (24, 36, 60, 96, 144)
# Runs of ours before PHOEBE's, and as many after.
REPEAT = 10

# Targets, in mmag where not said otherwise.
MEDIAN_RMS, WORST_RMS, WORST_DEPTH, LOWEST_RATIO = 2.0, 4.0, 5.0, 200.0


@dataclass
class Sample:
    """Systems of one kind, and what PHOEBE made of them.

    Curves are fluxes over the highest one of the 51 phases, shape (systems, bands, phases), with and without
    irradiation; NaN where PHOEBE failed. Seconds are CPU time, PHOEBE's of each system and ours of one.
    """

    kind: str
    parameters: dict[str, np.ndarray]
    triangles: int
    curves: dict[bool, np.ndarray] = field(default_factory=dict)
    seconds: dict[bool, np.ndarray] = field(default_factory=dict)
    failures: dict[bool, dict[int, str]] = field(default_factory=dict)
    our_seconds: dict[bool, float] = field(default_factory=dict)

    @classmethod
    def draw(cls, kind: str, n_systems: int, triangles: int) -> Self:
        """Draw systems; rounded, so that the file holds them in full."""
        ranges = RANGES[kind]
        sequence = qmc.Sobol(len(ranges), scramble=True, seed=SEED + list(RANGES).index(kind))
        unit = sequence.random_base2(max(n_systems - 1, 1).bit_length())[:n_systems]
        parameters = {
            name: np.round(low + (high - low) * unit[:, k], decimals)
            for k, (name, (low, high, decimals)) in enumerate(ranges.items())
        }
        parameters["teff_2"] = np.round(parameters["teff_1"] * parameters.pop("teff_ratio"))
        return cls(kind, parameters, triangles)

    @cached_property
    def systems(self) -> BinarySystems:
        make = BinarySystems.contact if self.kind == "contact" else BinarySystems.detached
        return make(**self.parameters)

    def phoebe(self, *, triangles: int, irradiation: bool = True, first: int | None = None) -> PhoebeCurves:
        """Let PHOEBE compute, with so many triangles a star, all or only the first of the systems."""
        return phoebe_light_curves(
            self.systems[:first],
            PHASES,
            bands=BANDS,
            limb_darkening=dict.fromkeys(BANDS, LAW),
            bolometric_limb_darkening=LAW,
            irradiation=irradiation,
            # PHOEBE counts the triangles of a contact envelope as a whole.
            n_triangles=2 * triangles if self.kind == "contact" else triangles,
            jobs=1,
        )

    def judge(self) -> None:
        """Let PHOEBE compute the curves with which ours are compared."""
        for irradiation in (True, False):
            engine = self.engine(irradiation=irradiation)
            # Before and after: what else the machine does is then much the same for both codes.
            spent = seconds_of(engine, self.systems, repeat=REPEAT)
            found = self.phoebe(triangles=self.triangles, irradiation=irradiation)
            spent += seconds_of(engine, self.systems, repeat=REPEAT)
            self.our_seconds[irradiation] = float(np.median(spent))
            self.curves[irradiation] = np.round(over_highest(found.flux), 6)
            self.seconds[irradiation] = found.seconds
            self.failures[irradiation] = {
                failure.index: f"{failure.reason} ({failure.attempts} attempts)" for failure in found.failures
            }

    def engine(self, *, irradiation: bool = True, n_bands: int | None = None) -> RocheEngine:
        """Make our engine, with the mesh that is standard unless another is asked for."""
        return RocheEngine(
            passbands=tuple(standard_passband(band).darkened_by(LAW) for band in BANDS),
            bolometric_limb_darkening=LAW,
            reflection=irradiation,
            threads=1,
            **({} if n_bands is None else {"n_bands": n_bands}),
        )

    def compared(self, *, irradiation: bool = True) -> "Difference":
        """Compare ours with PHOEBE's curves."""
        ours = self.engine(irradiation=irradiation).light_curves(self.systems, PHASES)
        return Difference.of(ours, self.curves[irradiation])


def over_highest(flux: np.ndarray) -> np.ndarray:
    return flux / flux.max(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Difference:
    """Curves against the curves that judge them, both of shape (systems, bands, phases).

    Attributes
    ----------
    residual : ndarray
        Difference of the relative magnitudes less its mean over the phases, mmag; NaN where there is no judge.
    rms : ndarray
        Its rms, mmag, shape (systems, bands).
    depths : ndarray
        Differences at phases 0 and 0.5 with nothing subtracted, mmag, shape (systems, bands, 2).
    """

    residual: np.ndarray
    rms: np.ndarray
    depths: np.ndarray

    @classmethod
    def of(cls, flux: np.ndarray, judge: np.ndarray) -> Self:
        difference = -2500.0 * np.log10(over_highest(flux) / over_highest(judge))
        residual = difference - difference.mean(axis=-1, keepdims=True)
        return cls(residual, np.sqrt((residual**2).mean(axis=-1)), difference[:, :, [0, -1]])

    @property
    def n_compared(self) -> int:
        return int(np.isfinite(self.rms).all(axis=1).sum())

    def numbers(self) -> tuple[float, float, float, float]:
        """Median and worst rms, median and worst depth; NaN if nothing was compared."""
        if not self.n_compared:
            return (np.nan,) * 4
        depths = np.abs(self.depths)
        return (
            float(np.nanmedian(self.rms)),
            float(np.nanmax(self.rms)),
            float(np.nanmedian(depths)),
            float(np.nanmax(depths)),
        )

    def row(self) -> str:
        """Columns of a table."""
        median, worst, median_depth, worst_depth = self.numbers()
        return f"{median:>10.3f}{worst:>9.3f}{median_depth:>12.3f}{worst_depth:>9.3f}{self.n_compared:>10}"


HEADING = f"{'median':>10}{'worst':>9}{'median':>12}{'worst':>9}{'systems':>10}"
WIDTH = 42


def title(text: str) -> str:
    return f"\n{text:<{WIDTH}}{'rms/mmag':>19}{'|depth|/mmag':>21}\n{'':<{WIDTH}}{HEADING}"


def agreement(samples: Sequence[Sample]) -> Iterator[str]:
    """Tell how far ours are from PHOEBE's, and which systems PHOEBE did not give."""
    yield title("ours against PHOEBE")
    for sample in samples:
        for irradiation in (True, False):
            name = f"{sample.kind}{'' if irradiation else ', no irradiation'}"
            yield f"{name:<{WIDTH}}{sample.compared(irradiation=irradiation).row()}"
    yield ""
    for sample in samples:
        yield worst_system(sample)
    for sample in samples:
        for irradiation, failures in sample.failures.items():
            where = f"{sample.kind}{'' if irradiation else ', no irradiation'}"
            yield f"PHOEBE gave {len(sample.systems) - len(failures)} of {len(sample.systems)} curves: {where}"
            for index, reason in failures.items():
                yield f"  failed, system {index}: {described(sample, index)}: {reason}"


def worst_system(sample: Sample) -> str:
    found = sample.compared()
    if not found.n_compared:
        return f"{sample.kind}: nothing to compare"
    k, band = np.unravel_index(np.nanargmax(found.rms), found.rms.shape)
    return f"largest rms, {sample.kind}: {found.rms[k, band]:.3f} mmag in {BANDS[band]}, {described(sample, int(k))}"


def described(sample: Sample, k: int) -> str:
    return ", ".join(f"{name} {column[k]:g}" for name, column in sample.parameters.items())


@dataclass(frozen=True)
class Study:
    """PHOEBE's curves of the first systems of a sample, and CPU seconds for one of them, by triangles of a star."""

    sample: Sample
    n_systems: int
    fluxes: dict[int, np.ndarray]
    seconds: dict[int, float]
    failures: tuple[str, ...]


def study_meshes(sample: Sample, subset: int) -> Study:
    """Compute with a fifth, half and twice the triangles; those in between are there."""
    n_systems, standard = min(subset, len(sample.systems)), sample.triangles
    runs = {n: sample.phoebe(triangles=n, first=n_systems) for n in (standard // 5, standard // 2, 2 * standard)}
    fluxes = {n: run.flux for n, run in runs.items()} | {standard: sample.curves[True][:n_systems]}
    spent = {n: run.seconds for n, run in runs.items()} | {standard: sample.seconds[True][:n_systems]}
    failures = tuple(
        f"  failed with {n:,} triangles, system {failure.index}: {failure.reason}"
        for n, run in runs.items()
        for failure in run.failures
    )
    seconds = {n: float(np.nanmean(spent[n])) for n in fluxes}
    return Study(sample, n_systems, dict(sorted(fluxes.items())), seconds, failures)


def convergence_of_phoebe(studies: Sequence[Study]) -> Iterator[str]:
    """Tell how PHOEBE's curves change with its mesh, and how far ours are from each."""
    for study in studies:
        sample, systems = study.sample, study.sample.systems[: study.n_systems]
        finest = max(study.fluxes)
        yield title(f"{sample.kind}, the first {study.n_systems} systems") + f"{'s/system':>10}"
        for n, flux in study.fluxes.items():
            if n != finest:
                name = f"PHOEBE, {n:,} against {finest:,} triangles *"
                yield f"{name:<{WIDTH}}{Difference.of(flux, study.fluxes[finest]).row()}{study.seconds[n]:>10.2f}"
        for n_bands, against in ((None, study.fluxes), (MESHES[-1], (sample.triangles, finest))):
            ours = sample.engine(n_bands=n_bands).light_curves(systems, PHASES)
            for n in against:
                name = f"{f'our {n_bands} bands' if n_bands else 'ours'} against PHOEBE with {n:,} *"
                yield f"{name:<{WIDTH}}{Difference.of(ours, study.fluxes[n]).row()}{study.seconds[n]:>10.2f}"
        yield from study.failures
    yield "* triangles a star; s of CPU time are PHOEBE's"


def convergence_of_ours(samples: Sequence[Sample]) -> Iterator[str]:
    """Tell how our curves change with the mesh."""
    for sample in samples:
        yield title(f"{sample.kind}, our bands against {MESHES[-1]}") + f"{'ms/system':>11}"
        judge = sample.engine(n_bands=MESHES[-1]).light_curves(sample.systems, PHASES)
        for n_bands in MESHES:
            engine = sample.engine(n_bands=n_bands)
            found = Difference.of(engine.light_curves(sample.systems, PHASES), judge)
            name = f"{n_bands} bands{', the standard' if n_bands == RocheEngine.n_bands else ''}"
            spent = seconds_of(engine, sample.systems, repeat=3)
            yield f"{name:<{WIDTH}}{found.row()}{1000.0 * np.median(spent):>11.1f}"


def seconds_of(engine: RocheEngine, systems: BinarySystems, *, repeat: int) -> list[float]:
    """CPU time of our engine for one system in s, of several runs after one that compiles."""
    engine.light_curves(systems[:1], PHASES)
    spent = []
    for _ in range(repeat):
        begin = time.process_time()
        engine.light_curves(systems, PHASES)
        spent.append((time.process_time() - begin) / len(systems))
    return spent


@dataclass(frozen=True)
class Cost:
    """CPU time for one system in s."""

    name: str
    ours: float
    phoebe: float

    @property
    def ratio(self) -> float:
        return self.phoebe / self.ours


def costs(samples: Sequence[Sample]) -> Iterator[Cost]:
    for sample in samples:
        for irradiation in (True, False):
            phoebe = float(np.nanmean(sample.seconds[irradiation]))
            name = f"{sample.kind}{'' if irradiation else ', no irradiation'}"
            yield Cost(name, sample.our_seconds[irradiation], phoebe)


def costs_of_coarse(studies: Sequence[Study]) -> Iterator[Cost]:
    """Compare with PHOEBE's coarsest mesh, whose errors are more like ours."""
    for study in studies:
        systems, coarsest = study.sample.systems[: study.n_systems], min(study.fluxes)
        ours = float(np.median(seconds_of(study.sample.engine(), systems, repeat=REPEAT)))
        yield Cost(f"{study.sample.kind}, PHOEBE with {coarsest:,} triangles", ours, study.seconds[coarsest])


def speed(found: Sequence[Cost], triangles: int) -> Iterator[str]:
    name = f"systems a second and core, {len(PHASES)} phases, I and V"
    yield f"\n{name:<{WIDTH + 6}}{'ours':>10}{'PHOEBE':>10}{'ratio':>8}"
    for cost in found:
        yield f"{cost.name:<{WIDTH + 6}}{1.0 / cost.ours:>10.1f}{1.0 / cost.phoebe:>10.4f}{cost.ratio:>8.0f}"
    yield (
        f"ours: {RocheEngine.n_bands} bands, one thread, the median of {2 * REPEAT} runs over all systems; "
        f"PHOEBE: the mean, {triangles:,} triangles a star where not said otherwise"
    )


def verdicts(samples: Sequence[Sample], found: Sequence[Cost] = ()) -> list[tuple[str, bool]]:
    """Hold the targets against what was found with irradiation."""
    result = []
    for sample in samples:
        median, worst, _, depth = sample.compared().numbers()
        result += [
            (f"{sample.kind}: median rms {median:.3f} mmag, below {MEDIAN_RMS:g}", median < MEDIAN_RMS),
            (f"{sample.kind}: worst rms {worst:.3f} mmag, below {WORST_RMS:g}", worst < WORST_RMS),
            (f"{sample.kind}: depths within {depth:.3f} mmag, at most {WORST_DEPTH:g}", depth <= WORST_DEPTH),
        ]
    kinds = {sample.kind for sample in samples}
    return result + [
        (f"{cost.name}: {cost.ratio:.0f} times as fast, at least {LOWEST_RATIO:g}", cost.ratio >= LOWEST_RATIO)
        for cost in found
        if cost.name in kinds
    ]


def versions() -> dict[str, str]:
    found = ("cbminer", "numpy", "numba", "scipy", "phoebe")
    return {
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in found if importlib.util.find_spec(name)},
    }


def machine() -> str:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.processor())
    return f"{model}, {os.cpu_count()} cores"


def header() -> dict[str, Any]:
    return {"date": datetime.now(tz=UTC).date().isoformat(), "machine": machine(), "versions": versions()}


def introduction(made: dict[str, Any]) -> str:
    return f"{made['machine']}, {', '.join(f'{name} {version}' for name, version in made['versions'].items())}"


def as_text(samples: Sequence[Sample], made: dict[str, Any]) -> str:
    """Everything that --check needs, one line a curve: the file is to be read by people too."""
    listed = []
    for sample in samples:
        results = {irradiation: sample.compared(irradiation=irradiation) for irradiation in (True, False)}
        entries = ",\n".join(_entry(sample, k, results) for k in range(len(sample.systems)))
        about = json.dumps({"kind": sample.kind, "triangles_per_star": sample.triangles})
        listed.append(f'{about[:-1]}, "systems": [\n{entries}\n]}}')
    return (
        f'{{"made": {json.dumps(made)},\n'
        f'"phases": {json.dumps(PHASES.round(6).tolist())},\n"bands": {json.dumps(BANDS)},\n'
        f'"limb_darkening": {{"law": "{LAW.law}", "coefficients": {json.dumps(LAW.coefficients)}}},\n'
        f'"flux": "PHOEBE\'s, over the highest one of the phases",\n'
        f'"samples": [\n' + ",\n".join(listed) + "\n]}\n"
    )


def _entry(sample: Sample, k: int, results: dict[bool, Difference]) -> str:
    """Parameters of one system, what was found, and its curves."""
    lines = [f'"parameters": {json.dumps({name: float(column[k]) for name, column in sample.parameters.items()})}']
    for irradiation, name in ((True, "irradiation"), (False, "no_irradiation")):
        failure = sample.failures[irradiation].get(k)
        spent = float(sample.seconds[irradiation][k])
        about: dict[str, Any] = {"seconds": None if np.isnan(spent) else round(spent, 2), "failure": failure}
        if failure is None:
            about["rms_mmag"] = results[irradiation].rms[k].round(3).tolist()
            about["depths_mmag"] = results[irradiation].depths[k].round(3).tolist()
        curves = "null" if failure else _curves(sample.curves[irradiation][k])
        lines.append(f'"{name}": {json.dumps(about)[:-1]}, "flux": {curves}}}')
    return " {" + ",\n  ".join(lines) + "}"


def _curves(flux: np.ndarray) -> str:
    return "[\n" + ",\n".join("   [" + ", ".join(f"{value:g}" for value in curve) + "]" for curve in flux) + "]"


def read(path: Path) -> tuple[list[Sample], dict[str, Any]]:
    """Read the samples that a run has saved.

    Raises
    ------
    ValueError
        If they were computed for other phases or bands than this script compares.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if tuple(found["bands"]) != BANDS or not np.allclose(found["phases"], PHASES, rtol=0, atol=1e-9):
        msg = f"{path} holds other phases or bands than {Path(__file__).name} compares"
        raise ValueError(msg)
    return [_read_sample(given) for given in found["samples"]], found["made"]


def _read_sample(given: dict[str, Any]) -> Sample:
    systems = given["systems"]
    names = systems[0]["parameters"]
    sample = Sample(
        given["kind"],
        {name: np.array([system["parameters"][name] for system in systems]) for name in names},
        given["triangles_per_star"],
    )
    for irradiation, name in ((True, "irradiation"), (False, "no_irradiation")):
        entries = [system[name] for system in systems]
        missing = np.full((len(BANDS), len(PHASES)), np.nan)
        sample.curves[irradiation] = np.array([missing if entry["failure"] else entry["flux"] for entry in entries])
        sample.seconds[irradiation] = np.array([entry["seconds"] for entry in entries], dtype=float)
        sample.failures[irradiation] = {k: entry["failure"] for k, entry in enumerate(entries) if entry["failure"]}
    return sample


def judged(found: Sequence[tuple[str, bool]]) -> Iterator[str]:
    yield "\ntargets"
    for text, passed in found:
        yield f"{'pass' if passed else 'FAIL'}  {text}"


def check(path: Path) -> bool:
    """Compare our curves with those of a file; return whether all targets are met."""
    samples, made = read(path)
    print(f"PHOEBE's curves are of {made['date']}: {introduction(made)}")
    for text in agreement(samples):
        print(text)
    found = verdicts(samples)
    for text in judged(found):
        print(text)
    return all(passed for _, passed in found)


def run(given: argparse.Namespace) -> Iterator[str]:
    """Compute, and keep PHOEBE's curves; yield what is to be printed as it comes."""
    made = header()
    samples = [Sample.draw(kind, given.systems, given.triangles) for kind in RANGES]
    yield introduction(made)
    yield (
        f"{given.systems} systems of each kind, seed {SEED}; PHOEBE with {given.triangles:,} triangles a star; "
        f"differences over phases and bands"
    )
    for sample in samples:
        sample.judge()
    if given.save:
        # What takes longest is kept, whatever happens to the rest.
        given.save.mkdir(parents=True, exist_ok=True)
        (given.save / JSON).write_text(as_text(samples, made), encoding="utf-8")
    yield from agreement(samples)
    studies = [study_meshes(sample, given.subset) for sample in samples]
    yield from convergence_of_phoebe(studies)
    yield from convergence_of_ours(samples)
    found = [*costs(samples), *costs_of_coarse(studies)]
    yield from speed(found, given.triangles)
    yield from judged(verdicts(samples, found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=30, help="systems of each kind")
    parser.add_argument("--subset", type=int, default=6, help="systems of each kind for other meshes of PHOEBE")
    parser.add_argument("--triangles", type=int, default=3000, help="PHOEBE's triangles of each star")
    parser.add_argument("--save", type=Path, nargs="?", const=RESULTS, help="folder; benchmarks/results if bare")
    parser.add_argument("--check", type=Path, nargs="?", const=RESULTS / JSON, help="saved curves")
    given = parser.parse_args()
    if given.check:
        sys.exit(0 if check(given.check) else 1)
    printed = [f"$ python benchmarks/{Path(__file__).name} {' '.join(sys.argv[1:])}        ({header()['date']})"]
    for text in run(given):
        print(text, flush=True)
        printed.append(text)
    if given.save:
        (given.save / "roche_vs_phoebe.txt").write_text("\n".join(printed) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
