"""Browser tests of the page, against a gateway (or the dev proxy) that serves it at `/`.

    page_test.py BASE_URL [--restart COMMAND] [--shots FOLDER] [--only NAME]

COMMAND kills the gateway with SIGKILL and starts it again; without it that test is left out. Speech comes from the
real fleet behind BASE_URL. Faults that cannot be asked of it (a full queue, no worker) are answered by the browser's
own request interception. With --shots the 24 screenshots are made, too.
"""

import argparse
import json
import pathlib
import subprocess
import threading
import traceback
from collections.abc import Callable

from playwright.sync_api import Browser, Page, Route, sync_playwright

FLAGS = ["--headless=new", "--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
LIMIT_MS = 60_000
SENTENCE = "The quick brown fox jumps over the lazy dog, and then it sleeps in the warm sun for a while. "
LONG = (SENTENCE * 8).strip()
TOO_LONG = (SENTENCE * 16).strip()
SHORT = "Hello there. This is a short test of the page."
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
QUEUE_FULL = {"type": "/problems/lane_full", "status": 429, "title": "Lane full", "code": "lane_full", "detail": "The lane live holds as many jobs as it may.", "request_id": "test"}
NO_WORKER = {
    "model": None,
    "lanes": [{"lane": lane, "waiting": waiting, "running": 0, "oldest_s": oldest, "wait_s": None, "paused": False} for lane, waiting, oldest in [("live", 1, 2.0), ("standard", 4, 95.0), ("bulk", 0, None)]],
    "workers": [],
    "closed": False,
}


class Tester:
    """One browser, and what every test needs."""

    def __init__(self, browser: Browser, base: str, restart: str | None, shots: pathlib.Path | None) -> None:
        self.browser, self.base, self.restart, self.shots = browser, base.rstrip("/") + "/", restart, shots
        self.errors: list[str] = []

    def open(self, **options) -> Page:
        options.setdefault("viewport", DESKTOP)
        page = self.browser.new_context(**options).new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        # The console names every refused request, too; violations of the policy are what matters.
        page.on("console", lambda line: self.errors.append(line.text) if "Content Security Policy" in line.text else None)
        return page

    def visit(self, **options) -> Page:
        page = self.open(**options)
        page.goto(self.base)
        until(page, "globalThis.csm !== undefined")
        return page


def until(page: Page, condition: str, limit_ms: int = LIMIT_MS) -> None:
    """Waits for a condition, looked at with every frame; the policy forbids Playwright's own way."""
    script = f"""(limit) => new Promise((met, missed) => {{
        const end = performance.now() + limit;
        const look = () => ({condition}) ? met() : performance.now() > end
            ? missed(new Error({json.dumps("never: " + condition)} + ", state " + document.body.dataset.state + ", " + document.getElementById("status").textContent)) : requestAnimationFrame(look);
        look();
    }})"""
    page.evaluate(script, limit_ms)


def state(page: Page, name: str) -> None:
    until(page, f"document.body.dataset.state === {json.dumps(name)}")


def record(page: Page) -> dict:
    return page.evaluate("fetch('v1/jobs/' + csm.session.id).then((answer) => answer.json())")


def write(page: Page, text: str) -> None:
    page.fill("#text", text)


LOUDNESS = "(() => { const a = csm.analyser; if (!a) return 0; const f = new Float32Array(a.fftSize); a.getFloatTimeDomainData(f); return Math.hypot(...f) / Math.sqrt(f.length); })()"


def test_speaks(tester: Tester) -> None:
    """Speech is heard: the analyser in the graph sees it, all samples come, the receipt is shown."""
    page = tester.visit()
    write(page, SHORT)
    page.click("#speak")
    until(page, f"{LOUDNESS} > 0.02")
    state(page, "done")
    assert page.evaluate("csm.player.length === csm.session.receipt.samples")
    until(page, "!csm.player.playing && csm.player.position === csm.player.length")
    facts = page.inner_text("#facts")
    for name in ["First sound", "Speed", "Watermark", "Seed"]:
        assert name in facts, facts
    assert page.locator("#recent-list li").count() == 1
    # Played again from its file, after a reload; the file holds the same number of samples.
    samples = page.evaluate("csm.player.length")
    page.reload()
    page.click("#recent-list button:has-text('Play')")
    until(page, f"{LOUDNESS} > 0.02")
    assert page.evaluate("csm.player.length") == samples
    page.context.close()


def test_is_gapless(tester: Tester) -> None:
    """What reaches the analyser is what came, sample for sample, through every joint of two blocks."""
    page = tester.visit()
    write(page, SHORT)
    page.click("#speak")
    # Collects windows of the graph's output, and finds each in the samples that came.
    page.evaluate("""() => new Promise((done) => {
        globalThis.windows = [];
        const look = () => {
            if (csm.analyser && csm.player.playing && !csm.player.buffering) {
                const window_ = new Float32Array(csm.analyser.fftSize);
                csm.analyser.getFloatTimeDomainData(window_);
                windows.push(window_);
            }
            if (document.body.dataset.state === "done" && !csm.player.playing) done();
            else requestAnimationFrame(look);
        };
        look();
    })""")
    checked, breaks, underruns = page.evaluate("""() => {
        const all = csm.player.samples;
        let checked = 0, breaks = 0, fitted = true;
        const starts = new Map();
        const word = (value) => Math.round(value * 32768);
        const key_at = (list, i) => `${word(list[i])},${word(list[i + 1])},${word(list[i + 2])}`;
        for (let i = 0; i + 2 < all.length; i += 1) {
            const key = key_at(all, i);
            if (!starts.has(key)) starts.set(key, []);
            starts.get(key).push(i);
        }
        for (const got of windows) {
            if (word(got[0]) === 0) continue;
            const places = starts.get(key_at(got, 0)) ?? [];
            const fits = places.some((at) => got.every((value, i) => word(value) === word(all[at + i] ?? 0)));
            checked += 1;
            if (!fits && fitted) breaks += 1;
            fitted = fits;
        }
        return [checked, breaks, csm.player.underruns];
    }""")
    # A busy machine may run dry; nothing else may break the sound.
    assert checked > 20 and breaks <= underruns, (checked, breaks, underruns)
    page.context.close()


def test_cancels(tester: Tester) -> None:
    """Cancel stops the sound at once, and the job becomes cancelled."""
    page = tester.visit()
    write(page, LONG)
    page.click("#speak")
    until(page, "csm.player.length > 0")
    page.click("#cancel")
    assert page.evaluate("csm.player.playing") is False
    state(page, "cancelled")
    until(page, f"{LOUDNESS} === 0")
    found = record(page)
    assert found["status"] == "cancelled", found
    page.context.close()


def test_survives_restart(tester: Tester) -> None:
    """A gateway killed in mid-stream costs no sample and doubles none."""
    if not tester.restart:
        print("  left out: no --restart")
        return
    page = tester.visit()
    write(page, LONG)
    page.fill("#seed", "7")
    page.click("#speak")
    until(page, "csm.player.length > 0")
    before = page.evaluate("csm.player.length")
    running = threading.Thread(target=subprocess.run, args=(tester.restart,), kwargs={"shell": True, "check": True})
    running.start()
    until(page, "!csm.session.linked || document.body.dataset.state === 'done'")
    assert page.evaluate("csm.session.linked") is False, "the job was done before the gateway was killed"
    assert "Connection lost" in page.inner_text("#status")
    at_loss = page.evaluate("csm.player.length")
    state(page, "done")
    running.join()
    samples, expected = page.evaluate("[csm.player.length, csm.session.receipt.samples]")
    assert samples == expected > at_loss >= before, (samples, expected, at_loss, before)
    # The samples are those of an undisturbed run with the same seed.
    survived = page.evaluate(DIGEST)
    page.click("#speak")
    until(page, "csm.session.state === 'done'")
    assert page.evaluate(DIGEST) == survived
    page.context.close()
    print(f"  {at_loss} samples before the loss, {samples} at the end, as in the receipt")


DIGEST = "(() => { let h = 0; for (const s of csm.player.samples) h = (Math.imul(h, 31) + Math.round(s * 32768)) | 0; return `${csm.player.length}:${h}`; })()"


def test_plays_a_long_text_as_a_file(tester: Tester) -> None:
    """A text that is refused for live delivery is asked for as a file, and says so."""
    page = tester.visit()
    write(page, TOO_LONG)
    page.click("#speak")
    until(page, "csm.session.stored")
    state(page, "done")
    assert page.evaluate("csm.player.length === csm.session.receipt.samples")
    until(page, f"{LOUDNESS} > 0.02")
    # The mark follows the receipt's sentences.
    page.evaluate("csm.player.seek(24000 * (csm.session.receipt.sentences[3].start_ms / 1000 + 1))")
    until(page, "document.querySelector('.sentence[aria-current]') !== null")
    marked = page.inner_text(".sentence[aria-current]").strip()
    assert marked and marked in page.evaluate("csm.session.receipt.sentences[3].text"), marked
    page.keyboard.press("Escape")
    until(page, "!csm.player.playing")
    page.context.close()


def test_names_the_wrong_field(tester: Tester) -> None:
    """Bad input is shown at its field, in the gateway's words, and is gone when it is corrected."""
    page = tester.visit()
    page.fill("#temperature", "9")
    page.click("#speak")
    state(page, "error")
    assert "0 (greedy) to 2" in page.inner_text("#temperature-error")
    assert page.evaluate("document.activeElement.id") == "temperature"
    assert page.get_attribute("#temperature", "aria-invalid") == "true"
    page.fill("#temperature", "0.9")
    assert page.is_hidden("#temperature-error")
    page.fill("#seed", "dog")
    page.click("#speak")
    until(page, "!document.getElementById('seed-error').hidden")
    page.fill("#seed", "18446744073709551615")
    write(page, SHORT)
    page.click("#speak")
    state(page, "done")
    digits = page.evaluate("fetch('v1/jobs/' + csm.session.id).then((answer) => answer.text())")
    assert '"seed":18446744073709551615' in digits, "the seed lost digits"
    page.context.close()


def test_works_by_keyboard(tester: Tester) -> None:
    """Tab reaches everything with a visible focus; keys speak, seek, pause and cancel."""
    page = tester.visit()
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        name, outline = page.evaluate("[document.activeElement.id || document.activeElement.className, getComputedStyle(document.activeElement).outlineStyle]")
        assert outline != "none", f"no visible focus at {name}"
        reached.append(name)
        if name == "wave":
            break
    for name in ["skip", "text", "voice", "temperature", "topk", "seed", "speak", "cancel", "play", "wave"]:
        assert name in reached, (name, reached)
    page.focus("#text")
    page.keyboard.press("Control+A")
    page.keyboard.type(SHORT)
    page.keyboard.press("Control+Enter")
    state(page, "done")
    page.focus("#wave")
    page.keyboard.press("Home")
    page.keyboard.press("End")
    until(page, "!csm.player.playing")
    page.focus("#play")
    page.keyboard.press("Enter")
    until(page, "csm.player.playing")
    page.keyboard.press("Space")
    until(page, "!csm.player.playing && csm.player.position < csm.player.length")
    page.focus("#text")
    page.keyboard.press("Control+A")
    page.keyboard.type(LONG)
    page.keyboard.press("Control+Enter")
    until(page, "csm.session.state === 'speaking'")
    page.keyboard.press("Escape")
    state(page, "cancelled")
    page.context.close()


def test_is_usable_at_200_percent(tester: Tester) -> None:
    """At 200 % zoom of 1280 px, and at 320 px, nothing is cut off and nothing needs sideways scrolling."""
    for viewport, ratio in [({"width": 640, "height": 450}, 2), ({"width": 320, "height": 640}, 1)]:
        page = tester.visit(viewport=viewport, device_scale_factor=ratio)
        write(page, SHORT)
        page.click("#speak")
        state(page, "done")
        until(page, "!csm.player.playing")
        wide, width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= width, (wide, width)
        for selector in ["#text", "#voice", "#temperature", "#seed", "#speak", "#cancel", "#play", "#wave", "#downloads", "#lanes", "#recent-list"]:
            if page.is_hidden(selector):
                continue
            box = page.locator(selector).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] > 0, (selector, box)
        cut = page.evaluate("[...document.querySelectorAll('button, a.button, th, td, dd')].filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth).map((e) => e.id || e.textContent)")
        assert not cut, cut
        page.context.close()


def full(route: Route) -> None:
    if route.request.method != "POST":
        return route.fallback()
    route.fulfill(status=429, headers={"retry-after": "30", "content-type": "application/problem+json"}, body=json.dumps(QUEUE_FULL))


def test_says_when_the_queue_is_full(tester: Tester) -> None:
    page = tester.open()
    page.route("**/v1/jobs", full)
    page.goto(tester.base)
    page.click("#speak")
    state(page, "full")
    assert "full" in page.inner_text("#status")
    assert "Try again in" in page.inner_text("#notice-more")
    page.unroute("**/v1/jobs")
    page.click("#speak")
    state(page, "done")
    assert page.is_hidden("#notice")
    page.context.close()


def without_worker(tester: Tester, page: Page, fleet: dict = NO_WORKER, queue: dict | None = None) -> None:
    """Has the browser answer for a fleet without free workers: the job is accepted and stays queued."""
    job = "01a2288a-89d6-7742-86ae-3d975ab868ef"
    accepted = {"id": job, "lane": "live", "seed": 8, "status": "queued", "queue": queue or {"ahead": 0}, "links": {}}
    queued = {**accepted, "attempt": 0}
    page.route("**/v1/fleet", lambda route: route.fulfill(json=fleet))
    page.route("**/v1/jobs", lambda route: route.fulfill(status=202, json=accepted))
    page.route(f"**/v1/jobs/{job}", lambda route: route.fulfill(json={"id": job, "status": "cancelled"} if route.request.method == "DELETE" else queued))
    page.route("**/v1/jobs/*/events", lambda route: None)  # never answered: the stream of a job that waits is silent


def test_says_that_no_worker_runs(tester: Tester) -> None:
    page = tester.open()
    without_worker(tester, page)
    page.goto(tester.base)
    page.click("#speak")
    state(page, "no-worker")
    assert "No worker is running. The job waits and is kept." in page.inner_text("#status")
    page.click("#cancel")
    state(page, "cancelled")
    page.context.close()


def test_converts_on_download(tester: Tester) -> None:
    """WAV is the job's file; another format comes from a new job, and holds the same speech."""
    page = tester.visit()
    write(page, SHORT)
    page.click("#speak")
    state(page, "done")
    with page.expect_download() as wav:
        page.click("#downloads a")
    with page.expect_download() as pcm:
        page.click("#downloads button:has-text('PCM')")
    samples = page.evaluate("csm.player.length")
    assert wav.value.suggested_filename.endswith(".wav") and pcm.value.suggested_filename.endswith(".pcm")
    spoken, raw = pathlib.Path(wav.value.path()).read_bytes(), pathlib.Path(pcm.value.path()).read_bytes()
    assert len(raw) == 2 * samples
    assert raw in spoken, "the PCM file holds other speech than the WAV file"
    page.context.close()


def test_keeps_recent_jobs(tester: Tester) -> None:
    """The list survives a reload; its buttons put a request back and remove it."""
    page = tester.visit()
    write(page, SHORT)
    page.fill("#seed", "11")
    page.click("#speak")
    state(page, "done")
    page.reload()
    page.fill("#text", "Something else.")
    page.click("#recent-list button:has-text('Reuse')")
    assert page.input_value("#text") == SHORT and page.input_value("#seed") == "11"
    page.click("#recent-list button:has-text('Remove')")
    assert page.locator("#recent-list li").count() == 0
    assert page.is_visible("#recent-none")
    page.context.close()


def test_follows_an_open_job_after_a_reload(tester: Tester) -> None:
    """A job that is open when the page is left goes on, and can be followed from its start."""
    page = tester.visit()
    write(page, LONG)
    page.click("#speak")
    until(page, "csm.player.length > 0")
    page.reload()
    page.click("#recent-list button:has-text('Follow')")
    state(page, "done")
    assert page.evaluate("csm.player.length === csm.session.receipt.samples")
    until(page, f"{LOUDNESS} > 0.02")
    page.context.close()


def test_starts_over_while_speaking(tester: Tester) -> None:
    """Speak pressed again cancels the open job and speaks the new text, with none of the old samples."""
    page = tester.visit()
    write(page, LONG)
    page.click("#speak")
    until(page, "csm.player.length > 0")
    old = page.evaluate("csm.session.id")
    write(page, SHORT)
    page.click("#speak")
    state(page, "done")
    assert page.evaluate("csm.player.length === csm.session.receipt.samples && csm.player.length < 24000 * 15")
    ended = page.evaluate("(id) => fetch(`v1/jobs/${id}?wait=10`).then((answer) => answer.json())", old)
    assert ended["status"] == "cancelled", ended
    page.context.close()


def test_recovers_from_an_underrun(tester: Tester) -> None:
    """A sound that runs dry waits for more, and goes on where it was."""
    page = tester.visit()
    page.click("#text")
    heard = page.evaluate("""async () => {
        const { Player } = await import(new URL("player.js", document.baseURI));
        const player = new Player();
        const met = (check) => new Promise((done) => { const look = () => check() ? done() : requestAnimationFrame(look); look(); });
        player.open();
        player.append(new Float32Array(6000).fill(0.1));
        await met(() => player.position > 0);
        await met(() => player.buffering);
        const dry = player.position;
        player.append(new Float32Array(2400).fill(0.2));
        const early = player.buffering;
        player.append(new Float32Array(24000).fill(0.2));
        const on = !player.buffering;
        player.finish();
        await met(() => !player.playing);
        return [dry, early, on, player.position];
    }""")
    assert heard == [6000, True, True, 32400], heard
    page.context.close()


def test_says_what_the_fleet_is(tester: Tester) -> None:
    """Toy and noise are named loudly, a lost connection is told and passes, the place in the queue is shown."""
    page = tester.open()
    known = {**NO_WORKER, "model": {"name": "m", "kind": "noise"}, "workers": [{"id": "a", "host": "h", "model": "m", "slots": 5, "running": 5, "draining": True, "frames_per_second": 80.0}]}
    without_worker(tester, page, fleet=known, queue={"ahead": 3, "wait_s": 4.2})
    page.goto(tester.base)
    until(page, "document.getElementById('kind-banner').textContent.includes('this hisses')")
    assert "draining" in page.inner_text("#workers") and "6.4× real time" in page.inner_text("#workers")
    page.click("#speak")
    until(page, "document.getElementById('status').textContent === 'Waiting. 3 jobs ahead, about 4 s.'")
    page.route("**/v1/fleet", lambda route: route.abort())
    until(page, "!document.getElementById('link-banner').hidden")
    known["model"]["kind"] = "toy"
    page.route("**/v1/fleet", lambda route: route.fulfill(json=known))
    until(page, "document.getElementById('link-banner').hidden")
    until(page, "document.getElementById('kind-banner').textContent.includes('not CSM-1B')")
    page.context.close()


def test_is_accessible(tester: Tester) -> None:
    """axe-core finds no violation in either scheme, idle and done (left out if it is not installed)."""
    try:
        import axe_playwright_python
    except ImportError:
        print("  left out: axe-playwright-python is not installed")
        return
    script = pathlib.Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
    for scheme in ["light", "dark"]:
        page = tester.visit(color_scheme=scheme)
        for moment in ["idle", "done"]:
            if moment == "done":
                write(page, SHORT)
                page.click("#speak")
                state(page, "done")
                page.click("#command summary")
            page.evaluate(script + "; undefined")
            found = page.evaluate("axe.run().then((result) => result.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.target + ' ' + n.failureSummary).join(' | ')))")
            assert not found, (scheme, moment, found)
        page.context.close()


def settled(page: Page, name: str) -> None:
    """Brings a page into a state for its screenshot."""
    if name == "idle":
        until(page, "!document.getElementById('lanes').hidden || document.getElementById('fleet-none').textContent !== ''")
        return
    if name == "error":
        page.fill("#temperature", "9")
    if name == "speaking":
        write(page, LONG)
    elif name == "done":
        write(page, SENTENCE * 2)
    page.click("#speak")
    if name == "speaking":
        until(page, "csm.session.state === 'speaking' && csm.player.position > 12000 && document.querySelector('.sentence[aria-current]') !== null")
        return
    state(page, {"queue-full": "full"}.get(name, name))
    if name == "done":
        until(page, "csm.player.position > 60000")
        page.click("#play")


def screenshots(tester: Tester) -> None:
    """Makes the 24 pictures: two sizes, two schemes, six states."""
    tester.shots.mkdir(parents=True, exist_ok=True)
    for size, viewport in [("desktop", DESKTOP), ("phone", PHONE)]:
        for scheme in ["light", "dark"]:
            for name in ["idle", "speaking", "done", "error", "queue-full", "no-worker"]:
                page = tester.open(viewport=viewport, color_scheme=scheme, device_scale_factor=1)
                if name == "queue-full":
                    page.route("**/v1/jobs", full)
                if name == "no-worker":
                    without_worker(tester, page)
                page.goto(tester.base)
                until(page, "globalThis.csm !== undefined")
                settled(page, name)
                page.screenshot(path=tester.shots / f"{size}-{scheme}-{name}.png", full_page=True)
                page.context.close()


def run(tests: dict[str, Callable], screenshots: Callable) -> int:
    """Runs the tests that the command line selects, and makes the screenshots if it names a folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("--restart")
    parser.add_argument("--shots", type=pathlib.Path)
    parser.add_argument("--only")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    tests = {name: test for name, test in tests.items() if name.startswith("test_")}
    if options.only is not None:
        tests = {name: test for name, test in tests.items() if options.only in name}
    failed = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=FLAGS)
        tester = Tester(browser, options.base, options.restart, options.shots)
        if options.shots:
            tests["screenshots"] = screenshots
        for name, test in tests.items():
            tester.errors.clear()
            try:
                test(tester)
                assert not tester.errors, tester.errors
                print(f"ok      {name}", flush=True)
            except Exception:
                failed += 1
                print(f"FAILED  {name}\n{traceback.format_exc(limit=-3)}", flush=True)
                for context in browser.contexts:
                    context.close()
        browser.close()
    print(f"{len(tests) - failed} of {len(tests)} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(run(globals(), screenshots))
