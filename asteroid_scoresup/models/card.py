"""Model cards: what a model is, its license, numbers and provenance, for people and for the Hub.

The facts are entries of the package's ``infos``, so that they stay with the model in every form. A
card is generated from them: Markdown, with the metadata of the Hugging Face Hub (YAML) on top.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .folder import CARD, LIBRARY, TRANSCRIPTOR

#: Entries of ``infos`` that a card shows; `final_metrics` is Asteroid's name for the numbers.
_KEYS = {"license": str, "numbers": dict, "provenance": str, "limits": str}
_NUMBERS = "final_metrics"
_TAGS = ["audio", "asteroid", "music-source-separation", "score-supervision", "source-separation"]
_MOST_CARD = 1 << 20  # bytes
_MOST_METADATA = 1 << 15  # characters, which the reader of YAML takes a fraction of a second for

#: Names of the classes of transcriptors, of networks that refine masks, and of those that separate
#: with a score and without one.
TRANSCRIPTORS = ("ScoreTranscriptor", "PitchTranscriptor")
REFINER, GUIDED = "MaskRefiner", "ScoreGuidedSeparator"
_USE = """## Use

```bash
asteroid-scoresup separate song.wav --model {name}
```

```python
from asteroid_scoresup.inference import Separator

stems = Separator.from_pretrained("{name}").separate("song.wav")
```
"""
_USE_TRANSCRIPTOR = """## Use

```bash
asteroid-scoresup transcribe song.wav --transcriptor {name}
```
"""
_USE_REFINER = """## Use

```bash
asteroid-scoresup separate song.wav --score song.mid --refiner {name}
```

```python
from asteroid_scoresup.inference import ScoreInformedSeparator

stems = ScoreInformedSeparator("song.mid", refiner="{name}").separate("song.wav")
```
"""
_USE_GUIDED = """## Use

```bash
asteroid-scoresup separate song.wav --score song.mid --refiner {name} --classes "{classes}"
asteroid-scoresup separate song.wav --model {name}  # without a score
```

```python
from asteroid_scoresup.inference import ScoreInformedSeparator, Separator

stems = ScoreInformedSeparator("song.mid", "{classes}", refiner="{name}").separate("song.wav")
stems = Separator.from_pretrained("{name}").separate("song.wav")  # without a score
```
"""


class ModelFacts(NamedTuple):
    """What a model is, from its package and its card.

    Args:
        kind (str): Class of the model.
        classes (list of str): Its classes, in order.
        sample_rate (float): Sample rate, in Hz.
        transcribes (bool): Whether it contains a transcriptor.
        n_weights (int): Number of weights, with those of the transcriptor.
        n_bytes (int): Size of the weights, in bytes.
        license (str, optional): License of the weights; None if it is not stated.
        numbers (dict): Metrics by name.
        provenance (str, optional): Data and training.
        limits (str, optional): Known limits.
    """

    kind: str
    classes: list[str]
    sample_rate: float
    transcribes: bool
    n_weights: int
    n_bytes: int
    license: str | None
    numbers: dict[str, float]
    provenance: str | None
    limits: str | None


def with_facts(package: dict, **facts: Any) -> dict:
    """Adds facts for the model card to a package.

    Args:
        package (dict): The package; it is not changed.
        **facts: ``license`` of the weights (str, an identifier such as ``"cc-by-4.0"``),
            ``numbers`` (dict of metrics by name), ``provenance`` (str: data and training) and
            ``limits`` (str), in Markdown; None for those that do not change.

    Returns:
        dict: The new package.

    Raises:
        ValueError: if there is another fact, or one of another type.

    Examples
        >>> with_facts({"infos": {}}, license="mit")
        {'infos': {'license': 'mit'}}
    """
    infos = package.get("infos")
    infos = dict(infos) if isinstance(infos, dict) else {}
    for key, value in facts.items():
        kind = _KEYS.get(key)
        if kind is None:
            raise ValueError(f"A model card has no {key!r}: expected {', '.join(_KEYS)}.")
        if value is None:
            continue
        if not isinstance(value, kind):
            raise ValueError(
                f"The {key} of a model card is a {type(value).__name__}, expected a "
                f"{kind.__name__}."
            )
        infos[_NUMBERS if key == "numbers" else key] = value
    return {**package, "infos": infos}


def model_facts(package: dict, metadata: dict[str, Any] | None = None) -> ModelFacts:
    """The facts of a checked package.

    Args:
        package (dict): The package.
        metadata (dict, optional): Metadata of its card, see :func:`read_card`. A license there
            replaces that in the package: on the Hub people change it there.
    """
    infos = package.get("infos")
    infos = infos if isinstance(infos, dict) else {}
    inner = package.get(TRANSCRIPTOR)
    tensors = list(package["state_dict"].values())
    if isinstance(inner, dict):
        tensors += inner.get("state_dict", {}).values()
    tensors = [tensor for tensor in tensors if isinstance(tensor, torch.Tensor)]
    arguments = package["model_args"]
    metrics = infos.get(_NUMBERS)
    return ModelFacts(
        kind=package["model_name"],
        classes=[str(name) for name in arguments.get("sources", [])],
        sample_rate=arguments.get("sample_rate", 16000),
        transcribes=isinstance(inner, dict) or package["model_name"] in TRANSCRIPTORS,
        n_weights=sum(tensor.numel() for tensor in tensors),
        n_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        license=_text((metadata or {}).get("license")) or _text(infos.get("license")),
        numbers=_numbers(metrics) if isinstance(metrics, dict) else _index(metadata or {}),
        provenance=_text(infos.get("provenance")) or _provenance(package, infos),
        limits=_text(infos.get("limits")),
    )


def _text(value: Any) -> str | None:
    return value.strip() if isinstance(value, str) and value.strip() else None


def _numbers(metrics: dict) -> dict[str, float]:
    """The finite numbers among metrics."""
    return {
        str(name): value
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }


def _index(metadata: dict) -> dict[str, float]:
    """The numbers in the metadata of a card; of several data sets, those of the first."""
    try:
        metrics = metadata["model-index"][0]["results"]
        pairs = [(m["type"], m["value"]) for result in metrics for m in result["metrics"]]
        return _numbers(dict(reversed(pairs)))
    except (KeyError, IndexError, TypeError):
        return {}


def _provenance(package: dict, infos: dict) -> str | None:
    """Data set and recipe of a package that Asteroid's publishing has filled in."""
    parts = [("Data: ", package.get("dataset")), ("Recipe: ", infos.get("recipe_name"))]
    return "\n\n".join(f"{what}{_text(value)}." for what, value in parts if _text(value)) or None


def model_card(package: dict, name: str) -> str:
    """Generates the card of a model.

    Args:
        package (dict): The package, with its facts, see :func:`with_facts`.
        name (str): How the model is named in examples: ``user/name``, or a folder.

    Returns:
        str: Markdown with YAML metadata.
    """
    facts = model_facts(package)
    use = _USE_TRANSCRIPTOR if facts.kind in TRANSCRIPTORS else _USE
    use = {REFINER: _USE_REFINER, GUIDED: _USE_GUIDED}.get(facts.kind, use)
    sections = [
        f"# {name.rsplit('/', 1)[-1]}",
        _description(facts),
        use.format(name=name, classes=";".join(f"{c}=…" for c in facts.classes)).strip(),
        f"## License\n\nWeights: {facts.license or 'not stated'}.{_data_licenses(package)}",
    ]
    if facts.numbers:
        rows = [f"| {key} | {value:.4g} |" for key, value in facts.numbers.items()]
        table = "\n".join(["| metric | value |", "|---|---:|", *rows])
        sections.append(f"## Numbers\n\n{table}")
    for title, text in (("Data and training", facts.provenance), ("Limits", facts.limits)):
        if text:
            sections.append(f"## {title}\n\n{text}")
    return card_metadata(package, name) + "\n" + "\n\n".join(sections) + "\n"


def card_metadata(package: dict, name: str) -> str:
    """The metadata on top of a card, with its lines of dashes; see :func:`model_card`."""
    from huggingface_hub import ModelCardData

    facts = model_facts(package)
    tags = [*_TAGS, *(["automatic-music-transcription"] if facts.transcribes else [])]
    metadata = ModelCardData(
        license=facts.license,
        library_name=LIBRARY,
        pipeline_tag="audio-to-audio",
        tags=sorted(tags),
        **_results(package, facts, name),
        classes=facts.classes,
        sample_rate=facts.sample_rate,
    ).to_yaml()
    return f"---\n{metadata}\n---\n"


def _description(facts: ModelFacts) -> str:
    if facts.kind in (REFINER, GUIDED):
        does = "Refines the masks of separation with a score, for any classes"
        if facts.kind == GUIDED:
            does = f"Separates songs into {', '.join(facts.classes)}, with a score or without one"
        return (
            f"{does}. {facts.kind}, {facts.n_weights / 1e6:.2f} million weights "
            f"({facts.n_bytes / 1e6:.1f} MB). Made with [{LIBRARY}](https://arxiv.org/abs/2010.11904)."
        )
    does = f"Separates songs into {', '.join(facts.classes)}"
    if facts.kind in TRANSCRIPTORS:
        does = f"Transcribes songs to MIDI tracks of {', '.join(facts.classes)}"
    elif facts.transcribes:
        does += ", and transcribes them to MIDI"
    return (
        f"{does}. {facts.kind}, {facts.n_weights / 1e6:.2f} million weights "
        f"({facts.n_bytes / 1e6:.1f} MB), for {facts.sample_rate:g} Hz; recordings of other rates "
        f"are resampled. Made with [{LIBRARY}](https://arxiv.org/abs/2010.11904): trained from "
        "recordings and their scores."
    )


def _results(package: dict, facts: ModelFacts, name: str) -> dict[str, Any]:
    """The numbers as the Hub's model index."""
    from huggingface_hub import EvalResult

    if not facts.numbers:
        return {}
    dataset = _text(package.get("dataset")) or "not stated"
    results = [
        EvalResult("audio-to-audio", "audio", dataset, metric, float(value))
        for metric, value in facts.numbers.items()
    ]
    return {"model_name": name.rsplit("/", 1)[-1], "eval_results": results}


def _data_licenses(package: dict) -> str:
    """Licenses of the training data, as Asteroid's packages list them."""
    licenses = package.get("licenses")
    lines = [
        f"{_text(entry.get('title'))} ({_text(entry.get('license'))})"
        for entry in (licenses if isinstance(licenses, list) else [])
        if isinstance(entry, dict) and _text(entry.get("title"))
    ]
    return f" Training data: {', '.join(lines)}." if lines else ""


def read_card(path: str | Path) -> tuple[dict[str, Any], str | None]:
    """Reads the card of a model folder (``README.md``) or of a model file (``.md`` next to it).

    Args:
        path (str or Path): The folder or file.

    Returns:
        tuple: The metadata, empty if there is none or it is damaged; and the text without it, None
        if there is no card.

    Raises:
        ValueError: if card or metadata are too long.
    """
    import yaml  # the package is imported without it

    path = Path(path)
    card = path / CARD if path.is_dir() else path.with_suffix(".md")
    try:
        size = card.stat().st_size
        if size > _MOST_CARD:
            raise ValueError(f"{card} has {size} bytes, expected at most {_MOST_CARD}: shorten it.")
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}, None
    head, found, rest = text.removeprefix("---\n").partition("\n---\n")
    if not text.startswith("---\n") or not found:
        return {}, text
    if len(head) > _MOST_METADATA:
        raise ValueError(
            f"{card} has {len(head)} characters of metadata between its lines of dashes, expected "
            f"at most {_MOST_METADATA}: shorten them."
        )
    try:
        metadata = yaml.safe_load(head)
    except (yaml.YAMLError, ValueError, RecursionError):
        metadata = None
    return metadata if isinstance(metadata, dict) else {}, rest.lstrip("\n")
