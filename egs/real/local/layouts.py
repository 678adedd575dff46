"""The data sets that prepare.py reads, and how the pieces of each are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import with_scores, without_scores
from .pieces import Piece


@dataclass(frozen=True)
class Layout:
    """A data set.

    Args:
        title (str): Its name.
        find (callable): From its folder to its pieces and what was left out, as lines.
        classes (str): Its classes, unless others are asked for.
        mixture (str): As for `prepare`: ``submix``, or ``song`` where other stems are left over.
        expected (str): The shape of the folder, for the message if it has another one.
        has_score (bool): Whether its pieces have notes.
        has_written_score (bool): Whether they also have a score that is not aligned.
    """

    title: str
    find: Callable[[Path, list[str]], Iterator[Piece]]
    classes: str
    mixture: str
    expected: str
    has_score: bool = True
    has_written_score: bool = False

    def pieces(self, root: Path, left_out: list[str]) -> list[Piece]:
        """The pieces of a folder.

        Args:
            root (Path): The folder.
            left_out (list of str): Receives a line for each piece that is incomplete.

        Raises:
            FileNotFoundError: if there is no such folder.
            ValueError: if it is of another shape.
        """
        if not root.is_dir():
            raise FileNotFoundError(f"{root}: no such folder.")
        found = list(self.find(root, left_out))
        if not found:
            inside = sorted(path.name for path in root.iterdir() if path.name[0] != ".")
            listed = ", ".join(inside[:5]) + (", …" if len(inside) > 5 else "")
            why = f" ({left_out[0]})" if left_out else ""
            raise ValueError(
                f"{root} is not laid out like {self.title}: expected {self.expected}; found "
                f"{listed or 'nothing'}{why}. Name the folder of the unpacked data set."
            )
        return found


_ORCHESTRA = (
    "violin=40;viola=41;cello=42;doublebass=43;flute=73;oboe=68;clarinet=71;saxophone=64-67;"
    "bassoon=70;trumpet=56;horn=60;trombone=57;tuba=58"
)
LAYOUTS = {
    "urmp": Layout(
        "URMP",
        with_scores.urmp,
        _ORCHESTRA,
        "submix",
        "folders such as 01_Jupiter_vn_vc with AuSep_1_vn_01_Jupiter.wav and "
        "Notes_1_vn_01_Jupiter.txt",
        has_written_score=True,
    ),
    "phenicx": Layout(
        "PHENICX-Anechoic",
        with_scores.phenicx,
        "violin=40;viola=41;cello=42;doublebass=43;flute=73;oboe=68;clarinet=71;bassoon=70;"
        "trumpet=56;horn=60",
        "submix",
        "audio/beethoven/violin1.wav and annotations/beethoven/violin.txt",
        has_written_score=True,
    ),
    "guitarset": Layout(
        "GuitarSet",
        with_scores.guitarset,
        "guitar=24-31",
        "submix",
        "annotation/00_BN1-129-Eb_comp.jams and audio_mono-mic/00_BN1-129-Eb_comp_mic.wav",
    ),
    "guitarset_strings": Layout(
        "GuitarSet",
        with_scores.guitarset_strings,
        "e2=@string E2;a2=@string A2;d3=@string D3;g3=@string G3;b3=@string B3;e4=@string E4",
        "submix",
        "annotation/00_BN1-129-Eb_comp.jams and "
        "audio_hex-pickup_debleeded/00_BN1-129-Eb_comp_hex_cln.wav",
    ),
    "choralebricks": Layout(
        "ChoraleBricks",
        with_scores.choralebricks,
        "soprano=@soprano *;alto=@alto *;tenor=@tenor *;bass=@bass *",
        "submix",
        "folders of songs with tracks_normalized/01_tp.wav and annotations/01_tp_notes.csv",
    ),
    "musdb18": Layout(
        "MUSDB18",
        without_scores.musdb18,
        "vocals=@vocals;drums=@drums;bass=@bass;other=@other",
        "submix",
        "test/ARTIST - TITLE with bass.wav, drums.wav, other.wav and vocals.wav (MUSDB18-HQ), or "
        "test/ARTIST - TITLE.stem.mp4",
        has_score=False,
    ),
    "moisesdb": Layout(
        "MoisesDB",
        without_scores.moisesdb,
        "vocals=@vocals*;drums=@drums*;bass=@bass*;guitar=@guitar*;piano=@piano*",
        "song",
        "folders of songs with data.json and a folder of each stem, such as bass/ID.wav",
        has_score=False,
    ),
}
