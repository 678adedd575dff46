"""Where songs come from: Slakh tracks, own pairs, synthesized songs → prepared → Dataset."""

from .classes import DEFAULT_CLASSES, ClassMap, SourceClass
from .dataset import SlakhDataset, equalize
from .informed import InformedShares
from .loader import SegmentSampler, make_loader
from .manifest import Manifest, PreparedTrack

__all__ = [
    "ClassMap",
    "DEFAULT_CLASSES",
    "InformedShares",
    "Manifest",
    "PreparedTrack",
    "SegmentSampler",
    "SlakhDataset",
    "SourceClass",
    "equalize",
    "make_loader",
]
