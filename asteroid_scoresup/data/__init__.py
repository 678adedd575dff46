"""From song files to batches: Slakh tracks, own pairs, synthesized songs → prepared → dataset."""

from .classes import DEFAULT_CLASSES, ClassMap, SourceClass
from .dataset import ScoreDataset
from .informed import ScoreInformedMasks
from .loader import SegmentSampler, make_loader
from .manifest import Manifest
from .parts import WithParts
from .shard_writer import write_shards
from .shards import ShardedManifest
from .track import PreparedTrack

__all__ = [
    "ClassMap",
    "DEFAULT_CLASSES",
    "Manifest",
    "PreparedTrack",
    "ScoreDataset",
    "ScoreInformedMasks",
    "SegmentSampler",
    "ShardedManifest",
    "SourceClass",
    "WithParts",
    "make_loader",
    "write_shards",
]
