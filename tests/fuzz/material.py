"""Small intact files of every kind that the commands read, which the cases damage."""

import shutil

import numpy as np
import soundfile as sf
from slakh_folder import INST, LOWEST, melody, play, write_midi, write_song
from tiny import NAMES, NET

from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup.engine import save_model
from asteroid_scoresup.models import ScoreTranscriptor, TCNSeparator
from asteroid_scoresup.synthesis.soundfont import Preset, Tone, write_soundfont
from asteroid_scoresup.synthesis.synthesize import synthesize

SECONDS = 1.5
RATE = 8000
AUDIO = ("song.wav", "song.flac", "song.ogg", "song.aiff", "song.mp3")
#: Options of the data set that is damaged.
SYNTHESIS = {"n_train": 1, "n_validation": 0, "n_test": 0, "n_test_unseen": 0, "seconds": 1.0}


def make_material(root):
    """Writes the intact files.

    Args:
        root (Path): Folder for ``slakh/`` (a track), ``prepared/``, ``dataset/``, ``pair/`` (a song
            as MIDI and in several audio formats), the models and ``tone.sf2``.
    """
    write_song(root / "slakh" / "Track00001", seconds=SECONDS)
    prepare(root / "slakh", root / "prepared", sample_rate=RATE, jobs=1, progress=False)
    tones = [Tone(p, 0.3 * np.sin(0.3 * np.arange(3000)), RATE) for p in (40, 70)]
    # All programs, so that any composed song can be played.
    presets = [Preset(program, "tone", tuple(tones)) for program in range(128)]
    write_soundfont(root / "tone.sf2", "tones", presets)
    synthesize(
        root / "dataset", soundfonts=root / "tone.sf2", sample_rate=RATE, jobs=1, quiet=True,
        renderer="tinysoundfont", **SYNTHESIS,
    )  # fmt: skip
    rows = {kind: melody(k, SECONDS, LOWEST[kind]) for k, kind in enumerate(INST)}
    audio = sum(play(line, SECONDS, RATE) for line in rows.values())
    (root / "pair").mkdir()
    for name in AUDIO:
        sf.write(root / "pair" / name, np.stack([audio, 0.5 * audio], 1), RATE)
    write_midi(root / "pair" / "song.mid", *((INST[k][1], line) for k, line in rows.items()))
    save_model(TCNSeparator(NAMES, **NET), root / "separator.pth")
    save_model(ScoreTranscriptor(NAMES, **NET), root / "transcriptor.pth")


def copy_to(root, name, folder):
    """Copies a file or folder of the material to the folder of a case."""
    source, target = root / name, folder / name.split("/")[-1]
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
    return target
