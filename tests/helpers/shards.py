"""What the tests of shards have in common."""

from tiny import HOP, N_FFT

from asteroid_scoresup.data import ScoreInformedMasks

STFT_SIZE = dict(n_fft=N_FFT, hop_length=HOP)
QUIET = dict(jobs=1, progress=False)


def masks_of(manifest, iterations=2):
    """Masks that are quick to make."""
    return ScoreInformedMasks(manifest, N_FFT, HOP, iterations=iterations)


def overwrite(member, content=b"\0" * 64):
    """Damages a file in a shard."""
    with open(member.path, "r+b") as file:
        file.seek(member.offset)
        file.write(content[: member.size])
