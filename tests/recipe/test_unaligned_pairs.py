"""Folders of pairs whose scores are on another clock than their recordings."""

import subprocess

import numpy as np
import pretty_midi
from tiny_recipe import RECIPE

SCRIPT = RECIPE / "local" / "unaligned_pairs.py"


def write_song(folder):
    midi = pretty_midi.PrettyMIDI()
    part = pretty_midi.Instrument(33)
    part.notes = [pretty_midi.Note(90, 40, k, k + 0.5) for k in np.arange(0.5, 20.0)]
    midi.instruments.append(part)
    folder.mkdir(parents=True)
    midi.write(str(folder / "all_src.mid"))
    (folder / "mix.flac").write_bytes(b"audio")


def onsets(path):
    return np.array([n.start for n in pretty_midi.PrettyMIDI(str(path)).instruments[0].notes])


def test_scores_are_true_or_warped_and_the_same_every_time(fast_python, tmp_path):
    for place in ("train/Track00001", "validation/Track00002", "test/Track00003"):
        write_song(tmp_path / "songs" / place)
    for out in ("one", "two", "one"):
        command = [fast_python, SCRIPT, tmp_path / "songs", tmp_path / out, "--tempo", "0.3"]
        subprocess.run(command, check=True, capture_output=True)
    true = onsets(tmp_path / "one" / "true" / "train" / "Track00001.mid")
    warped = onsets(tmp_path / "one" / "warped" / "train" / "Track00001.mid")
    steps = np.diff(warped)
    assert np.allclose(true, np.arange(0.5, 20.0), atol=2e-3)
    # The tempo changes by up to 30 %, and changes smoothly.
    assert steps.min() > 1 / 1.31 and steps.max() < 1.31 and np.ptp(steps) > 0.02
    assert np.abs(np.diff(steps)).max() < 0.2
    again = onsets(tmp_path / "two" / "warped" / "train" / "Track00001.mid")
    assert np.array_equal(warped, again)
    # Validation songs keep their scores, and test songs have only warped ones.
    kept = onsets(tmp_path / "one" / "warped" / "validation" / "Track00002.mid")
    assert np.allclose(kept, true, atol=2e-3)
    assert (tmp_path / "one" / "test_scores" / "test" / "Track00003.mid").is_file()
