"""Drum kits from the samples of Sonic Pi, as a SoundFont.

Debian's package ``sonic-pi-samples`` contains single hits of acoustic and electronic drums, all of
them CC0 (its ``copyright`` file names the source of each). A kit takes one sample for each key, so
that there are more kits than recordings of drums.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import soxr

from .soundfont import Preset, Tone, write_soundfont

#: Where Debian installs the samples.
SAMPLES = "/usr/share/sonic-pi/samples"
#: Programs of the kits, as many as those of General MIDI 2 and GS.
PROGRAMS = (0, 8, 16, 24, 25, 32, 40, 48)
#: Samples that can play each group of keys of General MIDI's drum map.
HITS: Mapping[tuple[int, ...], tuple[str, ...]] = {
    (35, 36): (
        *("drum_bass_hard", "drum_bass_soft", "drum_heavy_kick", "bd_808", "bd_ada", "bd_boom"),
        *("bd_fat", "bd_gas", "bd_haus", "bd_klub", "bd_pure", "bd_sone", "bd_tek", "bd_zome"),
        *("bd_zum", "elec_hollow_kick", "elec_soft_kick"),
    ),
    (37,): ("perc_snap2", "elec_wood", "elec_pop"),
    (38, 40): (
        *("drum_snare_hard", "drum_snare_soft", "sn_dolf", "sn_dub", "sn_generic", "sn_zome"),
        *("elec_hi_snare", "elec_lo_snare", "elec_mid_snare", "elec_snare", "elec_filt_snare"),
    ),
    (39,): ("perc_snap", "perc_snap2"),
    (41, 43): ("drum_tom_lo_hard", "drum_tom_lo_soft"),
    (45, 47): ("drum_tom_mid_hard", "drum_tom_mid_soft", "elec_fuzz_tom"),
    (48, 50): ("drum_tom_hi_hard", "drum_tom_hi_soft"),
    (42,): ("drum_cymbal_closed", "elec_tick", "elec_cymbal"),
    (44,): ("drum_cymbal_pedal",),
    (46,): ("drum_cymbal_open",),
    (49, 57): ("drum_cymbal_hard", "drum_splash_hard"),
    (51, 53, 59): ("drum_cymbal_soft", "drum_splash_soft"),
    (52, 55): ("drum_splash_hard", "drum_splash_soft"),
    (54,): ("elec_triangle", "elec_ping"),
    (56,): ("drum_cowbell",),
    (60, 62): ("tabla_na_s", "tabla_te2", "tabla_te_m"),
    (61, 63, 64): ("tabla_ghe1", "tabla_ghe8", "tabla_dhec"),
}
#: Level of a hit by the first key of its group, in dB relative to kick and snare; as in FluidR3.
LEVELS = {37: -6, 39: -4, 42: -11, 44: -12, 46: -9, 49: -4, 51: -8, 52: -5, 54: -12, 56: -8}
#: Sample rate of the SoundFont, in Hz.
RATE = 44100
#: Seconds in which a hit fades after the end of its note: cymbals ring on.
_RELEASE = 6.0
#: Largest factor by which a kit plays a sample faster or slower than recorded, in semitones.
_TUNING = 2.0


def write_drum_kits(
    path: str | os.PathLike[str], samples: str | os.PathLike[str] = SAMPLES, seed: int = 0
) -> None:
    """Writes a SoundFont of drum kits, each a random choice of samples, differently tuned.

    Args:
        path (str or Path): File to write.
        samples (str or Path): Folder of Sonic Pi's samples.
        seed (int): The same seed gives the same file.

    Raises:
        FileNotFoundError: if a sample is missing.
        ValueError: if a sample cannot be read.
        OSError: if the file cannot be written.
    """
    folder, rng = Path(samples), np.random.default_rng(seed)
    audio: dict[str, np.ndarray] = {}
    presets = []
    for program in PROGRAMS:
        tones = []
        for keys, names in HITS.items():
            name = names[int(rng.integers(len(names)))]
            # Keys of a group play the same sample, the higher ones higher.
            tuning = float(rng.uniform(-_TUNING, _TUNING)) / 2
            if name not in audio:
                audio[name] = _read(folder / f"{name}.flac")
            hit = audio[name] * np.float32(10 ** (LEVELS.get(keys[0], 0) / 20))
            for place, key in enumerate(keys):
                step = tuning + _TUNING / 2 * (place - (len(keys) - 1) / 2)
                rate = round(RATE * 2 ** (step / 12))  # the header's rate sets the pitch
                tones.append(Tone(key, hit, rate))
        presets.append(Preset(program, f"kit {program}", tones, _RELEASE, bank=128))
    write_soundfont(path, "Sonic Pi kits", presets)


def _read(path: Path) -> np.ndarray:
    """A hit, mono, at :data:`RATE`, from its onset, with a peak of 0.5."""
    if not path.is_file():
        raise FileNotFoundError(
            f"the sample {path} is missing (Debian: apt install sonic-pi-samples)."
        )
    try:
        stereo, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"the sample {path} cannot be read: {error}.") from None
    mono = np.asarray(soxr.resample(stereo.mean(axis=1), rate, RATE), dtype=np.float32)
    peak = float(np.abs(mono).max(initial=0.0))
    if not peak:
        raise ValueError(f"the sample {path} is silent.")
    onset = int(np.argmax(np.abs(mono) > 0.02 * peak))
    return mono[max(onset - RATE // 1000, 0) :] * np.float32(0.5 / peak)
