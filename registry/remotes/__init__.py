"""Places that hold copies: folders, SSH hosts, object stores. `open_store` turns an address into one of them."""

import re
from pathlib import Path

from registry.errors import UsageError
from registry.remotes.base import Store

__all__ = ["address_of", "kind_of", "open_store"]

_SCP_LIKE = re.compile(r"(?:[^/@:\s]+@)?[^/:@\s]{2,}:(?!//).*")


def kind_of(place: str) -> str:
    """Return what kind of place an address names: folder, ssh, s3 or rclone. Raises UsageError for another scheme."""
    if not place.strip() or "\n" in place or "\0" in place:
        raise UsageError(
            f"not a place: {place!r}", hint="name a folder, ssh://HOST/PATH, s3://BUCKET or rclone:NAME:PATH"
        )
    if place.startswith(("rclone:", "s3:", "ssh:")):
        return place.partition(":")[0]
    if place.startswith("file://"):
        return "folder"
    scheme = re.match(r"([a-z][a-z0-9+.-]*)://", place)
    if scheme:
        raise UsageError(f"no remotes of kind {scheme[1]}://", hint="rclone reaches most: rclone:NAME:PATH")
    return "ssh" if _SCP_LIKE.fullmatch(place) and not Path(place).exists() else "folder"


def address_of(place: str) -> str:
    """Return the address as it is stored: a folder's absolute path, anything else as it was written."""
    if kind_of(place) == "folder":
        return str(Path(place.removeprefix("file://")).expanduser().resolve())
    return place


def open_store(url: str) -> Store:
    """Return the store of an address. Nothing is contacted yet.

    Raises UsageError for an address that means nothing, NotFoundError when a tool or package it needs is missing.
    """
    kind = kind_of(url)
    if kind == "folder":
        from registry.remotes.folder import FolderStore

        return FolderStore(url)
    if kind == "ssh":
        from registry.remotes.ssh import SshStore

        return SshStore(url)
    if kind == "s3":
        from registry.remotes.s3 import S3Store

        return S3Store(url)
    from registry.remotes.rclone import RcloneStore

    return RcloneStore(url)
