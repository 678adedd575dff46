r"""From notes to training targets: piano-rolls and activities.

Time is exact: frame :math:`n` of a centered STFT is centered on second :math:`n \cdot hop / rate`,
and a note is on in the frames whose center is in [onset, offset). Times are never rounded to a
grid of milliseconds on the way, so they do not drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..dsp.grid import FrameGrid
from .notes import LOWEST_PITCH, N_PITCHES, Notes
from .sounding import SoundingOptions

#: Rows per semitone where notes bend: a sounding pitch is then off by at most an eighth of a
#: semitone, about as far as a partial may stray by default (HarmonicTemplates.relative_width).
BEND_STEPS = 4


def frame_times(
    n_frames: int, grid: FrameGrid, device: torch.device | str | None = None
) -> torch.Tensor:
    r"""Centers of the frames of a centered STFT.

    Args:
        n_frames (int): Number of frames.
        grid (FrameGrid): The grid of the STFT.
        device (torch.device, optional): Device of the result.

    Returns:
        :class:`torch.Tensor`: Times in seconds, float64, shape :math:`(n\_frames,)`.

    Examples
        >>> from asteroid_scoresup.dsp import FrameGrid
        >>> frame_times(3, FrameGrid(2048, 512, 16000)).tolist()
        [0.0, 0.032, 0.064]
    """
    frames = torch.arange(n_frames, dtype=torch.float64, device=device)
    return frames * grid.hop_length / grid.sample_rate


def _expand(notes, until, n_src, n_frames, grid, before=0, after=0, device=None):
    """One entry for every (note, frame) pair in which the note is on, from its onset to `until`.

    Returns:
        tuple: row number of the note, flat index into (n_src, pitches), frame; each 1-D.
    """
    per_second = grid.frames_per_second
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
    class_index = torch.as_tensor(notes.class_index, device=device)
    known = (pitch >= 0) & (pitch < N_PITCHES) & (class_index >= 0) & (class_index < n_src)
    first, last = first.clamp(min=0), last.clamp(max=n_frames - 1)
    count = ((last - first + 1) * known).clamp(min=0)

    row = torch.repeat_interleave(torch.arange(len(notes), device=device), count)
    begin = torch.cumsum(count, 0) - count
    frame = first[row] + torch.arange(len(row), device=device) - begin[row]
    return row, class_index[row] * N_PITCHES + pitch[row], frame


def piano_roll(
    notes: Notes,
    n_src: int,
    n_frames: int,
    grid: FrameGrid,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    r"""The score :math:`Y`: which class plays which pitch in which frame.

    A note lasts from note-on to note-off: this is what a transcriptor learns and is scored against.
    Pedal and pitch bends count in :func:`sounding_roll` only.

    Args:
        notes (Notes): The score, on the clock of the signal (frame 0 is centered on 0 s).
        n_src (int): Number of classes.
        n_frames (int): Number of STFT frames.
        grid (FrameGrid): The grid of the STFT.
        device (torch.device, optional): Device of the roll.

    Shape:
        - output: :math:`(n\_src, 88, n\_frames)`, pitches from MIDI note 21.

    Returns:
        :class:`torch.Tensor`: 1.0 while a note is on, else 0.0. Pitches outside the 88 keys are
        left out; a note between two frame centers gets the nearest frame (our choice).

    Examples
        >>> from asteroid_scoresup.dsp import FrameGrid
        >>> notes = Notes([0.032], [0.096], [21], [1], [100])
        >>> piano_roll(notes, n_src=2, n_frames=5, grid=FrameGrid(2048, 512, 16000))[1, 0].tolist()
        [0.0, 1.0, 1.0, 0.0, 0.0]
    """
    _, key, frame = _expand(notes, notes.offset, n_src, n_frames, grid, device=device)
    roll = torch.zeros(n_src * N_PITCHES, n_frames, device=device)
    roll[key, frame] = 1.0
    return roll.view(n_src, N_PITCHES, n_frames)


#: Distance in frames at which the target of an onset falls to zero.
ONSET_REACH = 2


def onset_targets(notes: Notes, n_src: int, n_frames: int, grid: FrameGrid) -> torch.Tensor:
    r"""How close each frame is to an onset, as a target with a resolution finer than the frames.

    .. math:: \max(0, 1 - |t - t_{onset}| / 2)

    with times in frames, the regression targets of Kong et al. 2021 (High-resolution Piano
    Transcription), eq. 1. Repeated notes stay apart, which in :func:`piano_roll` they do not.

    Args:
        notes (Notes): The score, on the clock of the signal.
        n_src (int): Number of classes.
        n_frames (int): Number of STFT frames.
        grid (FrameGrid): The grid of the STFT.

    Shape:
        - output: :math:`(n\_src, 88, n\_frames)`, values in [0, 1]

    Examples
        >>> from asteroid_scoresup.dsp import FrameGrid
        >>> notes = Notes([0.080], [0.128], [21], [0], [100])
        >>> onset_targets(notes, 1, 6, FrameGrid(2048, 512, 16000))[0, 0].tolist()
        [0.0, 0.25, 0.75, 0.75, 0.25, 0.0]
    """
    onset = torch.as_tensor(notes.onset, dtype=torch.float64) * grid.frames_per_second
    pitch = torch.as_tensor(notes.pitch) - LOWEST_PITCH
    class_index = torch.as_tensor(notes.class_index)
    around = torch.arange(1 - ONSET_REACH, ONSET_REACH + 1)
    frame = onset.floor().long()[:, None] + around
    value = (1 - (frame - onset[:, None]).abs() / ONSET_REACH).clamp(min=0).float()
    known = (pitch >= 0) & (pitch < N_PITCHES) & (class_index >= 0) & (class_index < n_src)
    known = known[:, None] & (frame >= 0) & (frame < n_frames)
    row = (class_index * N_PITCHES + pitch)[:, None].expand_as(frame)
    roll = torch.zeros(n_src * N_PITCHES * n_frames)
    roll.scatter_reduce_(0, (row * n_frames + frame)[known], value[known], "amax")
    return roll.view(n_src, N_PITCHES, n_frames)


def sounding_roll(
    notes: Notes,
    n_src: int,
    n_frames: int,
    grid: FrameGrid,
    options: SoundingOptions | Mapping[str, Any] | None = None,
    *,
    steps: int | None = None,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    r"""How strongly each pitch may sound in each frame: the roll with releases and decay.

    Harmonic masks are drawn from this roll, not from the score. Notes last until their release
    (the sustain pedal) and follow their pitch bends from frame to frame. All of it is our choice:
    the paper does not say how its masks treat time.

    Args:
        notes (Notes): The score, on the clock of the signal.
        n_src (int): Number of classes.
        n_frames (int): Number of STFT frames.
        grid (FrameGrid): The grid of the STFT.
        options (SoundingOptions or dict, optional): How long and how strongly notes sound.
        steps (int, optional): Rows per semitone. Default: :func:`steps_of` the notes, that is 1
            unless a note bends.
        device (torch.device, optional): Device of the roll.

    Shape:
        - output: :math:`(n\_src, 88 \cdot steps, n\_frames)`; row :math:`r` is the pitch
          :math:`21 + r / steps`.

    Returns:
        :class:`torch.Tensor`: Relative amplitudes in [0, 1]; notes that overlap on a pitch do not
        add up, the louder one counts.
    """
    options = SoundingOptions.of(options)
    steps = steps_of(notes) if steps is None else steps
    # Bends move notes in and out of the 88 keys: those notes are expanded separately.
    straight, bent = notes, None
    if notes.bend is not None:
        has_bend = np.array([bend is not None for bend in notes.bend])
        straight, bent = notes.select(~has_bend), notes.select(has_bend)
    size = (n_src, n_frames, grid, options.before, options.after)
    row, key, frame = _expand(straight, straight.release, *size, device=device)
    if steps != 1:
        key = key * steps  # N_PITCHES * steps rows per class
    if bent is not None:
        more = _expand_bent(bent, steps, *size, device=device)
        row = torch.cat([row, more[0] + len(straight)])
        key, frame = torch.cat([key, more[1]]), torch.cat([frame, more[2]])
        order = np.concatenate([np.flatnonzero(~has_bend), np.flatnonzero(has_bend)])
        notes = notes.select(order)
    n_rows = N_PITCHES * steps
    amplitude = torch.ones(len(row), device=device)
    if options.use_velocity:
        velocity = torch.as_tensor(notes.velocity, device=device)
        amplitude = amplitude * velocity[row].float() / 127
    if options.fade is not None and np.any(options.fade):
        onset = torch.as_tensor(notes.onset, device=device)[row]
        age = (frame * grid.hop_length / grid.sample_rate - onset).clamp(min=0).float()
        fade = torch.as_tensor(options.fade, dtype=torch.float32, device=device).expand(n_src)
        fade = fade.where(fade > 0, torch.inf)[key // n_rows]
        amplitude = amplitude * torch.exp(-age / fade)
    roll = torch.zeros(n_src * n_rows * n_frames, device=device)
    roll.scatter_reduce_(0, key * n_frames + frame, amplitude, "amax")
    return roll.view(n_src, n_rows, n_frames)


def steps_of(notes: Notes) -> int:
    """Rows per semitone that a sounding roll of these notes needs: more than 1 if any bends."""
    return 1 if notes.bend is None else BEND_STEPS


def _expand_bent(notes, steps, n_src, n_frames, grid, before, after, device=None):
    """As :func:`_expand`, for notes that bend and for `steps` rows per semitone."""
    # Where a note is on does not depend on its pitch: with the lowest key no note is left out.
    keyed = notes.replace(pitch=np.full(len(notes), LOWEST_PITCH))
    size = (n_src, n_frames, grid, before, after)
    row, key, frame = _expand(keyed, notes.release, *size, device=device)
    seconds = (frame * grid.hop_length / grid.sample_rate).cpu().numpy()
    note = row.cpu().numpy()
    sounding = np.empty(len(note))
    starts = np.searchsorted(note, np.arange(len(notes) + 1))
    for n, (first, last) in enumerate(zip(starts[:-1], starts[1:])):
        times, semitones = notes.bend[n].T
        age = seconds[first:last] - notes.onset[n]
        step = np.searchsorted(times, age + 1e-6, side="right") - 1
        sounding[first:last] = notes.pitch[n] + semitones[np.maximum(step, 0)]
    # Halves are rounded up: NumPy rounds to even, which would make rows of different widths.
    rows = np.floor((sounding - LOWEST_PITCH) * steps + 0.5).astype(np.int64)
    known = torch.as_tensor((rows >= 0) & (rows < N_PITCHES * steps), device=row.device)
    rows = torch.as_tensor(rows, device=row.device)
    return row[known], (key * steps + rows)[known], frame[known]


def frame_activity(roll: torch.Tensor) -> torch.Tensor:
    r"""Which class plays in which frame.

    Shape:
        - roll: :math:`(..., n\_src, pitches, frames)`
        - output: :math:`(..., n\_src, frames)`, bool
    """
    return (roll > 0).any(dim=-2)


def clip_activity(roll: torch.Tensor) -> torch.Tensor:
    r"""Which class has a note anywhere in the clip.

    Shape:
        - roll: :math:`(..., n\_src, pitches, frames)`
        - output: :math:`(..., n\_src)`, bool
    """
    return frame_activity(roll).any(dim=-1)
