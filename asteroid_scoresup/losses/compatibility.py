"""Mismatches that shapes do not show: data, critic, templates and STFT of a loss.

Classes in another order, or a rate of 44,100 Hz instead of 16,000, give tensors of the same shapes
and losses that fall, and a model that has learned nonsense.
"""

from __future__ import annotations

from ..score.defaults import SOUNDING


def require_same_stft(stft, critic=None, templates=None):
    """Refuses a critic or templates made for another STFT or sample rate.

    Args:
        stft (STFT): The STFT of the loss.
        critic (SpectrogramModel, optional): The critic.
        templates (HarmonicTemplates, optional): The templates.

    Raises:
        ValueError: if a rate, ``n_fft`` or hop differs.
    """
    for name, other, keys in (
        ("critic", getattr(critic, "stft", None), ("sample_rate", "n_fft", "hop_length")),
        ("templates", templates, ("sample_rate", "n_fft")),
    ):
        if other is not None:
            found = [(key, getattr(other, key), getattr(stft, key)) for key in keys]
            _require(found, f"the {name}", "the STFT of the loss")


def require_dataset(dataset, stft, critic=None, terms=()):
    """Refuses a dataset that does not belong to a critic, an STFT or the terms of a loss.

    Args:
        dataset (SlakhDataset): What the batches are made of.
        stft (STFT): The STFT of the loss.
        critic (SpectrogramModel, optional): The critic; its classes must be the dataset's, in
            order.
        terms (iterable of str): Names of the terms of the loss.

    Raises:
        ValueError: if classes, sample rate, ``n_fft`` or hop differ, or the dataset does not give
            what a term needs.
    """
    found = []
    if critic is not None and hasattr(critic, "sources"):
        found.append(("classes", list(dataset.names), list(critic.sources)))
    for key in ("sample_rate", "n_fft", "hop_length"):
        found.append((key, getattr(dataset, key), getattr(stft, key)))
    _require(found, "the dataset", "the loss" if critic is None else "the critic")
    if dataset.targets == "stems":
        raise ValueError(
            "The dataset gives stems alone (targets='stems'), and this loss reads scores: make it "
            "with targets='score' or targets='both'."
        )
    if "informed" not in terms:
        return
    if dataset.shares is None:
        raise ValueError(
            "The informed term needs targets['share']: give the dataset shares=InformedShares."
        )
    drawn = {**SOUNDING, **dataset.shares.sounding}
    pairs = [(key, dataset.sounding[key], drawn[key]) for key in drawn if key in dataset.sounding]
    _require(pairs, "the dataset", "its InformedShares (sounding=…)")


def _require(found, one, other):
    for what, mine, theirs in found:
        if mine != theirs:
            raise ValueError(
                f"{one.capitalize()} and {other} do not belong together: {what} is {mine} in the "
                f"one, {theirs} in the other."
            )
