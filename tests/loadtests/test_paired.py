"""What sampling costs is told from noise where it can be, and how little would have been told is said."""

from __future__ import annotations

import random

import pytest

from loadtests.bench.overhead import ARMS, Block, blocks_within, of_blocks, verdict
from loadtests.bench.paired import LEAST_PAIRS, Difference, difference

NS = 1_000_000_000


def test_the_interval_is_wilcoxon_s() -> None:
    """n = 10: the 9th smallest and the 9th largest of the 55 averages (critical value 8; Hollander, Wolfe, Chicken,
    table A.4)."""
    after = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]
    walsh = sorted((one + two) / 2 for index, one in enumerate(after) for two in after[index:])
    told = difference([0.0] * 10, after)
    assert (told.low, told.middle, told.high, told.pairs) == (walsh[8], walsh[27], walsh[-9], 10)
    assert told.is_told and not difference(after, after).is_told


def test_nineteen_of_twenty_intervals_hold_the_truth_and_four_of_five_effects_are_told() -> None:
    dice = random.Random(7)
    trials, held, told = 400, 0, 0
    for _ in range(trials):
        base = [dice.gauss(20, 5) for _ in range(24)]
        same = difference(base, [value + dice.gauss(0, 1) for value in base])
        held += same.low <= 0 <= same.high
        more = [value + same.least_told + dice.gauss(0, 1) for value in base]
        told += difference(base, more).is_told
    assert 0.92 < held / trials < 0.98
    assert 0.72 < told / trials < 0.88


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="tell nothing"):
        difference([1.0] * (LEAST_PAIRS - 1), [2.0] * (LEAST_PAIRS - 1))
    assert difference([1.0] * LEAST_PAIRS, [2.0] * LEAST_PAIRS).is_told


def test_only_whole_rounds_within_the_load_count() -> None:
    def block(arm: str, number: int, at: int) -> Block:
        return Block(arm, number, at + 1, at + 4)

    arms = list(ARMS)
    made = [block(arm, number, 100 + 12 * number + 4 * place) for number in range(4) for place, arm in enumerate(arms)]
    # It begins within round 0, and ends within round 3.
    found = blocks_within(made[:11], 101.5, 150.0)
    assert [(one.round, one.arm) for one in found] == [(number, arm) for number in (1, 2) for arm in arms]


def test_a_delivery_belongs_to_the_block_in_which_it_was_sent() -> None:
    none, with_it = list(ARMS)[:2]
    blocks = [Block(with_it, 0, 15, 18, 0.5, 0.02), Block(none, 0, 11, 14, 0.4)]
    # In the second between two blocks, and at the end of one: nowhere.
    sent = [(10, 99), (11, 4), (12, 6), (13, 8), (14, 99), (15, 10), (17, 20), (18, 99)]
    found = of_blocks(blocks, [(at * NS, ms * 1_000_000) for at, ms in sent])
    assert found["delivery p50 ms"] == {none: [6.0], with_it: [15.0], "no pause": []}
    assert found["cores of all parts"][none] == [0.4] and found["cores of the sampler"][with_it] == [0.02]
    with pytest.raises(ValueError, match="nothing was delivered"):
        of_blocks(blocks, [])


def test_the_verdict_is_about_what_could_be_told() -> None:
    nothing, little, much = (Difference(at, at - 0.5, at + 0.5, 24) for at in (0.25, 2.0, 40.0))
    assert verdict("p50", 20, little, much) == "p50: sampling adds +2 (+1.5 to +2.5) to 20"
    told = verdict("p50", 20, nothing, much)
    assert told == "p50: sampling changes 20 by less than 0.75 (95 %); 0.715 would be told"
    # Sampling that makes it quicker is noise, and proves nothing.
    for control in (nothing, Difference(-40, -41, -39, 24)):
        assert verdict("p50", 20, nothing, control) == f"{told}; sampling without a pause was not told from none either"
    assert "decides nothing: sampling may change it by 0.75 of 1" in verdict("p50", 1, nothing, much)
