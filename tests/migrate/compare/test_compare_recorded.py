"""Recorded deliveries: known faults get the right counts, blame and verdict (MG7). until phase 3"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrate.compare.deliveries import Span
from migrate.compare.verdict import Verdict
from migrate.config.model import Ignore, Normalise
from migrate.errors import UsageError

from .synthetic import CHAT, CHAT_BY_ID, Truth

by_id = pytest.mark.parametrize("by_id", [False, True], ids=["by content", "by id"])


def wrong(counts: dict[str, int]) -> dict[str, int]:
    """What is not zero besides the totals."""
    return {name: n for name, n in counts.items() if n and name not in ("expected", "matched", "messages")}


@by_id
def test_equal_stacks_pass(tmp_path: Path, by_id: bool) -> None:
    report = Truth(by_id=by_id).compare(tmp_path, max_loss=0.02)
    [chat] = report.features
    assert report.verdict is Verdict.PASS
    assert (chat.counts["expected"], chat.counts["matched"], chat.counts["messages"]) == (160, 160, 40)
    assert wrong(chat.counts) == {}
    # No loss in n deliveries: exactly 1 - 0.05^(1/n).
    assert chat.loss[2] == pytest.approx(1 - 0.05 ** (1 / 160))
    assert chat.latency["legacy"].quantiles[0].value == pytest.approx(0.02, abs=0.001)
    assert chat.latency["sse"].quantiles[0].value == pytest.approx(0.01, abs=0.001)


@by_id
@pytest.mark.parametrize(
    ("fault", "counted", "verdict", "offence"),
    [
        (lambda t: t.drop("sse", 5, "user2"), {"missing_sse": 1}, "fail", ("missing", "sse", "sse")),
        (lambda t: t.double("sse", 5, "user2"), {"duplicate_sse": 1}, "fail", ("duplicate", "sse", "sse")),
        (lambda t: t.change("sse", 5, "user2", message="HI"), {"changed": 1}, "fail", ("changed", "sse", "sse")),
        (lambda t: t.change("legacy", 5, "user2", message="H"), {"changed": 1}, "fail", ("changed", "sse", "legacy")),
        (lambda t: t.swap("sse", 8, 12, "user2"), {"reordered_sse": 1}, "fail", ("reordered", "sse", "sse")),
        (lambda t: t.swap("legacy", 8, 12, "user2"), {"reordered_legacy": 1}, "pass", ("reordered",) + ("legacy",) * 2),
        (lambda t: t.double("legacy", 5, "user2"), {"duplicate_legacy": 1}, "pass", ("duplicate", "legacy", "legacy")),
        (lambda t: t.fail_post(8, "user2"), {"missing_legacy": 1}, "pass", ("missing", "legacy", "legacy")),
        (lambda t: t.drop("legacy", 8, "user2"), {"missing_legacy": 1}, "pass", ("missing", "legacy", "legacy")),
    ],
    ids=["drop", "double", "change", "changed by legacy", "swap", "swapped by legacy", "doubled by legacy", "ghost",
         "never posted"],
)  # fmt: skip
def test_each_fault_is_counted_and_blamed(
    tmp_path: Path, by_id: bool, fault: object, counted: dict[str, int], verdict: str, offence: tuple[str, str, str]
) -> None:
    truth = Truth(by_id=by_id)
    fault(truth)  # type: ignore[operator]
    report = truth.compare(tmp_path, max_loss=0.0 if "missing_sse" in counted else 0.05)
    assert wrong(report.features[0].counts) == counted
    assert report.verdict.value == verdict, report.reasons
    assert [(one.kind, one.stack, one.blame) for one in report.offences] == [offence]
    assert report.offences_total == 1


def test_both_payloads_and_the_field_that_differs_are_shown(tmp_path: Path) -> None:
    truth = Truth()
    truth.change("sse", 5, "user2", message="HI", meta={"a": [1, 2]})
    [offence] = truth.compare(tmp_path).offences
    assert offence.fields == {"message": ("hello 5", "HI"), "meta": (..., {"a": [1, 2]})}
    assert json.loads(offence.legacy or "")["message"] == "hello 5"
    assert json.loads(offence.sse or "")["message"] == "HI"
    assert (offence.recipient, offence.sender, offence.stream, offence.cause) == ("user2", "user1", "room1", "req5")


def test_what_sse_made_up_is_extra(tmp_path: Path) -> None:
    truth = Truth()
    [row] = truth.rows["sse", 5, "user2"]
    truth.rows["sse", 5, "user2"].append(replace(row, payload='{"message":"who said this?"}'))
    truth.rows["sse", 6, "outsider"] = [replace(row, recipient="outsider")]
    report = truth.compare(tmp_path)
    assert wrong(report.features[0].counts) == {"extra_sse": 2}
    assert report.verdict is Verdict.FAIL


def test_a_lost_and_a_changed_message_are_not_taken_for_each_other(tmp_path: Path) -> None:
    truth = Truth(rooms=1, people=1)
    truth.drop("sse", 10, "user0")
    truth.change("sse", 12, "user0", message="other")
    report = truth.compare(tmp_path, max_loss=0.0)
    assert wrong(report.features[0].counts) == {"missing_sse": 1, "changed": 1}
    changed = next(one for one in report.offences if one.kind == "changed")
    assert changed.fields == {"message": ("hello 12", "other")}


def test_several_connections_of_one_user_are_one_delivery(tmp_path: Path) -> None:
    truth = Truth()
    for n in range(truth.messages):
        [row] = truth.rows["legacy", n, "user1"]
        ghost = replace(row, connection_id="old", outcome="gone", at=row.at - 0.001)
        truth.rows["legacy", n, "user1"] = [ghost, row, replace(row, connection_id="tab2", at=row.at + 0.001)]
    report = truth.compare(tmp_path, max_loss=0.05)
    assert wrong(report.features[0].counts) == {}
    assert report.verdict is Verdict.PASS


def test_a_throttled_post_that_was_tried_again_is_one_delivery(tmp_path: Path) -> None:
    truth = Truth()
    [row] = truth.rows["legacy", 3, "user1"]
    truth.rows["legacy", 3, "user1"] = [replace(row, outcome="failed", at=row.at - 0.01), row]
    assert wrong(truth.compare(tmp_path).features[0].counts) == {}


def test_several_attempts_at_a_ghost_are_one_lost_delivery(tmp_path: Path) -> None:
    truth = Truth()
    truth.fail_post(5, "user2")
    [row] = truth.rows["legacy", 5, "user2"]
    truth.rows["legacy", 5, "user2"] = [replace(row, seq=row.seq + n, at=row.at + n / 1e3) for n in range(5)]
    assert wrong(truth.compare(tmp_path).features[0].counts) == {"missing_legacy": 1}


def test_a_replay_on_purpose_not_made_is_not_judged_and_a_refused_one_is_a_loss_of_sse(tmp_path: Path) -> None:
    truth = Truth()
    for n, replayed, reason in ((5, "skipped", "throttled"), (6, "failed", "answered 500")):
        truth.sends[n] = replace(truth.sends[n], replayed=replayed, reason=reason)
        for person in range(4):
            truth.drop("sse", n, f"user{person}")
    report = truth.compare(tmp_path, max_loss=0.0)
    [chat] = report.features
    assert chat.unjudged == {"skipped": 4}
    assert chat.counts["missing_sse"] == 4
    assert {one.detail for one in report.offences} == {"the replay was refused: answered 500"}


def test_a_pause_is_not_judged_and_does_not_hide_a_loss_outside_it(tmp_path: Path) -> None:
    truth = Truth(messages=200)
    truth.spans.append(Span("paused", None, None, truth.time(80), truth.time(120), "operator"))
    for n in range(90, 110):
        truth.drop("sse", n, "user1")
    paused = truth.compare(tmp_path / "a", max_loss=0.05)
    assert paused.verdict is Verdict.PASS
    assert paused.features[0].unjudged == {"paused": 20}
    truth.drop("sse", 190, "user1")
    assert truth.compare(tmp_path / "b", max_loss=0.0).verdict is Verdict.FAIL


def test_a_gap_of_one_recipient_excuses_only_that_one(tmp_path: Path) -> None:
    truth = Truth(messages=200)
    truth.spans.append(Span("gap", "sse", "user1", truth.time(80), truth.time(120), "reconnect"))
    truth.drop("sse", 100, "user1")
    truth.drop("sse", 100, "user2")
    [chat] = truth.compare(tmp_path, max_loss=0.0).features
    assert chat.unjudged == {"gap": 1}
    assert chat.counts["missing_sse"] == 1


def test_what_the_tee_lost_makes_it_inconclusive_and_is_blamed_on_the_capture(tmp_path: Path) -> None:
    truth = Truth()
    truth.drop("legacy", 8, "user2")
    truth.counts.append((500, 5, truth.end))
    report = truth.compare(tmp_path / "a", max_loss=0.05)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "the tee lost 5 events (0.99%)" in report.reasons[0]
    assert report.features[0].unjudged == {"incomplete": 1}
    assert truth.compare(tmp_path / "b", max_loss=0.05, complete_capture=False).verdict is Verdict.PASS
    # A loss of SSE's own is seen all the same.
    truth.double("sse", 9, "user1")
    assert truth.compare(tmp_path / "c", max_loss=0.05).verdict is Verdict.FAIL


def test_an_entering_frame_that_was_not_captured_is_the_captures_fault(tmp_path: Path) -> None:
    truth = Truth()
    del truth.sends[7]
    for person in range(4):
        truth.drop("sse", 7, f"user{person}")
    report = truth.compare(tmp_path, max_loss=0.0)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.features[0].unjudged == {"capture": 4}


def test_an_answer_whose_entering_frame_is_unknown_is_the_captures_fault(tmp_path: Path) -> None:
    truth = Truth()
    del truth.sends[7]
    for person in range(4):
        truth.drop("sse", 7, f"user{person}")
        [row] = truth.rows["legacy", 7, f"user{person}"]
        truth.rows["legacy", 7, f"user{person}"] = [replace(row, cause=None)]
    report = truth.compare(tmp_path, max_loss=0.0)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.features[0].unjudged == {"capture": 4}


@by_id
def test_what_differs_between_two_legacy_consumers_is_noise(tmp_path: Path, by_id: bool) -> None:
    truth = Truth(by_id=by_id, baseline=True)
    for stack in ("sse", "baseline"):
        truth.drop(stack, 8, "user2")
        for n in range(20):
            truth.change(stack, n, "user1", node=f"{stack}-{n}")
    report = truth.compare(tmp_path / "a", max_loss=0.05)
    [chat] = report.features
    assert report.verdict is Verdict.PASS, report.reasons
    assert chat.unjudged == {"noise": 21}
    assert set(chat.noise_fields) == {"node"}
    # A field that only SSE changes is no noise.
    truth.change("sse", 30, "user1", message="other")
    assert truth.compare(tmp_path / "b", max_loss=0.05).verdict is Verdict.FAIL


def test_the_baseline_shows_that_the_capture_lost_a_delivery(tmp_path: Path) -> None:
    truth = Truth(baseline=True)
    truth.drop("legacy", 8, "user2")
    report = truth.compare(tmp_path, max_loss=0.05)
    assert report.features[0].unjudged == {"capture": 1}
    assert report.verdict is Verdict.INCONCLUSIVE


def test_too_few_samples_are_inconclusive_and_so_is_a_bound_above_the_allowed(tmp_path: Path) -> None:
    truth = Truth()
    few = truth.compare(tmp_path / "a", min_samples=161)
    assert (few.verdict, few.reasons) == (Verdict.INCONCLUSIVE, ("only 160 deliveries judged, 161 are needed",))
    loose = truth.compare(tmp_path / "b", max_loss=0.001)
    assert loose.verdict is Verdict.INCONCLUSIVE
    assert "more samples are needed" in loose.reasons[0]


def test_what_is_in_flight_at_the_end_is_not_judged(tmp_path: Path) -> None:
    truth = Truth()
    truth.drop("sse", 39, "user2")
    report = truth.compare(tmp_path, until=None, settle_s=1.0, max_loss=0.05)
    assert report.verdict is Verdict.PASS
    assert report.run.edge > 0


def test_since_and_until_choose_the_time(tmp_path: Path) -> None:
    truth = Truth(messages=100)
    truth.drop("sse", 80, "user2")
    before = truth.compare(tmp_path / "a", until=truth.time(50), max_loss=0.05)
    after = truth.compare(tmp_path / "b", since=truth.time(50), max_loss=0.0)
    assert before.verdict is Verdict.PASS
    assert after.features[0].counts["missing_sse"] == 1
    assert before.features[0].counts["expected"] + after.features[0].counts["expected"] == 400


def test_tenants_are_told_apart(tmp_path: Path) -> None:
    truth = Truth()
    truth.drop("sse", 3, "user1")
    assert truth.compare(tmp_path / "a", tenant="acme", max_loss=0.0).verdict is Verdict.FAIL
    other = truth.compare(tmp_path / "b", tenant="other")
    assert other.verdict is Verdict.INCONCLUSIVE
    assert any("but of chat" in note for note in other.notes)


def test_an_expired_rule_counts_no_more_and_is_reported(tmp_path: Path) -> None:
    rules = (Ignore(path="messageId", reason="own ids", expires="2026-11-22"), CHAT.ignore[1])
    report = Truth().compare(tmp_path, replace(CHAT, ignore=rules))
    assert report.verdict is Verdict.FAIL
    assert set(report.features[0].fields) == {"messageId"}
    assert any("expired on 2026-11-22 (own ids)" in note for note in report.notes)


@by_id
def test_normal_forms_make_equal_what_is_meant_equal(tmp_path: Path, by_id: bool) -> None:
    truth = Truth(by_id=by_id)
    left = {"n": "1.50", "who": "ANN", "t": " x ", "when": "2026-11-22T10:00:00Z", "tags": ["b", "a"]}
    right = {"n": 1.5, "who": "ann", "t": "x", "when": 1795341600000, "tags": ["a", "b"]}
    for n in range(truth.messages):
        for person in range(4):
            truth.change("legacy", n, f"user{person}", deep=left)
            truth.change("sse", n, f"user{person}", deep=right)
    forms = {"n": "number", "who": "lower", "t": "trim", "when": "time", "tags": "sorted"}
    feature = replace(
        CHAT_BY_ID if by_id else CHAT,
        normalise=tuple(Normalise(path=f"deep.{name}", as_=form) for name, form in forms.items()),
    )
    same = truth.compare(tmp_path / "a", feature, max_loss=0.05)
    assert same.verdict is Verdict.PASS, same.reasons
    for name in forms:
        truth.change("sse", 4, "user1", deep={**right, name: "9"})
        report = truth.compare(tmp_path / name, feature, max_loss=0.05)
        assert set(report.features[0].fields) == {f"deep.{name}"}, name


def test_nested_fields_are_ignored_alone(tmp_path: Path) -> None:
    truth = Truth()
    for n in range(truth.messages):
        for person in range(4):
            for stack in ("legacy", "sse"):
                truth.change(stack, n, f"user{person}", meta={"node": f"{stack}{n}", "kind": "a'b"})
    feature = replace(CHAT, ignore=(*CHAT.ignore, Ignore(path="meta.node", reason="x", expires="2099-01-01")))
    assert truth.compare(tmp_path / "a", feature, max_loss=0.05).verdict is Verdict.PASS
    truth.change("sse", 3, "user1", meta={"node": "x", "kind": "other"})
    report = truth.compare(tmp_path / "b", feature, max_loss=0.05)
    assert set(report.features[0].fields) == {"meta.kind"}


def test_clocks_an_hour_apart_are_an_error(tmp_path: Path) -> None:
    truth = Truth()
    for (stack, _, _), rows in truth.rows.items():
        if stack == "sse":
            rows[:] = [replace(row, at=row.at + 3600) for row in rows]
    with pytest.raises(UsageError, match=r"clocks of the sse stack are apart.* 3,600 s after"):
        truth.compare(tmp_path, until=None)


def test_recorders_an_hour_apart_are_an_error_without_times_in_the_frames(tmp_path: Path) -> None:
    truth = Truth()
    for (stack, _, _), rows in truth.rows.items():
        shift = 3600 if stack == "legacy" else 0
        rows[:] = [replace(row, at=row.at + shift, sent_at=None) for row in rows]
    with pytest.raises(UsageError, match="clocks of the two recorders are apart"):
        truth.compare(tmp_path, until=None)


def test_concurrent_messages_of_two_senders_have_no_order(tmp_path: Path) -> None:
    truth = Truth(people=4, rooms=1)
    truth.swap("sse", 8, 9, "user2")
    assert wrong(truth.compare(tmp_path).features[0].counts) == {}


def _late_replay(truth: Truth, seconds: float, of: range) -> None:
    """The worker replays these so much later, in their order."""
    for (stack, n, _), rows in truth.rows.items():
        if stack == "sse" and n in of:
            rows[:] = [replace(row, at=row.at + seconds, sent_at=(row.sent_at or 0) + seconds) for row in rows]
    for n, send in truth.sends.items():
        late = seconds if n in of else 0
        truth.sends[n] = replace(send, replayed_at=send.at + 0.1 + late)


def test_what_a_worker_that_is_behind_has_not_replayed_yet_is_not_missing(tmp_path: Path) -> None:
    truth = Truth()
    for n in range(20, 40):
        del truth.sends[n]
        for user in range(4):
            truth.drop("sse", n, f"user{user}")
    truth.progress = [(truth.time(0), truth.time(0)), (truth.end, truth.time(19.9))]
    report = truth.compare(tmp_path, until=None, max_loss=0.05)
    assert (report.verdict.value, wrong(report.features[0].counts)) == ("pass", {})
    assert report.features[0].counts["expected"] == 80
    # That it was handled counts only when the messages had their time to arrive.
    assert truth.compare(tmp_path / "b", until=None, settle_s=1.0).features[0].counts["expected"] == 0
    truth.progress.append((truth.end, truth.end))
    assert truth.compare(tmp_path / "c", until=None).features[0].unjudged == {"capture": 80}


def test_what_was_replayed_out_of_order_was_not_reordered_by_sse(tmp_path: Path) -> None:
    truth = Truth(people=1, rooms=1)
    _late_replay(truth, 5.0, range(8, 9))
    report = truth.compare(tmp_path, until=truth.end + 60, max_loss=0.1)
    assert (report.verdict.value, wrong(report.features[0].counts)) == ("pass", {})
    assert report.features[0].unjudged == {"replay": 31}
    assert report.offences == ()


def test_equal_texts_are_counted_together_however_late_the_replay(tmp_path: Path) -> None:
    truth = Truth(text="ok", people=2)
    _late_replay(truth, 90.0, range(40))
    for (stack, n, _), rows in truth.rows.items():
        rows[:] = [replace(row, cause=f"req{n}") for row in rows if stack]
    report = truth.compare(tmp_path, until=truth.end + 200, max_loss=0.05)
    assert (report.verdict.value, wrong(report.features[0].counts)) == ("pass", {}), report.reasons


FAULTS = ("drop", "double", "change", "ghost", "double legacy")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    faults=st.dictionaries(
        st.tuples(st.integers(0, 39), st.integers(0, 3)), st.sampled_from(FAULTS), min_size=0, max_size=25
    ),
    by_id=st.booleans(),
    repeats=st.booleans(),
)
def test_any_mixture_of_faults_is_counted_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    faults: dict[tuple[int, int], str],
    by_id: bool,
    repeats: bool,
) -> None:
    """The oracle is what was injected."""
    # Of equal frames known by content alone it cannot be said which one was doubled and which one lost.
    kinds = {"drop": "missing_sse", "double": "duplicate_sse", "change": "changed", "ghost": "missing_legacy",
             "double legacy": "duplicate_legacy"}  # fmt: skip
    if repeats and not by_id:
        faults = {where: "drop" if fault in ("double", "double legacy", "change") else fault
                  for where, fault in faults.items()}  # fmt: skip
    truth = Truth(by_id=by_id, text="ok" if repeats else "hello {n}")
    for (n, person), fault in faults.items():
        user = f"user{person}"
        if fault == "drop":
            truth.drop("sse", n, user)
        elif fault == "ghost":
            truth.fail_post(n, user)
        elif fault == "change":
            truth.change("sse", n, user, message=f"other {n}")
        else:
            truth.double("sse" if fault == "double" else "legacy", n, user)
    report = truth.compare(tmp_path_factory.mktemp("run"), max_loss=0.0)
    expected = Counter(kinds[fault] for fault in faults.values())
    counted = wrong(report.features[0].counts)
    if repeats and not by_id:
        # Which of several equal frames a lost one was does not show: a ghost's place may be taken by another.
        lost = counted.get("missing_sse", 0) - counted.get("missing_legacy", 0) - counted.get("ghosts", 0)
        assert lost >= expected["missing_sse"] - expected["missing_legacy"] - counted.get("ghosts", 0) * 2
    else:
        assert counted == dict(expected)
    bad = {"drop", "double", "change"} & set(faults.values())
    if not repeats or by_id:
        assert (report.verdict is Verdict.FAIL) == bool(bad)


@settings(max_examples=10, deadline=None)
@given(
    lost=st.sets(st.tuples(st.sampled_from(["legacy", "sse"]), st.integers(0, 23), st.integers(0, 2)), max_size=20),
    again=st.sets(st.tuples(st.integers(0, 23), st.integers(0, 2)), max_size=6),
    words=st.lists(st.sampled_from(["ok", "yes", "no"]), min_size=24, max_size=24),
)
def test_sql_counts_repeated_content_as_a_plain_count_does(
    tmp_path_factory: pytest.TempPathFactory,
    lost: set[tuple[str, int, int]],
    again: set[tuple[int, int]],
    words: list[str],
) -> None:
    """Exact oracle: of n equal frames at a recipient on legacy and m on SSE, min(n, m) match."""
    truth = Truth(messages=24, people=3, rooms=2)
    for (stack, n, user), rows in truth.rows.items():
        truth.rows[stack, n, user] = [
            replace(row, cause=None, sender="", payload=json.dumps({"message": words[n], "roomId": row.stream}))
            for row in rows
        ]
    for stack, n, person in lost:
        truth.drop(stack, n, f"user{person}")
    for n, person in again:
        if truth.rows["sse", n, f"user{person}"]:
            truth.double("sse", n, f"user{person}")
    truth.sends.clear()
    have: dict[str, Counter[tuple[str, str, str]]] = {"legacy": Counter(), "sse": Counter()}
    for (stack, n, user), rows in truth.rows.items():
        for row in rows:
            have[stack][user, row.stream, words[n]] += 1
    keys = {*have["legacy"], *have["sse"]}
    common = sum(min(have["legacy"][key], have["sse"][key]) for key in keys)
    fewer = sum(max(0, have["legacy"][key] - have["sse"][key]) for key in keys)
    more = sum(max(0, have["sse"][key] - have["legacy"][key]) for key in keys)
    report = truth.compare(tmp_path_factory.mktemp("run"), max_loss=0.0)
    c = report.features[0].counts
    assert c["matched"] == common
    # A word that is too few and another that is too many at the same place count as one changed message.
    assert c["missing_sse"] + c["changed"] == fewer
    assert c["extra_sse"] + c["duplicate_sse"] + c["missing_legacy"] + c["changed"] == more
