"""Harmonic templates and score-informed masks of the settings."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch

from asteroid_scoresup.checks.label_check import unpitched_indices
from asteroid_scoresup.data import Manifest, ScoreInformedMasks
from asteroid_scoresup.losses import terms_that_read
from asteroid_scoresup.score import HarmonicTemplates, SoundingOptions


def fitted_masks(args: Namespace, manifest: Manifest) -> ScoreInformedMasks | None:
    """Score-informed masks of the training and validation songs, if the loss reads them."""
    if not terms_that_read("soft_masks") & set(args.weights):
        return None
    masks = score_informed_masks(args, manifest)
    tracks = (track for split in ("train", "validation") for track in manifest.in_split(split))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    masks.fit_all(tracks, torch.get_num_threads(), not args.quiet, device)
    return masks


def score_informed_masks(args: Namespace, manifest: Manifest) -> ScoreInformedMasks:
    """The score-informed masks of the settings."""
    return ScoreInformedMasks(
        manifest,
        args.n_fft,
        args.hop_length,
        iterations=args.informed_iterations,
        power=args.informed_power,
        sounding=sounding(args),
        **partials(args),
    )


def sounding(args: Namespace) -> SoundingOptions:
    """How long and how strongly notes sound, for the rolls behind harmonic masks."""
    return SoundingOptions(
        before=args.sound_before,
        after=args.sound_after,
        fade=args.fade,
        use_velocity=args.use_velocity,
    )


def partials(args: Namespace) -> dict[str, Any]:
    """How the partials of a note are drawn."""
    return dict(
        n_partials=args.n_partials,
        relative_width=args.relative_width,
        decay=args.partial_decay,
        inharmonicity=args.inharmonicity,
    )


def templates(args: Namespace, manifest: Manifest) -> HarmonicTemplates:
    """Harmonic templates of the settings, for the classes of the data."""
    return HarmonicTemplates(
        manifest.sample_rate,
        args.n_fft,
        power=args.soft_power,
        unpitched=unpitched_indices(manifest.classes),
        **partials(args),
    )
