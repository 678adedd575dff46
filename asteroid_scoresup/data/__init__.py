"""Where songs come from: Slakh tracks, own pairs, synthesized songs → prepared → Dataset."""

from .classes import DEFAULT_CLASSES, ClassMap, SourceClass
from .dataset import ScoreDataset
from .informed import ScoreInformedMasks
from .loader import SegmentSampler, make_loader
from .manifest import Manifest, PreparedTrack

__all__ = [
    "ClassMap",
    "DEFAULT_CLASSES",
    "ScoreInformedMasks",
    "Manifest",
    "PreparedTrack",
    "SegmentSampler",
    "ScoreDataset",
    "SourceClass",
    "make_loader",
]
