"""What tests of the recipe share: settings of small networks and short trainings, and songs."""

from pathlib import Path

from asteroid_scoresup.synthesis.synthesize import synthesize

RECIPE = Path(__file__).parents[2] / "egs" / "slakh"
#: A network of a few thousand weights for songs at 16 kHz, and its segments.
NETWORK = (
    "--segment 2.048 --n_fft 1024 --hop_length 512 --n_blocks 3 --n_repeats 1 --bn_chan 8 "
    "--hid_chan 8"
)
#: The same for songs at the 4 kHz of `tiny.write_folder`.
NETWORK_4K = (
    "--segment 1.024 --n_fft 256 --hop_length 64 --n_blocks 2 --n_repeats 1 --bn_chan 8 "
    "--hid_chan 8 --precision 32-true"
)


def batches(size):
    """The options for segments per batch in all three steps."""
    return " ".join(f"--{step}_batch_size {size}" for step in "tsf")


def lengths(epochs=(1, 1, 1), steps=(2, 2, 2)):
    """The options for epochs of the three steps, and updates per epoch."""
    pairs = zip("tsf", epochs, steps)
    return " ".join(f"--{step}_epochs {e} --{step}_steps {s}" for step, e, s in pairs)


def write_slakh(folder, train, validation, test, test_unseen=0, seconds=5):
    """Writes composed songs at 16 kHz in the format of Slakh; this many per split."""
    synthesize(
        folder, n_train=train, n_validation=validation, n_test=test, n_test_unseen=test_unseen,
        seconds=seconds, sample_rate=16000, renderer="tinysoundfont", jobs=1, quiet=True,
    )  # fmt: skip
