"""Plot of an alignment: where the recording is in the score, and how certain that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..alignment.align import Alignment
from ..alignment.warp import CERTAINTY_STEP, Span
from .plots import PALETTE, new_figure

_WARP, _UNCERTAIN = PALETTE[0], PALETTE[1]


def plot_alignment(
    alignment: Alignment, seconds: float | None = None, title: str | None = None
) -> Figure:
    """The warp of an alignment, and below it the certainty; uncertain stretches are shaded.

    Sections of the score that are played without interruption are solid lines; jumps between them
    are dotted.

    Args:
        alignment (Alignment): The alignment.
        seconds (float, optional): Length of the recording. Default: to the end of the certainty.
        title (str, optional): Title of the figure.

    Returns:
        :class:`matplotlib.figure.Figure`
    """
    spans = alignment.warp.spans
    if seconds is None:
        ends = [float(span.audio[-1]) for span in spans]
        seconds = max([*ends, len(alignment.certainty) * CERTAINTY_STEP, 1.0])
    figure = new_figure(10.0, 6.0)
    if title:
        figure.suptitle(title)
    grid = figure.add_gridspec(2, 1, height_ratios=[3, 1])
    above = figure.add_subplot(grid[0])
    below = figure.add_subplot(grid[1], sharex=above)
    for span in spans:
        above.plot(span.audio, span.score, color=_WARP, lw=1.6, solid_capstyle="butt")
    for before, after in zip(spans, spans[1:]):
        audio, score = [before.audio[-1], after.audio[0]], [before.score[-1], after.score[0]]
        above.plot(audio, score, color=_WARP, lw=1.0, ls=":")
    above.set_ylabel("time in the score (s)")
    above.set_title(_sections(spans), loc="left")
    above.label_outer()
    _draw_certainty(below, alignment.certainty, seconds)
    for axis in (above, below):
        for start, stop in alignment.uncertain:
            axis.axvspan(start, min(stop, seconds), color=_UNCERTAIN, alpha=0.2, lw=0)
        axis.grid(color="0.9", lw=0.6)
        axis.set_axisbelow(True)
    if alignment.uncertain:
        shaded = Patch(color=_UNCERTAIN, alpha=0.2, label="uncertain")
        above.legend(handles=[shaded], loc="upper left", frameon=False)
    above.set_xlim(0, seconds)
    return figure


def _sections(spans: Sequence[Span]) -> str:
    count = len(spans)
    return "1 section" if count == 1 else f"{count} sections"


def _draw_certainty(axis: Axes, certainty: np.ndarray, seconds: float) -> None:
    """One step per stretch; nothing where the score has nothing."""
    values = np.asarray(certainty, dtype=np.float64)
    edges = np.arange(len(values) + 1) * CERTAINTY_STEP
    edges[-1] = max(min(edges[-1], seconds), edges[-2]) if len(values) else edges[-1]
    axis.stairs(np.nan_to_num(values), edges, fill=True, color=_WARP, alpha=0.6)
    axis.set(ylim=(0, 1.02), xlabel="time in the recording (s)", ylabel="certainty")
