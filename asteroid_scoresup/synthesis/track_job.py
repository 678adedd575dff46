"""Numbers of tracks, and all that a track depends on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: First and last track number of every split. Numbers are unique in a data set, as in Slakh, and a
#: split can grow without renaming the tracks of another.
FIRST_NUMBER = {"train": 1, "validation": 70001, "test": 80001, "test_unseen": 90001}
LAST_NUMBER = {"train": 70000, "validation": 80000, "test": 90000, "test_unseen": 99999}


@dataclass(frozen=True)
class TrackJob:
    """All that a track depends on, as plain values that can be sent to another process.

    Args:
        folder (str): Folder of the track.
        split (str): A key of :data:`FIRST_NUMBER`.
        number (int): Track number.
        seed (int): Random seed of the data set.
        seconds (float): Length of a composed song.
        sample_rate (int): Sample rate of the audio files, in Hz.
        soundfonts (tuple of str): SoundFonts, of which the song uses a random one.
        mix_soundfonts (bool): Whether instead each part uses a random one.
        renderer (str): ``fluidsynth`` or ``tinysoundfont``.
        level_spread (float): Standard deviation of the random gain of a stem, in dB.
        color_db (float): See :func:`~asteroid_scoresup.synthesis.channel.random_channel`.
        synthetic (float): Probability of a synthetic instrument.
        varispeed (float): Largest speed change, in semitones.
        drums (bool): Whether a composed song has drums.
        others (int): Largest number of instruments outside the classes.
        mixing (str): ``plain`` or ``produced``, see :mod:`.production`.
        mma (float): Probability that MMA writes a training song instead of the composer.
        programs (str): See :func:`~asteroid_scoresup.synthesis.composer.palette_of`.
        midi (str, optional): MIDI file to render. If None, a song is composed.
        midi_name (str): Its name relative to the folder of MIDI files.
        max_seconds (float, optional): Length to which a MIDI file is cut.
    """

    folder: str
    split: str
    number: int
    seed: int
    seconds: float
    sample_rate: int
    soundfonts: tuple[str, ...]
    mix_soundfonts: bool
    renderer: str
    level_spread: float
    color_db: float
    synthetic: float
    varispeed: float
    drums: bool
    others: int
    mixing: str
    mma: float
    programs: str
    midi: str | None
    midi_name: str
    max_seconds: float | None

    def generator(self, purpose: int | None = None) -> np.random.Generator:
        """A random generator of the track, one for each purpose.

        Args:
            purpose (int, optional): None for composing and levels, 1 for timbres, 2 for the choice
                of SoundFonts, 3 for how parts are played, 4 for the mixture, 5 for the writer.

        Returns:
            numpy.random.Generator: Always in the same state.
        """
        seed = [self.seed, list(FIRST_NUMBER).index(self.split), self.number]
        return np.random.default_rng(seed if purpose is None else [*seed, purpose])
