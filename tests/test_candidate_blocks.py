"""Candidates by blocks: the order of the ranks, whatever block a star was judged in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_runs import random_table

import cbminer.candidate_blocks
from cbminer.candidate_blocks import CandidateBlocks
from cbminer.catalogue.schema import conform
from cbminer.columns import label_column
from cbminer.star_blocks import stack_blocks


def ranked_table(n, n_selected, seed):
    rng = np.random.default_rng(seed)
    stars, chosen = random_table(n, seed=seed), rng.permutation(n)[:n_selected]
    stars["selected"] = np.isin(np.arange(n), chosen)
    stars["rank"] = np.zeros(n, dtype=np.int64)
    stars["rank"][chosen] = rng.permutation(n_selected) + 1
    return conform(stars)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 40), share=st.floats(0, 1), size=st.integers(1, 12), seed=st.integers(0, 1000))
def test_candidates_come_in_the_order_of_their_rank(n, share, size, seed):
    stars = ranked_table(n, round(share * n), seed)
    expected = stars[np.asarray(stars["selected"])]
    expected = expected[np.argsort(expected["rank"])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cbminer.candidate_blocks, "STARS_A_BLOCK", 7)
        found = CandidateBlocks([stars[first : first + size] for first in range(0, n, size)])
        blocks = list(found)
        assert len(found) == len(expected)
        # No block holds more than so many, however the stars came.
        assert max(map(len, blocks)) <= 7
        for number in (0, 3, 7, 8, n):
            first = found.first(number)
            assert label_column(first, "id").tolist() == label_column(expected[:number], "id").tolist()
    whole = stack_blocks(blocks)
    assert whole.colnames == expected.colnames
    for name in ("id", "rank", "remark", "period", "flags"):
        np.testing.assert_array_equal(np.asarray(whole[name]), np.asarray(expected[name]))


def test_a_run_without_candidates_has_a_table_without_rows():
    found = CandidateBlocks([ranked_table(5, 0, 1)])
    (table,) = found
    assert len(found) == len(table) == len(found.first(3)) == 0
    assert table.colnames == ranked_table(5, 0, 1).colnames
