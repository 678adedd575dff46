"""The losses: pure functions, the registry of terms, and the modules that a System calls."""

from .adversarial import (
    interference_rolls,
    interference_transcriptor_loss,
    remix,
    remix_order,
    remix_separator_loss,
    remix_transcriptor_loss,
)
from .critic import audible_notes_loss, audible_rolls, passed_fraction
from .masks import (
    informed_loss,
    magnitude_approximation_loss,
    mask_approximation_loss,
    mask_kl_loss,
    soft_harmonic_loss,
)
from .mixture import (
    allowed_bins,
    clip_mixture_loss,
    frame_mixture_loss,
    harmonic_mixture_loss,
    mixture_loss,
)
from .score_wrapper import ScoreSupervisedLoss
from .semi_supervised import SemiSupervisedLoss
from .terms import TERMS, LossBatch, Term, register_term, terms_that_need, terms_that_read
from .transcription import (
    TranscriptionLoss,
    critic_roll,
    isolated_rolls,
    separated_transcription_loss,
    transcription_loss,
)
from .waveform import multi_domain_loss, si_sdr_loss

__all__ = [
    "TERMS",
    "LossBatch",
    "ScoreSupervisedLoss",
    "SemiSupervisedLoss",
    "Term",
    "TranscriptionLoss",
    "allowed_bins",
    "audible_notes_loss",
    "audible_rolls",
    "clip_mixture_loss",
    "critic_roll",
    "frame_mixture_loss",
    "harmonic_mixture_loss",
    "informed_loss",
    "interference_rolls",
    "interference_transcriptor_loss",
    "isolated_rolls",
    "magnitude_approximation_loss",
    "mask_approximation_loss",
    "mask_kl_loss",
    "mixture_loss",
    "multi_domain_loss",
    "passed_fraction",
    "register_term",
    "remix",
    "remix_order",
    "remix_separator_loss",
    "remix_transcriptor_loss",
    "separated_transcription_loss",
    "si_sdr_loss",
    "soft_harmonic_loss",
    "terms_that_need",
    "terms_that_read",
    "transcription_loss",
]
