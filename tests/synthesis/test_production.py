"""Produced songs: what is played, and what stems and mixtures are."""

import numpy as np
import pretty_midi
import pytest
import soundfile

from asteroid_scoresup.data.slakh import find_slakh_tracks
from asteroid_scoresup.synthesis import production
from asteroid_scoresup.synthesis.mixing import PEAK
from asteroid_scoresup.synthesis.production import (
    LAYERS,
    draw_layer,
    humanize,
    part_kind,
    produce,
    treat_part,
)
from asteroid_scoresup.synthesis.soundfont import Preset, Tone, write_soundfont
from asteroid_scoresup.synthesis.synthesize import synthesize

RATE = 8000


def part(program=0, count=400):
    rng = np.random.default_rng(3)
    instrument = pretty_midi.Instrument(program)
    for index in range(count):
        start = 0.05 + 0.1 * index
        pitch = 60 + int(rng.integers(3))
        instrument.notes.append(pretty_midi.Note(80, pitch, start, start + 0.0999))
    return instrument


def test_people_play_near_the_score_and_in_order():
    written = part()
    before = [(n.start, n.end, n.pitch, n.velocity) for n in written.notes]
    played = humanize(written, 41.0, np.random.default_rng(0))
    assert [(n.start, n.end, n.pitch, n.velocity) for n in written.notes] == before
    shifts = np.array([n.start - b[0] for n, b in zip(played.notes, before, strict=True)])
    assert np.std(shifts) == pytest.approx(production.ONSET_STD, rel=0.2)
    assert np.abs(shifts).max() <= production.ONSET_BOUND + 2 * production.PART_STD
    velocities = np.array([n.velocity for n in played.notes])
    assert np.std(velocities) == pytest.approx(production.VELOCITY_STD, rel=0.2)
    for pitch in range(60, 63):
        notes = sorted((n for n in played.notes if n.pitch == pitch), key=lambda n: n.start)
        assert all(n.end > n.start for n in notes)
        assert all(a.end <= b.start for a, b in zip(notes, notes[1:]))
    edges = pretty_midi.Instrument(0)
    edges.notes = [pretty_midi.Note(127, 60, 0.0, 0.05), pretty_midi.Note(1, 62, 0.9, 1.0)]
    for seed in range(20):
        first, last = humanize(edges, 1.0, np.random.default_rng(seed)).notes
        assert first.start >= 0 and last.end <= 1.0 and 1 <= last.velocity <= first.velocity <= 127


def test_layers_are_of_the_same_class():
    rng = np.random.default_rng(1)
    drawn = [draw_layer(part(25, 1), rng) for _ in range(400)]
    layers = [layer.program for layer in drawn if layer is not None]
    assert len(layers) / 400 == pytest.approx(production.LAYERED, abs=0.06)
    assert set(layers) == set(LAYERS["guitar"]) - {25}
    for kind, programs in LAYERS.items():
        assert {part_kind(pretty_midi.Instrument(program)) for program in programs} == {kind}
    drums = pretty_midi.Instrument(8, is_drum=True)
    assert {layer.program for layer in (draw_layer(drums, rng) for _ in range(40)) if layer} == {8}


def tones(seconds=3.0):
    time = np.arange(round(seconds * RATE)) / RATE
    return [
        (np.sin(2 * np.pi * hz * time) * np.exp(-3 * (time % 0.5))).astype(np.float32)
        for hz in (80, 330, 1200)
    ]


@pytest.mark.parametrize("seed", range(12))
def test_stems_add_up_to_the_mixture_but_for_mp3(seed, monkeypatch):
    kinds = ["bass", "guitar", "drums"]
    monkeypatch.setattr(production, "MP3", 0.0)
    stems = tones()
    mixture, gain = produce(stems, kinds, RATE, 2.5, np.random.default_rng(seed))
    assert gain > 0 and mixture.dtype == np.float32
    assert np.abs(np.sum(stems, axis=0) - mixture).max() < 1e-5
    peak = max(np.abs(signal).max() for signal in (mixture, *stems))
    assert 20 * np.log10(peak) == pytest.approx(PEAK, abs=1e-3)
    monkeypatch.setattr(production, "MP3", 1.0)
    coded = tones()
    packed, _ = produce(coded, kinds, RATE, 2.5, np.random.default_rng(seed))
    error = packed - np.sum(coded, axis=0)
    assert -60 < 10 * np.log10(np.sum(error**2) / np.sum(packed**2)) < -10
    # Each stem is still the one that is in the mixture: its best copy there has gain 1 at lag 0.
    for first, second in zip(stems, coded, strict=True):
        scale = np.dot(first, second) / np.dot(first, first)
        assert np.allclose(second, scale * first, atol=1e-6)


def test_silence_stays_silent():
    silence = [np.zeros(RATE, np.float32)] * 2
    for seed in range(10):
        rng = np.random.default_rng(seed)
        treated = [treat_part(stem, "guitar", RATE, rng) for stem in silence]
        mixture, gain = produce(treated, ["guitar", "bass"], RATE, 2.5, rng)
        assert not mixture.any() and not any(stem.any() for stem in treated) and gain == 1.0


def test_treated_parts_keep_their_onsets():
    click = np.zeros(2 * RATE, np.float32)
    click[RATE] = 1.0
    for kind in ("bass", "guitar", "piano", "other", "drums"):
        for seed in range(20):
            treated = treat_part(click, kind, RATE, np.random.default_rng(seed))
            assert np.abs(treated[:RATE]).max() < 1e-6
            assert np.abs(treated).argmax() == RATE and np.isfinite(treated).all()


@pytest.mark.slow
def test_a_produced_data_set_depends_on_its_seed_alone(tmp_path):
    time = np.arange(4000) / 8000
    tone = Tone(60, 0.3 * np.sin(2 * np.pi * 261.6 * time), 8000)
    fonts = [tmp_path / "a.sf2", tmp_path / "b.sf2"]
    for font in fonts:
        write_soundfont(
            font, font.stem, [Preset(program, "sine", (tone,)) for program in range(96)]
        )
    options = {
        "n_train": 4, "n_validation": 1, "n_test": 0, "n_test_unseen": 0, "seconds": 3.0,
        "sample_rate": RATE, "quiet": True, "soundfonts": fonts, "mix_soundfonts": True,
        "others": 1, "programs": "all", "synthetic": 0.2, "renderer": "tinysoundfont",
    }  # fmt: skip
    contents = {}
    for name, jobs, mixing in (("a", 1, "produced"), ("b", 2, "produced"), ("c", 1, "plain")):
        synthesize(tmp_path / name, jobs=jobs, mixing=mixing, **options)
        contents[name] = {
            path.relative_to(tmp_path / name).as_posix(): path.read_bytes()
            for path in sorted((tmp_path / name).rglob("*"))
            if path.is_file()
        }
    assert contents["a"] == contents["b"] != contents["c"]
    scores = [path for path in contents["a"] if path.endswith(".mid")]
    assert all(contents["a"][path] == contents["c"][path] for path in scores) and scores
    with pytest.raises(ValueError, match=r"other settings \(mixing\)"):
        synthesize(tmp_path / "c", mixing="produced", **options)
    for folder in find_slakh_tracks(tmp_path / "a"):
        mixture, _ = soundfile.read(folder.path / "mix.flac")
        stems = [soundfile.read(path)[0] for path in (folder.path / "stems").iterdir()]
        error = mixture - np.sum(stems, axis=0)
        assert np.sum(error**2) < 0.1 * np.sum(mixture**2)
