"""The kinds of damage: each makes a case's files and gives the command that must answer."""

import torch
from fuzz.damage import damage_bytes, damage_json, damage_text, damage_value
from fuzz.material import AUDIO, RATE, SYNTHESIS, copy_to

_COMMON = ["--jobs", "1", "--quiet"]
_COUNTS = [word for key, value in SYNTHESIS.items() for word in (f"--{key}", str(value))]
_SYNTHESIZE = ["--sample_rate", str(RATE), "--renderer", "tinysoundfont", *_COMMON]


def _damage(path, how, rng):
    path.write_bytes(how(rng, path.read_bytes()))


def audio(rng, root, folder):
    """A song of any format, handed to each command that reads songs."""
    name = str(rng.choice(AUDIO))
    song = copy_to(root, f"pair/{name}", folder)
    _damage(song, damage_bytes, rng)
    verb = str(rng.choice(["separate", "transcribe", "prepare", "check"]))
    if verb in ("prepare", "check"):
        copy_to(root, "pair/song.mid", folder)
        return [verb, folder, *([folder.parent / "out"] if verb == "prepare" else []), *_COMMON]
    models = ["--model", root / "separator.pth", "--transcriptor", root / "transcriptor.pth"]
    options = ["--midi", "--residual", "--format", str(rng.choice(["wav", "flac"]))]
    options = options if verb == "separate" else []
    return [verb, song, *models, *options, "--out_dir", folder / "out", "--quiet"]


def midi(rng, root, folder):
    """A MIDI file, beside a recording or to be rendered."""
    song = copy_to(root, "pair/song.mid", folder)
    _damage(song, damage_bytes, rng)
    if rng.random() < 0.6:
        copy_to(root, "pair/song.wav", folder)
        return ["prepare", folder, folder.parent / "out", *_COMMON]
    font = ["--soundfont", root / "tone.sf2", "--max_seconds", "3"]
    return ["synthesize", folder / "out", "--midi_dir", folder, *font, *_SYNTHESIZE]


def metadata(rng, root, folder):
    """The metadata of a Slakh track."""
    track = copy_to(root, "slakh", folder)
    _damage(track / "Track00001" / "metadata.yaml", damage_text, rng)
    mixture = ["--mixture", str(rng.choice(["submix", "song"]))]
    if rng.random() < 0.5:
        return ["check", track, *mixture, *_COMMON]
    return ["prepare", track, folder / "out", *mixture, *_COMMON]


def notes(rng, root, folder):
    """The note table of a prepared track."""
    data = copy_to(root, "prepared", folder)
    _damage(data / "train" / "Track00001" / "notes.csv", damage_text, rng)
    return ["check", data, *(["--correct"] if rng.random() < 0.5 else []), *_COMMON]


def manifest(rng, root, folder):
    """The manifest of a prepared folder."""
    data = copy_to(root, "prepared", folder)
    _damage(data / "manifest.json", damage_json, rng)
    return ["check", data, *(["--correct"] if rng.random() < 0.7 else []), *_COMMON]


def track(rng, root, folder):
    """What preparation wrote about a track, when it is run again or labels are corrected."""
    data = copy_to(root, "prepared", folder)
    _damage(data / "train" / "Track00001" / "track.json", damage_json, rng)
    if rng.random() < 0.3:
        return ["check", data, "--correct", *_COMMON]
    correct = ["--correct"] if rng.random() < 0.3 else []
    return ["prepare", root / "slakh", data, "--sample_rate", str(RATE), *correct, *_COMMON]


def splits(rng, root, folder):
    """A file of splits."""
    path = folder / "splits.json"
    path.write_bytes(damage_json(rng, b'{"train": ["Track00001", "a"], "test": ["b"]}'))
    return ["prepare", root / "slakh", folder / "out", "--splits", path, *_COMMON]


def record(rng, root, folder):
    """The record of a synthesized data set, when it is asked for again."""
    data = copy_to(root, "dataset", folder)
    _damage(data / "synthesis.json", damage_json, rng)
    font = ["--soundfont", root / "tone.sf2"]
    overwrite = ["--overwrite"] if rng.random() < 0.3 else []
    return ["synthesize", data, *font, *_COUNTS, *overwrite, *_SYNTHESIZE]


def soundfont(rng, root, folder):
    """A SoundFont."""
    font = copy_to(root, "tone.sf2", folder)
    content = font.read_bytes()
    # Half of the damage goes to the tables; most of the file is samples.
    start = content.index(b"pdta") - 8 if rng.random() < 0.5 else 0
    font.write_bytes(content[:start] + damage_bytes(rng, content[start:]))
    midi = copy_to(root, "pair/song.mid", folder).parent
    source = ["--midi_dir", midi, "--max_seconds", "2"] if rng.random() < 0.5 else _COUNTS
    return ["synthesize", folder / "out", "--soundfont", font, *source, *_SYNTHESIZE]


def model(rng, root, folder):
    """A model file: its bytes, or what it says about its network and its classes."""
    path = copy_to(root, str(rng.choice(["separator.pth", "transcriptor.pth"])), folder)
    if rng.random() < 0.4:
        _damage(path, damage_bytes, rng)
    else:
        package = torch.load(path, weights_only=True)
        key = str(rng.choice([*package, "model_args", "model_args"]))
        if key == "state_dict":
            weights = package[key]
            name = list(weights)[int(rng.integers(len(weights)))]
            weights[name] = weights[name].flatten()[: int(rng.integers(1, 9))] * float("nan")
        else:
            package[key] = damage_value(rng, package[key])
        torch.save(package, path)
    song = root / "pair" / "song.wav"
    if path.stem == "separator":
        return ["separate", song, "--model", path, "--out_dir", folder / "out", "--quiet"]
    models = ["--model", root / "separator.pth", "--transcriptor", path]
    return ["transcribe", song, *models, "--out_dir", folder / "out", "--quiet"]


_VALUES = ["nan", "inf", "-1", "0", "1e999", "10000000000", "x", "", "1" * 40, "0.5", "../x", "é"]
_OPTIONS = {
    "synthesize": [
        *("--n_train", "--seconds", "--seed", "--sample_rate", "--level_spread", "--color_db"),
        *("--synthetic", "--varispeed", "--others", "--jobs", "--max_seconds", "--soundfont"),
    ],
    "prepare": [
        *("--classes", "--sample_rate", "--splits", "--label_shift", "--jobs", "--seed"),
        *("--validation_share", "--test_share", "--mixture"),
    ],
    "check": ["--classes", "--sample_rate", "--splits", "--label_shift", "--jobs"],
}
_CLASSES = ["bass=0-300000000", "bass=", "=1", "a=1;a=2", "bass=5-1", "../x=1", ";;", "b=1,1,1"]


def options(rng, root, folder):
    """Options of wrong types, too large, or none."""
    verb = str(rng.choice(list(_OPTIONS)))
    option = str(rng.choice(_OPTIONS[verb]))
    values = _CLASSES if option == "--classes" else _VALUES
    chosen = f"{option}={rng.choice(values)}"
    if verb == "synthesize":
        font = ["--soundfont", root / "tone.sf2"]
        return [verb, folder / "out", *font, *_COUNTS, *_SYNTHESIZE, chosen]
    out = [folder / "out"] if verb == "prepare" else []
    return [verb, root / "slakh", *out, *_COMMON, chosen]


KINDS = {
    f.__name__: f
    for f in (
        *(audio, midi, metadata, notes, manifest, track),
        *(splits, record, soundfont, model, options),
    )
}
