"""What one training step does, and how a training runs."""

from .callbacks import LogLossTerms, LogValidationSISDR
from .finetune_system import FineTuneSystem
from .fronts import SeparatorFront, TranscriptorFront
from .training import claim_folder, fit, save_model, warmup_cosine

__all__ = [
    "FineTuneSystem",
    "LogLossTerms",
    "LogValidationSISDR",
    "SeparatorFront",
    "TranscriptorFront",
    "claim_folder",
    "fit",
    "save_model",
    "warmup_cosine",
]
