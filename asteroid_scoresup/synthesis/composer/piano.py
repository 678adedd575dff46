"""Patterns of the piano: functions `(rng, part)` that return notes."""

from __future__ import annotations

from numpy.random import Generator

from .chords import near
from .melody import draw_line, draw_melody
from .rhythm import articulate, draw_hits, draw_rhythm
from .sampling import random_choice
from .section import BeatNote, Hit, Part
from .voicings import draw_voicings


def piano_block(rng: Generator, part: Part) -> list[BeatNote]:
    """Chords in any rhythm; sometimes the left hand adds roots or octaves."""
    hits = draw_hits(rng, part)
    notes = _strike(rng, hits, draw_voicings(rng, part, hits))
    return notes + (_left_hand(rng, part) if rng.random() < 0.25 else [])


def _strike(
    rng: Generator, hits: list[Hit], voicings: list[list[int]], factor: float = 1.0
) -> list[BeatNote]:
    """The notes of whole chords, rolled or not."""
    roll = float(random_choice(rng, [0.0, 0.0, 0.006, 0.025]))
    return [
        BeatNote(
            hit.beat, hit.length * factor, pitch, hit.accent * rng.uniform(0.9, 1.05), k * roll
        )
        for hit, pitches in zip(hits, voicings)
        for k, pitch in enumerate(pitches)
    ]


def _left_hand(rng: Generator, part: Part) -> list[BeatNote]:
    """Left hand: roots, octaves, fifths, tenths or a slow figure."""
    kind = random_choice(rng, ["root", "octave", "fifth", "tenth", "figure"], [3, 1, 1, 1, 1])
    density = 0.15 if kind != "figure" else 0.5
    hits = articulate(
        rng,
        draw_rhythm(rng, part.section, density, random_choice(rng, ["chords", "pulse", "grid"])),
    )
    notes = []
    for k, hit in enumerate(hits):
        chord = part.section.chord_at(hit.beat)
        root = near(chord.bass, 43, part.low, 54)
        third = 4 if (root + 4) % 12 in chord.tones else 3
        steps = {
            "root": (0,),
            "octave": (0, -12 if root - 12 >= part.low else 12),
            "fifth": (0, 7),
            "tenth": (0, 12 + third),
            "figure": ((0, 7, 12, 7)[k % 4],),
        }[kind]
        notes += [BeatNote(hit.beat, hit.length, root + step, hit.accent * 0.85) for step in steps]
    return notes


def piano_broken(rng: Generator, part: Part) -> list[BeatNote]:
    """The chord's notes one after the other: up, down, Alberti, random, wide, sustained or not."""
    hits = draw_hits(
        rng,
        part,
        density=max(0.4, part.density),
        kind=random_choice(rng, ["grid", "grid", "triplet", "weighted"]),
    )
    voicings = draw_voicings(rng, part, hits, size=int(rng.integers(3, 6)))
    order = random_choice(
        rng,
        [
            [0, 2, 1, 2],
            [0, 1, 2, 3],
            [3, 2, 1, 0],
            [0, 1, 2, 3, 2, 1],
            [0, 2, 3, 1],
            [0, 3, 1, 3, 2, 3],
        ]
        + [[int(n) for n in rng.integers(0, 5, int(rng.integers(3, 9)))]],
    )
    wide, ring = rng.random() < 0.3, float(random_choice(rng, [1.0, 1.0, 2.5, 4.0]))
    notes = []
    for k, (hit, pitches) in enumerate(zip(hits, voicings)):
        place = order[k % len(order)]
        pitch = pitches[place % len(pitches)]
        if wide and place % 2 == 0:
            pitch -= 12
        pitch = pitch if pitch >= part.low else pitch + 12
        length = part.section.ring(hit.beat, hit.length, ring)
        notes.append(BeatNote(hit.beat, length, pitch, hit.accent))
    return notes + (_left_hand(rng, part) if rng.random() < 0.2 else [])


def piano_stride(rng: Generator, part: Part) -> list[BeatNote]:
    """Bass note on strong beats, chord on weak ones: stride, waltz, march."""
    meter, notes = part.section.meter, []
    hits = draw_rhythm(rng, part.section, 0.3, "pulse")
    voicings = draw_voicings(rng, part, hits, "close")
    for hit, pitches in zip(hits, voicings):
        index = int(round((hit.beat % meter.beats) / meter.pulse))
        strong = index == 0 if meter.beats == 3.0 else index % 2 == 0
        if strong:
            chord = part.section.chord_at(hit.beat)
            root = near(chord.bass, 42, part.low, 52)
            fifth = index and (chord.root + 7) % 12 in chord.tones
            notes.append(
                BeatNote(hit.beat, hit.length, root - 5 if fifth and root > 35 else root, 0.8)
            )
        else:
            notes += [BeatNote(hit.beat, hit.length * 0.7, pitch, 0.6) for pitch in pitches]
    if rng.random() < 0.5:
        high = Part(part.section, 74, part.density, part.shared, part.tune, 60, part.high)
        notes += draw_melody(rng, high)
    return notes


def piano_comp(rng: Generator, part: Part) -> list[BeatNote]:
    """Jazz comping: shells and rootless voicings, syncopated, short or sustained."""
    hits = draw_hits(
        rng,
        part,
        density=part.density * 0.7,
        kind=random_choice(rng, ["cell", "euclid", "weighted", "push"]),
    )
    return _strike(
        rng, hits, draw_voicings(rng, part, hits, random_choice(rng, ["shell", "rootless"]), 4)
    )


def piano_song(rng: Generator, part: Part) -> list[BeatNote]:
    """Melody in the right hand, chords in the left."""
    high = Part(
        part.section, rng.uniform(67, 79), part.density, part.shared, part.tune, 57, part.high
    )
    tune = draw_melody(rng, high, gap=0.1)
    if rng.random() < 0.3:
        tune += [t._replace(pitch=t.pitch - 12, accent=t.accent * 0.8) for t in tune]
    hits = draw_hits(rng, part, density=0.2)
    lower = Part(part.section, rng.uniform(50, 58), part.density, part.shared, None, 36, 70)
    return tune + _strike(rng, hits, draw_voicings(rng, lower, hits))


def piano_hymn(rng: Generator, part: Part) -> list[BeatNote]:
    """Four voices with smooth voice leading."""
    hits = draw_hits(
        rng,
        part,
        density=0.3,
        kind=random_choice(rng, ["pulse", "chords", "weighted"]),
        feel="legato",
    )
    voices, notes = [64.0 + 7, 64.0, 57.0, 46.0], []
    for hit in hits:
        chord = part.section.chord_at(hit.beat)
        for k, pitch in enumerate(voices):
            target = chord.bass if k == 3 else random_choice(rng, chord.tones)
            best = min(chord.tones, key=lambda tone: abs(near(tone, pitch, 36, 84) - pitch))
            target = target if k == 3 or rng.random() < 0.2 else best
            moved = near(target, pitch, 36, 84)
            voices[k] = moved
            notes.append(BeatNote(hit.beat, hit.length, moved, hit.accent))
        voices = [0.8 * v + 0.2 * home for v, home in zip(voices, (70, 64, 57, 46))]
    return notes


def piano_riff(rng: Generator, part: Part) -> list[BeatNote]:
    """An ostinato: a short figure over changing chords, perhaps in octaves."""
    figure = Part(part.section, rng.uniform(52, 72), part.density, part.shared, None, 45, 84)
    notes = draw_line(rng, figure, gap=0.0, leap=0.4, pentatonic=rng.random() < 0.5)
    if rng.random() < 0.4:
        notes += [t._replace(pitch=t.pitch - 12) for t in notes]
    return notes + (_left_hand(rng, part) if rng.random() < 0.2 else [])


def piano_boogie(rng: Generator, part: Part) -> list[BeatNote]:
    """A rolling left hand under chords."""
    figure = random_choice(
        rng,
        [
            (0, 4, 7, 9, 10, 9, 7, 4),
            (0, 0, 7, 7, 9, 9, 7, 7),
            (0, 7, 9, 7, 10, 7, 9, 7),
            (0, 12, 7, 12),
        ],
    )
    step = 0.5 if part.section.tempo < 150 else 1.0
    notes = []
    for k in range(int(part.section.length / step)):
        chord = part.section.chord_at(k * step)
        interval = figure[k % len(figure)]
        if interval == 4 and (chord.root + 4) % 12 not in chord.tones:
            interval = 3
        notes.append(BeatNote(k * step, step * 0.9, near(chord.root, 41, 34, 46) + interval, 0.65))
    hits = draw_hits(rng, part, kind=random_choice(rng, ["cell", "offbeat", "weighted"]))
    higher = Part(part.section, rng.uniform(62, 70), part.density, None, None, 52, 84)
    return notes + _strike(rng, hits, draw_voicings(rng, higher, hits), 0.8)


def piano_runs(rng: Generator, part: Part) -> list[BeatNote]:
    """Scale runs between sustained chords."""
    notes = []
    for start, length, _, _ in part.section.spans():
        pitches = draw_voicings(rng, part, [Hit(start, length, 0.7)])[0]
        notes += [BeatNote(start, length * 0.95, pitch, 0.65) for pitch in pitches]
        if rng.random() < 0.4 and length >= 2:
            ladder = [p for p in range(57, 90) if p % 12 in part.section.scale_at(start)]
            step = 0.25 if part.section.tempo < 125 else 0.5
            count = int(min(length / 2, 2) / step)
            place, rising = int(rng.integers(0, max(1, len(ladder) - count))), rng.random() < 0.5
            for k in range(count):
                index = place + (k if rising else count - 1 - k)
                beat = start + length - (count - k) * step
                notes.append(
                    BeatNote(beat, step, ladder[min(index, len(ladder) - 1)], 0.5 + 0.03 * k)
                )
    return notes


PIANO = {
    piano_block: 1.6,
    piano_broken: 1.5,
    piano_stride: 0.6,
    piano_comp: 1.2,
    piano_song: 1.6,
    piano_hymn: 0.4,
    piano_riff: 1.5,
    piano_boogie: 0.4,
    piano_runs: 0.3,
}
