"""Model files with a separator and a transcriptor."""

import pytest
import torch
from asteroid.models import BaseModel
from tiny import NAMES, NET, separator, transcriptor

from asteroid_scoresup.models import ScoreTranscriptor, TCNSeparator, pack, unpack


def test_both_models_are_restored(tmp_path):
    one, other = separator(), transcriptor()
    torch.save(pack(one, other, {"threshold": [0.3] * 3}), tmp_path / "model.pth")
    back, critic, decoding, _ = unpack(tmp_path / "model.pth")
    assert decoding == {"threshold": [0.3] * 3}
    wav = torch.randn(2, 4000)
    torch.testing.assert_close(back(wav), one.eval()(wav))
    torch.testing.assert_close(critic(wav), other.eval()(wav))


def test_asteroid_reads_the_separator_out_of_it(tmp_path):
    one = separator()
    torch.save(pack(one, transcriptor()), tmp_path / "model.pth")
    back = BaseModel.from_pretrained(str(tmp_path / "model.pth"))
    assert isinstance(back, TCNSeparator)


def test_half_precision_halves_the_size_and_hardly_changes_the_output(tmp_path):
    one, other = separator(), transcriptor()
    sizes = {}
    for half in (False, True):
        path = tmp_path / f"{half}.pth"
        torch.save(pack(one, other, half=half), path)
        sizes[half] = sum(v.numel() * v.element_size() for v in _tensors(path))
    assert sizes[True] == sizes[False] / 2
    back = unpack(tmp_path / "True.pth").separator
    assert all(p.dtype == torch.float32 for p in back.parameters())
    wav = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(back(wav), one.eval()(wav), rtol=0, atol=5e-3)


def _tensors(path):
    package = torch.load(path, weights_only=True)
    for part in (package, package["transcriptor"]):
        yield from part["state_dict"].values()


def test_a_separator_alone_has_no_transcriptor(tmp_path):
    torch.save(separator().serialize(), tmp_path / "model.pth")
    assert unpack(tmp_path / "model.pth")[1:] == (None, None, None)


def test_models_with_different_classes_are_refused():
    other = ScoreTranscriptor(NAMES[:2], **NET)
    with pytest.raises(ValueError, match=r"the classes is \['bass', 'guitar', 'piano'\]"):
        pack(separator(), other)


def test_the_file_of_a_transcriptor_is_refused_as_separator(tmp_path):
    torch.save(transcriptor().serialize(), tmp_path / "model.pth")
    with pytest.raises(ValueError, match="model.pth.*ScoreTranscriptor, expected a TCNSeparator"):
        unpack(tmp_path / "model.pth")


def test_a_damaged_package_is_named(tmp_path):
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(ValueError, match="empty.pth is not a model file: EOFError"):
        unpack(tmp_path / "empty.pth")
    package = pack(separator())
    package["state_dict"].popitem()
    torch.save(package, tmp_path / "less.pth")
    with pytest.raises(ValueError, match="less.pth: Error.* in loading state_dict"):
        unpack(tmp_path / "less.pth")
