"""When the keys of unpitched instruments are struck, and how their sound decays."""

from __future__ import annotations

import numpy as np
import torch

from ..dsp.grid import FrameGrid
from .defaults import HIT_BEFORE, HIT_DECAY, HIT_SECONDS
from .notes import Notes

#: Keys of a MIDI keyboard; a drum kit has one instrument per key.
N_KEYS = 128


def hit_roll(
    notes: Notes,
    n_src: int,
    n_frames: int,
    grid: FrameGrid,
    *,
    before: int = HIT_BEFORE,
    decay: float = HIT_DECAY,
    seconds: float = HIT_SECONDS,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    r"""How strongly each key of each unpitched class sounds in each frame.

    A drum sounds from its onset on, however long the note is: its amplitude decays exponentially,
    in proportion to the velocity. All of it is our choice.

    Args:
        notes (Notes): Notes of unpitched instruments, on the clock of the signal.
        n_src (int): Number of classes.
        n_frames (int): Number of STFT frames.
        grid (FrameGrid): The grid of the STFT.
        before (int): Frames before the onset, since a frame contains part of a sound before its
            onset is centered.
        decay (float): Seconds in which the initial amplitude falls by a factor e.
        seconds (float): Seconds after which a hit is over.
        device (torch.device, optional): Device of the roll.

    Shape:
        - output: :math:`(n\_src, 128, n\_frames)`, one row per MIDI note number.

    Returns:
        :class:`torch.Tensor`: Relative amplitudes in [0, 1]. Where hits of one key overlap, the
        louder one counts.

    Examples
        >>> notes = Notes([0.064], [0.07], [38], [0], [127])
        >>> grid = FrameGrid(2048, 512, 16000)
        >>> hit_roll(notes, 1, 5, grid, before=0, decay=0.032)[0, 38].round(decimals=2).tolist()
        [0.0, 0.0, 1.0, 0.3700000047683716, 0.14000000059604645]
    """
    per_second = grid.frames_per_second
    known = (notes.pitch >= 0) & (notes.pitch < N_KEYS)
    known &= (notes.class_index >= 0) & (notes.class_index < n_src)
    hits = notes.select(known)
    # Times that are whole frames up to rounding belong to that frame, not to the next one.
    first = np.ceil(hits.onset * per_second - 1e-6).astype(np.int64)
    offsets = np.arange(-before, max(round(seconds * per_second), 1))
    frame = first[:, None] + offsets
    age = np.maximum(frame / per_second - hits.onset[:, None], 0)
    amplitude = np.exp(-age / decay) * hits.velocity[:, None] / 127
    row = np.broadcast_to((hits.class_index * N_KEYS + hits.pitch)[:, None], frame.shape)
    inside = (frame >= 0) & (frame < n_frames)
    places = torch.as_tensor((row * n_frames + frame)[inside], device=device)
    roll = torch.zeros(n_src * N_KEYS * n_frames, device=device)
    values = torch.as_tensor(amplitude[inside], dtype=torch.float32, device=device)
    roll.scatter_reduce_(0, places, values, "amax")
    return roll.view(n_src, N_KEYS, n_frames)
