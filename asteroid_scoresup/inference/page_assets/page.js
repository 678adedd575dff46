"use strict";
(() => {
  const song = JSON.parse(document.getElementById("song").textContent);
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const timeline = byId("timeline");
  const canvas = byId("canvas");
  const slider = byId("position");
  const SVG = "http://www.w3.org/2000/svg";

  // Elements that are further apart than this (s) are brought together: by playing a little faster
  // or slower, which leaves no gap, and by a seek where they are far apart.
  const DRIFT = 0.03;
  const FAR = 0.15;
  const STEP = 5;
  // At most so much time is shown at once (s): pictures beyond would cost memory and show nothing.
  const MOST_SHOWN = 300;
  const CLOSEST = 400;

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  const clockTime = (seconds, decimals = 0) => {
    const unit = 10 ** decimals;
    const whole = Math.floor(seconds * unit + 1e-6) / unit;
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const tail = s.toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0");
    return h ? `${h}:${String(m).padStart(2, "0")}:${tail}` : `${m}:${tail}`;
  };

  const pitchName = (pitch) =>
    ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"][pitch % 12] +
    (Math.floor(pitch / 12) - 1);

  // ---------------------------------------------------------------- tracks

  const bright = (hex) => {
    const [r, g, b] = [1, 3, 5].map((i) => (parseInt(hex.slice(i, i + 2), 16) / 255) ** 2.2);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.3;
  };

  const tracks = song.tracks.map((facts, index) => {
    const node = byId("track").content.firstElementChild.cloneNode(true);
    const part = (name) => node.querySelector(name);
    const track = { ...facts, index, node, lane: part(".lane"), heard: !index };
    track.pictures = facts.tiles;
    track.tiles = new Map();
    track.solo = part(".solo");
    track.mute = part(".mute");
    track.volume = part(".volume");
    track.late = 0; // looks in a row at which it was not with the others
    node.classList.toggle("stem", index > 0);
    node.style.setProperty("--class", facts.colour);
    node.style.setProperty("--on-class", bright(facts.colour) ? "#000" : "#fff");
    part(".name").textContent = part(".name").title = facts.name;
    part(".digit").textContent = index < 9 ? index + 1 : "·";
    node.setAttribute("role", "group");
    node.setAttribute("aria-label", facts.name);
    track.solo.setAttribute("aria-label", `Solo ${facts.name}`);
    track.mute.setAttribute("aria-label", `Mute ${facts.name}`);
    track.volume.setAttribute("aria-label", `Volume of ${facts.name}`);
    if (index < 9) track.solo.setAttribute("aria-keyshortcuts", String(index + 1));
    track.lane.setAttribute("aria-label", `Spectrogram of ${facts.name}`);
    for (let pitch = 24; pitch < song.highest - 2; pitch += 12) {
      const label = document.createElement("span");
      label.textContent = pitchName(pitch);
      label.style.top = `${(100 * (song.highest + 0.5 - pitch)) / nPitches()}%`;
      part(".pitches").append(label);
    }
    canvas.append(node);

    track.audio = document.createElement("audio");
    track.audio.preload = "auto";
    track.audio.src = facts.audio;
    node.append(track.audio);
    return track;
  });
  const stems = tracks.slice(1);

  function nPitches() {
    return song.highest - song.lowest + 1;
  }

  // Notes by the tile they are seen in. The mixture shows those of all stems.
  for (const kind of ["notes", "truth"]) {
    for (const stem of stems) {
      const byTile = new Map();
      for (const note of stem[kind]) {
        const last = Math.floor(note[1] / song.tileSeconds);
        for (let tile = Math.max(Math.floor(note[0] / song.tileSeconds), 0); tile <= last; tile++) {
          if (!byTile.has(tile)) byTile.set(tile, []);
          byTile.get(tile).push(note);
        }
      }
      stem[kind] = byTile;
    }
  }

  // ---------------------------------------------------------------- what is heard

  let beforeSolo = null;

  function hear(choice) {
    for (const track of tracks) {
      track.heard = choice.includes(track);
      track.audio.muted = !track.heard;
      track.audio.volume = Number(track.volume.value);
      track.mute.setAttribute("aria-pressed", String(!track.heard));
      track.node.classList.toggle("heard", track.heard);
    }
    for (const track of tracks) {
      const alone = track.heard && choice.length === 1;
      track.solo.setAttribute("aria-pressed", String(alone));
    }
    const only = (wanted) =>
      wanted.length === choice.length && wanted.every((track) => choice.includes(track));
    byId("hear-mixture").setAttribute("aria-pressed", String(only([tracks[0]])));
    byId("hear-stems").setAttribute("aria-pressed", String(only(stems)));
  }

  const heard = () => tracks.filter((track) => track.heard);

  function solo(track) {
    const alone = track.heard && heard().length === 1;
    if (alone && beforeSolo) {
      hear(beforeSolo);
      beforeSolo = null;
    } else if (!alone) {
      if (heard().length !== 1) beforeSolo = heard();
      hear([track]);
    }
  }

  function mute(track) {
    hear(tracks.filter((other) => (other === track) !== other.heard));
    beforeSolo = null;
  }

  for (const track of tracks) {
    track.solo.addEventListener("click", () => solo(track));
    track.mute.addEventListener("click", () => mute(track));
    track.volume.addEventListener("input", () => hear(heard()));
    track.audio.addEventListener("error", () =>
      notice(`This browser cannot play ${track.audio.getAttribute("src")}.`),
    );
  }
  byId("hear-mixture").addEventListener("click", () => hear([tracks[0]]));
  byId("hear-stems").addEventListener("click", () => hear(stems));

  function notice(text) {
    byId("notice").textContent = text;
    byId("notice").hidden = false;
  }

  // ---------------------------------------------------------------- one transport for all

  let wanted = false; // the listener wants sound
  let running = false; // all elements are playing
  let attempt = 0;
  let position = 0;
  let unlocked = false;

  const sounding = (time) =>
    tracks.filter((track) => track.seconds > time + 0.02 && !track.audio.error);

  // Others follow a track that is heard: a correction then falls on those that are not.
  const leader = () => {
    const live = sounding(position).filter((track) => !track.audio.ended);
    return live.find((track) => track.heard) || live[0];
  };

  function now() {
    if (running) {
      const first = leader();
      position = first ? first.audio.currentTime : song.seconds;
    }
    return position;
  }

  // Some browsers load nothing before they are told to play: so nobody waits for ever.
  const ready = (audio) =>
    new Promise((done) => {
      const events = ["canplay", "canplaythrough", "seeked", "error"];
      const look = () => {
        if (audio.error || (audio.readyState >= 3 && !audio.seeking)) finish();
      };
      const finish = () => {
        clearTimeout(timer);
        events.forEach((name) => audio.removeEventListener(name, look));
        done();
      };
      const timer = setTimeout(finish, 4000);
      events.forEach((name) => audio.addEventListener(name, look));
      look();
    });

  // Brings all elements to one place and, if sound is wanted, starts them together.
  async function settle(time) {
    const mine = ++attempt;
    running = false;
    position = clamp(time, 0, song.seconds);
    const live = sounding(position);
    for (const { audio, seconds } of tracks) {
      audio.pause();
      audio.playbackRate = 1;
      const place = Math.min(position, seconds);
      if (Math.abs(audio.currentTime - place) > 1e-3) audio.currentTime = place;
    }
    draw();
    await Promise.all(live.map((track) => ready(track.audio)));
    if (mine !== attempt || !wanted) return;
    const starts = await Promise.allSettled(live.map((track) => track.audio.play()));
    if (mine !== attempt) return;
    if (starts.some((start) => start.reason && start.reason.name === "NotAllowedError")) {
      stop();
      notice("The browser did not allow the page to play. Press play once more.");
      return;
    }
    running = true;
  }

  function play() {
    if (!unlocked) {
      // Within the gesture: later starts of the same elements need none.
      tracks.forEach(({ audio }) => {
        audio.play().catch(() => {});
        audio.pause();
      });
      unlocked = true;
    }
    if (!tracks.some(({ audio }) => audio.error)) byId("notice").hidden = true;
    wanted = true;
    showState();
    settle(position >= song.seconds - 0.05 ? 0 : position);
    requestAnimationFrame(frame);
  }

  function stop() {
    const time = now();
    wanted = running = false;
    attempt++;
    tracks.forEach(({ audio }) => audio.pause());
    position = time;
    showState();
    draw();
  }

  const toggle = () => (wanted ? stop() : play());

  function seek(time) {
    settle(time);
    reveal(position);
  }

  function showState() {
    root.classList.toggle("playing", wanted);
    byId("play").setAttribute("aria-label", wanted ? "Pause" : "Play");
  }

  function keepTogether() {
    if (!running) return;
    const first = leader();
    if (!first || now() >= song.seconds - 0.03) {
      position = song.seconds;
      wanted = running = false;
      attempt++;
      tracks.forEach(({ audio }) => audio.pause());
      showState();
      draw();
      return;
    }
    for (const track of sounding(position + 0.2)) {
      const { audio } = track;
      if (track === first || audio.seeking) {
        track.late = 0;
        audio.playbackRate = 1;
        continue;
      }
      const drift = audio.currentTime - first.audio.currentTime;
      // Clocks jump a little when playing starts: only what is still there at a second look counts.
      track.late = Math.abs(drift) > (track.late > 1 ? DRIFT / 4 : DRIFT) ? track.late + 1 : 0;
      if (track.late < 2) {
        audio.playbackRate = 1;
      } else if (Math.abs(drift) < FAR) {
        const haste = track.heard ? 0.08 : 0.5;
        audio.playbackRate = 1 - clamp(6 * drift, -haste, haste);
      } else {
        track.late = 0;
        audio.currentTime = first.audio.currentTime;
        if (audio.paused) audio.play().catch(() => {});
      }
    }
  }

  // One element that runs dry holds up the others, but a correction's own pause does not.
  for (const track of tracks) {
    track.audio.addEventListener("waiting", () => {
      setTimeout(() => {
        const stalled = running && track.audio.readyState < 3 && !track.audio.ended;
        if (stalled && !track.audio.seeking) settle(track.audio.currentTime);
      }, 150);
    });
  }

  byId("play").addEventListener("click", toggle);
  slider.max = song.seconds;
  slider.addEventListener("input", () => seek(Number(slider.value)));
  setInterval(keepTogether, 100);

  // ---------------------------------------------------------------- pictures

  let scale = 30; // pixels per second
  let fitted = true; // nobody has zoomed yet
  let masks = false;

  const nTiles = Math.ceil(song.nFrames / song.frameRate / song.tileSeconds);
  const sideWidth = () => tracks[0].lane.offsetLeft;
  const shownWidth = () => timeline.clientWidth - sideWidth();

  function tilePicture(track, tile) {
    const kind = masks && track.index ? "mask" : "spectrogram";
    return [kind, `${track.pictures}/${kind}-${String(tile).padStart(3, "0")}.png`];
  }

  function addTile(track, tile) {
    const start = tile * song.tileSeconds;
    const long = Math.min(song.nFrames / song.frameRate - start, song.tileSeconds);
    const node = document.createElement("div");
    node.style.setProperty("--at", start);
    node.style.setProperty("--long", long);
    const image = document.createElement("img");
    image.alt = "";
    image.loading = "lazy";
    image.decoding = "async";
    image.draggable = false;
    node.append(image);
    const notes = document.createElementNS(SVG, "svg");
    notes.setAttribute("viewBox", `0 0 ${long} ${nPitches()}`);
    notes.setAttribute("preserveAspectRatio", "none");
    for (const [kind, name] of [["notes", "found"], ["truth", "true"]]) {
      for (const stem of track.index ? [track] : stems) {
        const group = document.createElementNS(SVG, "g");
        group.setAttribute("class", name);
        if (!track.index) group.style.setProperty("--class", stem.colour);
        for (const [onset, offset, pitch] of stem[kind].get(tile) || []) {
          const rect = document.createElementNS(SVG, "rect");
          // The true score is a frame that a note found rightly fills.
          const grown = name === "true" ? 0.7 : 0.15;
          rect.setAttribute("x", onset - start);
          rect.setAttribute("y", song.highest - pitch - grown);
          rect.setAttribute("width", Math.max(offset - onset, 0.01));
          rect.setAttribute("height", 1 + 2 * grown);
          group.append(rect);
        }
        notes.append(group);
      }
    }
    node.append(notes);
    track.lane.prepend(node);
    track.tiles.set(tile, { node, image });
    paintTile(track, tile);
  }

  function paintTile(track, tile) {
    const { node, image } = track.tiles.get(tile);
    const [kind, path] = tilePicture(track, tile);
    node.className = `tile ${kind}`;
    image.src = path;
  }

  // Only what is in view, and a little on both sides, is in the page.
  function render() {
    const margin = shownWidth() / 2;
    const from = Math.max(timeline.scrollLeft - margin, 0) / scale;
    const to = (timeline.scrollLeft + shownWidth() + margin) / scale;
    const first = Math.floor(from / song.tileSeconds);
    const last = Math.min(Math.floor(to / song.tileSeconds), nTiles - 1);
    for (const track of tracks) {
      for (const [tile, { node }] of track.tiles) {
        if (tile < first || tile > last) {
          node.remove();
          track.tiles.delete(tile);
        }
      }
      for (let tile = first; tile <= last; tile++) {
        if (!track.tiles.has(tile)) addTile(track, tile);
      }
    }
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120];
    const step = steps.find((seconds) => seconds * scale >= 64) || 300;
    const ticks = [];
    for (let i = Math.ceil(from / step); i * step <= Math.min(to, song.seconds); i++) {
      const tick = document.createElement("span");
      tick.className = "tick";
      tick.style.left = `${i * step * scale}px`;
      tick.textContent = clockTime(i * step, step < 1 ? 1 : 0);
      ticks.push(tick);
    }
    byId("ruler").replaceChildren(...ticks);
    const shown = shownWidth() / scale / song.seconds;
    const view = byId("window");
    view.hidden = shown >= 1;
    view.style.left = `${(100 * timeline.scrollLeft) / scale / song.seconds}%`;
    view.style.width = `${100 * shown}%`;
  }

  function draw() {
    const time = position;
    byId("playhead").style.transform = `translateX(${time * scale}px)`;
    byId("playhead").hidden = time * scale < timeline.scrollLeft - 1;
    byId("clock").innerHTML =
      `<b>${clockTime(time, 1)}</b> <span>/ ${clockTime(song.seconds)}</span>`;
    slider.value = time;
    slider.setAttribute("aria-valuetext", `${clockTime(time)} of ${clockTime(song.seconds)}`);
    byId("played").style.clipPath = `inset(0 ${100 - (100 * time) / song.seconds}% 0 0)`;
  }

  // The view follows the playhead, unless the listener has scrolled away from it.
  let followed = 0;

  function frame() {
    now();
    const x = position * scale - timeline.scrollLeft;
    const before = followed * scale - timeline.scrollLeft;
    const width = shownWidth();
    if (running && x > width * 0.96 && before >= 0 && before <= width) reveal(position);
    followed = position;
    draw();
    if (wanted) requestAnimationFrame(frame);
  }

  function reveal(time) {
    const x = time * scale - timeline.scrollLeft;
    if (x < 0 || x > shownWidth() * 0.96) {
      timeline.scrollLeft = time * scale - shownWidth() * 0.08;
    }
  }

  function zoom(wish, anchor = position) {
    const width = shownWidth();
    const whole = width / song.seconds;
    let place = anchor * scale - timeline.scrollLeft;
    if (place < 0 || place > width) {
      place = width / 2;
      anchor = (timeline.scrollLeft + place) / scale;
    }
    scale = clamp(wish, Math.max(whole, width / MOST_SHOWN), Math.max(whole, CLOSEST));
    root.style.setProperty("--scale", `${scale}px`);
    timeline.scrollLeft = anchor * scale - place;
    render();
    draw();
  }

  function fit() {
    zoom(fitted ? Math.max(30, shownWidth() / song.seconds) : scale);
  }

  const zoomBy = (factor, anchor) => {
    fitted = false;
    zoom(scale * factor, anchor);
  };

  byId("zoom-in").addEventListener("click", () => zoomBy(1.5));
  byId("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
  byId("taller").addEventListener("click", changeHeight);

  function changeHeight() {
    root.dataset.height = (Number(root.dataset.height || 0) + 1) % 3;
  }

  function show(name, on) {
    byId(`show-${name}`).setAttribute("aria-pressed", String(on));
    if (name === "masks") {
      masks = on;
      root.classList.toggle("masks", on);
      byId("scale").firstChild.textContent = on
        ? "Rows are semitones. Colour: the stem’s share of the mixture, from none to all, "
          + "fading where the mixture is soft. "
        : `Rows are semitones. Ink: level, from ${song.range} dB below the mixture’s loudest point. `;
      for (const track of stems) {
        track.lane.setAttribute("aria-label", `${on ? "Mask" : "Spectrogram"} of ${track.name}`);
        for (const tile of track.tiles.keys()) paintTile(track, tile);
      }
    } else {
      root.classList.toggle(`no-${name}`, !on);
    }
  }

  const flip = (name) => {
    const button = byId(`show-${name}`);
    if (!button.hidden) show(name, button.getAttribute("aria-pressed") !== "true");
  };
  for (const name of ["notes", "truth", "masks"]) {
    byId(`show-${name}`).addEventListener("click", () => flip(name));
  }

  // ---------------------------------------------------------------- pointer and keys

  const laneTime = (track, x) => {
    return clamp((x - track.lane.getBoundingClientRect().left) / scale, 0, song.seconds);
  };

  for (const track of tracks) {
    const readout = byId("readout");
    track.lane.addEventListener("click", (event) => seek(laneTime(track, event.clientX)));
    track.lane.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse") return;
      const box = track.lane.getBoundingClientRect();
      const row = ((event.clientY - box.top) / box.height) * nPitches();
      const pitch = clamp(song.highest - Math.floor(row), song.lowest, song.highest);
      const hertz = 440 * 2 ** ((pitch - 69) / 12);
      const time = clockTime(laneTime(track, event.clientX), 2);
      readout.textContent = `${pitchName(pitch)} · ${hertz.toFixed(hertz < 100 ? 1 : 0)} Hz · ${time}`;
      readout.hidden = false;
      const left = Math.min(event.clientX + 14, innerWidth - readout.offsetWidth - 8);
      readout.style.left = `${left}px`;
      readout.style.top = `${event.clientY + 16}px`;
    });
    track.lane.addEventListener("pointerleave", () => (readout.hidden = true));
  }

  timeline.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoomBy(Math.exp(-event.deltaY / 300), laneTime(tracks[0], event.clientX));
    },
    { passive: false },
  );

  // A button that was clicked gives the keyboard back, so that the space bar plays.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && event.detail > 0) button.blur();
  });

  let muting = false;
  const digitOf = (event) => {
    const found = /^[0-9]$/.test(event.key) ? [event.key] : /[0-9]$/.exec(event.code);
    return found && /^(Digit|Numpad)/.test(event.code) ? Number(found[0]) : null;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const onRange = target.matches("input.volume");
    const onButton = target.matches("button");
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const digit = digitOf(event);
    if (key === "m") {
      muting = true;
    } else if (key === " " && !onButton) {
      if (!event.repeat) toggle();
    } else if (key === "ArrowLeft" && !onRange) {
      seek(now() - STEP);
    } else if (key === "ArrowRight" && !onRange) {
      seek(now() + STEP);
    } else if (key === "Home" && !onRange) {
      seek(0);
    } else if (digit === 0 && !muting) {
      hear(stems);
    } else if (digit && tracks[digit - 1]) {
      if (event.repeat) return;
      (muting ? mute : solo)(tracks[digit - 1]);
    } else if (key === "+" || key === "=") {
      zoomBy(1.5);
    } else if (key === "-") {
      zoomBy(1 / 1.5);
    } else if (key === "n") {
      flip("notes");
    } else if (key === "t") {
      flip("truth");
    } else if (key === "k") {
      flip("masks");
    } else if (key === "h") {
      changeHeight();
    } else {
      return;
    }
    event.preventDefault();
  });
  document.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "m") muting = false;
  });
  addEventListener("blur", () => (muting = false));

  // ---------------------------------------------------------------- beginning

  const rates = [...new Set(song.tracks.map((track) => track.rate))];
  byId("facts").textContent = [
    clockTime(song.seconds),
    `${stems.length} ${stems.length === 1 ? "stem" : "stems"}`,
    rates.map((rate) => `${rate / 1000} kHz`).join(", "),
  ].join(" · ");

  for (const [name, there] of [["notes", song.hasNotes], ["truth", song.hasTruth]]) {
    byId(`show-${name}`).hidden = !there;
    document.querySelectorAll(`.with-${name}`).forEach((item) => (item.hidden = !there));
  }

  // Half of the outline, from left to right, then its mirror image back.
  const edge = song.peaks.map((peak, i) => [i, Math.max(peak, 1)]);
  const upper = edge.map(([i, peak]) => `V${100 - peak}H${i + 1}`).join("");
  const lower = edge.reverse().map(([i, peak]) => `V${100 + peak}H${i}`).join("");
  for (const name of ["outline", "played"]) {
    byId(name).setAttribute("viewBox", `0 0 ${edge.length} 200`);
    byId(name).firstElementChild.setAttribute("d", `M0,100${upper}${lower}Z`);
  }

  canvas.style.setProperty("--seconds", song.seconds);
  canvas.style.setProperty("--pitches", nPitches());
  canvas.style.setProperty("--above", (song.highest % 12) + 0.5);
  let waiting = false;
  timeline.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      render();
      draw();
    });
  });
  new ResizeObserver(fit).observe(timeline);
  hear([tracks[0]]);
  show("masks", false);
  fit();
})();
