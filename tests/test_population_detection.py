"""Shares of inclinations that are seen, against the engine and the published-style grid of light curves."""

import numpy as np
import pytest

from cbminer.synthetic.geometry import potential_in_frame_2, potential_of_fillout, volume_radius
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems
from cbminer.theory.detection import contact_share_seen, fillout_of_radius, near_contact_share_seen
from cbminer.theory.roche_lobe import roche_radius


@pytest.mark.parametrize(
    ("depth", "shares"), [(0.1, (0.78, 0.84, 0.86)), (0.2, (0.59, 0.68, 0.74)), (0.3, (0.47, 0.55, 0.62))]
)
def test_contact_binaries_are_seen_as_often_as_in_phoebes_grid(depth, shares):
    # Of V-band light curves of PHOEBE at steps of 10 degrees, q = 0.6 to 1, fill-outs 0.1, 0.5 and 0.9.
    assert contact_share_seen([0.1, 0.5, 0.9], 0.8, least_depth=depth) == pytest.approx(shares, abs=0.025)


def share_of_engine(make, depth):
    """Share of random orbits with a deep enough minimum in I, from 60 inclinations at even cosines."""
    cosines = (np.arange(60) + 0.5) / 60
    flux = RocheEngine().light_curves(make(np.degrees(np.arccos(cosines))), np.arange(4) / 4)[:, 0]
    depths = 2.5 * np.log10(flux[:, 1::2].max(axis=1) / flux[:, ::2].min(axis=1))
    return np.mean(depths >= depth)


@pytest.mark.parametrize(("q", "fillout", "depth"), [(1.0, 0.5, 0.1), (0.6, 0.25, 0.25), (0.35, 0.9, 0.1)])
def test_contact_shares_are_the_engines(q, fillout, depth):
    def make(inclination):
        return BinarySystems.contact(np.full(60, q), inclination, fillout_factor=fillout, teff_1=25000, teff_2=25000)

    assert contact_share_seen(fillout, q, least_depth=depth) == pytest.approx(share_of_engine(make, depth), abs=0.02)
    assert contact_share_seen(fillout, 1 / q, least_depth=depth) == contact_share_seen(fillout, q, least_depth=depth)


@pytest.mark.parametrize(("q", "filling", "depth"), [(0.8, 0.92, 0.1), (1.0, 0.97, 0.2)])
def test_near_contact_shares_are_the_engines(q, filling, depth):
    def make(inclination):
        return BinarySystems.detached(
            np.full(60, q),
            inclination,
            lobe_filling_1=filling,
            lobe_filling_2=filling,
            teff_1=25000,
            teff_2=25000 * q**0.5,
        )

    assert near_contact_share_seen(filling, q, least_depth=depth) == pytest.approx(
        share_of_engine(make, depth), abs=0.02
    )


@pytest.mark.parametrize("q", [0.3, 0.55, 1.0])
def test_fill_out_of_the_size_of_the_lighter_star(q):
    fillouts = np.array([0.05, 0.3, 0.6, 0.9])
    potentials = potential_in_frame_2(potential_of_fillout(fillouts, np.full(4, q)), np.full(4, q))
    sizes = volume_radius(potentials, np.full(4, 1 / q)) / roche_radius(q)
    assert fillout_of_radius(sizes, q) == pytest.approx(fillouts, abs=0.025)
    assert fillout_of_radius([0.9, 1.5], q) == pytest.approx([0, 1])
