// Players more than DRIFT seconds apart are synchronized: by playing slightly faster or slower,
// which leaves no gap, or by a seek if they are more than FAR seconds apart.
const DRIFT = 0.03;
const FAR = 0.15;
const MOST_SHOWN = 300; // seconds in view at the lowest zoom, which bounds the images in memory
const CLOSEST = 400; // pixels per second at the highest zoom

const byId = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const press = (button, on) => button.setAttribute("aria-pressed", String(on));
const notice = (text) => (byId("notice").textContent = text);
const clock = (s) => new Date(1000 * s).toISOString().slice(s < 3600 ? 14 : 11, 19);
const [scroller, board, slider] = ["scroller", "tracks", "position"].map(byId);
const song = JSON.parse(byId("song").textContent);
const nPitches = song.highest - song.lowest + 1;

// ---------------------------------------------------------------- tracks

const LABELS = Object.entries({
  solo: "Solo", mute: "Mute", volume: "Volume of", download: "Download", lane: "Spectrogram of",
});

const tracks = song.tracks.map((facts) => {
  const node = byId("track").content.firstElementChild.cloneNode(true);
  const track = { ...facts, node, audio: node.querySelector("audio"), late: 0 };
  for (const [name, label] of LABELS) {
    track[name] = node.querySelector(`.${name}`);
    track[name].setAttribute("aria-label", `${label} ${facts.name}`);
  }
  node.setAttribute("aria-label", facts.name);
  node.style.setProperty("--class", facts.color);
  node.querySelector("h2").textContent = node.querySelector("h2").title = facts.name;
  track.audio.src = track.download.href = facts.audio;
  track.audio.onerror = () => notice(`This browser cannot play ${facts.audio}.`);
  track.solo.onclick = () => solo(track);
  track.mute.onclick = () => mute(track);
  track.volume.oninput = () => (track.audio.volume = track.volume.value);
  track.lane.onclick = (event) =>
    seek((event.clientX - track.lane.getBoundingClientRect().left) / scale);
  board.append(node);
  return track;
});
const [mixture, ...stems] = tracks;

// ---------------------------------------------------------------- audible tracks

let audible = new Set();
let before = null; // the audible tracks before a solo

function setAudible(chosen) {
  audible = new Set(chosen);
  for (const track of tracks) {
    track.audio.muted = !audible.has(track);
    track.node.classList.toggle("audible", audible.has(track));
    press(track.mute, !audible.has(track));
    press(track.solo, audible.has(track) && audible.size === 1);
  }
  press(byId("all-stems"), !audible.has(mixture) && audible.size === stems.length);
}

function solo(track) {
  const alone = audible.has(track) && audible.size === 1;
  const chosen = alone ? before || audible : [track];
  before = alone ? null : audible;
  setAudible(chosen);
}

const mute = (track) => setAudible(tracks.filter((other) => (other === track) !== audible.has(other)));

// ---------------------------------------------------------------- one transport for all

let wanted = false; // the user wants playback
let running = false; // all players have started
let attempt = 0; // a pause or another seek cancels an unfinished seek
let time = 0;
let unlocked = false;
let dry = false; // a player had no data at the last check

const live = (at) => tracks.filter((track) => track.seconds > at + 0.02 && !track.audio.error);

// The others follow an audible track, so that corrections apply to muted ones where possible.
function leader() {
  const playing = live(time).filter((track) => !track.audio.ended);
  return playing.find((track) => audible.has(track)) || playing[0];
}

function now() {
  if (running) time = leader()?.audio.currentTime ?? song.seconds;
  return time;
}

// Some browsers load nothing before play() is called, so the wait is bounded.
function ready(audio) {
  const signal = AbortSignal.timeout(4000);
  return new Promise((done) => {
    const check = () => {
      if (audio.error || (audio.readyState >= 3 && !audio.seeking)) done();
    };
    for (const name of ["canplay", "seeked", "error"]) audio.addEventListener(name, check, { signal });
    signal.onabort = done;
    check();
  });
}

// Moves all players to one time and, if playback is wanted, starts them together.
async function seek(to, reveal = true) {
  const mine = ++attempt;
  running = false;
  time = clamp(to, 0, song.seconds);
  for (const { audio, seconds } of tracks) {
    audio.pause();
    audio.playbackRate = 1;
    audio.currentTime = Math.min(time, seconds);
  }
  if (reveal) show(time);
  draw();
  const players = live(time).map((track) => track.audio);
  await Promise.all(players.map(ready));
  if (mine !== attempt || !wanted) return;
  const starts = await Promise.allSettled(players.map((audio) => audio.play()));
  if (mine !== attempt) return;
  running = true;
  if (starts.some((start) => start.reason?.name === "NotAllowedError")) {
    pause();
    notice("The browser did not allow the page to play. Press Play once more.");
  }
}

function play() {
  // Browsers that require a user gesture require one per player: the first click counts for all.
  for (const { audio } of unlocked ? [] : tracks) {
    audio.play().catch(() => {});
    audio.pause();
  }
  unlocked = wanted = true;
  byId("play").textContent = "Pause";
  seek(time >= song.seconds - 0.05 ? 0 : time, false);
  requestAnimationFrame(follow);
}

function pause(at = now()) {
  wanted = running = false;
  attempt++;
  time = at;
  tracks.forEach(({ audio }) => audio.pause());
  byId("play").textContent = "Play";
  draw();
}

function keepTogether() {
  if (!running) return;
  const first = leader();
  if (!first || now() >= song.seconds - 0.03) return pause(song.seconds);
  const playing = live(time + 0.2);
  const wasDry = dry;
  dry = playing.some(({ audio }) => audio.readyState < 3 && !audio.seeking);
  if (dry && wasDry) seek(time, false); // all wait for it
  for (const track of dry ? [] : playing) {
    const audio = track.audio;
    const drift = audio.seeking ? 0 : audio.currentTime - first.audio.currentTime;
    // Clocks jump a little at the start: only drift that persists at a second check counts.
    track.late = Math.abs(drift) > (track.late > 1 ? DRIFT / 4 : DRIFT) ? track.late + 1 : 0;
    audio.playbackRate = 1;
    if (track.late > 1 && Math.abs(drift) < FAR) {
      const most = audible.has(track) ? 0.08 : 0.5;
      audio.playbackRate = 1 - clamp(6 * drift, -most, most);
    } else if (track.late > 1) {
      track.late = 0;
      audio.currentTime = first.audio.currentTime;
      if (audio.paused) audio.play().catch(() => {});
    }
  }
}

// ---------------------------------------------------------------- spectrograms and notes

let scale = 1; // pixels per second

const width = () => scroller.clientWidth - mixture.lane.offsetLeft;
const offset = (at) => at * scale - scroller.scrollLeft; // pixels from the left of the view
const inView = (at) => offset(at) >= 0 && offset(at) <= width();

function show(at) {
  if (!inView(at)) scroller.scrollLeft = at * scale - 0.1 * width();
}

function draw() {
  byId("playhead").style.setProperty("--time", time);
  byId("clock").textContent = `${clock(time)} / ${clock(song.seconds)}`;
  slider.value = time;
  slider.setAttribute("aria-valuetext", `${clock(time)} of ${clock(song.seconds)}`);
}

// The view follows the playhead, unless the user has scrolled away from it.
function follow() {
  const shown = inView(slider.value); // where it was last drawn
  now();
  if (shown) show(time);
  draw();
  if (wanted) requestAnimationFrame(follow);
}

function zoom() {
  const center = inView(time) ? time : (scroller.scrollLeft + width() / 2) / scale;
  const place = offset(center);
  const least = width() / Math.min(song.seconds, MOST_SHOWN);
  scale = least * Math.max(CLOSEST / least, 1) ** byId("zoom").value;
  board.style.setProperty("--scale", `${scale}px`);
  scroller.scrollLeft = center * scale - place;
  const step = [1, 2, 5, 10, 20, 30, 60].find((seconds) => seconds * scale >= 60) || 120;
  let ticks = "";
  for (let at = 0; at < song.seconds; at += step) {
    ticks += `<span style="left: ${at * scale}px">${clock(at)}</span>`;
  }
  byId("ruler").innerHTML = ticks;
}

// Only images in view, and slightly beyond, are kept in memory.
function load(entries) {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) target.src = target.dataset.src;
    else target.removeAttribute("src");
  }
}
const loader = new IntersectionObserver(load, { root: scroller, rootMargin: "0px 300px" });

// Notes that begin in a tile, as a path whose units are seconds and semitones.
function notePath(stem, kind, margin, start) {
  const shapes = stem[kind]
    .filter(([onset]) => onset >= start && onset < start + song.tileSeconds)
    .map(([onset, offset, pitch]) => {
      const [x, y] = [onset - start, song.highest - pitch - margin];
      return `M${x} ${y}h${offset - onset}v${1 + 2 * margin}h${onset - offset}z`;
    });
  return `<path class="${kind}" style="--class: ${stem.color}" d="${shapes.join("")}"/>`;
}

for (const track of tracks) {
  for (let start = 0, tile = 0; start < song.seconds; start += song.tileSeconds, tile++) {
    const seconds = Math.min(song.seconds - start, song.tileSeconds);
    const percent = (length) => `${(100 * length) / song.seconds}%`;
    const place = `style="left: ${percent(start)}; width: ${percent(seconds)}"`;
    // The mixture shows the notes of all stems; the score outlines the notes that match it.
    const shown = track === mixture ? stems : [track];
    const transcription = shown.map((stem) => notePath(stem, "transcription", 0.15, start));
    const score = shown.map((stem) => notePath(stem, "score", 0.7, start));
    track.lane.insertAdjacentHTML(
      "beforeend",
      `<img ${place} data-src="${track.tiles}/${String(tile).padStart(3, "0")}.png" alt="">
      <svg ${place} viewBox="0 0 ${seconds} ${nPitches}" preserveAspectRatio="none">
      ${[...transcription, ...score].join("")}</svg>`,
    );
  }
  for (let pitch = 24; pitch < song.highest - 2; pitch += 12) {
    const top = `${(100 * (song.highest + 0.5 - pitch)) / nPitches}%`;
    track.lane.firstElementChild.innerHTML += `<span style="top: ${top}">C${pitch / 12 - 1}</span>`;
  }
  track.lane.querySelectorAll("img").forEach((image) => loader.observe(image));
}

// ---------------------------------------------------------------- controls and keys

byId("play").onclick = () => (wanted ? pause() : play());
byId("all-stems").onclick = () => setAudible(stems);
byId("zoom").oninput = zoom;
slider.oninput = () => seek(Number(slider.value));
for (const kind of ["transcription", "score"]) {
  const box = byId(`show-${kind}`);
  box.parentElement.hidden = !tracks.some((track) => track[kind].length);
  box.onchange = () => board.classList.toggle(`no-${kind}`, !box.checked);
}

// A clicked control gives up the focus, so that the space bar plays.
document.onclick = ({ target, detail }) => {
  if (detail && target.matches("button, input")) target.blur();
};

document.onkeydown = (event) => {
  const { target, code } = event;
  const digit = Number(/^(?:Digit|Numpad)(\d)$/.exec(code)?.[1] ?? NaN);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.matches(".volume, #zoom") && /^(Arrow|Home)/.test(code)) return;
  if (code === "Space" && target.matches("button, a, summary, [type=checkbox]")) return;
  const skip = { ArrowLeft: -5, ArrowRight: 5, Home: -Infinity }[code];
  if (code === "Space" && !event.repeat) byId("play").click();
  else if (skip) seek(now() + skip);
  else if (digit === 0) setAudible(stems);
  else if (tracks[digit - 1] && !event.repeat) (event.shiftKey ? mute : solo)(tracks[digit - 1]);
  else if (code !== "Space") return;
  event.preventDefault();
};

setInterval(keepTogether, 100);
slider.max = song.seconds;
board.style.setProperty("--seconds", song.seconds);
setAudible([mixture]);
new ResizeObserver(zoom).observe(scroller);
draw();
