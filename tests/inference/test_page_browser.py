"""The listening page in a real browser: it plays, together, from the disk, on desk and phone."""

import json
import shutil
import time

import pytest
import soundfile as sf
from page_song import NAMES, SECONDS, score, transcription, write_song

from asteroid_scoresup.inference.page import write_page

pytest.importorskip("matplotlib")
webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
CHROMEDRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="no Chromium with chromedriver on this machine"
)
#: Elements that play together are at most so far apart, in seconds.
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
    """The page as the tests use it."""

    def __init__(self, driver, url):
        self.driver, self.url = driver, url
        self.script = driver.execute_script

    def load(self, width=1280, height=900, mobile=False, dark=False):
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(self.url)
        self.until(lambda: self.script("return document.querySelectorAll('.tile').length") == 4)
        self.until(lambda: min(self.audio("readyState")) >= 3)

    def until(self, condition, seconds=8):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the page does not get there"
            time.sleep(0.03)

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def audio(self, field):
        return self.script(
            "return [...document.querySelectorAll('audio')].map((a) => a[arguments[0]])", field
        )

    def times(self):
        return self.audio("currentTime")

    def heard(self):
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
        notes=transcription(),
        truth=score(),
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


def test_it_loads_from_the_disk_and_asks_the_network_for_nothing(page):
    page.until(
        lambda: page.script(
            "return [...document.querySelectorAll('.tile img')].slice(0, 2)"
            ".every((i) => i.complete && i.naturalWidth === arguments[0])",
            int(SECONDS * 50),
        )
    )
    messages = [json.loads(m["message"])["message"] for m in page.driver.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls = {params["request"]["url"] for params in sent if "request" in params}
    assert any(url.endswith("04-piano.flac") for url in urls)
    assert not {url.split(":")[0] for url in urls} & {"http", "https", "ws", "wss"}
    heads = [node.text for node in page.driver.find_elements("css selector", ".track h2")]
    assert heads == [f"{i}\n{name}" for i, name in enumerate(("mixture", *NAMES), start=1)]


def test_a_stem_that_ends_early_or_is_missing_does_not_hold_up_the_others(opened, tmp_path):
    mixture, stems = write_song(tmp_path)
    sound, rate = sf.read(stems["bass"])
    sf.write(stems["bass"], sound[:rate], rate)
    index = write_page(tmp_path / "page", "Broken", mixture, stems)
    (index.parent / "audio/03-guitar.flac").unlink()
    opened.driver.get(index.as_uri())
    opened.until(lambda: opened.find("#notice").is_displayed())
    assert opened.find("#notice").text == "This browser cannot play audio/03-guitar.flac."
    opened.press("2", " ")  # the short one is heard alone
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
    assert page.find("#play").get_attribute("aria-label") == "Pause"

    # One that falls behind is fetched.
    page.script("document.querySelectorAll('audio')[2].currentTime -= 0.4")
    assert not page.together()
    page.until(page.together, seconds=3)
    page.find("#play").click()
    assert all(page.audio("paused"))


def test_it_stops_at_the_end_and_starts_again_from_the_beginning(page):
    page.press("1", " ")
    page.until(lambda: min(page.times()) > 0)
    for _ in range(2):
        page.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.find("#play").get_attribute("aria-label") == "Play")
    assert page.find("#clock").text.startswith("0:05.0") and all(page.audio("paused"))
    page.press(" ")
    page.until(lambda: 0 < min(page.times()) < 2)
    page.press(" ")


def test_solo_mute_and_volume_are_what_is_heard(page):
    assert page.heard() == [0] and page.pressed("#hear-mixture")
    solo = page.driver.find_elements("css selector", ".solo")
    mute = page.driver.find_elements("css selector", ".mute")
    solo[2].click()
    assert page.heard() == [2]
    assert [button.get_attribute("aria-pressed") for button in solo] == [
        *("false", "false", "true", "false")
    ]
    mute[3].click()
    assert page.heard() == [2, 3]
    assert mute[3].get_attribute("aria-pressed") == "false"
    assert mute[0].get_attribute("aria-pressed") == "true"
    solo[1].click()
    assert page.heard() == [1]
    solo[1].click()  # once more: as it was before
    assert page.heard() == [2, 3]
    page.find("#hear-stems").click()
    assert page.heard() == [1, 2, 3] and page.pressed("#hear-stems")
    page.press("1")
    assert page.heard() == [0]
    page.press("4")
    assert page.heard() == [3]
    page.press("0")
    assert page.heard() == [1, 2, 3]
    ActionChains(page.driver).key_down("m").send_keys("2").key_up("m").perform()
    assert page.heard() == [2, 3]

    volume = page.driver.find_elements("css selector", ".volume")[2]
    volume.send_keys(Keys.HOME)
    assert page.audio("volume") == [1, 1, 0, 1] and page.at(0)
    volume.send_keys(Keys.ARROW_RIGHT)
    assert 0 < page.audio("volume")[2] < 0.1 and page.at(0)


def test_space_is_for_playing_unless_a_button_has_the_keyboard(page):
    page.driver.find_elements("css selector", ".solo")[1].click()
    page.press(" ")
    page.until(lambda: not any(page.audio("paused")))
    assert page.heard() == [1]
    page.press(" ")
    assert all(page.audio("paused"))
    page.script("document.querySelectorAll('.solo')[3].focus()")
    page.press(" ")
    assert page.heard() == [3] and all(page.audio("paused"))


def test_clicks_and_keys_move_all_tracks(page):
    lane = page.driver.find_elements("css selector", ".lane")[2]
    width = lane.size["width"]
    scale = width / SECONDS
    for share in (0.25, -0.125):
        x = round(share * width)
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
    assert slider.get_attribute("aria-valuetext") == "0:02 of 0:05"

    # Also while they play.
    page.press(" ")
    page.until(lambda: min(page.times()) > SECONDS / 2)
    ActionChains(page.driver).move_to_element_with_offset(lane, -width // 4, 10).click().perform()
    page.until(lambda: 1.2 < min(page.times()) < 2.2 and not any(page.audio("paused")))
    page.until(page.together, seconds=2)


def sources(page):
    return page.script(
        "return [...document.querySelectorAll('.tile img')]"
        ".map((i) => i.getAttribute('src').split('/').pop())"
    )


def test_masks_and_notes_can_be_shown_and_hidden(page):
    spectrogram, mask = "spectrogram-000.png", "mask-000.png"
    assert sources(page) == [spectrogram] * 4
    page.find("#show-masks").click()
    assert sources(page) == [spectrogram, mask, mask, mask] and page.pressed("#show-masks")
    assert page.find(".stem .lane").get_attribute("aria-label") == "Mask of bass"
    page.until(
        lambda: page.script(
            "return [...document.querySelectorAll('.tile.mask img')][0].naturalWidth > 0"
        )
    )
    page.press("k")
    assert sources(page) == [spectrogram] * 4

    def shown(selector):
        return [n.is_displayed() for n in page.driver.find_elements("css selector", selector)]

    assert shown(".found rect") == [True] * 22 and shown(".true rect") == [True] * 24
    page.press("n")
    assert not any(shown(".found rect")) and all(shown(".true rect"))
    page.find("#show-truth").click()
    assert not any(shown(".true rect")) and not page.pressed("#show-truth")


def test_notes_are_drawn_at_their_place(page):
    box = "return document.querySelectorAll(arguments[0])[arguments[1]].getBoundingClientRect()"
    lane, first = page.script(box, ".stem .lane", 0), page.script(box, ".stem .found rect", 0)
    assert first["x"] - lane["x"] == pytest.approx(0.2 / SECONDS * lane["width"], abs=1)
    assert first["width"] == pytest.approx(1 / SECONDS * lane["width"], abs=1)
    highest, lowest, pitch = 118, 21, 40
    middle = lane["y"] + (highest + 0.5 - pitch) / (highest - lowest + 1) * lane["height"]
    assert first["y"] + first["height"] / 2 == pytest.approx(middle, abs=1)


def test_zoom_keeps_to_what_is_in_view(page):
    def hidden():
        return page.script("return arguments[0].scrollWidth - arguments[0].clientWidth", timeline)

    timeline = page.find("#timeline")
    assert hidden() == 0
    for _ in range(4):
        page.press("+")
    assert hidden() > 500
    page.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.script("return arguments[0].scrollLeft", timeline) > 100)
    for _ in range(9):
        page.press("-")
    assert hidden() == 0


@pytest.mark.parametrize("width, dark", [(390, False), (390, True), (360, False), (1280, True)])
def test_it_fits_the_screen_in_both_schemes(opened, width, dark):
    opened.load(width, 844, mobile=width < 600, dark=dark)
    assert opened.script("return document.documentElement.scrollWidth") <= width
    paper = opened.script("return getComputedStyle(document.body).backgroundColor")
    red = int(paper.removeprefix("rgb(").split(",")[0])
    assert red < 60 if dark else red > 200
    # Nothing that is meant for the finger is beyond the edge, or too small for it.
    for button in opened.driver.find_elements("css selector", "button"):
        assert button.rect["x"] >= 0 and button.rect["x"] + button.rect["width"] <= width
        assert button.rect["height"] >= (36 if width < 600 else 30)
    opened.find(".stem .lane").click()
    opened.until(lambda: opened.times()[0] > 1)
    assert opened.severe() == []
