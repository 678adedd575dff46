"""A song of any rate, length and number of channels through a model."""

import numpy as np
import pretty_midi
import pytest
import soundfile as sf
import torch
from tiny import NAMES, NET, RATE, transcriptor

from asteroid_scoresup.dsp import NOMINAL_RMS
from asteroid_scoresup.evaluation import Decoding
from asteroid_scoresup.inference import Separator
from asteroid_scoresup.models import PitchTranscriptor, ScoreTranscriptor, TCNSeparator, pack
from asteroid_scoresup.utils.stream import Recording


class ConstantMasks(TCNSeparator):
    """Predicts the same mask in every bin."""

    values = (0.5, 0.3, 0.1)

    def masks(self, magnitude):
        masks = torch.tensor(self.values)[None, :, None, None]
        return masks.expand(len(magnitude), -1, *magnitude.shape[1:])


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def snr_db(signal, other):
    return 10 * np.log10(np.sum(signal**2) / max(np.sum((signal - other) ** 2), 1e-30))


def test_levels_are_the_mixtures_and_nothing_is_rescaled():
    song = noise(4000)
    stems = Separator(ConstantMasks(NAMES, **NET)).separate(song, NET["sample_rate"])
    for name, mask in zip(NAMES, ConstantMasks.values):
        np.testing.assert_allclose(stems[name], mask * song, atol=1e-4)


def test_stereo_stays_stereo_and_channels_do_not_mix():
    song = np.stack([noise(4000), 0 * noise(4000)])
    stems = Separator(ConstantMasks(NAMES, **NET)).separate(song, NET["sample_rate"])
    np.testing.assert_allclose(stems["bass"][0], 0.5 * song[0], atol=1e-4)
    assert np.abs(stems["bass"][1]).max() < 1e-6


def trained_like(seed=0):
    """A network whose output depends on its input."""
    torch.manual_seed(seed)
    return TCNSeparator(NAMES, **{**NET, "n_blocks": 3})


def test_equal_channels_give_the_result_of_one():
    separator, song = Separator(trained_like(), transcriptor()), noise(4000)
    alone = separator.separate(song, RATE)
    for other in (song, -song):
        stereo = separator.separate(np.stack([song, other]), RATE)
        for name in NAMES:
            np.testing.assert_array_equal(stereo[name][0], alone[name])
            np.testing.assert_array_equal(stereo[name][1], alone[name] * np.sign(other @ song))
    found, expected = (
        next(separator.chunks(Recording(x, RATE), stems=False, notes=True))
        for x in (np.stack([song, -song]), song)
    )
    np.testing.assert_array_equal(found.note_probs, expected.note_probs)
    np.testing.assert_array_equal(found.note_levels, expected.note_levels)


def test_an_instrument_in_opposite_phase_is_separated_as_well_as_in_phase():
    """Masks from the energy of the channels do not see the sign of an instrument."""
    time = np.arange(4 * RATE) / RATE
    low = np.sin(2 * np.pi * 200 * time).astype(np.float32)
    high = 0.5 * np.sin(2 * np.pi * 1500 * time).astype(np.float32)
    separator = Separator(trained_like())
    in_phase = separator.separate(np.stack([low + high, low + high]), RATE)
    opposed = separator.separate(np.stack([low + high, low - high]), RATE)
    for name in NAMES:
        assert snr_db(in_phase[name][0], opposed[name][0]) > 40


def test_a_silent_channel_does_not_change_the_other():
    separator, song = Separator(trained_like()), noise(4000)
    alone = separator.separate(song, RATE)
    stereo = separator.separate(np.stack([song, 0 * song]), RATE)
    for name in NAMES:
        assert snr_db(alone[name], stereo[name][0]) > 80 and not stereo[name][1].any()


@pytest.mark.parametrize("seconds", [0.4, 60])
def test_silence_before_a_song_does_not_change_it(seconds):
    separator, song = Separator(trained_like(), core_seconds=5), noise(6 * RATE)
    silence = np.zeros(int(seconds * RATE), dtype=np.float32)
    alone = separator.separate(song, RATE)
    late = separator.separate(np.concatenate([silence, song]), RATE)
    for name in NAMES:  # the first samples have another context
        assert snr_db(alone[name][RATE:], late[name][len(silence) + RATE :]) > 60


INTEGERS = {
    "uint8": lambda x: np.round(x * 128 + 128).clip(0, 255).astype(np.uint8),
    "int8": lambda x: np.round(x * 128).clip(-128, 127).astype(np.int8),
    "int16": lambda x: np.round(x * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16),
    "int32": lambda x: np.round(x.astype(float) * 2**31).astype(np.int32),
}


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("shape", [(4000,), (2, 4000)])
def test_integers_have_the_full_scale_of_their_type(kind, shape):
    song = 0.2 * noise(*shape).clip(-4, 4)
    separator = Separator(trained_like(), transcriptor())
    stems, expected = (separator.separate(x, RATE) for x in (INTEGERS[kind](song), song))
    for name in NAMES:
        assert stems[name].dtype == np.float32 and stems[name].shape == shape
        assert snr_db(expected[name], stems[name]) > (30 if kind.endswith("8") else 70)
    notes, true_notes = (separator.transcribe(x, RATE) for x in (INTEGERS[kind](song), song))
    assert len(notes.instruments) == len(true_notes.instruments) == 3


def test_integers_are_scaled_as_soundfile_scales_them(tmp_path):
    song = 0.2 * noise(1000)
    for subtype, kind in (("PCM_16", "int16"), ("PCM_32", "int32")):
        sf.write(tmp_path / "song.wav", song, RATE, subtype=subtype)
        integers, _ = sf.read(tmp_path / "song.wav", dtype=kind)
        floats, _ = sf.read(tmp_path / "song.wav", dtype="float32")
        np.testing.assert_array_equal(Recording(integers, RATE).samples[0], floats)


@pytest.mark.parametrize("kind", ["int64", "uint16", "uint32", "bool", "complex64", "object"])
def test_types_without_a_full_scale_are_refused(kind):
    with pytest.raises(ValueError, match=f"type {kind} have no known full scale"):
        Separator(trained_like()).separate(np.zeros(1000, dtype=kind), RATE)


def test_floats_of_other_sizes_are_read_too():
    separator, song = Separator(trained_like()), (0.1 * noise(2000)).astype(np.float16)
    expected = separator.separate(song.astype(np.float32), RATE)
    for kind in (np.float16, np.float64, np.longdouble):
        for name, stem in separator.separate(song.astype(kind), RATE).items():
            np.testing.assert_array_equal(stem, expected[name])
    with pytest.raises(ValueError, match="NaN or infinite"):
        separator.separate(np.full(100, 1e300), RATE)


@pytest.mark.parametrize("rate", [4000, 8000, 11025, 4001])
def test_stems_have_the_sample_rate_and_length_of_the_song(rate):
    time = np.arange(rate * 2) / rate
    song = np.sin(2 * np.pi * 300 * time).astype(np.float32)
    stem = Separator(ConstantMasks(NAMES, **NET)).separate(song, rate)["bass"]
    assert stem.shape == song.shape
    inner = slice(rate // 4, -rate // 4)  # the resampler rings at the ends
    np.testing.assert_allclose(stem[inner], 0.5 * song[inner], atol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("n_samples", [1, 300, 12 * RATE, 12 * RATE + 33])
@pytest.mark.parametrize("core_seconds", [0.1, 1.7, 5])
def test_chunks_give_the_result_of_the_whole_recording(n_samples, core_seconds):
    """The network's norm is per frame, so only rounding errors remain."""
    torch.manual_seed(0)
    net = {**NET, "n_blocks": 4, "n_repeats": 2}
    # A crescendo: chunks that were normalized by their own level would differ.
    song = noise(2, n_samples) * np.linspace(0.01, 0.5, n_samples, dtype=np.float32)
    model, critic = TCNSeparator(NAMES, **net), ScoreTranscriptor(NAMES, **net)
    whole = Separator(model, critic, core_seconds=1000)
    chunked = Separator(model, critic, core_seconds=core_seconds)
    expected, found = whole.separate(song, RATE), chunked.separate(song, RATE)
    for name in NAMES:
        assert snr_db(expected[name], found[name]) > 100, name
    if n_samples > RATE:
        with torch.no_grad():  # and the whole is the output of the model itself
            spectrum = model.stft(torch.from_numpy(song))
            magnitude = model.stft.magnitude(spectrum).square().mean(0, keepdim=True).sqrt()
            masks = model.masks(magnitude * NOMINAL_RMS / float(np.sqrt(np.mean(song**2))))
            own = model.stft.separated(spectrum, masks, n_samples).numpy()
        for i, name in enumerate(NAMES):
            assert snr_db(own[:, i], expected[name]) > 90


def test_a_network_with_a_global_norm_receives_the_recording_in_one_chunk():
    model = TCNSeparator(NAMES, **{**NET, "norm_type": "gLN"})
    separator = Separator(model, core_seconds=0.5)
    (chunk,) = separator.chunks(Recording(noise(3 * RATE), RATE))
    assert len(chunk.stems) == 3 * RATE


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ScoreTranscriptor, PitchTranscriptor])
def test_notes_of_chunks_are_those_of_the_whole_recording(kind):
    song = noise(12 * RATE)
    net = {**NET, "n_blocks": 4}
    torch.manual_seed(0)
    model, critic = TCNSeparator(NAMES, **net), kind(NAMES, **net)
    rolls = []
    for core in (1000, 0.9):
        separator = Separator(model, critic, core_seconds=core)
        chunks = list(separator.chunks(Recording(song, RATE), stems=False, notes=True))
        assert all(chunk.stems is None for chunk in chunks)
        rolls.append([np.concatenate(part, axis=-1) for part in list(zip(*chunks))[1:]])
    for one, other in zip(*rolls):
        np.testing.assert_allclose(one.astype(float), other.astype(float), atol=1 / 255)
        assert np.abs(one.astype(float) - other.astype(float)).mean() < 1e-5
    n_frames = len(song) // NET["hop_length"] + 1
    assert rolls[0][0].shape == (critic.n_heads, 3, 88, n_frames)


def test_the_transcription_has_one_midi_track_per_class():
    decoding = Decoding((0.01,) * 3, (0.0,) * 3, (0.0,) * 3)
    separator = Separator(TCNSeparator(NAMES, **NET), transcriptor(), decoding, {"guitar": 24})
    midi = separator.transcribe(noise(RATE), RATE)
    assert isinstance(midi, pretty_midi.PrettyMIDI)
    assert [(part.name, part.program) for part in midi.instruments] == [
        ("bass", 33),
        ("guitar", 24),
        ("piano", 0),
    ]
    assert any(part.notes for part in midi.instruments)


def test_transcription_without_a_transcriptor_is_refused():
    with pytest.raises(ValueError, match="contains no transcriptor"):
        Separator(TCNSeparator(NAMES, **NET)).transcribe(noise(RATE), RATE)


def test_models_of_different_stfts_are_refused():
    other = ScoreTranscriptor(NAMES, **{**NET, "hop_length": 128})
    with pytest.raises(ValueError, match="hop_length is 64 in the one, 128 in the other"):
        Separator(TCNSeparator(NAMES, **NET), other)


def test_progress_is_reported_in_seconds():
    reported = []
    Separator(TCNSeparator(NAMES, **NET), core_seconds=1).separate(
        noise(3 * RATE), RATE, progress=lambda done, total: reported.append((done, total))
    )
    assert [round(done, 2) for done, _ in reported] == [0.99, 1.98, 2.98, 3.0]
    assert {total for _, total in reported} == {3.0}


def test_silence_gives_silence():
    stems = Separator(TCNSeparator(NAMES, **NET)).separate(np.zeros(4000), 4000)
    assert all(np.abs(stem).max() == 0 for stem in stems.values())


@pytest.mark.parametrize(
    "song, message", [(np.zeros(0), "is empty"), (np.full(100, np.nan), "NaN or infinite")]
)
def test_invalid_recordings_are_refused(song, message):
    with pytest.raises(ValueError, match=message):
        Separator(TCNSeparator(NAMES, **NET)).separate(song, 4000)


@pytest.mark.parametrize("device", ["tpu3", "mps", "meta", "hpu"])
def test_an_unavailable_device_is_refused(device):
    if device == "mps" and torch.backends.mps.is_available():
        device = "cuda"
    with pytest.raises(
        ValueError, match=rf"device '{device}' cannot be used here: [^\n]{{1,210}}$"
    ):
        Separator(TCNSeparator(NAMES, **NET), device=device)


@pytest.mark.parametrize("name", ["../../evil", "residual", "chœur", ""])
def test_class_names_that_are_invalid_file_names_are_refused(name):
    with pytest.raises(ValueError, match="The model has a class"):
        Separator(TCNSeparator(["bass", name], **NET))


def test_the_shortest_recordings_are_separated_and_transcribed():
    separator = Separator(TCNSeparator(NAMES, **NET), transcriptor())
    for n_samples, rate in ((1, 192000), (1, RATE), (200, RATE)):
        midi = separator.transcribe(noise(n_samples), rate)
        assert [part.name for part in midi.instruments] == list(NAMES)
        assert separator.separate(noise(n_samples), rate)["bass"].shape == (n_samples,)


def test_a_packed_file_provides_its_transcriptor_and_decoding(tmp_path):
    decoding = Decoding((0.2, 0.3, 0.4), (0.05,) * 3, (0.0,) * 3)
    model, critic = TCNSeparator(NAMES, **NET), transcriptor()
    torch.save(pack(model, critic, decoding.plain(), {"bass": 32}), tmp_path / "model.pth")
    loaded = Separator.from_pretrained(tmp_path / "model.pth")
    assert loaded.decoding == decoding and loaded.programs == {"bass": 32}
    for one, other in ((loaded.model, model), (loaded.transcriptor, critic)):
        for key, value in other.state_dict().items():
            torch.testing.assert_close(one.state_dict()[key], value)


def test_another_transcriptor_provides_its_own_decoding(tmp_path):
    model, critic, other = TCNSeparator(NAMES, **NET), transcriptor(), transcriptor(seed=5)
    mine, theirs = Decoding((0.9,) * 3, (0.5,) * 3, (0.0,) * 3), Decoding.default(3)
    torch.save(pack(model, critic, mine.plain()), tmp_path / "model.pth")
    torch.save(other.serialize(), tmp_path / "alone.pth")
    torch.save(pack(model, other, mine.plain()), tmp_path / "packed.pth")
    for name, expected in (("alone.pth", theirs), ("packed.pth", mine)):
        loaded = Separator.from_pretrained(tmp_path / "model.pth", tmp_path / name)
        assert loaded.decoding == expected
        for key, value in other.state_dict().items():
            torch.testing.assert_close(loaded.transcriptor.state_dict()[key], value)


def test_a_missing_bundled_model_is_reported_with_advice(tmp_path, monkeypatch):
    from asteroid_scoresup.inference import separator as module

    monkeypatch.setattr(module, "BUNDLED_MODEL", tmp_path / "band.pth")
    with pytest.raises(FileNotFoundError, match="band.pth is missing.*--model"):
        Separator.from_pretrained()


def test_half_precision_changes_the_result_inaudibly():
    model = TCNSeparator(NAMES, **NET)
    song = noise(3 * RATE)
    whole = Separator(model).separate(song, RATE)
    half = Separator(model, precision="bfloat16").separate(song, RATE)
    for name, stem in whole.items():
        error = np.square(half[name] - stem).mean() / np.square(stem).mean()
        assert 0 < error < 1e-5
    # By default, a surrounding autocast applies.
    with torch.autocast("cpu", torch.bfloat16):
        within = Separator(model).separate(song, RATE)
    assert all(np.array_equal(within[name], half[name]) for name in half)
    probs, half_probs = (
        next(separator.chunks(Recording(song, RATE), stems=False, notes=True)).note_probs
        for separator in (
            Separator(model, transcriptor()),
            Separator(model, transcriptor(), precision="bfloat16"),
        )
    )
    assert 0 < np.abs(probs - half_probs).max() <= 4 / 255
    with pytest.raises(ValueError, match="float32 or bfloat16, found 'half'"):
        Separator(model, precision="half")
