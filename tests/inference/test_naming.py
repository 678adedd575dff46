"""Templates of file names: what they give, and which are refused."""

from pathlib import Path

import pytest

from asteroid_scoresup.inference import OutputOptions
from asteroid_scoresup.inference.naming import DEFAULT_TEMPLATE, require_template, stem_path


@pytest.mark.parametrize(
    "template, message",
    [
        ("/tmp/{track}/{stem}.{ext}", "leaves the folder"),
        ("../{track}/{stem}.{ext}", "leaves the folder"),
        ("{track}/../../{stem}.{ext}", "leaves the folder"),
        ("{track}//{stem}.{ext}", "leaves the folder"),
        ("C:{track}{stem}.{ext}", "leaves the folder"),
        ("{track}\\{stem}.{ext}", "leaves the folder"),
        ("{track}.{ext}", "several stems one name"),
        ("{stem}.{ext}", "several stems one name"),
        ("{track}/{stem}", "at its end"),
        ("{artist}/{track}/{stem}.{ext}", "unknown field {artist}: the fields are {track}, "),
        ("{track.__class__}/{stem}.{ext}", "unknown field"),
        ("{track!r}/{stem}.{ext}", "unknown field"),
        ("{track:>9}/{stem}.{ext}", "unknown field"),
        ("{}/{track}/{stem}.{ext}", "unknown field"),
        ("{track/{stem}.{ext}", "is not a template|unknown field"),
    ],
)
def test_templates_that_are_refused(template, message):
    with pytest.raises(ValueError, match=message) as caught:
        OutputOptions(filename=template)
    assert template in str(caught.value) or repr(template) in str(caught.value)


def test_a_template_cannot_leave_the_folder_by_the_names_it_is_filled_with():
    for song in ("a/../../b.wav", "..", "x.{stem}", "song./../evil"):
        path = stem_path(Path("out/song"), "{trackext}x/{track}/{stem}.{ext}", "bass", ".wav", song)
        assert Path("out") in path.parents and ".." not in path.parts


def test_long_names_keep_their_suffix():
    template = "{track}-{track}-{stem}.{ext}"
    require_template(template)
    path = stem_path(Path("out") / ("x" * 150), template, "bass", ".flac")
    assert path.suffix == ".flac" and len(path.name) < 200
    assert stem_path(Path("a/b"), DEFAULT_TEMPLATE, "bass", ".wav") == Path("a/b/bass.wav")
    assert stem_path(Path("."), DEFAULT_TEMPLATE, "bass", ".wav") == Path("bass.wav")
