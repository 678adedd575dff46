"""Groups of frames: several where memory is passed over, one where a gradient is needed."""

import torch

from asteroid_scoresup.kernels.frames import CACHED_FRAMES, is_recording, split_frames


def test_frames_are_split_into_groups_that_fit_into_the_cache():
    x = torch.arange(2.0 * (2 * CACHED_FRAMES + 5)).view(2, -1)
    groups = split_frames(x, 1)
    assert [group.shape[1] for group in groups] == [CACHED_FRAMES, CACHED_FRAMES, 5]
    assert torch.equal(torch.cat(list(groups), 1), x)


def test_there_is_one_group_if_a_gradient_is_needed():
    x, weight = torch.zeros(300), torch.zeros(1, requires_grad=True)
    assert len(split_frames(x, 0, [weight])) == 1
    assert len(split_frames(weight.expand(300), 0)) == 1
    with torch.no_grad():
        assert len(split_frames(x, 0, [weight])) > 1


def test_there_is_one_group_while_the_computation_is_recorded():
    counts = []

    def function(x):
        counts.append((is_recording(), len(split_frames(x, 0))))
        return x + 1

    torch.jit.trace(function, torch.zeros(300), check_trace=False)
    assert counts[0] == (True, 1) and not is_recording()
