"""Common chord progressions of many styles, as Roman numerals.

Numerals refer to the major scale in every mode, so that bVI is always the same chord.
"""

from __future__ import annotations


def _loops(text: str) -> tuple[str, ...]:
    return tuple(loop.strip() for loop in text.split("|"))


LOOPS = {
    "major": _loops(
        "I V vi IV|I vi IV V|vi IV I V|I IV V IV|I iii IV V|IV I V vi|I IV vi V|I V/3 vi V"
        "|IV V iii vi|I I7 IV iv|I II IV I|I bVII IV I|vi V IV V|I ii IV V|I III vi IV|ii IV I V"
        "|Imaj7 vim7 iim7 V7|I V ii IV|I IV I V|I vi ii V|IVmaj7 Imaj7 IVmaj7 Imaj7|I iii vi IV"
        "|I V vi iii IV I IV V|I V/3 vi I/5 IV I/3 ii V|I Iaug I6 I7|vi iii IV I|IV iv I I"
        "|I #idim7 ii V7|I V IV IV|ii V I vi|IV vi V I|I V IV V"
    ),
    "minor": _loops(
        "i bVI bIII bVII|i bVII bVI V|i iv v i|i bVI iv V|i bVII bVI bVII|i iv bVII bIII"
        "|i v bVI iv|i bIII bVII iv|bVI bVII i i|i V i bVII bIII bVII i V|im7 iv9 bVI V7"
        "|i i/b7 bVI V7|i iv i V|i bVI bVII v|iv bVII i i|i bII i bII|i bVII iv i|i iim7b5 V7 i"
        "|i bIII iv bVI|im9 ivm9 im9 V7#9|bVI bIII bVII i|i v iv i|i bVII bIII bVI|i IV i IV"
    ),
}
BLUES = _loops(
    "I7 I7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7|I7 IV7 I7 I7 IV7 IV7 I7 VI7 ii7 V7 I7 V7"
    "|i7 i7 i7 i7 iv7 iv7 i7 i7 bVI7 V7 i7 V7|I7 IV7 I7 V7 I7 IV7 I7 I7|I5 I5 I5 I5 IV5 IV5 I5 I5 "
    "V5 IV5 I5 I5"
)
JAZZ = _loops(
    "ii7 V7 Imaj7 vi7|Imaj7 vi7 ii7 V7|iii7 VI7 ii7 V7|ii7 V7 Imaj7 IVmaj7 viim7b5 III7 vi7 VI7"
    "|iim7b5 V7b9 i7 i7|Imaj7 #idim7 ii7 V7|ii7 bII7 Imaj7 Imaj7"
    "|Imaj7 I7 IVmaj7 iv6 iii7 VI7 ii7 V7"
    "|i7 IV7 bVIImaj7 bVII7 bIIImaj7 bVImaj7 iim7b5 V7b9|Imaj7 Imaj7 bii7 bV7|ii9 V13 Imaj9 VI7#9"
    "|IVmaj7 iv7 iii7 bIIIdim7 ii7 V7 Imaj7 V7"
)
