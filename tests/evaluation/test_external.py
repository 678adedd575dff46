"""Separators that are commands: their files, their errors, and the classes of what they write."""

import shlex
import sys

import numpy as np
import pytest
import soundfile as sf

from asteroid_scoresup.evaluation import ExternalSeparator, parse_external

RATE = 8000
SONG = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.1
#: Copies the mixture to the files that are named, relative to the output folder.
COPY = "for f in {files}; do mkdir -p $(dirname $2/$f); cp $1 $2/$f; done"


def shell(script, name="Tool", **options):
    """A separator that is a shell script, whose $1 and $2 are input and output."""
    return ExternalSeparator(
        name, f"sh -c {shlex.quote(script)} sh {{input}} {{output}}", **options
    )


def copies(*files, **options):
    return shell(COPY.format(files=" ".join(files)), **options)


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")


@pytest.mark.parametrize(
    "file", ["bass.wav", "model/mixture/bass.wav", "mixture_(Bass).wav", "mixture-BASS.wav"]
)
def test_file_names(file):
    stems = copies(f"'{file}'")(SONG, RATE, ["bass", "piano"])
    assert list(stems) == ["bass"]
    np.testing.assert_array_equal(stems["bass"], SONG)


def test_other_names_and_sums():
    tool = copies("keys.wav", "synth.wav", "low.wav", files={"piano": ["keys", "Synth"]})
    stems = tool(SONG, RATE, ["bass", "piano"])
    np.testing.assert_allclose(stems["piano"], 2 * SONG)
    assert "bass" not in stems  # low.wav is not named like it


def test_names_that_only_end_like_a_class_are_others():
    with pytest.raises(ValueError, match="wrote no file named bass; it wrote no_bass.wav"):
        copies("no_bass.wav")(SONG, RATE, ["bass"])


def test_stereo_and_other_rates_are_converted(tmp_path):
    time = np.arange(2 * RATE) / (2 * RATE)
    tone = np.sin(2 * np.pi * 200 * time)
    sf.write(tmp_path / "x.wav", np.stack([tone, tone], 1), 2 * RATE, subtype="FLOAT")
    stems = shell(f"cp {tmp_path}/x.wav $2/bass.wav")(SONG, RATE, ["bass"])
    np.testing.assert_allclose(stems["bass"][500:-500], tone[::2][500:-500], atol=1e-3)


@pytest.mark.parametrize(
    ("separator", "message"),
    [
        (ExternalSeparator("X", "no-such-tool {input} {output}"), "X cannot be started: 'no-such"),
        (shell("echo starting; echo 'out of memory' >&2; exit 3"), "ended with status 3: out of m"),
        (shell("true"), "Tool wrote no file named bass; it wrote no audio file. Name them with"),
        (shell("sleep 60 & wait", timeout=0.2), "Tool took more than 0.2 s for one song"),
        (copies("a/bass.wav", "b/bass.wav"), "several files for the class bass: a/bass.wav, b/ba"),
        (copies("low.wav", files={"bass": ["deep"]}), "no file 'deep' for the class bass; it wro"),
    ],
)
def test_errors(separator, message):
    with pytest.raises(ValueError, match=message):
        separator(SONG, RATE, ["bass"])


def test_length_is_kept(tmp_path):
    sf.write(tmp_path / "short.wav", SONG[: RATE // 2], RATE)
    sf.write(tmp_path / "near.wav", SONG[:-100], RATE, subtype="FLOAT")
    near = shell(f"cp {tmp_path}/near.wav $2/bass.wav")(SONG, RATE, ["bass"])["bass"]
    np.testing.assert_array_equal(near, np.where(np.arange(RATE) < RATE - 100, SONG, 0))
    with pytest.raises(ValueError, match="bass.wav with 0.50 s for a song of 1.00 s"):
        shell(f"cp {tmp_path}/short.wav $2/bass.wav")(SONG, RATE, ["bass"])


def test_the_command_is_no_shell(tmp_path):
    separator = ExternalSeparator("X", f"true {{input}} {{output}} ; touch {tmp_path}/made")
    with pytest.raises(ValueError, match="wrote no file"):
        separator(SONG, RATE, ["bass"])
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("commands", "files", "message"),
    [
        (["x {input} {output}"], [], "is not of the form NAME=COMMAND"),
        (["X=x {input}"], [], r"lacks \{output\}"),
        (["X='x {input} {output}"], [], "is not quoted as in a shell"),
        (["X=x {input} {output}"] * 2, [], "names 'X' twice"),
        (["X=x {input} {output}"], ["Y:bass=low"], r"a name of --external \(X\)"),
        (["X=x {input} {output}"], ["X:bass"], "is not of the form NAME:class=file"),
    ],
)
def test_invalid_options(commands, files, message):
    with pytest.raises(ValueError, match=message):
        parse_external(commands, files)
