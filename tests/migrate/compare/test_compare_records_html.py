"""The report of `migrate compare` as a page (MG7). until phase 3"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from migrate.compare.html import html_report

from ...sse_service.browser_support import ARGS, executable
from .compare_support import run
from .synthetic import Truth


def test_the_html_report_stands_alone_and_nothing_in_a_frame_runs(project: Path) -> None:
    truth = Truth()
    evil = "</pre></details><script>alert(1)</script><img src=x onerror=alert(2)>\u202e"
    truth.change("sse", 5, "user2", message=evil, **{'"><b>': 1})
    [row] = truth.rows["sse", 6, "user3"]
    truth.rows["sse", 6, "user3"] = [replace(row, recipient="<i>eve</i>")]
    truth.write(project / "records")
    target = project / "report.html"
    code, _, _ = run(project, "--no-save", "--html", str(target))
    page = target.read_text("utf-8")
    assert code == 3
    assert "<script" not in page
    assert "<img" not in page
    assert "<i>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\u202e" not in page
    assert re.search(r"<mark>.*&lt;/pre&gt;", page)
    # Nothing is fetched: no address but the icon, which is none.
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", page) == ["data:,"]
    assert "url(" not in page
    assert "http:" not in page and "https:" not in page
    assert page.count("<svg") == page.count('role="img"') == 2
    assert "default-src 'none'" in page


def test_a_report_without_deliveries_is_a_page_too(project: Path) -> None:
    report = Truth(messages=2).compare(project / "r", tenant="nobody")
    assert "nothing was judged" in html_report(report)


@pytest.mark.browser
def test_the_page_opens_offline_on_a_phone_and_runs_nothing(project: Path) -> None:
    truth = Truth()
    truth.change("sse", 5, "user2", message="<script>document.title='owned'</script>" + "x" * 500)
    truth.write(project / "records")
    target = project / "report.html"
    run(project, "--no-save", "--html", str(target))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=ARGS)
        context = browser.new_context(viewport={"width": 360, "height": 700}, offline=True, color_scheme="dark")
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: said.append(request.url))
        page.goto(target.as_uri())
        page.locator("details").last.scroll_into_view_if_needed()
        assert page.title() == "FAIL: deliveries compared"
        assert said == [target.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.locator("mark").count() == 2
        assert page.get_by_role("img").count() == 2
        context.close()
        browser.close()
