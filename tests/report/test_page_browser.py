"""The listening page in a real browser: playback in sync, from the disk, on desktop and phone."""

import json
import shutil
import time

import pytest
import soundfile as sf
from page_song import NAMES, SECONDS, score, transcription, write_song

from asteroid_scoresup.report import page as page_module
from asteroid_scoresup.report.page import write_page

pytest.importorskip("matplotlib")
webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
CHROMEDRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and CHROMEDRIVER), reason="no Chromium with chromedriver on this machine"
    ),
]
#: Largest difference between players that are in sync, in seconds.
TOGETHER = 0.06
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1280,900",
)


class Page:
    """Drives the page."""

    def __init__(self, driver, url):
        self.driver, self.url = driver, url
        self.script = driver.execute_script

    def load(self, width=1280, height=900, mobile=False, dark=False):
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(self.url)
        self.until(lambda: self.script("return document.querySelectorAll('.lane img').length") == 4)
        self.until(lambda: min(self.audio("readyState")) >= 3)

    def until(self, condition, seconds=8):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the page does not get there"
            time.sleep(0.03)

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def audio(self, field):
        return self.script(
            "return [...document.querySelectorAll('audio')].map((a) => a[arguments[0]])", field
        )

    def times(self):
        return self.audio("currentTime")

    def audible(self):
        return [i for i, muted in enumerate(self.audio("muted")) if not muted]

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def together(self):
        times = self.times()
        return max(times) - min(times) <= TOGETHER

    def at(self, seconds):
        return all(abs(time - seconds) < 0.05 for time in self.times())

    def pressed(self, selector):
        return self.find(selector).get_attribute("aria-pressed") == "true"

    def severe(self):
        return [line["message"] for line in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("song")
    index = write_page(
        folder / "page",
        "A song of tones",
        *write_song(folder),
        transcription=transcription(),
        score=score(),
        numbers=[("SI-SDR (dB)", {"bass": 12.3, "guitar": 4.5, "piano": 6.7})],
    )
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=CHROMEDRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(10)
    yield Page(driver, index.as_uri())
    driver.quit()


@pytest.fixture
def page(opened):
    opened.load()
    yield opened
    assert opened.severe() == []


def test_it_loads_from_the_disk_without_network_requests(page):
    page.until(
        lambda: page.script(
            "return [...document.querySelectorAll('.lane img')]"
            ".every((i) => i.complete && i.naturalWidth === arguments[0])",
            int(SECONDS * 50),
        )
    )
    messages = [json.loads(m["message"])["message"] for m in page.driver.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls = {params["request"]["url"] for params in sent if "request" in params}
    assert any(url.endswith("04-piano.flac") for url in urls)
    assert not {url.split(":")[0] for url in urls} & {"http", "https", "ws", "wss"}
    heads = [node.text for node in page.all(".track h2")]
    assert heads == ["mixture", *NAMES]


def test_a_stem_that_ends_early_or_is_missing_does_not_stop_the_others(opened, tmp_path):
    mixture, stems = write_song(tmp_path)
    sound, rate = sf.read(stems["bass"])
    sf.write(stems["bass"], sound[:rate], rate)
    index = write_page(tmp_path / "page", "Broken", mixture, stems)
    (index.parent / "audio/03-guitar.flac").unlink()
    opened.driver.get(index.as_uri())
    opened.until(lambda: opened.find("#notice").is_displayed())
    assert opened.find("#notice").text == "This browser cannot play audio/03-guitar.flac."
    opened.press("2", " ")  # the short one plays alone
    opened.until(lambda: opened.times()[0] > 1.3)
    opened.press("3")
    now = opened.times()
    opened.until(lambda: opened.times()[3] > now[3] + 0.2)
    opened.press(Keys.HOME)
    opened.until(lambda: 0.2 < opened.times()[1] < 1 and opened.times()[3] > 0.2)
    opened.press(" ")
    assert all(opened.audio("paused"))
    opened.severe()  # the browser's own word on the missing file


def test_all_tracks_play_together(page):
    page.find("#play").click()
    page.until(lambda: min(page.times()) > 0.3)
    page.until(page.together, seconds=2)
    before = page.times()
    for _ in range(5):
        time.sleep(0.1)
        assert page.together(), page.times()
    assert all(now > then + 0.3 for now, then in zip(page.times(), before))
    assert page.find("#play").text == "Pause"

    # A track that falls behind catches up.
    behind = "const [first, , late] = document.querySelectorAll('audio'); late.currentTime -= 0.4;"
    assert page.script(behind + "return first.currentTime - late.currentTime") > 0.3
    page.until(page.together, seconds=3)
    page.find("#play").click()
    assert all(page.audio("paused"))


def test_it_stops_at_the_end_and_starts_again_from_the_beginning(page):
    page.press("1", " ")
    page.until(lambda: min(page.times()) > 0)
    for _ in range(2):
        page.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.find("#play").text == "Play")
    assert page.find("#clock").text == "00:05 / 00:05" and all(page.audio("paused"))
    page.press(" ")
    page.until(lambda: 0 < min(page.times()) < 2)
    page.press(" ")


def test_solo_mute_and_volume_control_the_audio(page):
    assert page.audible() == [0] and not page.pressed("#all-stems")
    solo = page.all(".solo")
    mute = page.all(".mute")
    solo[2].click()
    assert page.audible() == [2]
    assert [button.get_attribute("aria-pressed") for button in solo] == [
        *("false", "false", "true", "false")
    ]
    mute[3].click()
    assert page.audible() == [2, 3]
    assert mute[3].get_attribute("aria-pressed") == "false"
    assert mute[0].get_attribute("aria-pressed") == "true"
    solo[1].click()
    assert page.audible() == [1]
    solo[1].click()  # once more: as it was before
    assert page.audible() == [2, 3]
    page.find("#all-stems").click()
    assert page.audible() == [1, 2, 3] and page.pressed("#all-stems")
    page.press("1")
    assert page.audible() == [0]
    page.press("4")
    assert page.audible() == [3]
    page.press("0")
    assert page.audible() == [1, 2, 3]
    ActionChains(page.driver).key_down(Keys.SHIFT).send_keys("2").key_up(Keys.SHIFT).perform()
    assert page.audible() == [2, 3]

    volume = page.all(".volume")[2]
    volume.send_keys(Keys.HOME)
    assert page.audio("volume") == [1, 1, 0, 1] and page.at(0)
    volume.send_keys(Keys.ARROW_RIGHT)
    assert 0 < page.audio("volume")[2] < 0.1 and page.at(0)


def test_space_plays_unless_a_button_has_the_focus(page):
    page.all(".solo")[1].click()
    page.press(" ")
    page.until(lambda: not any(page.audio("paused")))
    assert page.audible() == [1]
    page.press(" ")
    assert all(page.audio("paused"))
    page.script("document.querySelectorAll('.solo')[3].focus()")
    page.press(" ")
    assert page.audible() == [3] and all(page.audio("paused"))


def test_clicks_and_keys_move_all_tracks(page):
    lane = page.all(".lane")[2]
    width = lane.size["width"]
    scale = width / SECONDS
    for fraction in (0.25, -0.125):
        x = round(fraction * width)
        ActionChains(page.driver).move_to_element_with_offset(lane, x, 10).click().perform()
        page.until(lambda x=x: page.at((width / 2 + x) / scale))
    left = page.script("return document.getElementById('playhead').getBoundingClientRect().left")
    assert left == pytest.approx(lane.rect["x"] + width * 0.375, abs=3)
    page.press(Keys.ARROW_LEFT)
    page.until(lambda: page.at(0))
    page.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.at(SECONDS))
    page.press(Keys.HOME)
    page.until(lambda: page.at(0))
    slider = page.find("#position")
    ActionChains(page.driver).move_to_element(slider).click().perform()
    page.until(lambda: page.at(SECONDS / 2))
    assert slider.get_attribute("aria-valuetext") == "00:02 of 00:05"

    # The same during playback.
    page.press(" ")
    page.until(lambda: min(page.times()) > SECONDS / 2)
    ActionChains(page.driver).move_to_element_with_offset(lane, -width // 4, 10).click().perform()
    page.until(lambda: 1.2 < min(page.times()) < 2.2 and not any(page.audio("paused")))
    page.until(page.together, seconds=2)


def test_notes_and_true_score_are_drawn_in_place_and_can_be_hidden(page):
    def drawn(kind):
        """Number of notes in each path of each track."""
        count = "return [...arguments[0].querySelectorAll(arguments[1])].map((path) => "
        count += "path.checkVisibility() ? path.getAttribute('d').split('M').length - 1 : 0)"
        return [page.script(count, track, f"path.{kind}") for track in page.all(".track")]

    # The mixture shows the notes of all stems, each stem its own.
    assert drawn("transcription") == [[4, 4, 3], [4], [4], [3]]
    assert drawn("score") == [[4, 4, 4], [4], [4], [4]]
    highest, lowest = 118, 21
    for kind, table, margin in (("transcription", transcription(), 0.15), ("score", score(), 0.7)):
        for index, lane in enumerate(page.all(".lane")[1:]):
            box = page.script(
                "return arguments[0].querySelector(arguments[1]).getBoundingClientRect()",
                lane,
                f"path.{kind}",
            )
            notes = table.select(table.class_index == index)
            second = lane.rect["width"] / SECONDS
            semitone = lane.rect["height"] / (highest - lowest + 1)
            left, right = notes.onset.min() * second, notes.offset.max() * second
            top = (highest - notes.pitch.max() - margin) * semitone
            bottom = (highest - notes.pitch.min() + 1 + margin) * semitone
            assert box["x"] - lane.rect["x"] == pytest.approx(left, abs=1)
            assert box["width"] == pytest.approx(right - left, abs=2)
            assert box["y"] - lane.rect["y"] == pytest.approx(top, abs=1.5)
            assert box["height"] == pytest.approx(bottom - top, abs=2)

    page.find("#show-transcription").click()
    assert drawn("transcription") == [[0, 0, 0], [0], [0], [0]] and drawn("score")[1] == [4]
    page.find("#show-score").click()
    assert drawn("score") == [[0, 0, 0], [0], [0], [0]]
    page.find("#show-transcription").click()
    assert drawn("transcription")[1:] == [[4], [4], [3]]


def test_a_page_without_a_transcription_has_no_checkbox_for_it(opened, tmp_path):
    index = write_page(tmp_path / "page", "No notes", *write_song(tmp_path), score=score())
    opened.driver.get(index.as_uri())
    assert not opened.find("#show-transcription").is_displayed()
    assert opened.find("#show-score").is_displayed()
    assert opened.severe() == []


def test_zoom_keeps_the_playhead_in_view_and_playing_scrolls(page):
    def left():
        return page.script("return arguments[0].scrollLeft", page.find("#scroller"))

    def playhead():
        lane = page.find("#scroller").rect
        return (page.find("#playhead").rect["x"] - lane["x"]) / lane["width"]

    width = page.find(".lane").size["width"]
    assert page.find("#ruler").text.split() == [f"00:0{i}" for i in range(5)]
    ActionChains(page.driver).move_to_element(page.find(".lane")).click().perform()
    page.until(lambda: page.at(SECONDS / 2))
    before = playhead()
    page.find("#zoom").send_keys(Keys.END)
    assert page.find(".lane").size["width"] == pytest.approx(400 * SECONDS, abs=1) and left() > 0
    assert playhead() == pytest.approx(before, abs=0.01)
    page.find("#zoom").send_keys(Keys.HOME)
    assert page.find(".lane").size["width"] == width and left() == 0

    page.find("#zoom").send_keys(Keys.END)
    page.script("arguments[0].scrollLeft = 0", page.find("#scroller"))
    page.find("#position").send_keys(Keys.HOME)
    page.until(lambda: page.at(0))
    page.find("#play").click()
    page.until(lambda: left() > 500)
    assert 0 < playhead() < 1
    page.find("#play").click()


def test_only_tiles_near_the_view_are_loaded(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "TILE_SECONDS", 1)
    index = write_page(tmp_path / "page", "Tiles", *write_song(tmp_path))
    opened.driver.get(index.as_uri())
    loaded = "return [...arguments[0].querySelectorAll('img')].map((i) => i.naturalWidth > 0)"
    lane = opened.all(".lane")[2]
    opened.until(lambda: opened.script(loaded, lane) == [True] * 5)
    opened.find("#zoom").send_keys(Keys.END)
    opened.until(lambda: opened.script(loaded, lane) == [True] * 4 + [False])
    opened.script("document.getElementById('scroller').scrollLeft = 1e6")
    opened.until(lambda: opened.script(loaded, lane) == [False] + [True] * 4)
    assert opened.severe() == []


def test_each_track_can_be_downloaded(page):
    links = page.all(".download")
    names = ["01-mixture", "02-bass", "03-guitar", "04-piano"]
    assert [link.get_attribute("href").split("/page/")[1] for link in links] == [
        f"audio/{name}.flac" for name in names
    ]
    assert links[1].get_attribute("aria-label") == "Download bass"


def test_every_control_has_a_unique_name(page):
    controls = page.all("button, input, a, .lane, [role=region], section, summary")
    names = [control.accessible_name for control in controls]
    assert all(names) and len(set(names)) == len(names), names
    assert {"Play", "Position", "Zoom", "Solo piano", "Mute piano", "Volume of piano"} < {*names}


@pytest.mark.parametrize("width, dark", [(390, False), (390, True), (360, False), (1280, True)])
def test_it_fits_the_screen_in_both_schemes(opened, width, dark):
    opened.load(width, 844, mobile=width < 600, dark=dark)
    assert opened.script("return document.documentElement.scrollWidth") <= width
    paper = opened.find("#transport").value_of_css_property("background-color")
    red = int(paper.split("(")[1].split(",")[0])
    assert red < 60 if dark else red > 200
    # All controls are within the screen, and large enough to touch.
    for button in opened.all("button"):
        assert button.rect["x"] >= 0 and button.rect["x"] + button.rect["width"] <= width
        assert button.rect["height"] >= (36 if width < 600 else 30)
    opened.all(".lane")[1].click()
    opened.until(lambda: opened.times()[0] > 1)
    assert opened.severe() == []
