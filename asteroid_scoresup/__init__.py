"""Training music separators without stems, from recordings and their scores.

Importing the package registers its models with Asteroid, so that
``asteroid.models.BaseModel.from_pretrained`` and Asteroid's command line can load them.
"""

import sys

__version__ = "0.2.0"


def _check_torch_pair() -> None:
    """torchaudio does not pin torch, and a mismatched pair fails in unexpected places."""
    from importlib.metadata import version

    torch, torchaudio = (version(name).split("+")[0] for name in ("torch", "torchaudio"))
    if torch.split(".")[:2] != torchaudio.split(".")[:2]:
        raise ImportError(
            f"torch {torch} and torchaudio {torchaudio} do not belong together; install "
            f"matching versions, for example: pip install 'torch=={torchaudio}' "
            f"'torchaudio=={torchaudio}'"
        )


def _register_models() -> None:
    """Registers the models with Asteroid; those already registered are skipped."""
    import asteroid.models

    from . import models

    for model in (
        models.TCNSeparator,
        models.PitchSeparator,
        models.PitchTranscriptor,
        models.ScoreTranscriptor,
        models.ActivityClassifier,
        models.MaskRefiner,
        models.ScoreGuidedSeparator,
        models.WaveformSeparator,
    ):
        if getattr(asteroid.models, model.__name__, None) is None:
            asteroid.models.register_model(model)


def register() -> None:
    """Registers the models with Asteroid; called on import, and safe to call again."""
    _check_torch_pair()
    _register_models()


# The command line parses its arguments without torch, and calls `register` before it runs.
if not getattr(sys.modules.get("asteroid_scoresup_cli"), "reading_arguments", False):
    register()
