"""From song files to batches: Slakh tracks, own pairs, synthesized songs → prepared → dataset."""

from .classes import DEFAULT_CLASSES, ClassMap, SourceClass
from .dataset import ScoreDataset
from .informed import ScoreInformedMasks
from .loader import SegmentSampler, make_loader
from .manifest import Manifest, PreparedTrack
from .parts import WithParts

__all__ = [
    "ClassMap",
    "DEFAULT_CLASSES",
    "Manifest",
    "PreparedTrack",
    "ScoreDataset",
    "ScoreInformedMasks",
    "SegmentSampler",
    "SourceClass",
    "WithParts",
    "make_loader",
]
