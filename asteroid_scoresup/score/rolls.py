r"""From notes to what a network can be held against: piano-rolls and activities.

Time is exact: frame :math:`n` of a centered STFT looks at second :math:`n \cdot hop / rate`, and a
note is on in the frames whose center lies in [onset, offset). Nothing is rounded to a grid of
milliseconds on the way, so nothing drifts.
"""

from __future__ import annotations

import numpy as np
import torch

from .defaults import FADE, SOUND_AFTER, SOUND_BEFORE, USE_VELOCITY
from .notes import LOWEST_PITCH, N_PITCHES, Notes

#: Rows per semitone where notes bend: a sounding pitch is then off by at most an eighth of a
#: semitone, about as far as a partial may stray by default (HarmonicTemplates.relative_width).
BEND_STEPS = 4


def frame_times(n_frames, hop_length, sample_rate, device=None):
    r"""Centres of the frames of a centered STFT.

    Args:
        n_frames (int): Number of frames.
        hop_length (int): Hop of the STFT, in samples.
        sample_rate (float): Sample rate, in Hz.

    Returns:
        :class:`torch.Tensor`: Times in seconds, float64, shape :math:`(n\_frames,)`.

    Examples
        >>> frame_times(3, 512, 16000).tolist()
        [0.0, 0.032, 0.064]
    """
    return torch.arange(n_frames, dtype=torch.float64, device=device) * hop_length / sample_rate


def _expand(notes, until, n_src, n_frames, hop_length, sample_rate, before=0, after=0, device=None):
    """One entry for every (note, frame) pair in which the note is on, from its onset to `until`.

    Returns:
        tuple: row number of the note, flat index into (n_src, pitches), frame; each 1-D.
    """
    per_second = sample_rate / hop_length
    onset = torch.as_tensor(notes.onset, dtype=torch.float64, device=device) * per_second
    offset = torch.as_tensor(until, dtype=torch.float64, device=device) * per_second
    # Times that are whole frames up to rounding belong to that frame, not to the next one.
    first = torch.ceil(onset - 1e-6).long()
    last = torch.ceil(offset - 1e-6).long() - 1
    # A note too short to meet a frame center is still a note: it gets the nearest frame.
    nearest = torch.round((onset + offset) / 2).long()
    short = last < first
    first = torch.where(short, nearest, first) - before
    last = torch.where(short, nearest, last) + after

    pitch = torch.as_tensor(notes.pitch, device=device) - LOWEST_PITCH
    source = torch.as_tensor(notes.class_index, device=device)
    known = (pitch >= 0) & (pitch < N_PITCHES) & (source >= 0) & (source < n_src)
    first, last = first.clamp(min=0), last.clamp(max=n_frames - 1)
    count = ((last - first + 1) * known).clamp(min=0)

    row = torch.repeat_interleave(torch.arange(len(notes), device=device), count)
    begin = torch.cumsum(count, 0) - count
    frame = first[row] + torch.arange(len(row), device=device) - begin[row]
    return row, source[row] * N_PITCHES + pitch[row], frame


def piano_roll(notes: Notes, n_src, n_frames, hop_length, sample_rate, device=None):
    r"""The score :math:`Y`: which class plays which pitch in which frame.

    These are the keys, from note-on to note-off: what a transcriptor learns and is scored against.
    Pedal and pitch bends count in :func:`sounding_roll`.

    Args:
        notes (Notes): The score, on the clock of the signal (frame 0 is centered on 0 s).
        n_src (int): Number of classes.
        n_frames (int): Number of STFT frames.
        hop_length (int): Hop of the STFT, in samples.
        sample_rate (float): Sample rate, in Hz.
        device (torch.device, optional): Where the roll is made.

    Shape:
        - output: :math:`(n\_src, 88, n\_frames)`, pitches from MIDI note 21.

    Returns:
        :class:`torch.Tensor`: 1.0 while a note is on, else 0.0. Pitches outside the 88 keys are
        left out; a note that lies between two frame centers gets the nearest frame (our choice).

    Examples
        >>> notes = Notes([0.032], [0.096], [21], [1], [100])
        >>> piano_roll(notes, n_src=2, n_frames=5, hop_length=512, sample_rate=16000)[1, 0].tolist()
        [0.0, 1.0, 1.0, 0.0, 0.0]
    """
    size = (n_src, n_frames, hop_length, sample_rate)
    _, key, frame = _expand(notes, notes.offset, *size, device=device)
    roll = torch.zeros(n_src * N_PITCHES, n_frames, device=device)
    roll[key, frame] = 1.0
    return roll.view(n_src, N_PITCHES, n_frames)


def sounding_roll(
    notes: Notes,
    n_src,
    n_frames,
    hop_length,
    sample_rate,
    before=SOUND_BEFORE,
    after=SOUND_AFTER,
    fade=FADE,
    use_velocity=USE_VELOCITY,
    device=None,
    steps=None,
):
    r"""How strongly each pitch may be *heard* in each frame: the roll with sound tails.

    The label of a note stops at note-off, its sound does not, and an STFT frame hears a note
    before its onset is centered. Harmonic masks are drawn from this roll, not from the score.
    Notes last until their release (the sustain pedal) and follow their pitch bends from frame to
    frame. All of it is our choice: the paper does not say how its masks treat time.

    Args:
        notes (Notes): The score, on the clock of the signal.
        n_src, n_frames, hop_length, sample_rate, device: As in :func:`piano_roll`.
        before (int): Frames added before the onset.
        after (int): Frames added after the last frame in which the note is on.
        fade (float or sequence of float, optional): Seconds in which a struck note falls by a
            factor e, counted from its onset, for all classes or per class; ``inf``, 0 or None for
            a sound that keeps its level.
        use_velocity (bool): Whether the level follows the velocity (velocity / 127).
        steps (int, optional): Rows per semitone. Default: :func:`steps_of` the notes, that is 1
            unless a note bends.

    Shape:
        - output: :math:`(n\_src, 88 \cdot steps, n\_frames)`; row :math:`r` stands for the pitch
          :math:`21 + r / steps`.

    Returns:
        :class:`torch.Tensor`: Relative amplitudes in [0, 1]; notes that overlap on a pitch do not
        add up, the louder one counts.
    """
    steps = steps_of(notes) if steps is None else steps
    # Bends move notes in and out of the 88 keys: they are expanded apart.
    straight, bent = notes, None
    if notes.bend is not None:
        has_bend = np.array([bend is not None for bend in notes.bend])
        straight, bent = notes.select(~has_bend), notes.select(has_bend)
    size = (n_src, n_frames, hop_length, sample_rate, before, after)
    row, key, frame = _expand(straight, straight.release, *size, device=device)
    if steps != 1:
        key = key * steps  # N_PITCHES * steps rows a class
    if bent is not None:
        more = _expand_bent(bent, steps, *size, device=device)
        row = torch.cat([row, more[0] + len(straight)])
        key, frame = torch.cat([key, more[1]]), torch.cat([frame, more[2]])
        order = np.concatenate([np.flatnonzero(~has_bend), np.flatnonzero(has_bend)])
        notes = notes.select(order)
    n_rows = N_PITCHES * steps
    level = torch.ones(len(row), device=device)
    if use_velocity:
        level = level * torch.as_tensor(notes.velocity, device=device)[row].float() / 127
    if fade is not None and np.any(fade):
        onset = torch.as_tensor(notes.onset, device=device)[row]
        age = (frame * hop_length / sample_rate - onset).clamp(min=0).float()
        constant = torch.as_tensor(fade, dtype=torch.float32, device=device).expand(n_src)
        constant = constant.where(constant > 0, torch.inf)[key // n_rows]
        level = level * torch.exp(-age / constant)
    roll = torch.zeros(n_src * n_rows * n_frames, device=device)
    roll.scatter_reduce_(0, key * n_frames + frame, level, "amax")
    return roll.view(n_src, n_rows, n_frames)


def steps_of(notes):
    """Rows per semitone that a sounding roll of these notes needs: more than 1 if any bends."""
    return 1 if notes.bend is None else BEND_STEPS


def _expand_bent(notes, steps, n_src, *size, device=None):
    """As :func:`_expand`, for notes that bend and for `steps` rows per semitone."""
    # Where a note is on does not depend on its pitch: the middle of the keyboard is always there.
    keyed = notes.replace(pitch=np.full(len(notes), LOWEST_PITCH))
    row, key, frame = _expand(keyed, notes.release, n_src, *size, device=device)
    seconds = (frame * size[1] / size[2]).cpu().numpy()
    note = row.cpu().numpy()
    sounding = np.empty(len(note))
    starts = np.searchsorted(note, np.arange(len(notes) + 1))
    for n, (first, last) in enumerate(zip(starts[:-1], starts[1:])):
        times, semitones = notes.bend[n].T
        age = seconds[first:last] - notes.onset[n]
        step = np.searchsorted(times, age + 1e-6, side="right") - 1
        sounding[first:last] = notes.pitch[n] + semitones[np.maximum(step, 0)]
    # Halves go up: NumPy's rounding to even would make rows of different widths.
    rows = np.floor((sounding - LOWEST_PITCH) * steps + 0.5).astype(np.int64)
    known = torch.as_tensor((rows >= 0) & (rows < N_PITCHES * steps), device=row.device)
    rows = torch.as_tensor(rows, device=row.device)
    return row[known], (key * steps + rows)[known], frame[known]


def frame_activity(roll):
    r"""Which class plays in which frame.

    Shape:
        - roll: :math:`(..., n\_src, pitches, frames)`
        - output: :math:`(..., n\_src, frames)`, bool
    """
    return (roll > 0).any(dim=-2)


def clip_activity(roll):
    r"""Which class has a note anywhere in the clip.

    Shape:
        - roll: :math:`(..., n\_src, pitches, frames)`
        - output: :math:`(..., n\_src)`, bool
    """
    return frame_activity(roll).any(dim=-1)
