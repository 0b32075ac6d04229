"""The march of one binary through its main sequence: what `cbminer.theory.binary_evolution` computes, compiled.

State of a pair, each of star 1 and 2: the mass; the fraction of the main sequence that is lived; the mass that it has
lost since it was heaviest, which stands for the zone that its shrinking core has left; the fraction that was lived when
it left it. A step ages both stars, then finds the mass that has to pass so that neither fills more than its share.

The frame of a step: its years, the angular momentum of the pair, a guess of the period.
"""

import math

import numba
import numpy as np

from cbminer.columns import FloatArray
from cbminer.theory.roche_lobe import KEPLER_DAYS

__all__ = ["AGED", "FULL_BUFFER", "L2", "N_RECORDED", "OFF_TRACKS", "ROCHE_AT_ZAMS", "STUCK", "UNBOUND", "march"]

# How a march ends; L2 overflow at the start has its first step only.
AGED, L2, ROCHE_AT_ZAMS, OFF_TRACKS, UNBOUND, FULL_BUFFER, STUCK = range(7)
_RUNNING = -1

# Columns of a recorded step: age, M1, M2, period, R1, R2, overflow 1 and 2, L1, L2, transfer rate, fractions.
N_RECORDED = 13

# Solar masses, solar radii and days.
_KEPLER_DAYS = float(KEPLER_DAYS)
_GRAVITY = (2.0 * math.pi / _KEPLER_DAYS) ** 2
# G Msun^2 / (Rsun Lsun) in years.
_KELVIN_HELMHOLTZ = 3.1415e7
_L2_SCALE, _L2_INNER, _L2_POWER = 0.29858997, 1.83530121, 0.39661426
# Relative overflows of two stars on one equipotential.
_EQUIPOTENTIAL = 0.52

_EXACT = 1e-7
_MOST_TRIALS = 60
# A pair is followed to within this overflow of the first touch of a lobe.
_ONSET = 1e-3
# Steps are not divided below this part of a lifetime, a hundredth of a thermal timescale.
_LEAST_STEP = 1e-6
# Below this part no step would do: mass would have to pass at once.
_NO_STEP = 1e-12
_GROWTH = 1.5

Tables = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


@numba.njit(cache=True, nogil=True)
def _lookup(table: FloatArray, tracks: FloatArray, log_mass: float, fraction: float) -> float:
    """Linear in log mass and in age; `tracks` holds the first log mass and the step."""
    n, k = table.shape
    x = (log_mass - tracks[0]) / tracks[1]
    y = fraction * (k - 1)
    i = min(max(int(x), 0), n - 2)
    j = min(max(int(y), 0), k - 2)
    u, v = x - i, y - j
    low = (1.0 - v) * table[i, j] + v * table[i, j + 1]
    high = (1.0 - v) * table[i + 1, j] + v * table[i + 1, j + 1]
    value: float = 10.0 ** ((1.0 - u) * low + u * high)
    return value


@numba.njit(cache=True, nogil=True)
def _lifetime(lifetimes: FloatArray, tracks: FloatArray, log_mass: float) -> float:
    x = (log_mass - tracks[0]) / tracks[1]
    i = min(max(int(x), 0), len(lifetimes) - 2)
    u = x - i
    years: float = 10.0 ** ((1.0 - u) * lifetimes[i] + u * lifetimes[i + 1])
    return years


@numba.njit(cache=True, nogil=True)
def _lobe(mass_ratio: float) -> float:
    cube_root = mass_ratio ** (1.0 / 3.0)
    radius: float = 0.49 * cube_root**2 / (0.6 * cube_root**2 + math.log1p(cube_root))
    return radius


@numba.njit(cache=True, nogil=True)
def _l2_overflow(mass_ratio: float) -> float:
    q = min(mass_ratio, 1.0 / mass_ratio)
    return _L2_SCALE * math.atan(_L2_INNER * q**_L2_POWER)


@numba.njit(cache=True, nogil=True)
def _period(m_1: float, m_2: float, inertia: float, momentum: float, guess: float) -> float:
    """Period at which a pair has its angular momentum, or NaN where there is none."""
    orbital = m_1 * m_2 * (_GRAVITY**2 / (m_1 + m_2)) ** (1.0 / 3.0)
    omega = 2.0 * math.pi / guess
    for _ in range(50):
        orbit = orbital * omega ** (-1.0 / 3.0)
        slope = -orbit / (3.0 * omega) + inertia
        if slope >= 0.0:
            # Beyond the least angular momentum of a synchronous pair (Darwin 1879): no orbit is stable there.
            return math.nan
        change = (orbit + inertia * omega - momentum) / slope
        omega -= max(min(change, 0.5 * omega), -omega)
        if abs(change) < 1e-9 * omega:
            period: float = 2.0 * math.pi / omega
            return period
    return math.nan


@numba.njit(cache=True, nogil=True)
def _star(tables: Tables, physics: FloatArray, mass: float, fraction: float, gain: float) -> tuple[float, float, float]:
    """Radius, luminosity and moment of inertia of a star that gains mass (solar masses a year)."""
    log_mass = math.log10(mass)
    radius = physics[2] * _lookup(tables[1], tables[0], log_mass, fraction)
    luminosity = _lookup(tables[2], tables[0], log_mass, fraction)
    thermal = _KELVIN_HELMHOLTZ * mass**2 / (radius * luminosity)
    radius *= math.exp(physics[0] * gain / mass * thermal)
    zams = physics[2] * _lookup(tables[1], tables[0], log_mass, 0.0)
    return radius, luminosity, physics[1] * mass * zams * radius


@numba.njit(cache=True, nogil=True)
def _pair(
    tables: Tables,
    physics: FloatArray,
    state: FloatArray,
    gain_1: float,
    frame: FloatArray,
    out: FloatArray,
) -> None:
    """Period, radii, overflows and luminosities of a pair of which star 1 gains `gain_1`, and star 2 loses it."""
    m_1, m_2 = state[0], state[1]
    radius_1, luminosity_1, inertia_1 = _star(tables, physics, m_1, state[2], gain_1)
    radius_2, luminosity_2, inertia_2 = _star(tables, physics, m_2, state[3], -gain_1)
    # At the start the period is given; it need not be one at which an orbit is stable.
    period = frame[2]
    if not math.isinf(frame[0]):
        period = _period(m_1, m_2, inertia_1 + inertia_2, frame[1], frame[2])
    axis = ((period / _KEPLER_DAYS) ** 2 * (m_1 + m_2)) ** (1.0 / 3.0)
    out[0], out[1], out[2] = period, radius_1, radius_2
    out[3] = radius_1 / (axis * _lobe(m_1 / m_2)) - 1.0
    out[4] = radius_2 / (axis * _lobe(m_2 / m_1)) - 1.0
    out[5], out[6] = luminosity_1, luminosity_2


@numba.njit(cache=True, nogil=True)
def _momentum(tables: Tables, physics: FloatArray, state: FloatArray, period: float) -> float:
    """Angular momentum of the orbit and of two stars that turn with it; solar masses and radii, days."""
    inertia_1 = _star(tables, physics, state[0], state[2], 0.0)[2]
    inertia_2 = _star(tables, physics, state[1], state[3], 0.0)[2]
    omega = 2.0 * math.pi / period
    orbit = state[0] * state[1] * (_GRAVITY**2 / (state[0] + state[1]) / omega) ** (1.0 / 3.0)
    momentum: float = orbit + (inertia_1 + inertia_2) * omega
    return momentum


@numba.njit(cache=True, nogil=True)
def _fuller(masses: FloatArray, found: FloatArray) -> int:
    """Which star reaches the higher equipotential."""
    share = (masses[1] / masses[0]) ** _EQUIPOTENTIAL
    if found[3] > 0.0 and found[4] > 0.0:
        return 0 if found[3] > share * found[4] else 1
    return 0 if found[3] > found[4] else 1


@numba.njit(cache=True, nogil=True)
def _moved(aged: FloatArray, donor: int, mass: float, out: FloatArray) -> None:
    """Move mass from one star to the other; what each has burnt is kept.

    The convective core grows and shrinks with its star. Where it shrinks, it leaves a zone that is as burnt as it was
    itself; where it grows, it takes in first that zone, then fresh hydrogen.
    """
    gainer = 1 - donor
    out[:] = aged
    out[donor] = aged[donor] - mass
    zone = aged[4 + donor]
    out[4 + donor] = zone + mass
    if mass > 0.0:
        out[6 + donor] = (zone * aged[6 + donor] + mass * aged[2 + donor]) / (zone + mass)
    out[gainer] = aged[gainer] + mass
    burnt = min(mass, aged[4 + gainer])
    out[4 + gainer] = aged[4 + gainer] - burnt
    out[2 + gainer] = (aged[gainer] * aged[2 + gainer] + burnt * aged[6 + gainer]) / out[gainer]


@numba.njit(cache=True, nogil=True)
def _excess(
    tables: Tables,
    physics: FloatArray,
    aged: FloatArray,
    donor: int,
    mass: float,
    frame: FloatArray,
    state: FloatArray,
    found: FloatArray,
) -> float:
    """By how much the donor overfills its share once `mass` has passed; NaN where no orbit is left.

    Its share is its Roche lobe, or the equipotential of its companion where that is in contact.
    """
    gainer = 1 - donor
    _moved(aged, donor, mass, state)
    gain = mass / frame[0] if donor == 1 else -mass / frame[0]
    _pair(tables, physics, state, gain, frame, found)
    share = (state[gainer] / state[donor]) ** _EQUIPOTENTIAL
    excess: float = found[3 + donor] - share * max(found[3 + gainer], 0.0)
    return excess


@numba.njit(cache=True, nogil=True)
def _transfer(
    tables: Tables,
    physics: FloatArray,
    aged: FloatArray,
    donor: int,
    most: float,
    frame: FloatArray,
    state: FloatArray,
    found: FloatArray,
) -> float:
    """Mass that brings the donor to its share, with the pair after it in `state` and `found`; NaN if above `most`."""
    low, high = 0.0, most
    at_low = _excess(tables, physics, aged, donor, low, frame, state, found)
    if not at_low > _EXACT:
        return 0.0
    at_high = _excess(tables, physics, aged, donor, high, frame, state, found)
    if at_high > 0.0:
        return math.nan
    mass = high
    for _ in range(_MOST_TRIALS):
        # The Illinois variant of regula falsi; bisection where the upper end has no orbit.
        mass = 0.5 * (low + high) if math.isnan(at_high) else (low * at_high - high * at_low) / (at_high - at_low)
        value = _excess(tables, physics, aged, donor, mass, frame, state, found)
        if abs(value) < _EXACT or high - low < 1e-12 * most:
            break
        if value > 0.0:
            low, at_low, at_high = mass, value, 0.5 * at_high
        else:
            high, at_high, at_low = mass, value, 0.5 * at_low
    return mass


@numba.njit(cache=True, nogil=True)
def _record(row: FloatArray, age: float, rate: float, state: FloatArray, found: FloatArray) -> None:
    row[0] = age
    row[1:3] = state[:2]
    row[3:10] = found
    row[10] = rate
    row[11:13] = state[2:4]


@numba.njit(cache=True, nogil=True)
def _overflows_at_l2(state: FloatArray, found: FloatArray) -> bool:
    lighter = found[3] if state[0] < state[1] else found[4]
    contact = bool(min(found[3], found[4]) >= 0.0)
    return contact and bool(lighter > _l2_overflow(state[1] / state[0]))


@numba.njit(cache=True, nogil=True)
def _end_at_start(state: FloatArray, found: FloatArray) -> int:
    if _overflows_at_l2(state, found):
        return L2
    return ROCHE_AT_ZAMS if max(found[3], found[4]) > 0.0 else _RUNNING


@numba.njit(cache=True, nogil=True)
def _end(tables: Tables, state: FloatArray, found: FloatArray) -> int:
    log_least, log_step = tables[0]
    log_most = log_least + log_step * (len(tables[3]) - 1)
    if _overflows_at_l2(state, found):
        return L2
    if max(state[2], state[3]) >= 1.0 - 1e-9:
        return AGED
    if math.log10(min(state[0], state[1])) < log_least or math.log10(max(state[0], state[1])) > log_most:
        return OFF_TRACKS
    return _RUNNING


@numba.njit(cache=True, nogil=True)
def _age(
    tables: Tables, physics: FloatArray, accuracy: FloatArray, state: FloatArray, years: float, aged: FloatArray
) -> tuple[float, float]:
    """Let both stars grow older by `years`, or less where that is too long; give the years and the shorter lifetime."""
    life_1 = physics[3] * _lifetime(tables[3], tables[0], math.log10(state[0]))
    life_2 = physics[3] * _lifetime(tables[3], tables[0], math.log10(state[1]))
    life = min(life_1, life_2)
    years = min(years, accuracy[0] * life, (1.0 - state[2]) * life_1, (1.0 - state[3]) * life_2)
    aged[:] = state
    aged[2] = min(state[2] + years / life_1, 1.0)
    aged[3] = min(state[3] + years / life_2, 1.0)
    return years, life


@numba.njit(cache=True, nogil=True)
def march(
    tables: Tables, physics: FloatArray, accuracy: FloatArray, initial: FloatArray, record: FloatArray
) -> tuple[int, int]:
    """Evolve one pair.

    Parameters
    ----------
    tables : tuple of `~numpy.ndarray`
        log10 of the least mass of the tracks and their step; log10 of radii and luminosities in solar units by mass and
        age, shapes (n, k); log10 of lifetimes in years, shape (n,).
    physics : `~numpy.ndarray`
        Thermal response, gyration constant, scale of radii, scale of lifetimes.
    accuracy : `~numpy.ndarray`
        Largest step of age over lifetime, of the donor's mass over itself, and of overflow.
    initial : `~numpy.ndarray`
        Masses and period.
    record : `~numpy.ndarray`
        The steps are written here, shape (most steps, `N_RECORDED`).

    Returns
    -------
    tuple of int
        Number of steps, and how it ended.
    """
    state = np.array([initial[0], initial[1], 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    aged, moved, found, before = state.copy(), state.copy(), np.empty(7), np.empty(7)
    frame = np.array([math.inf, _momentum(tables, physics, state, initial[2]), initial[2]])
    _pair(tables, physics, state, 0.0, frame, before)
    _record(record[0], 0.0, 0.0, state, before)
    end = _end_at_start(state, before)
    age, n, years = 0.0, 1, math.inf
    while n < len(record) and end == _RUNNING:
        years, life = _age(tables, physics, accuracy, state, years, aged)
        divisible = years > _LEAST_STEP * life
        frame[0], frame[2] = years, before[0]
        _pair(tables, physics, aged, 0.0, frame, found)
        over = max(found[3], found[4])
        if divisible and over > _ONSET and max(before[3], before[4]) < -_ONSET:
            years *= 0.5
            continue
        mass = 0.0
        moved[:] = aged
        if over > 0.0:
            donor = _fuller(aged, found)
            mass = _transfer(tables, physics, aged, donor, accuracy[1] * aged[donor], frame, moved, found)
        step = max(abs(found[3] - before[3]), abs(found[4] - before[4]))
        if math.isnan(mass) or (divisible and not step < accuracy[2]):
            if years < _NO_STEP * life:
                return n, STUCK
            years *= 0.5
            continue
        if math.isnan(found[0]):
            return n, UNBOUND
        age += years
        state[:], before[:] = moved, found
        _record(record[n], age, mass / years, state, found)
        n += 1
        years *= _GROWTH
        end = _end(tables, state, found)
    return n, FULL_BUFFER if end == _RUNNING else end
