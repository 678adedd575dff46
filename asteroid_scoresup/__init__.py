"""Training music separators without stems, from recordings and their scores.

Importing the package registers its models with Asteroid, so that
``asteroid.models.BaseModel.from_pretrained`` and Asteroid's command line know them.
"""

import sys

__version__ = "0.1.0"


def _check_torch_pair():
    """torchaudio pins no torch: a pair that does not belong together fails in odd places."""
    from importlib.metadata import version

    torch, torchaudio = (version(name).split("+")[0] for name in ("torch", "torchaudio"))
    if torch.split(".")[:2] != torchaudio.split(".")[:2]:
        raise ImportError(
            f"torch {torch} and torchaudio {torchaudio} do not belong together; install a pair of "
            f"one version, for example: pip install 'torch=={torchaudio}' "
            f"'torchaudio=={torchaudio}'"
        )


def _register_models():
    """Makes our models known to Asteroid; a second import changes nothing."""
    import asteroid.models

    from . import models

    for model in (
        models.TCNSeparator,
        models.ScoreTranscriptor,
        models.ActivityClassifier,
        models.WaveformSeparator,
    ):
        if getattr(asteroid.models, model.__name__, None) is None:
            asteroid.models.register_model(model)


def register():
    """Makes the models known to Asteroid. Importing the package calls it, and again is no error."""
    _check_torch_pair()
    _register_models()


# While the command line reads its arguments nothing needs torch; it registers before it runs.
if not getattr(sys.modules.get("asteroid_scoresup_cli"), "reading_arguments", False):
    register()
