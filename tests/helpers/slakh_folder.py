"""Small songs of plucked tones, written as Slakh tracks or pairs, with defects on demand."""

import numpy as np
import pretty_midi
import soundfile as sf
import yaml

RATE = 16000
INST = {"bass": ("Bass", 33), "guitar": ("Guitar", 25), "piano": ("Piano", 0)}
LOWEST = {"bass": 30, "guitar": 48, "piano": 62}


def melody(seed, seconds, low=48, span=12, gap=(0.2, 0.6), chord=1):
    """Rows (onset, offset, pitch, velocity) of a random line; times that no grid repeats."""
    rng = np.random.default_rng(seed)
    rows, time = [], 0.1
    while time < seconds - 0.3:
        length = rng.uniform(*gap)
        for pitch in low + rng.choice(span, chord, replace=False):
            rows.append(
                (time, min(time + 0.9 * length, seconds), int(pitch), int(rng.integers(60, 120)))
            )
        time += length
    return rows


def play(rows, seconds, rate=RATE, shift=0.0, transpose=0):
    """Plucked tones, float32; `shift` in seconds, `transpose` in semitones."""
    audio = np.zeros(round(seconds * rate))
    for onset, offset, pitch, velocity in rows:
        first = max(round((onset + shift) * rate), 0)
        n_samples = min(round((offset - onset + 0.1) * rate), len(audio) - first)
        if n_samples <= 0:
            continue
        time = np.arange(n_samples) / rate
        f0 = 440 * 2 ** ((pitch + transpose - 69) / 12)
        tone = sum(
            0.7**k * np.sin(2 * np.pi * (k + 1) * f0 * time + k) * np.exp(-(2 + k) * time)
            for k in range(10)
            if (k + 1) * f0 < rate / 2
        )
        release = np.clip((offset - onset + 0.1 - time) / 0.05, 0, 1)
        audio[first : first + n_samples] += (
            0.1 * velocity / 127 * tone * np.minimum(time / 0.003, 1) * release
        )
    return audio.astype(np.float32)


def write_midi(path, *instruments):
    """Writes a MIDI file; an instrument is (program, rows), program 128 stands for drums."""
    midi = pretty_midi.PrettyMIDI(resolution=960)
    for program, rows in instruments:
        instrument = pretty_midi.Instrument(program % 128, is_drum=program == 128)
        instrument.notes = [pretty_midi.Note(v, p, on, off) for on, off, p, v in rows]
        midi.instruments.append(instrument)
    path.parent.mkdir(parents=True, exist_ok=True)
    midi.write(str(path))


def write_stem(
    folder, number, kind, rows, audio="play", midi=True, seconds=4.0, rate=RATE, **labels
):
    """Writes one stem's files and returns its metadata.

    Args:
        folder (Path): The track.
        number (int): Of the stem.
        kind (str): ``bass``, ``guitar``, ``piano`` or ``drums``.
        rows (list): The notes as they sound.
        audio (str, array or None): ``"play"``, ``"silent"``, the samples, or None for no file.
        midi (bool or list): Whether there is a MIDI file, or rows that differ from the sound.
        labels: What the metadata say instead.
    """
    name = f"S{number:02d}"
    inst_class, program = INST.get(kind, ("Drums", 128))
    if audio is not None:
        silent = isinstance(audio, str) and audio == "silent"
        wave = play(rows, seconds, rate) if isinstance(audio, str) else audio
        (folder / "stems").mkdir(parents=True, exist_ok=True)
        sf.write(folder / "stems" / f"{name}.wav", wave * (not silent), rate, subtype="FLOAT")
    if midi:
        write_midi(folder / "MIDI" / f"{name}.mid", (program, rows if midi is True else midi))
    facts = dict(inst_class=inst_class, program_num=program, is_drum=kind == "drums")
    return name, {**facts, "audio_rendered": False, "midi_saved": False, **labels}


def write_track(folder, stems, generated=True, **metadata):
    """Writes the metadata of a track from what :func:`write_stem` returned."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"stems": dict(stems), **metadata}
    if generated:
        content["generator"] = "asteroid_scoresup"
    (folder / "metadata.yaml").write_text(yaml.safe_dump(content))
    return folder


def write_song(
    folder, seed=0, seconds=4.0, kinds=("bass", "guitar", "piano"), generated=True, **how
):
    """Writes a whole honest track, with drums as the last stem."""
    stems = []
    for number, kind in enumerate(kinds):
        rows = melody([seed, number], seconds, LOWEST[kind])
        stems.append(write_stem(folder, number, kind, rows, seconds=seconds, **how))
    noise = 0.02 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    drums = [(0.5, 0.6, 38, 100)]
    stems.append(write_stem(folder, len(kinds), "drums", drums, noise.astype(np.float32)))
    return write_track(folder, stems, generated)
