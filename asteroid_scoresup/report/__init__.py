"""Plots and charts, and the listening page of a song and its stems."""

from .alignment_plot import plot_alignment
from .charts import plot_box, plot_training_curves, read_training_log
from .page import write_page
from .plots import class_colors, plot_separation

__all__ = [
    "class_colors",
    "plot_alignment",
    "plot_box",
    "plot_separation",
    "plot_training_curves",
    "read_training_log",
    "write_page",
]
