"""Where songs come from: Slakh tracks, own pairs, synthesized songs → prepared → Dataset."""

from .classes import DEFAULT_CLASSES, ClassMap, SourceClass
from .dataset import SegmentSampler, SlakhDataset, make_loader
from .manifest import Manifest, PreparedTrack

__all__ = [
    "DEFAULT_CLASSES",
    "ClassMap",
    "Manifest",
    "PreparedTrack",
    "SegmentSampler",
    "SlakhDataset",
    "SourceClass",
    "make_loader",
]
