"""The losses: one idea a file, a pure function each, and the wrapper that a System calls."""

from .adversarial_mixture import remix, remix_order, remix_separator_loss, remix_transcriptor_loss
from .adversarial_transcription import interference_rolls, interference_transcriptor_loss
from .audible import audible_rolls, truthful_loss
from .clip_mixture import clip_mixture_loss
from .frame_mixture import frame_mixture_loss
from .harmonic_mixture import allowed_bins, harmonic_mixture_loss
from .informed import informed_loss
from .mixture import mixture_loss, sharing_loss
from .multi_domain import multi_domain_loss, si_sdr_loss
from .score_wrapper import ScoreSupervisedLoss
from .semi_supervised import SemiSupervisedLoss
from .soft_harmonic import soft_harmonic_loss
from .stems import stem_loss, stem_share_loss
from .transcription import (
    TranscriptionLoss,
    critic_roll,
    isolated_rolls,
    separated_transcription_loss,
    transcription_loss,
)

__all__ = [
    "ScoreSupervisedLoss",
    "SemiSupervisedLoss",
    "TranscriptionLoss",
    "allowed_bins",
    "audible_rolls",
    "clip_mixture_loss",
    "critic_roll",
    "frame_mixture_loss",
    "harmonic_mixture_loss",
    "informed_loss",
    "interference_rolls",
    "interference_transcriptor_loss",
    "isolated_rolls",
    "mixture_loss",
    "multi_domain_loss",
    "remix",
    "remix_order",
    "remix_separator_loss",
    "remix_transcriptor_loss",
    "separated_transcription_loss",
    "sharing_loss",
    "si_sdr_loss",
    "soft_harmonic_loss",
    "stem_loss",
    "stem_share_loss",
    "transcription_loss",
    "truthful_loss",
]
