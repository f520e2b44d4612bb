"""Browser tests of the operators' page at `/admin`: arguments as page_test.py.

The gateway has the token of `run.sh`. Operations on lanes and the ends of jobs are those of the real fleet. States that
cannot be asked of it (dead letters, no worker, Redis out of reach) are answered by request interception.
"""

import copy
import json
import pathlib

from fake_fleet import AT, BUSY, JOB, TOKEN, UNCLAIMED, Fleet, overview
from page_test import DESKTOP, SHORT, Tester, record, run, state, until, write
from playwright.sync_api import Page

PHONE = {"width": 375, "height": 740}
# Name and outline of the element that has the focus.
FOCUS = """(() => {
    const focused = document.activeElement;
    const { act, lane, class: class_ } = focused.dataset;
    const name = focused.id || (act ? `${act} ${lane ?? class_}` : focused.tagName);
    return [name, getComputedStyle(focused).outlineStyle];
})()"""
# Elements whose text is cut off.
CUT = """[...document.querySelectorAll("button, p, li, th, td")]
    .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1)
    .map((e) => e.id || e.textContent)"""
VIOLATIONS = """axe.run().then(({ violations }) => violations.map(
    (v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join(" | ")}`,
))"""


def visit(tester: Tester, numbers: dict | None = None, **options) -> tuple[Page, Fleet | None]:
    page = tester.open(**options)
    fleet = Fleet(page, copy.deepcopy(numbers)) if numbers else None
    page.goto(tester.base + "admin")
    until(page, "document.body.dataset.state === 'live'")
    return page, fleet


def give_token(page: Page) -> None:
    page.fill("#token", TOKEN)
    page.click("#token-form button")
    until(page, "document.body.dataset.access === 'operator'")


def outcome(page: Page, text: str) -> None:
    until(page, f"document.getElementById('outcome').textContent.includes({json.dumps(text)})")


def test_the_real_fleet_is_shown_and_operated(tester: Tester) -> None:
    """A job's end is listed; a lane that is paused here is paused for the page of callers, too."""
    speaker = tester.visit()
    write(speaker, SHORT)
    speaker.click("#speak")
    state(speaker, "done")
    job = record(speaker)["id"]
    page, _ = visit(tester)
    assert page.get_attribute("body", "data-access") == "read_only"
    text = page.inner_text("body")
    assert "1 worker, " in text and "live:" in text and "succeeded" in page.inner_text("#ends"), text
    assert page.locator("button[data-act]").count() == 0
    assert job not in page.content() and "default" not in page.inner_text("#ends"), (
        "a job or a tenant is named without the token"
    )
    give_token(page)
    until(page, f"document.getElementById('ends').textContent.includes({json.dumps(job)})")
    page.click("button[data-act=pause][data-lane=bulk]")
    outcome(page, "Lane bulk is paused.")
    until(speaker, "document.getElementById('lanes').textContent.includes('bulkpaused')")
    page.click("button[data-act=resume][data-lane=bulk]")
    outcome(page, "Lane bulk goes on.")
    until(speaker, "!document.getElementById('lanes').textContent.includes('paused')")
    speaker.context.close()
    page.context.close()


def test_a_wrong_token_is_told_and_forgotten(tester: Tester) -> None:
    page, _ = visit(tester)
    page.fill("#token", "another-token-of-another-fleet")
    page.click("#token-form button")
    outcome(page, "not that of this gateway's operators")
    assert page.is_visible("#token-form") and page.input_value("#token") == ""
    give_token(page)
    page.click("#forget")
    until(page, "document.body.dataset.access === 'read_only'")
    assert page.locator("button[data-act]").count() == 0
    page.context.close()


def test_says_what_needs_an_operator(tester: Tester) -> None:
    """Work without a worker, paused lanes, suspects, mixed builds and dead letters are said in words."""
    page, fleet = visit(tester, UNCLAIMED)
    assert "Work waits in lane standard, and no worker takes jobs of this lane." in page.inner_text("#alarms")
    assert "No worker is running." in page.inner_text("main")
    assert "a slot counts as 1 s of audio in a second: 1 more for the target wait of 30 s" in page.inner_text(
        "#scaling"
    )
    fleet.numbers = copy.deepcopy(BUSY)
    until(page, "document.querySelectorAll('#alarms li').length === 4")
    alarms = page.inner_text("#alarms")
    for part in ["37 dead letters", "Lane bulk is paused", "1 suspect", "Workers of 2 builds"]:
        assert part in alarms, alarms
    assert "18 slots wanted; 5 there, 3 of them busy. 13 slots more than there are." in page.inner_text(
        "#scaling-total"
    )
    scaling = page.inner_text("#scaling")
    assert (
        "live: 7 3 run a job, and 9.00 s of audio wait. A slot makes 1.28 s of audio in a second: 4 more" in scaling
    ), scaling
    assert "bulk: 0 Held back by an operator" in scaling, scaling
    assert "draining" in page.inner_text("#worker-rows") and "6.4× real time" in page.inner_text("#worker-rows")
    assert "acme" not in page.content() and JOB not in page.content()
    fleet.numbers = overview(
        workers=[], builds=[], slots={"there": 0, "busy": 0, "desired": 0, "audio_s_per_s": 1.0, "measured": False}
    )
    fleet.ends = []
    until(page, "document.getElementById('alarms').children.length === 0")
    assert "No job has ended yet." in page.inner_text("body") and "There are none." in page.inner_text("body")
    page.context.close()


def test_purges_what_was_counted(tester: Tester) -> None:
    """A purge counts first, asks with the number, can be left, and goes on until all is done."""
    page, fleet = visit(tester, BUSY)
    give_token(page)
    page.click("button[data-act=purge][data-class]")
    until(page, "document.getElementById('ask').open")
    assert "Purge 37 dead letters of class resource: out of memory?" in page.inner_text("#ask")
    assert page.evaluate("document.activeElement.id") == "ask-no"
    page.keyboard.press("Escape")
    outcome(page, "Nothing was changed.")
    assert [order["dry_run"] for _, order in fleet.orders] == [True]
    page.click("button[data-act=purge][data-class]")
    page.click("#ask-yes:has-text('Purge 37')")
    outcome(page, "37 dead letters purged.")
    group = {"class": "resource", "error": "out of memory", "until": AT}
    assert fleet.orders[2:] == [("dead-letters/purge", group)] * 2, fleet.orders
    until(page, "document.getElementById('letters-text').textContent === 'There are none.'")
    page.context.close()


def test_retries_one_letter(tester: Tester) -> None:
    page, fleet = visit(tester, BUSY)
    give_token(page)
    page.click("#letters summary")
    page.click(f"button[data-act=retry][data-id='{JOB}']")
    page.click("#ask-yes:has-text('Retry 1')")
    outcome(page, "1 dead letter retried.")
    assert fleet.orders[-1] == ("dead-letters/retry", {"id": JOB}), fleet.orders
    assert page.evaluate("document.querySelector('#letters details').open"), "a refresh has closed the list"
    page.context.close()


def test_without_a_token_operations_are_off(tester: Tester) -> None:
    page, _ = visit(tester, overview(access="operations_off"))
    assert "CSM_ADMIN_TOKEN" in page.inner_text("#access-text")
    assert page.is_hidden("#token-form") and page.locator("button[data-act]").count() == 0
    page.context.close()


def test_stale_numbers_are_shown_as_stale(tester: Tester) -> None:
    """A Redis that is out of reach, and a gateway that is gone, are told apart; the numbers stay."""
    page, fleet = visit(tester, BUSY)
    fleet.away = True
    until(page, "document.body.dataset.state === 'stale'")
    banner = page.inner_text("#stale-banner")
    assert "Redis or another part is out of reach. The numbers are" in banner, banner
    assert "512" in page.inner_text("#lanes")
    page.route("**/v1/admin/**", lambda route: route.abort())
    until(page, "document.getElementById('stale-banner').textContent.includes('The gateway does not answer.')")
    page.unroute("**/v1/admin/**")
    fleet.away = False
    page.route("**/v1/admin/**", fleet.answer)
    until(page, "document.body.dataset.state === 'live'")
    assert page.is_hidden("#stale-banner")
    page.context.close()


def test_reads_nothing_while_hidden(tester: Tester) -> None:
    page, fleet = visit(tester, BUSY)
    other, beside = visit(tester, BUSY)
    page.evaluate("""() => {
        Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    reads = 0
    for count in range(2, 5):
        # A page that is seen refreshes meanwhile. With its first refresh a read in progress here has ended.
        beside.numbers["open"] = count
        until(other, f"document.getElementById('totals').textContent.startsWith('{count} jobs open')")
        reads = reads or fleet.reads
    assert fleet.reads == reads, (reads, fleet.reads)
    other.context.close()
    page.evaluate("delete document.visibilityState; document.dispatchEvent(new Event('visibilitychange'))")
    fleet.numbers["open"] = 1
    until(page, "document.getElementById('totals').textContent.startsWith('1 job open')")
    page.context.close()


def test_works_by_keyboard(tester: Tester) -> None:
    """Tab reaches everything with a visible focus, and a refresh does not take the focus away."""
    page, fleet = visit(tester, BUSY)
    page.focus("#token")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    until(page, "document.body.dataset.access === 'operator'")
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = []
    for _ in range(24):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(FOCUS)
        assert outline != "none", f"no visible focus at {name}"
        reached.append(name)
        if name == "ends-region":
            break
    for name in [
        "forget",
        "pause live",
        "resume bulk",
        "workers-region",
        "retry resource",
        "purge resource",
        "SUMMARY",
        "ends-region",
    ]:
        assert name in reached, (name, reached)
    page.focus("button[data-act=pause][data-lane=live]")
    fleet.numbers["lanes"][0]["waiting"] = 77
    until(page, "document.getElementById('lanes').textContent.includes('77')")
    assert page.evaluate("document.activeElement.dataset.lane") == "live"
    page.keyboard.press("Enter")
    outcome(page, "Lane live is paused.")
    page.context.close()


def test_fits_a_phone(tester: Tester) -> None:
    """At 375 px, at 320 px and at 200 % zoom nothing is cut off, and only tables scroll sideways, in their regions."""
    for viewport in [PHONE, {"width": 320, "height": 640}, {"width": 640, "height": 450}]:
        page, _ = visit(tester, BUSY, viewport=viewport)
        give_token(page)
        page.click("#letters summary")
        wide, width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= width, (wide, width)
        for selector in ["#alarms", "#forget", "#scaling", "#letters", "#letters button", "#ends-region"]:
            box = page.locator(selector).first.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] > 0, (selector, box)
        cut = page.evaluate(CUT)
        assert not cut, cut
        page.context.close()


def test_is_accessible(tester: Tester) -> None:
    """axe-core finds no violation in either scheme (left out if it is not installed)."""
    try:
        import axe_playwright_python
    except ImportError:
        print("  left out: axe-playwright-python is not installed")
        return
    script = pathlib.Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
    for scheme in ["light", "dark"]:
        for numbers in [UNCLAIMED, BUSY]:
            page, _ = visit(tester, numbers, color_scheme=scheme)
            if numbers is BUSY:
                give_token(page)
                page.click("#letters summary")
            page.evaluate(script + "; undefined")
            found = page.evaluate(VIOLATIONS)
            assert not found, (scheme, found)
            page.context.close()


def screenshots(tester: Tester) -> None:
    """Makes the 20 pictures: two sizes, two schemes, five states."""
    tester.shots.mkdir(parents=True, exist_ok=True)
    states = {"empty": overview(), "no-worker": UNCLAIMED, "busy": BUSY, "operator": BUSY, "stale": BUSY}
    for size, viewport in [("desktop", DESKTOP), ("phone", PHONE)]:
        for scheme in ["light", "dark"]:
            for name, numbers in states.items():
                page, fleet = visit(tester, numbers, viewport=viewport, color_scheme=scheme)
                if name == "operator":
                    give_token(page)
                    page.click("#letters summary")
                if name == "stale":
                    fleet.away = True
                    until(page, "document.body.dataset.state === 'stale'")
                page.screenshot(path=tester.shots / f"admin-{size}-{scheme}-{name}.png", full_page=True)
                page.context.close()


if __name__ == "__main__":
    raise SystemExit(run(globals(), screenshots))
