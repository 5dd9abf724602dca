"""Marks, histograms, ratios, the page: what is computed from what was measured."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from rich.console import Console

from loadtests.compare.figures import Change, against, differing, names_of, ratios
from loadtests.compare.page import render, warnings
from loadtests.compare.parts import Background, Sample, calls_between, flat
from loadtests.compare.rounds import Plan
from loadtests.compare.show import show
from loadtests.users.histogram import Histogram
from loadtests.users.marks import Mark, decode, encode
from loadtests.users.target import Target, TargetError, Tokens

from ..sse_service.browser_support import ARGS, executable
from .page_samples import result, run


def test_a_mark_survives_and_other_texts_are_none() -> None:
    mark = Mark("r1", "lt-3", 7, 123456789)
    assert decode(encode(mark, 300)) == decode(encode(mark)) == mark
    assert len(encode(mark, 300)) == 300
    for other in ("hello", "", None, 5, "lt1|a|b", "lt1|a|b|x|9|"):
        assert decode(other) is None


def test_percentiles_are_within_a_bucket() -> None:
    values = [random.Random(4).lognormvariate(3, 1) for _ in range(5000)]
    one, two = Histogram(), Histogram()
    for index, value in enumerate(values):
        (one, two)[index % 2].add(value)
    whole = Histogram.merged([one, Histogram(two.to_json())])
    assert whole.count == 5000
    for share in (0.5, 0.95, 0.99):
        true = sorted(values)[int(share * 5000) - 1]
        assert math.isclose(whole.percentile(share), true, rel_tol=0.06)
    shares = [share for _, share in whole.points()]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert Histogram().percentile(0.5) == 0.0


def test_ratios_are_of_pairs() -> None:
    """What slows both of a pair does not change their ratio."""
    made = result(5.0)
    assert ratios(made["rounds"]["ws"], made["rounds"]["sse"], "p50") == (0.5, 0.5, 0.5)
    assert ratios(made["rounds"]["ws"], made["rounds"]["sse"], "loss") is None


def test_versions_are_compared_figure_by_figure() -> None:
    changes = {(one.side, one.name): one for one in against(result(5.0), result(15.0))}
    assert changes["sse", "p50"] == Change("sse", "p50", 7.5, 22.5, 3.0, apart=True)
    assert changes["ws", "p50"] == Change("ws", "p50", 15.0, 15.0, 1.0, apart=False)
    assert changes["sse", "sse-service, MB"].ratio == 1.0
    # 0 in both says nothing.
    assert ("ws", "loss") not in changes


def test_what_was_none_before_is_told() -> None:
    """A version that begins to lose messages has no ratio, and is the one to be seen."""
    now = result(5.0)
    now["rounds"]["ws"] = [run(p50=10.0, loss=3, calls=2), run(p50=20.0, loss=4, calls=2)]
    changes = {(one.side, one.name): one for one in against(result(5.0), now)}
    assert changes["ws", "loss"] == Change("ws", "loss", 0, 3.5, None, apart=True)
    assert changes["ws", "calls"] == Change("ws", "calls", None, 2, None, apart=True)


def test_another_plan_is_another_thing() -> None:
    assert differing({"users": 4, "size": 1}, {"users": 5, "size": 1, "warm_up": 2}) == ["users", "warm_up"]


def test_the_page_needs_nothing_else_and_says_what_it_cannot_tell() -> None:
    page = render(result(5.0))
    assert not re.search(r"""(src|href)=|<script|@import|url\(""", page)
    assert "&lt;cpu&gt;" in page and "<cpu>" not in page
    assert "What this cannot tell" in page and "emulated AWS" in page
    # Latencies and throughput: two sides, two repetitions and their whole.
    assert page.count("<polyline") == 12
    assert "emulated AWS cannot" not in render(result(5.0, emulated=False))


def test_the_page_says_what_has_changed_and_what_was_measured() -> None:
    before, now = result(5.0), result(15.0, emulated=False, target={"sse": "https://<b>.example"})
    page = render(now, against(before, now), before)
    assert "Since abc" in page and "SSE + REST: p50" in page
    assert "https://&lt;b&gt;.example" in page


def test_a_result_says_what_makes_it_worth_less() -> None:
    made = result(5.0)
    assert warnings(made) == []
    made["rounds"]["sse"][0]["busiest"] = 0.95
    made["rounds"]["sse"][0]["figures"]["behind schedule p99 ms"] = 900.0
    made["provenance"]["load_before"] = 4.0
    made["stopped"] = "interrupted"
    told = " ".join(warnings(made))
    for word in ("interrupted", "95%", "900 ms", "load 4.0 on 2 cores"):
        assert word in told


def test_one_is_not_said_as_several(capsys: pytest.CaptureFixture[str]) -> None:
    once = result(5.0, rounds={"ws": [run(p50=10.0)], "sse": [run(p50=5.0)]})
    once["provenance"].update(cores=1, load_before=4.0)
    show(once, Console(width=150))
    show(result(5.0), Console(width=150))
    said = capsys.readouterr().out
    assert "rooms: 1 repetition" in said
    assert "rooms: median (least-most) of 2 repetitions" in said and "1 repetitions" not in said + render(once)
    assert "1 cores" not in said + render(once)
    assert ("4; 1 repetition." in render(once), "2 repetitions, interleaved" in render(result(5.0))) == (True, True)


@pytest.mark.browser
def test_the_page_opens_without_a_network(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(render(result(5.0)), encoding="utf-8")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable(), args=ARGS)
        page = running.new_context(offline=True, viewport={"width": 380, "height": 700}).new_page()
        said: list[str] = []
        page.on("request", lambda request: said.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(file.as_uri())
        assert page.locator("svg").count() == 2 and page.locator("svg").first.is_visible()
        # On a phone nothing has to be moved sideways but a wide table.
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
        running.close()
    assert said == [file.as_uri()]


def test_calls_of_all_sides_stand_together() -> None:
    rounds = {"ws": [run(p50=1.0, **{"a per message": 1}, cores=1)], "sse": [run(p50=1.0, **{"b per message": 2})]}
    assert names_of(rounds) == ["p50", "a per message", "b per message", "cores"]


def test_calls_of_nobody_are_not_a_message_s() -> None:
    usage = {
        "calls": {"dynamodb": {"Query": 130}, "iam": {"POST": 4}},
        "lambda": {"f": {"invocations": 3}, "g": {"invocations": 4}},
        "websocket": {"api": {"message_units": 9}},
    }
    last = Sample(20.0, {}, {}, flat(usage))
    first = Sample(10.0, {}, {}, {"dynamodb Query": 100})
    idle = Background.between(Sample(0.0, {"a": 1.0}, {}, {}), Sample(5.0, {"a": 2.0}, {}, {"dynamodb Query": 10}))
    assert idle == Background({"dynamodb Query": 2.0}, 0.2)
    counted = calls_between(first, last, idle.calls)
    assert counted == {"dynamodb Query": 10.0, "lambda invocations": 7, "websocket message_units": 9}


def test_targets_are_checked(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush\n")
    key = {"secret_file": str(tmp_path / "secret")}
    made = Target.parse(["ws.rooms=wss://a/prod", "sse=https://b/", "tenant=acme"], **key)
    assert (made.ws, made.sse, made.tenant) == ({"rooms": "wss://a/prod"}, "https://b", "acme")
    assert made.addresses == {"ws.rooms": "wss://a/prod", "sse": "https://b"}
    made = Target.parse(["dropin=https://b/prod", "dropin.layers=https://c/prod"], **key)
    assert made.addresses == {"dropin.rooms": "https://b/prod", "dropin.layers": "https://c/prod"}
    assert (made.has("dropin", "rooms"), made.has("dropin", "direct"), made.has("ws", "rooms")) == (True, False, False)
    with pytest.raises(TargetError, match=r"dropin\.direct"):
        made.way("dropin", "direct")
    for wrong in (
        *("sse", "ws=wss://a", "ws.other=wss://a", "sse=", "sse=wss://a", "ws.rooms=https://a", "sse=b"),
        *("dropin.other=https://a", "dropin.=https://a", "sse.rooms=https://a"),
    ):
        with pytest.raises(TargetError):
            Target.parse([wrong], **key)
    # Nobody could be anybody there.
    with pytest.raises(TargetError, match="--tokens-file"):
        Target.parse(["sse=https://b"])
    with pytest.raises(TargetError, match="gone"):
        Target.parse(["sse=https://b"], secret_file=str(tmp_path / "gone"))


def test_a_file_of_addresses_may_name_the_drop_in_s_of_rooms_alone(tmp_path: Path) -> None:
    file, url = tmp_path / "target.json", "https://b/prod"
    for given, ways in ((url, {"rooms": url}), ("", {}), ({"direct": url}, {"direct": url})):
        file.write_text(json.dumps({"dropin": given}))
        assert Target.load(file).dropin == ways
    for wrong in ("[]", '{"dropout": ""}', "x"):
        file.write_text(wrong)
        with pytest.raises(TargetError, match="no file of addresses"):
            Target.load(file)


@pytest.mark.parametrize("address", ["https://me:pa55@b", "https://b/?token=pa55", "https://pa55@b"])
def test_what_may_be_a_secret_in_an_address_is_refused_and_not_repeated(tmp_path: Path, address: str) -> None:
    (tmp_path / "secret").write_text("hush\n")
    with pytest.raises(TargetError) as refused:
        Target.parse([f"sse={address}"], secret_file=str(tmp_path / "secret"))
    assert "pa55" not in str(refused.value)


def test_tokens_that_were_given_are_used(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text(
        '{"lt-0": "a", "lt-1": {"token": "b", "email": "b@x.example"}, "publisher": "p"}'
    )
    tokens = Tokens(Target(tokens_file=str(tmp_path / "tokens.json")))
    assert [tokens.of("lt-0", "t"), tokens.of("lt-1", "t"), tokens.of("any", "t", "scope")] == ["a", "b", "p"]
    assert (tokens.email("lt-0"), tokens.email("lt-1"), tokens.cognito("lt-1", "")) == ("", "b@x.example", "b")
    with pytest.raises(TargetError, match="lt-7"):
        tokens.of("lt-7", "t")


@pytest.mark.parametrize(
    "wrong",
    [{"users": 0}, {"rate": 0}, {"seconds": -1}, {"lost_after": 0}, {"workers": -1}, {"scenario": "slow", "users": 4},
     {"scenario": "direct", "users": 3}, {"scenario": "direct", "users": 6, "workers": 2}, {"rate": float("nan")}],
)  # fmt: skip
def test_plans_that_say_nothing_are_none(wrong: dict[str, Any]) -> None:
    given = {"scenario": "rooms", "users": 4, "rate": 1.0, "seconds": 1.0, "size": 100, "lost_after": 5.0, **wrong}
    with pytest.raises(ValueError):
        Plan(**given)
