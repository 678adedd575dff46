r"""The label check: does the audio say what the notes say?

Three questions are asked of every song, with nothing but spectra (no network, no training):

- **Octave** of each class. Under a note of label frequency :math:`f` the amplitudes at three combs
  are compared: :math:`f, 2f, 3f, \dots` (what the label explains), the odd multiples of
  :math:`f/2` (present only if the sound is an octave *below* the label), and the odd multiples of
  :math:`f` itself (absent if the sound is an octave *above*). Each long note votes; bins that a
  partial of another sounding note may explain do not count.
- **Offset** between notes and audio: the rise of each note's own partials is laid over all others
  by its onset, and the lag in :math:`\pm 1` s where the mean rise is largest is the offset.
- **Notes without energy**: nothing at the note's partials while it should sound.

Where references exist, each class is held against its own; else all are held against the mixture.
At most :data:`LISTEN_SECONDS` of a song are listened to. All thresholds are our choice, set so
that honest data raise no alarm; where the evidence is thin the answer is None.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from ..score import partial_frequencies
from .bends import as_sounding
from .files import resample_audio

#: How much of a song is listened to, in seconds, and in how many windows.
LISTEN_SECONDS = 60.0
N_WINDOWS = 3
#: The check needs no more bandwidth than this, in Hz.
MAX_RATE = 16000
#: Largest offset that is looked for, in seconds.
MAX_LAG = 1.0
#: Seconds between notes of the fastest riff that is taken for one.
SHORTEST_BEAT = 0.14
#: Offsets up to this are normal (attack times, latency of the renderer), in seconds.
OFFSET_TOLERANCE = 0.03
#: Notes that stay so far below the loud notes count as silent, in dB; honest ones reach -25 dB.
SILENT_DB = -50.0
#: Share of silent notes that is worth a warning.
SILENT_SHARE = 0.1
#: A finding below this confidence is no finding.
SURE = 0.5

_HOP = 0.01  # of the rise of partials, in seconds
_ATTACK = 0.005  # an honest rise is steepest so long after the onset, in seconds
_MAX_VOTES = 60  # on an octave, per class and window: of the longest notes
_MAX_RISES = 400  # per class and window: more tell nothing new


def check_song(notes, names, sample_rate, mixture, references=None):
    r"""Holds the notes of a song against its audio.

    Args:
        notes (Notes): The score.
        names (sequence of str): Names of the classes.
        sample_rate (float): Rate of the audio, in Hz.
        mixture (array): Shape :math:`(time,)`.
        references (dict, optional): Signals of the classes by name, of the same shape.

    Returns:
        dict: By class name ``octave`` (semitones by which the notes must move to be where they
        sound: -12, 0 or 12; None if unclear), ``octave_confidence`` (0 to 1), ``silent_notes``
        (share of notes without energy, None without notes); and for the song ``offset_seconds``
        (how much later the audio is than the notes; None if unclear), ``offset_confidence``, and
        ``warnings`` (list of str).
    """
    references, notes = references or {}, as_sounding(notes)
    windows = _windows(notes, len(mixture) / sample_rate)
    findings, rises, onsets, levels = {}, [], [], {}
    for index, name in enumerate(names):
        signal, votes, found = references.get(name, mixture), [], [np.zeros(0)]
        for start, stop in windows:
            inside = notes.select((notes.onset >= start) & (notes.onset < stop))
            mine = inside.select(inside.source == index)
            if len(mine):
                excerpt = _Excerpt(signal, sample_rate, start, stop)
                votes += _octave_votes(excerpt, mine, mine if name in references else inside)
                some = np.linspace(0, len(mine) - 1, min(len(mine), _MAX_RISES)).astype(int)
                mine = mine.select(some)
                rise, level = _rises(excerpt, mine)
                rises.append(rise)
                onsets.append(mine.onset)
                found.append(level)
        octave, confidence = _count_votes(votes)
        findings[name] = {"octave": octave, "octave_confidence": confidence}
        levels[name] = np.concatenate(found)
    loudest = {n: np.percentile(v, 95) if len(v) else 0.0 for n, v in levels.items()}
    for name in names:
        # In a mixture a class that is missing has no loud notes of its own to compare with.
        loud = loudest[name] if name in references else max(loudest.values())
        findings[name]["silent_notes"] = _share_silent(levels[name], loud)
    findings.update(_find_offset(rises, onsets))
    if findings["offset_seconds"] is None:
        # Notes that are not in the audio at all would vote for anything.
        for name in names:
            findings[name].update(octave=None, octave_confidence=0.0)
    findings["warnings"] = _warnings(findings, names, sum(map(len, onsets)))
    return findings


def _windows(notes, duration):
    """Parts of the song to listen to: all of it, or windows around the quantiles of the notes."""
    if duration <= LISTEN_SECONDS or not len(notes):
        return [(0.0, duration)]
    length = LISTEN_SECONDS / N_WINDOWS
    centres = np.quantile(notes.onset, (np.arange(N_WINDOWS) + 0.5) / N_WINDOWS)
    starts = np.clip(centres - length / 2, 0, duration - length)
    # Side by side where the quantiles lie close together: forwards, then back from the end.
    apart = length * np.arange(N_WINDOWS)
    starts = np.maximum.accumulate(starts - apart) + apart
    starts = np.minimum(starts, duration - length - apart[::-1])
    return [(float(start), float(start + length)) for start in starts]


class _Excerpt:
    """A window of a signal and its spectra, with room for the largest lag on both sides."""

    def __init__(self, signal, sample_rate, start, stop):
        first = max(int((start - MAX_LAG - 0.2) * sample_rate), 0)
        last = int((stop + MAX_LAG + 0.2) * sample_rate)
        part = np.ascontiguousarray(signal[first:last], dtype=np.float32)
        self.origin = first / sample_rate
        self.rate = sample_rate
        if sample_rate > MAX_RATE:
            part, self.rate = resample_audio(part, int(sample_rate), MAX_RATE), MAX_RATE
        self.signal = torch.from_numpy(part)
        self._cache = {}

    def spectrum(self, window, hop):
        """Power, shape (freq, frames), under a Hann window of about `window` seconds.

        A sinusoid of amplitude A reads A squared.

        Returns:
            tuple: the power, Hz per bin, seconds per frame.
        """
        if (window, hop) not in self._cache:
            n_fft = 2 ** round(np.log2(window * self.rate))
            step = round(hop * self.rate)
            hann = torch.hann_window(n_fft)
            signal = torch.nn.functional.pad(self.signal, (n_fft // 2, n_fft // 2))
            spectrum = torch.stft(
                signal, n_fft, step, window=hann, center=False, return_complex=True
            )
            power = (spectrum.real**2 + spectrum.imag**2) / (n_fft / 4) ** 2
            self._cache[window, hop] = power.numpy(), self.rate / n_fft, step / self.rate
        return self._cache[window, hop]


def _frequency(pitch):
    return 440.0 * 2.0 ** ((np.asarray(pitch, dtype=np.float64) - 69) / 12)


def _octave_votes(excerpt, mine, others):
    """In which octave does each long note sound, seen from its label? List of -12, 0, 12.

    Args:
        excerpt (_Excerpt): The audio.
        mine (Notes): Notes of the class.
        others (Notes): All notes that are in the audio, those of the class too.
    """
    power, per_bin, per_frame = excerpt.spectrum(0.256, 0.064)
    longest = np.argsort(mine.onset - mine.offset, kind="stable")[: 4 * _MAX_VOTES]
    votes = []
    for row in longest:
        if len(votes) == _MAX_VOTES:
            break
        onset, offset, pitch = mine.onset[row], mine.offset[row], mine.pitch[row]
        # Past the attack, where all frequencies sound.
        first = int(np.ceil((onset + 0.06 - excerpt.origin) / per_frame))
        last = int(np.floor((min(offset, onset + 1.0) - excerpt.origin) / per_frame))
        last = min(max(first, last), power.shape[1] - 1)
        if first > last:
            continue
        begin = first * per_frame + excerpt.origin - 0.23
        end = last * per_frame + excerpt.origin + 0.13
        near = (others.onset < end) & (others.offset > begin)
        near &= (others.pitch != pitch) | (others.source != mine.source[row])
        foreign, by_others = others.pitch[near], others.source[near] != mine.source[row]
        # In unison with another class, the wrong octave of one would look like that of both.
        if np.any(by_others & (foreign == pitch)):
            continue
        spectrum = np.sqrt(power[:, first : last + 1].mean(axis=1))
        foreign = np.setdiff1d(foreign, [pitch])
        vote = _octave_vote(spectrum, per_bin, _frequency(pitch), _frequency(foreign))
        if vote is not None:
            votes.append(vote)
    return votes


def _octave_vote(spectrum, per_bin, f0, foreign):
    """The vote of one note, or None if other notes cover its partials or nothing sounds.

    Args:
        spectrum (array): Mean magnitudes over the note, shape (freq,).
        per_bin (float): Hz per bin.
        f0 (float): Frequency of the label, in Hz.
        foreign (array): Frequencies of the other sounding notes, in Hz.
    """

    def amplitudes(frequencies):
        """Amplitudes at those of the frequencies that no other note may have, falling."""
        free = frequencies < per_bin * (len(spectrum) - 4)
        if len(foreign):
            k = np.clip(np.round(frequencies / foreign[:, None]), 1, 16)
            distance = np.abs(frequencies - k * foreign[:, None])
            free &= (distance > np.maximum(3 * per_bin, 0.01 * frequencies)).all(axis=0)
        width = np.maximum(1.5 * per_bin, 0.006 * frequencies[free])
        low = np.ceil((frequencies[free] - width) / per_bin).astype(int)
        high = np.floor((frequencies[free] + width) / per_bin).astype(int)
        found = [spectrum[max(a, 0) : b + 1].max() for a, b in zip(low, high)]
        return sorted(found, reverse=True)

    odd, even = amplitudes(f0 * np.arange(1, 9, 2)), amplitudes(f0 * np.arange(2, 9, 2))
    below = amplitudes(f0 * np.arange(0.5, 5, 1))
    if not odd or len(below) < 2:
        return None
    floor = 4 * np.median(spectrum[int(0.4 * f0 / per_bin) :][: int(6 * f0 / per_bin)])
    odd_level = np.sqrt(np.mean(np.square(odd[:3])))
    even_level = np.sqrt(np.mean(np.square(even[:3]))) if even else 0.0
    top = max(odd_level, even_level)
    # One line below may be rumble; two are a comb, and so is one that outshines the label's.
    if top > 1e-5 and (below[1] > max(0.2 * top, floor) or below[0] > max(3 * top, floor)):
        return -12
    if even_level > 1e-5 and odd_level < 0.18 * even_level:
        return 12
    return 0 if odd[0] > max(floor, 1e-5) else None


def _count_votes(votes):
    """Octave of a class and the confidence in it: lead of the winner, less for few votes."""
    if not votes:
        return None, 0.0
    (winner, count), *rest = Counter(votes).most_common()
    lead = (count - (rest[0][1] if rest else 0)) / len(votes)
    confidence = round(lead * min(len(votes) / 8, 1.0), 3)
    return (winner if confidence >= SURE else None), confidence


def _partial_bins(per_bin, n_bins):
    """Rows of weights over the bins for the partials of MIDI notes 0 to 127."""
    centres = partial_frequencies(torch.arange(128), 6).numpy()
    bins = np.arange(n_bins) * per_bin
    width = np.maximum(1.5 * per_bin, 0.006 * centres)
    inside = np.abs(bins - centres[..., None]) <= width[..., None]
    inside &= (centres < per_bin * (n_bins - 1))[..., None]
    return inside.any(axis=1).astype(np.float32)


def _rises(excerpt, mine):
    """How the partials of each note rise around its onset, and how loud they get.

    Returns:
        tuple: rises, shape (notes, lags), lags from -1 to 1 s, nan outside the audio; and the
        largest RMS amplitude at the note's partials while it should sound, shape (notes,).
    """
    power, per_bin, per_frame = excerpt.spectrum(0.064, _HOP)
    used, key = np.unique(np.clip(mine.pitch, 0, 127), return_inverse=True)
    templates = _partial_bins(per_bin, len(power))[used]
    share = templates / np.maximum(templates.sum(axis=1, keepdims=True), 1)
    salience = np.sqrt(share @ power)
    n_frames = salience.shape[1]
    rise = np.full_like(salience, np.nan)
    rise[:, 2:-2] = np.maximum(salience[:, 4:] - salience[:, :-4], 0)

    span = round(MAX_LAG / _HOP)
    onset = (mine.onset - excerpt.origin) / per_frame
    # To the nearest frame: over many notes the rounding averages out.
    frame = np.round(onset).astype(int)[:, None] + np.arange(-span, span + 1)
    outside = (frame < 0) | (frame >= n_frames)
    laid = rise[key[:, None], np.clip(frame, 0, n_frames - 1)]
    laid[outside] = np.nan

    # A little after the note-off too, so that a small offset does not silence short notes.
    until = (np.maximum(mine.offset, mine.onset + 0.1) - excerpt.origin) / per_frame
    first = np.clip(np.round(onset), 0, n_frames - 1).astype(int)
    stop = np.maximum(np.ceil(until).astype(int), first + 1)
    level = np.array([salience[k, a:b].max() for k, a, b in zip(key, first, stop)])
    return laid, level


def _share_silent(levels, loud):
    """Share of notes that stay :data:`SILENT_DB` below the loud ones; None without notes."""
    if not len(levels):
        return None
    return round(float(np.mean(levels <= max(loud, 1e-5) * 10 ** (SILENT_DB / 20))), 4)


def _find_offset(rises, onsets):
    """The lag at which the notes' partials rise most, and the share of the song that agrees."""
    unclear = {"offset_seconds": None, "offset_confidence": 0.0}
    if not rises:
        return unclear
    rises, onsets = np.concatenate(rises), np.concatenate(onsets)
    # Every note counts alike, loud or soft; those that never rise say nothing.
    height = np.nan_to_num(rises).max(axis=1)
    rises = (rises[height > 1e-5] / height[height > 1e-5, None])[np.argsort(onsets[height > 1e-5])]
    if len(rises) < 4:
        return unclear
    curve = _mean_rise(rises)
    top = int(curve.argmax())
    # Parts of the song in turn: only a constant offset is the same in most of them.
    parts = np.array_split(np.arange(len(rises)), min(8, len(rises) // 4))
    tops = np.array([_mean_rise(rises[part]).argmax() for part in parts])
    agreement = float(np.mean(np.abs(tops - top) <= 3))
    confidence = round(agreement * min(len(parts) / 6, 1.0), 3)
    left, middle, right = curve[max(top - 1, 0)], curve[top], curve[min(top + 1, len(curve) - 1)]
    bend = left - 2 * middle + right
    fraction = 0.5 * (left - right) / bend if bend < 0 else 0.0
    offset = (top + np.clip(fraction, -0.5, 0.5)) * _HOP - MAX_LAG - _ATTACK
    beside = np.abs(np.arange(len(curve)) - top) > 8
    if abs(offset) <= OFFSET_TOLERANCE and curve[top] > max(0.3, 1.1 * curve[beside].max()):
        # By chance alone the highest of 201 lags is one of the few around 0 in 3 % of cases: a few
        # notes are enough to believe in an alignment, but not in an offset.
        confidence = max(confidence, 0.6)
    around_zero = curve[np.abs(np.arange(len(curve)) - round(MAX_LAG / _HOP)) <= 8]
    if abs(offset) > SHORTEST_BEAT and around_zero.max() > 0.95 * curve[top]:
        # Hardly better than no offset at all: in a steady riff every beat is as good as the next.
        confidence = min(confidence, round(SURE / 2, 3))
    found = round(float(offset), 4) if confidence >= SURE else None
    return {"offset_seconds": found, "offset_confidence": confidence}


def _mean_rise(rises):
    """Mean over the notes that lie inside the audio at each lag; 0 where half of them do not."""
    inside = np.isfinite(rises).sum(axis=0)
    total = np.nansum(rises, axis=0)
    return np.where(inside * 2 >= len(rises), total / np.maximum(inside, 1), 0.0)


def _warnings(findings, names, n_notes):
    warned = []
    for name in names:
        found = findings[name]
        if found["octave"]:
            where = "below" if found["octave"] < 0 else "above"
            warned.append(f"{name} sounds an octave {where} its labels")
        if (found["silent_notes"] or 0) > SILENT_SHARE:
            warned.append(
                f"{found['silent_notes']:.0%} of the notes of {name} are not in the audio"
            )
    offset = findings["offset_seconds"]
    if offset is not None and abs(offset) > OFFSET_TOLERANCE:
        when = "later" if offset > 0 else "earlier"
        warned.append(f"the audio is {abs(offset) * 1000:.0f} ms {when} than the notes")
    if offset is None and n_notes >= 50:
        warned.append("the notes do not follow the audio by any constant offset up to 1 s")
    return warned


def summarize_checks(findings, names):
    """Puts the findings of all tracks together.

    Args:
        findings (dict): What :func:`check_song` returned, by name of the track.
        names (sequence of str): Names of the classes.

    Returns:
        dict: ``octave`` (by class: how many tracks say what, and the ``consensus``: what two
        thirds of the sure ones say, if they are at least half of all), ``offset`` (how many tracks
        are sure, off and unclear, median in seconds), ``silent_notes`` (mean share by class),
        ``lines`` (text), ``warnings``.
    """
    octaves, silent, lines, warned = {}, {}, [], []
    for name in names:
        asked = [f[name] for f in findings.values() if f[name]["silent_notes"] is not None]
        counts = Counter(f["octave"] for f in asked)
        sure = len(asked) - counts[None]
        consensus = None
        for octave in (-12, 0, 12):
            if sure and counts[octave] * 3 >= sure * 2 and sure * 2 >= len(asked):
                consensus = octave
        octaves[name] = {
            "below": counts[-12],
            "as_labelled": counts[0],
            "above": counts[12],
            "unclear": counts[None],
            "consensus": consensus,
        }
        shares = [f["silent_notes"] for f in asked]
        silent[name] = round(float(np.mean(shares)), 4) if shares else None
        lines.append(
            f"{name}: octave as labelled in {counts[0]} tracks, below in {counts[-12]}, above in "
            f"{counts[12]}, unclear in {counts[None]}; notes without energy: "
            + ("no notes" if silent[name] is None else f"{silent[name]:.1%}")
        )
        if consensus:
            warned.append(
                f"{name} sounds an octave {'below' if consensus < 0 else 'above'} its labels in "
                f"{counts[consensus]} of {len(asked)} tracks: prepare with --correct, or with "
                f"--label_shift {name}={consensus:+d} added to the shift in use."
            )
    offsets = [f["offset_seconds"] for f in findings.values()]
    known = [offset for offset in offsets if offset is not None]
    off = [offset for offset in known if abs(offset) > OFFSET_TOLERANCE]
    median = round(float(np.median(known)), 4) if known else None
    lines.append(
        f"time: {len(known) - len(off)} tracks within {OFFSET_TOLERANCE * 1000:.0f} ms, {len(off)} "
        f"off, {len(offsets) - len(known)} unclear"
        + ("" if median is None else f"; median {median * 1000:+.0f} ms")
    )
    for track, found in sorted(findings.items()):
        warned += [f"{track}: {warning}" for warning in found["warnings"]]
    return {
        "octave": octaves,
        "offset": {
            "aligned": len(known) - len(off),
            "off": len(off),
            "unclear": len(offsets) - len(known),
            "median_seconds": median,
        },
        "silent_notes": silent,
        "lines": lines,
        "warnings": warned,
    }


def correction_of(findings, aggregate):
    """What is to be corrected in a track: constant errors only, and only where the check is sure.

    The offset is the track's own. A class is transposed only by what the data set agrees on, and
    not in tracks that are sure of something else.

    Args:
        findings (dict): Of the track, from :func:`check_song`.
        aggregate (dict): Of the data set, from :func:`summarize_checks`.

    Returns:
        dict or None: ``offset_seconds`` and ``transpose`` (semitones by class), None if nothing is
        to be done.
    """
    offset = findings["offset_seconds"]
    offset = offset if offset is not None and abs(offset) > OFFSET_TOLERANCE else 0.0
    transpose = {}
    for name, found in aggregate["octave"].items():
        if found["consensus"] and findings[name]["octave"] in (found["consensus"], None):
            transpose[name] = found["consensus"]
    return {"offset_seconds": offset, "transpose": transpose} if offset or transpose else None


def correct_notes(notes, correction, names):
    """Applies what :func:`correction_of` says.

    Examples
        >>> from asteroid_scoresup.score import Notes
        >>> correction = {"offset_seconds": 0.25, "transpose": {"bass": -12}}
        >>> fixed = correct_notes(Notes([0.5], [1.0], [40], [0], [90]), correction, ["bass"])
        >>> fixed.onset.tolist(), fixed.pitch.tolist()
        ([0.75], [28])
    """
    shift = correction["offset_seconds"]
    moved = notes.shifted(shift)
    # A note that would begin before the audio begins with it.
    moved = moved.select(moved.offset > 0).clipped(0.0, np.inf)
    return moved.transposed([correction["transpose"].get(name, 0) for name in names])
