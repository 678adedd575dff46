"""Small MusicXML files, written by hand."""

from xml.sax.saxutils import escape

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
DOCTYPE = (
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" '
    '"http://www.musicxml.org/dtds/partwise.dtd">\n'
)
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def pitch(name):
    """``"C#4"`` as an element."""
    alter = {"#": "<alter>1</alter>", "b": "<alter>-1</alter>"}.get(name[1], "")
    return f"<pitch><step>{name[0]}</step>{alter}<octave>{name[-1]}</octave></pitch>"


def note(name, duration=1, inside="", **attributes):
    """A note; `inside` comes after its duration."""
    given = "".join(f' {key}="{value}"' for key, value in attributes.items())
    what = "<rest/>" if name is None else pitch(name)
    return f"<note{given}>{what}<duration>{duration}</duration>{inside}</note>"


def score(parts, described=None):
    """A score of parts: a dict from the name of a part to its measures."""
    described = described or {}
    listed, written = "", ""
    for index, (name, measures) in enumerate(parts.items(), 1):
        identity = f"P{index}"
        inside = described.get(name, "")
        listed += f'<score-part id="{identity}"><part-name>{escape(name)}</part-name>'
        listed += f"{inside}</score-part>"
        content = "".join(
            f'<measure number="{k}">{measure}</measure>' for k, measure in enumerate(measures, 1)
        )
        written += f'<part id="{identity}">{content}</part>'
    body = f"<part-list>{listed}</part-list>{written}"
    return f'{HEAD}{DOCTYPE}<score-partwise version="4.0">{body}</score-partwise>'


def instrument(program=None, channel=None, key=None, identity="I1", name=""):
    """The descriptions of an instrument of a part."""
    tags = {"midi-channel": channel, "midi-program": program, "midi-unpitched": key}
    midi = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags.items() if value is not None)
    return (
        f'<score-instrument id="{identity}"><instrument-name>{name}</instrument-name>'
        f'</score-instrument><midi-instrument id="{identity}">{midi}</midi-instrument>'
    )


def barline(repeat=None, ending=None, number=1, times=None):
    """A bar line; on the left if something begins."""
    location = "left" if repeat == "forward" or ending == "start" else "right"
    inside = f'<ending number="{number}" type="{ending}"/>' if ending else ""
    count = f' times="{times}"' if times else ""
    inside += f'<repeat direction="{repeat}"{count}/>' if repeat else ""
    return f'<barline location="{location}">{inside}</barline>'


def sound(**attributes):
    """A direction that sounds."""
    given = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return (
        f"<direction><direction-type><words>x</words></direction-type><sound{given}/></direction>"
    )
