r"""Synthetic instruments: random timbres modeled on strings and tines.

A SoundFont has recordings of one piano; there are many pianos. A separator that is trained on
a few recordings learns those recordings. Synthetic instruments widen the training distribution
(domain randomization): each has random strings, hammers or plectra, body, pickup and decay, from
ranges as wide as its class in General MIDI. They need not sound beautiful, but each must sound like
*some* piano, guitar or bass. The kinds include electric pianos and harpsichords, to which some of
the unseen test programs belong.

A note is a sum of decaying partials:

.. math:: s(t) = \sum_k a_k e^{-t / \tau_k} \sin(2 \pi f_k t + \varphi_k),
    \qquad f_k = k f_0 \sqrt{1 + B k^2}

where :math:`a_k` falls as :math:`k^{-\alpha}`, with a comb filter :math:`|\sin \pi k \beta|` for
the position :math:`\beta` at which the string is struck or plucked, another for the pickup, and the
response of a body that is fixed in Hz; :math:`\tau_k` falls with pitch and with `k`. A short noise
burst is added at the attack (Fletcher and Rossing, *The Physics of Musical Instruments*, chapters
9, 10 and 12; the ranges are our choice).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from pretty_midi import note_number_to_hz

from .composer.palette import PITCH_RANGES
from .soundfont import Preset, Tone

_SPACING = 5  # semitones between samples
_BODY_HZ = np.geomspace(60, 10000, 14)
_N_PARTIALS = 48
_QUIET = 1e-3  # a sample ends 60 dB below its peak
_LONGEST = 3.5  # seconds

Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Kind:
    """Ranges of the random parameters of one kind of instrument; pairs are (lowest, highest).

    Args:
        slope: Exponent :math:`\\alpha` of the decrease of partials.
        place: Position at which the string is struck or plucked, :math:`\\beta`.
        decay: Decay time :math:`\\tau_1` of the lowest partial at 110 Hz, in seconds.
        damping: How much faster higher partials decay.
        stiffness: :math:`\\log_{10} B` at 110 Hz.
        attack: Rise time, in seconds.
        noise: Level of the attack noise, in dB relative to the note.
        release: Release time, in seconds.
        strings: Possible numbers of strings per note, detuned against each other.
        tine: Probability of a bell-like inharmonic partial at the attack, as in an electric piano.
        drive: Probability that notes are saturated.
        octave: Probability of a second set of strings an octave higher, as in a harpsichord or a
            12-string guitar.
    """

    slope: Range = (0.8, 2.0)
    place: Range = (0.08, 0.3)
    decay: Range = (0.4, 2.5)
    damping: Range = (0.05, 0.4)
    stiffness: Range = (-5.0, -3.5)
    attack: Range = (0.0005, 0.006)
    noise: Range = (-45, -20)
    release: Range = (0.08, 0.5)
    strings: tuple[int, ...] = (1,)
    tine: float = 0.0
    drive: float = 0.0
    octave: float = 0.0


#: Kinds of instruments of each class, all equally likely.
KINDS = {
    "piano": (
        Kind(slope=(1.0, 2.0), place=(0.08, 0.16), decay=(0.8, 4), strings=(1, 2, 3)),
        Kind(slope=(1.0, 2.0), place=(0.08, 0.16), stiffness=(-4.3, -3.2), strings=(2, 3)),
        Kind(slope=(2.0, 3.6), stiffness=(-7, -6), decay=(0.6, 2.5), tine=0.9, drive=0.2),
        Kind(slope=(1.2, 2.6), stiffness=(-7, -6), decay=(0.5, 2), tine=0.6, attack=(0.001, 0.01)),
        Kind(slope=(0.3, 1.0), place=(0.1, 0.5), decay=(0.4, 1.5), octave=0.5, strings=(1, 2)),
        Kind(slope=(0.5, 1.3), place=(0.04, 0.2), decay=(0.2, 0.8), damping=(0.02, 0.2)),
    ),
    "guitar": (
        Kind(slope=(1.2, 2.2), place=(0.12, 0.35), decay=(0.25, 1.2), damping=(0.1, 0.5)),
        Kind(slope=(0.7, 1.5), decay=(0.5, 2.0), stiffness=(-4.8, -3.8), octave=0.2),
        Kind(slope=(1.0, 2.0), decay=(0.6, 2.5), drive=0.3),
        Kind(slope=(1.5, 2.8), place=(0.15, 0.4), decay=(0.4, 1.5), damping=(0.1, 0.4)),
        Kind(slope=(0.8, 1.8), decay=(0.06, 0.25), damping=(0.2, 0.6), noise=(-35, -15)),
        Kind(slope=(0.5, 1.2), decay=(1.5, 6.0), damping=(0.0, 0.1), attack=(0.002, 0.02), drive=1),
    ),
    "bass": (
        Kind(slope=(1.2, 2.5), place=(0.1, 0.4), decay=(0.5, 2.5)),
        Kind(slope=(1.8, 3.2), place=(0.2, 0.5), decay=(0.25, 1.2), damping=(0.2, 0.6)),
        Kind(slope=(0.7, 1.4), place=(0.05, 0.2), decay=(0.4, 2), noise=(-35, -15), drive=0.3),
        Kind(
            slope=(0.9, 1.6), place=(0.5, 0.5), stiffness=(-9, -8), decay=(1, 6), damping=(0, 0.2)
        ),
    ),
}


def synthetic_instrument(
    kind: str, program: int, sample_rate: int, rng: np.random.Generator
) -> Preset:
    """Draws a random instrument of one class.

    Args:
        kind (str): ``bass``, ``guitar`` or ``piano``.
        program (int): General MIDI program of the preset.
        sample_rate (int): Sample rate, in Hz.
        rng (numpy.random.Generator): Random generator.

    Returns:
        Preset: The instrument, with a sample every five semitones over the range of the composer.

    Raises:
        KeyError: if there is no such class.

    Examples
        >>> guitar = synthetic_instrument("guitar", 25, 16000, np.random.default_rng(0))
        >>> [tone.pitch for tone in guitar.tones][:3]
        [40, 45, 50]
    """
    low, high = PITCH_RANGES[kind]
    voice = _draw_voice(KINDS[kind][rng.integers(len(KINDS[kind]))], rng)
    tones = []
    for pitch in range(low, high + _SPACING, _SPACING):
        samples = _tone(voice, float(note_number_to_hz(pitch)), sample_rate, rng)
        tones.append(Tone(pitch, samples, sample_rate))
    # The relative levels of the samples are part of the instrument; only the loudest is normalized.
    peak = max(float(np.abs(tone.samples).max()) for tone in tones)
    tones = [Tone(t.pitch, t.samples * (0.9 / peak), t.sample_rate) for t in tones]
    return Preset(program, f"synthetic {kind}", tuple(tones), voice["release"])


def _draw_voice(kind: Kind, rng: np.random.Generator) -> dict:
    """Random parameters that all notes of an instrument share."""

    def draw(pair: Range, log: bool = False) -> float:
        low, high = pair
        return float(np.exp(rng.uniform(np.log(low), np.log(high))) if log else rng.uniform(*pair))

    return {
        "slope": draw(kind.slope),
        "place": draw(kind.place),
        "pickup": rng.uniform(0.05, 0.45) if rng.random() < 0.5 else None,
        "decay": draw(kind.decay, log=True),
        "damping": draw(kind.damping),
        "keytrack": rng.uniform(0.2, 0.8),
        "stiffness": draw(kind.stiffness),
        "attack": draw(kind.attack, log=True),
        "noise": 10 ** (draw(kind.noise) / 20),
        "noise_decay": rng.uniform(0.003, 0.03),
        "release": draw(kind.release, log=True),
        "strings": int(rng.choice(kind.strings)),
        "detune": rng.uniform(0.2, 2.5) / 1200,  # octaves
        "aftersound": rng.uniform(
            0, 0.4
        ),  # relative level of a part that decays four times as slowly
        "body": rng.normal(0, 5, len(_BODY_HZ)),  # dB
        "tine": rng.uniform(0.1, 0.8) if rng.random() < kind.tine else 0.0,
        "tine_ratio": rng.uniform(3.5, 15),
        "tine_decay": rng.uniform(0.03, 0.4),
        "drive": rng.uniform(1, 6) if rng.random() < kind.drive else 0.0,
        "octave": rng.uniform(0.3, 0.9) if rng.random() < kind.octave else 0.0,
        "roughness": rng.uniform(0.5, 3),  # dB by which partials vary from note to note
    }


def _tone(voice: dict, f0: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """One note as float32 samples."""
    octaves = np.log2(f0 / 110)
    b = 10 ** (voice["stiffness"] + 0.6 * octaves)
    k = np.arange(1, _N_PARTIALS + 1)
    frequency = k * f0 * np.sqrt(1 + b * k**2)
    k = k[frequency < 0.47 * sample_rate]
    frequency = frequency[: len(k)]
    amplitude = k ** -voice["slope"] * np.abs(np.sin(np.pi * k * voice["place"]))
    if voice["pickup"] is not None:
        amplitude = amplitude * (0.1 + np.abs(np.sin(np.pi * k * voice["pickup"])))
    body = np.interp(np.log(frequency), np.log(_BODY_HZ), voice["body"])
    amplitude = amplitude * 10 ** ((body + rng.normal(0, voice["roughness"], len(k))) / 20)
    tau = voice["decay"] * 2 ** (-voice["keytrack"] * octaves) / (1 + voice["damping"] * (k - 1))
    if voice["octave"]:
        above = 2 * frequency < 0.47 * sample_rate
        frequency = np.concatenate([frequency, 2.001 * frequency[above]])
        amplitude = np.concatenate([amplitude, voice["octave"] * amplitude[above]])
        tau = np.concatenate([tau, tau[above]])
    strings = voice["strings"]
    spread = voice["detune"] * (np.arange(strings) - (strings - 1) / 2)
    frequency = np.concatenate([frequency * 2**cents for cents in spread])
    amplitude, tau = np.tile(amplitude, strings), np.tile(tau, strings)
    tine = voice["tine_ratio"] * f0
    if voice["tine"] and tine < 0.47 * sample_rate:
        frequency = np.append(frequency, tine)
        amplitude = np.append(amplitude, voice["tine"] * amplitude.max())
        tau = np.append(tau, voice["tine_decay"])

    slowest = 4 if voice["aftersound"] else 1
    seconds = np.clip(-np.log(_QUIET) * slowest * tau.max(), 0.1, _LONGEST)
    time = np.arange(int(seconds * sample_rate), dtype=np.float32) / np.float32(sample_rate)
    samples = np.zeros(len(time), dtype=np.float32)
    for f, a, t in zip(frequency, amplitude, tau):
        # Only the audible part of a partial is computed.
        audible = time[: max(int(-np.log(_QUIET) * slowest * t * sample_rate), 1)]
        envelope = np.exp(audible * np.float32(-1 / t))
        if voice["aftersound"]:
            envelope += np.float32(voice["aftersound"]) * (np.exp(audible * np.float32(-0.25 / t)))
        phase = np.float32(rng.uniform(0, 2 * np.pi))
        samples[: len(audible)] += (
            np.float32(a) * envelope * np.sin(np.float32(2 * np.pi * f) * audible + phase)
        )
    peak = float(np.abs(samples).max()) or 1.0
    noise = rng.standard_normal(len(time)).astype(np.float32) * np.exp(-time / voice["noise_decay"])
    samples = samples + np.float32(voice["noise"] * peak) * noise
    if voice["drive"]:
        samples = np.tanh(samples * (voice["drive"] / peak)) * peak
    samples *= np.minimum(time / voice["attack"], 1)
    fade = min(len(samples), int(0.05 * sample_rate))
    samples[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return samples
