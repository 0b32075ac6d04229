"""Tables of benchmarks/full_survey.py in Markdown: a line through the times, shares, and the ratio to the peer.

Usage: python benchmarks/full_survey_table.py

Puts the tables of results/full_survey.json into benchmarks/README.md, as full_survey.py --write does.
"""

import argparse
import json
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "full_survey.json"
README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- full_survey:begin -->", "<!-- full_survey:end -->"
FULL = 48605
# Below, a run is mostly what it takes to start and to draw the figures.
MANY = 5000
LEAST_SHARE = 0.005
COLUMNS = (
    *("stars", "million points in I", "workers", "time / s", "CPU / s", "ms a star"),
    *("memory / MB", "all processes / MB", "candidates"),
)


def keep(found):
    """Put results beside those of other sizes, if these were had on the same machine with the same versions."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if kept.get("machine") == found["machine"]:
        for name, key in (("surveys", ("stars",)), ("runs", ("stars", "jobs", "engine")), ("peer", ("stars", "jobs"))):
            rows = {tuple(row[part] for part in key): row for row in [*kept.get(name, []), *found.get(name, [])]}
            found[name] = [rows[key] for key in sorted(rows)]
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def fill_in():
    """Put the tables into the README."""
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n{block()}\n{END}{after}", encoding="utf-8")


def block():
    """What stands between the marks in the README."""
    if not RESULTS.exists():
        return "No results are kept yet."
    return "\n".join(tables(json.loads(RESULTS.read_text())))


def tables(found):
    """Lines of all tables."""
    runs = sorted(found["runs"], key=lambda run: (run["stars"], run["engine"], run["jobs"]))
    largest = largest_of(runs)
    parts = [
        scaling(runs, found["surveys"]),
        [line for name, own in by_workers(runs).items() for line in growth(name, own)],
        shares(largest, "parts", "part of the package"),
        shares(largest, "steps", "step of the command"),
        peer_table(found["peer"], runs) if found.get("peer") else [],
        [f"{', '.join(sorted({run['made'] for run in runs}))}; {found['machine']}."],
    ]
    return "\n\n".join("\n".join(part) for part in map(list, parts) if part).splitlines()


def workers(run):
    """How a run is named in a table."""
    return f"{run['jobs']}{' (dask)' if run['engine'] == 'dask' else ''}"


def by_workers(runs):
    """Runs of each number of workers, by the number of stars."""
    names = dict.fromkeys(workers(run) for run in runs)
    return {name: [run for run in runs if workers(run) == name] for name in names}


def scaling(runs, surveys):
    points = {survey["stars"]: survey["curves"]["I"]["points"] / 1e6 for survey in surveys}
    yield row(COLUMNS)
    yield f"|{'---:|' * len(COLUMNS)}"
    for run in runs:
        cells = (
            f"{run['stars']:,}",
            f"{points[run['stars']]:.1f}",
            workers(run),
            f"{run['wall']:.1f}",
            f"{run['cpu']:.1f}",
            f"{1e3 * run['wall'] / run['stars']:.2f}",
            f"{run['peak']:.0f}",
            f"{run['together']:.0f}" if run["together"] else "",
            f"{sum(run['candidates'].values()):,}",
        )
        yield row(cells)


def row(cells):
    return f"| {' | '.join(cells)} |"


def fitted_line(runs, what):
    """Offset and slope of a line through a quantity over the stars, by relative residuals, and the largest of these."""
    stars, cost = (np.array([run[name] for run in runs], dtype=float) for name in ("stars", what))
    slope, offset = np.polyfit(stars, cost, 1, w=1.0 / cost)
    return float(offset), float(slope), float(np.max(np.abs((offset + slope * stars) / cost - 1.0)))


def exponent(runs):
    """Power of the number of stars with which the time grows, where it is not all start-up."""
    chosen = [run for run in runs if run["stars"] >= MANY]
    if len(chosen) < 2:
        return None
    return float(np.polyfit(*(np.log([run[name] for run in chosen]) for name in ("stars", "wall")), 1)[0])


def growth(name, runs):
    """Sentences about how time and memory grow with the stars."""
    if len(runs) < 2:
        return
    offset, slope, off = fitted_line(runs, "wall")
    power = exponent(runs)
    rise = "" if power is None else f"; from {MANY:,} stars on it grows as their number to the power of {power:.2f}"
    yield (
        f"- Workers: {name}. Time: {offset:.1f} s and {1e3 * slope:.2f} s every thousand stars, "
        f"to {100 * off:.0f} % at worst{rise}."
    )
    memory = ", ".join(f"{run['peak']:.0f} MB with {run['stars']:,}" for run in runs)
    yield f"  Memory: {memory}; {1e3 * fitted_line(runs, 'peak')[1]:.1f} MB every thousand stars."


def largest_of(runs):
    """Runs on the full survey or, without it, on the largest below."""
    size = max((run["stars"] for run in runs if run["stars"] <= FULL), default=min(run["stars"] for run in runs))
    return [run for run in runs if run["stars"] == size]


def shares(runs, what, title):
    """Seconds and shares of the parts or the steps, the longest first."""
    totals = [sum(run[what].values()) for run in runs]
    names = sorted(runs[0][what], key=lambda name: -runs[0][what][name])
    seconds = "thread-seconds" if what == "parts" else "s"
    yield row([f"{title}, {runs[0]['stars']:,} stars", *(f"{seconds}, {workers(run)}" for run in runs), "share"])
    yield f"|---|{'---:|' * (len(runs) + 1)}"
    for name in names:
        share = runs[0][what][name] / totals[0]
        if share >= LEAST_SHARE:
            yield row([name, *(f"{run[what].get(name, 0.0):.1f}" for run in runs), f"{100 * share:.0f} %"])


def peer_table(peers, runs):
    """Milliseconds a star of the straightforward script and of select, and their ratio."""
    jobs, n_stars = [peer["jobs"] for peer in peers], peers[0]["stars"]
    own = {run["jobs"]: run for run in runs if run["stars"] == n_stars and run["engine"] == "threads"}
    threads = [run for run in runs if run["engine"] == "threads"]
    rows = {
        "straightforward script, all but its learning": [less(peer) for peer in peers],
        "the same without reading text files": [less(peer, "reading text files") for peer in peers],
        "its periods alone": [peer["seconds"]["periods"] / peer["jobs"] for peer in peers],
        "`select`, the whole run": [own[number]["wall"] if number in own else None for number in jobs],
    }
    per_star = {name: [None if s is None else 1e3 * s / n_stars for s in seconds] for name, seconds in rows.items()}
    per_star["`select`, a star more in a larger survey"] = [marginal(threads, number) for number in jobs]
    marginals = per_star["`select`, a star more in a larger survey"]
    names = [f"{number} worker{'s' * (number > 1)}" for number in jobs]
    yield row(
        [
            f"on the same {n_stars:,} stars",
            *(f"ms a star, {name}" for name in names),
            *(f"ratio, {name}" for name in names),
        ]
    )
    yield f"|---|{'---:|' * (2 * len(jobs))}"
    for name, values in per_star.items():
        ratios = [divided(value, last) for value, last in zip(values, marginals, strict=True)]
        yield row([name, *(shown(value) for value in values), *(shown(ratio) for ratio in ratios)])


def less(peer, part=None):
    """Seconds of the script without its learning and, if asked, without one step that the workers share."""
    return peer["wall"] - peer["seconds"]["learning"] - (peer["seconds"][part] / peer["jobs"] if part else 0.0)


def marginal(runs, jobs):
    """Milliseconds that a star more costs."""
    mine = [run for run in runs if run["jobs"] == jobs]
    return 1e3 * fitted_line(mine, "wall")[1] if len(mine) > 1 else None


def divided(value, by):
    return None if value is None or by is None else value / by


def shown(value):
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    fill_in()


if __name__ == "__main__":
    main()
