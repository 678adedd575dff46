"""Segments of songs mixed with single parts of other songs."""

import pytest
import torch
from tiny import HOP, N_FFT, NAMES, write_folder

from asteroid_scoresup.data import ScoreDataset, WithParts, make_loader

SHARED = dict(segment=1.0, n_segments=40, n_fft=N_FFT, hop_length=HOP)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    songs = write_folder(root / "songs", stems=False)
    return songs, write_folder(root / "others", seed=5)


def datasets(folders, **changes):
    songs, others = folders
    shared = {**SHARED, "onsets": True, **changes}
    return (
        ScoreDataset(songs, "train", targets="score", **shared),
        ScoreDataset(others, "train", targets="both", **shared),
    )


def test_songs_keep_their_segments_and_never_need_stems(folders):
    songs, parts = datasets(folders)
    mixed = WithParts(songs, parts, 0.0)
    for index in range(5):
        torch.testing.assert_close(mixed[index], songs[index])


def test_parts_are_sums_of_some_stems_with_the_score_of_those(folders):
    songs, parts = datasets(folders)
    mixed = WithParts(songs, parts, 1.0)
    counts = set()
    for index in range(40):
        mixture, targets = mixed[index]
        stems = parts[index][1]["sources"].double()
        playing = targets["roll"].amax((-2, -1)) > 0
        counts.add(int(playing.sum()))
        # The mixture is in the span of the stems whose notes are kept.
        kept = stems[playing]
        gains = torch.linalg.lstsq(kept.T, mixture.double()[:, None]).solution
        torch.testing.assert_close((kept.T @ gains)[:, 0], mixture.double(), atol=1e-4, rtol=0)
        assert (gains > 0).all()
        torch.testing.assert_close(targets["mixture"], mixture)
        torch.testing.assert_close(
            targets["roll"], parts[index][1]["roll"] * playing[:, None, None].float()
        )
        assert (targets["onsets"].amax((-2, -1)) > 0)[~playing].sum() == 0
        assert "sources" not in targets
    assert counts >= {1, 2, 3}


def test_items_are_reproducible_and_collate(folders):
    mixed = WithParts(*datasets(folders), 0.5)
    torch.testing.assert_close(mixed[7], mixed[7])
    wav, targets = next(iter(make_loader(mixed, 8)))
    assert wav.shape[0] == 8 and set(targets) == {"mixture", "roll", "sounding", "onsets"}
    assert mixed.place(3).startswith("train/")


def test_other_classes_or_lengths_are_refused(folders):
    songs, _ = datasets(folders)
    _, parts = datasets(folders, segment=0.5)
    with pytest.raises(ValueError, match="prepare both alike"):
        WithParts(songs, parts)
    with pytest.raises(ValueError, match="Expected random segments"):
        WithParts(songs, datasets(folders)[0])
    assert songs.names == NAMES
