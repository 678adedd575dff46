"""Models by name: a file, a folder, a bundled model, or a repository of the Hugging Face Hub.

The methods follow ``huggingface_hub.ModelHubMixin``: ``save_pretrained``, ``from_pretrained`` and
``push_to_hub`` with its arguments.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .card import model_card, read_card, with_facts
from .folder import CARD, CONFIG, TRANSCRIPTOR, WEIGHTS, read_folder, write_folder
from .loading import first_line, load_package, require_package

#: Folder of the models that are part of this package; each has its card next to it (``.md``).
BUNDLED_FOLDER = Path(__file__).parents[1] / "pretrained"
#: ``user/name``, optionally with a branch, tag or commit: ``user/name@revision``, as in Asteroid.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[\w./-]{1,200})?", re.A)
_HUB_URL = re.compile(r"https://(huggingface\.co|hf\.co)/")
#: Names with these endings are files, also where they do not exist.
_FILE_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".onnx", ".safetensors", ".json", ".zip")
_OPTIONS = ("revision", "cache_dir", "token", "force_download", "local_files_only")
_DEFAULT_MESSAGE = "Upload a model with asteroid-scoresup"


def split_options(arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits keyword arguments into those of :func:`download` and the others."""
    own = {key: value for key, value in arguments.items() if key in _OPTIONS}
    return own, {key: value for key, value in arguments.items() if key not in own}


def bundled_models() -> dict[str, Path]:
    """Files of the models that are part of this package, by name."""
    return {path.stem: path for path in sorted(BUNDLED_FOLDER.glob("*.pth"))}


def is_hub_name(name: str | os.PathLike[str]) -> bool:
    """Whether a name that is no existing file or folder is one of the Hugging Face Hub.

    Args:
        name (str or Path): The name; a ``Path`` is always a file.

    Examples
        >>> is_hub_name("user/name"), is_hub_name("user/name@v1"), is_hub_name("exp/model.pth")
        (True, True, False)
    """
    if not isinstance(name, str):
        return False
    short = _HUB_URL.sub("", name, count=1).rstrip("/")
    return bool(_HUB_NAME.fullmatch(short)) and not short.lower().endswith(_FILE_SUFFIXES)


def read_package(name: str | Path, **options: Any) -> dict:
    """Reads a model package, without running code from it, in any of its forms.

    An existing file or folder comes first, then a bundled model, then the Hugging Face Hub.

    Args:
        name (str or Path): A model file; a folder of ``save_pretrained``; the name of a bundled
            model (``"band"``); or ``"user/name"`` or ``"user/name@revision"`` on the Hub.
        **options: Options of :func:`download`.

    Returns:
        dict: Tensors and plain values, not checked further.

    Raises:
        FileNotFoundError: if there is no such file, or no such model on the Hub.
        ValueError: if it is not a model of this package.
        ConnectionError: if the Hub cannot be reached.
    """
    path = locate(name, **options)
    return read_folder(path, str(name)) if os.path.isdir(path) else load_package(path)


def read_with_card(name: str | Path, **options: Any) -> tuple[dict, dict[str, Any], str | None]:
    """Reads a model package with its card.

    Args:
        name (str or Path): See :func:`read_package`.
        **options: Options of :func:`download`.

    Returns:
        tuple: The checked package; metadata and text of its card, see
        :func:`~asteroid_scoresup.models.card.read_card`.

    Raises:
        FileNotFoundError, ValueError, ConnectionError: see :func:`read_package`.
    """
    path = locate(name, **options)
    package = read_folder(path, str(name)) if os.path.isdir(path) else load_package(path)
    require_package(package, name)
    if TRANSCRIPTOR in package:
        require_package(package[TRANSCRIPTOR], f"{name} (its transcriptor)")
    return package, *read_card(path)


def locate(name: str | Path, **options: Any) -> Path:
    """Path of the file or folder that a name refers to, downloaded if necessary.

    Args:
        name (str or Path): See :func:`read_package`.
        **options: Options of :func:`download`.

    Returns:
        Path: The path; it does not exist if the name refers to nothing.
    """
    if not os.path.lexists(name) and isinstance(name, str):
        if name in bundled_models():
            return bundled_models()[name]
        if is_hub_name(name):
            return download(name, **options)
    return Path(name)


def download(
    name: str,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Path:
    """Downloads a model from the Hugging Face Hub into the cache of ``huggingface_hub``.

    Only the three files of a model folder are downloaded, all of the same commit.

    Args:
        name (str): ``user/name``, or ``user/name@revision``.
        revision (str, optional): Branch, tag or commit. Default: the main branch.
        cache_dir (str or Path, optional): Default: that of ``huggingface_hub``.
        token (str or bool, optional): Access token. Default: the one of ``hf auth login``.
        force_download (bool): Whether to download files that are in the cache already.
        local_files_only (bool): Whether to use the cache only, without the network.

    Returns:
        Path: The folder.

    Raises:
        FileNotFoundError: if there is no such model or revision.
        ConnectionError: if the Hub cannot be reached.
    """
    import huggingface_hub

    repo_id, _, of_name = _HUB_URL.sub("", name, count=1).rstrip("/").partition("@")
    with _explained(name, "loaded"):
        return Path(
            huggingface_hub.snapshot_download(
                repo_id,
                revision=revision or of_name or None,
                cache_dir=cache_dir,
                token=token,
                force_download=force_download,
                local_files_only=local_files_only,
                allow_patterns=[CONFIG, WEIGHTS, CARD],
                library_name="asteroid-scoresup",
            )
        )


def save_folder(package: dict, folder: str | Path, name: str | None = None, **facts: Any) -> None:
    """Writes a model package as a folder with a model card.

    Args:
        package (dict): The package.
        folder (str or Path): The folder. Its card is replaced only if there are new facts.
        name (str, optional): Name of the model in the card. Default: that of the folder.
        **facts: Arguments of :func:`~asteroid_scoresup.models.card.with_facts`.

    Raises:
        ValueError: if weights are NaN or infinite, or a fact is of a wrong type.
    """
    package, folder = with_facts(package, **facts), Path(folder)
    keep = not facts and (folder / CARD).is_file()
    card = None if keep else model_card(package, name or folder.resolve().name)
    write_folder(package, folder, card)


def upload(
    package: dict,
    repo_id: str,
    private: bool | None = None,
    token: str | None = None,
    branch: str | None = None,
    **options: Any,
) -> str:
    """Uploads a model package; see :meth:`HubMixin.push_to_hub` for the other arguments."""
    from huggingface_hub import HfApi

    card = model_card(package, repo_id)
    with tempfile.TemporaryDirectory() as folder, _explained(repo_id, "uploaded"):
        write_folder(package, folder, card)
        api = HfApi(token=token)
        repo_id = api.create_repo(repo_id=repo_id, private=private, exist_ok=True).repo_id
        return str(
            api.upload_folder(
                repo_id=repo_id, repo_type="model", folder_path=folder, revision=branch, **options
            )
        )


@contextlib.contextmanager
def _explained(name: str, action: str) -> Iterator[None]:
    """Turns errors of huggingface_hub into messages that say what to do."""
    from huggingface_hub import utils

    try:
        yield
    except utils.GatedRepoError:
        raise FileNotFoundError(
            f"The model {name} of the Hugging Face Hub is not {action}: ask for access on its "
            "page, and log in with `hf auth login`."
        ) from None
    except utils.RepositoryNotFoundError:
        raise FileNotFoundError(
            f"There is no file or folder {name} here, and no such model on the Hugging Face Hub "
            "for you: check the name, or log in with `hf auth login` if it is private."
        ) from None
    except utils.RevisionNotFoundError:
        raise FileNotFoundError(
            f"The model {name} of the Hugging Face Hub has no such revision: name a branch, tag "
            "or commit of it."
        ) from None
    except utils.HFValidationError as error:
        raise ValueError(f"{name} is not the name of a model: {first_line(error)}") from None
    except (utils.LocalEntryNotFoundError, utils.OfflineModeIsEnabled) as error:
        raise ConnectionError(_unreachable(name, action, error)) from None
    except utils.HfHubHTTPError as error:
        if getattr(error.response, "status_code", 0) in (401, 403):
            raise PermissionError(
                f"{name} is not {action}: the Hugging Face Hub does not permit it. Log in with "
                "`hf auth login`, with a token that has this permission."
            ) from None
        raise ConnectionError(
            f"{name} is not {action}: the Hugging Face Hub answers {first_line(error)}"
        ) from None
    except Exception as error:
        # Which of these libraries is used depends on the version of huggingface_hub.
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "requests"):
            raise
        raise ConnectionError(_unreachable(name, action, error)) from None


def _unreachable(name: str, action: str, error: Exception) -> str:
    reason = f"the Hugging Face Hub cannot be reached ({type(error).__name__})"
    if action == "uploaded":
        return f"{name} is not uploaded: {reason}. Check the network, and run it again."
    return (
        f"There is no file or folder {name} here, and {reason}, nor is the model in its cache: "
        "check the name and the network, or copy the model's folder here and name that."
    )


class HubMixin:
    """``save_pretrained`` and ``push_to_hub``, with the arguments of ``ModelHubMixin``."""

    def hub_package(self) -> dict:
        """The package to save: see :func:`~asteroid_scoresup.models.pack`."""
        raise NotImplementedError

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Saves the model as a folder: ``config.json``, ``model.safetensors`` and ``README.md``.

        Args:
            save_directory (str or Path): The folder; other files in it are kept.
            repo_id (str, optional): Repository for `push_to_hub`. Default: the folder's name.
            push_to_hub (bool): Whether to upload it too.
            model_card_kwargs (dict, optional): Arguments of
                :func:`~asteroid_scoresup.models.card.with_facts`: license, numbers, provenance,
                limits. An existing card is replaced only if there are some.
            **push_to_hub_kwargs: Arguments of :meth:`push_to_hub`.

        Returns:
            str or None: URL of the commit, if it was uploaded.

        Raises:
            ValueError: if weights are NaN or infinite.
        """
        folder = Path(save_directory)
        save_folder(self.hub_package(), folder, repo_id, **(model_card_kwargs or {}))
        if not push_to_hub:
            return None
        name = repo_id or folder.resolve().name
        return self.push_to_hub(name, model_card_kwargs=model_card_kwargs, **push_to_hub_kwargs)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = _DEFAULT_MESSAGE,
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
        allow_patterns: list[str] | str | None = None,
        ignore_patterns: list[str] | str | None = None,
        delete_patterns: list[str] | str | None = None,
        model_card_kwargs: dict[str, Any] | None = None,
    ) -> str:
        """Uploads the model to the Hugging Face Hub, into a new or existing repository.

        Args:
            repo_id (str): ``user/name``.
            commit_message (str): Message of the commit.
            private (bool, optional): Whether a new repository is private.
            token (str, optional): Access token. Default: the one of ``hf auth login``.
            branch (str, optional): Default: the main branch.
            create_pr (bool, optional): Whether to open a pull request instead.
            allow_patterns, ignore_patterns, delete_patterns (list of str, optional): Files to
                upload, to leave out, and to delete in the repository.
            model_card_kwargs (dict, optional): See :meth:`save_pretrained`.

        Returns:
            str: URL of the commit.

        Raises:
            PermissionError, ConnectionError: if the Hub refuses it or cannot be reached.
        """
        package = with_facts(self.hub_package(), **(model_card_kwargs or {}))
        return upload(
            package,
            repo_id,
            commit_message=commit_message,
            private=private,
            token=token,
            branch=branch,
            create_pr=create_pr,
            allow_patterns=allow_patterns,
            ignore_patterns=ignore_patterns,
            delete_patterns=delete_patterns,
        )
