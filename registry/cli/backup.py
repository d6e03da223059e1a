"""The registry's own safety: `backup`, `restore`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry import clock
from registry.cli.context import context
from registry.cli.output import out, size

if TYPE_CHECKING:
    from registry.backup import Listed
    from registry.remotes.base import Store


def backup(
    to: Annotated[str, typer.Option("--to", metavar="REMOTE", help="Where to.")],
    prune: Annotated[
        bool, typer.Option("--prune", help="Then remove old backups there; [backup] of registry.toml says which stay.")
    ] = False,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="SIZE", help="At most this many bytes a second.")
    ] = None,
) -> None:
    """Put a snapshot of the registry, its journals and outputs on a remote, and read it back."""
    from registry.backup import make_backup
    from registry.cli.transfer_view import transfer_view
    from registry.retention import PruneReport, prune_backups

    options = context()
    db = options.db()
    with transfer_view(options, rate) as progress:
        made = make_backup(db, to, progress)
    pruned = prune_backups(db, to, made) if prune else PruneReport()
    if options.json:
        out.json({"digest": made.digest, "remote": to, "at": clock.iso(made.at), "files": made.n_files,
                  "size_bytes": made.size_bytes, "pruned": pruned.removed, "freed_bytes": pruned.n_bytes})  # fmt: skip
    elif not options.quiet:
        out.line(f"backed up to {to} and read back: {made.n_files} files, {size(made.size_bytes)}, {made.digest[:16]}…")
        if prune:
            out.line(f"{pruned.n_kept} backups stay, {len(pruned.removed)} removed ({size(pruned.n_bytes)})", "dim")


def restore(
    place: Annotated[str, typer.Argument(help="Where the backup is: a remote's name or the address of the place.")],
    digest: Annotated[str | None, typer.Option("--digest", help="Which backup (default: the newest).")] = None,
    into: Annotated[
        Path | None, typer.Option("--into", help="Folder to restore into (default: the registry's).")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Only list the backups that are there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Put a registry that is there aside.")] = False,
) -> None:
    """Bring a backup of the registry back, verified while it is read and checked before it is put in place."""
    from registry import backup as backups
    from registry import places
    from registry.cli.transfer_view import transfer_view

    options = context()
    root = into or places.root_folder(places.registry_url(options.db_url))
    store = _store(place)
    try:
        if listed:
            _print_list(backups.list_backups(store))
            return
        chosen = backups.choose_backup(store, digest)
        with transfer_view(options) as progress:
            placed = backups.restore(store, chosen, root.resolve(), replace=yes, progress=progress)
    finally:
        store.close()
    if options.json:
        out.json({"digest": chosen.digest, "at": clock.iso(chosen.at), "root": str(root), "files": len(placed)})
    elif not options.quiet:
        out.line(f"restored the registry of {clock.iso(chosen.at)} into {root}: {len(placed)} files")
        out.line("copies count again once they were read: registry verify --all", "dim")


def _print_list(found: "list[Listed]") -> None:
    rows = [vars(item) for item in found]
    if context().json:
        out.json([{**row, "at": clock.iso(row["at"])} for row in rows])
    else:
        out.table(
            ["digest", "made at", "files", "size"],
            [[row["digest"][:16], clock.iso(row["at"]), row["n_files"], size(row["size_bytes"])] for row in rows],
            numeric=["files", "size"],
        )


def _store(place: str) -> "Store":
    """Return the place of a remote's name, when the registry is there and knows it, else of an address."""
    from registry.copies.record import find_remote
    from registry.database import open_database
    from registry.errors import HoldfastError
    from registry.remotes import address_of, open_store

    try:
        with open_database(context().db_url).read() as session:
            return open_store(find_remote(session, place).url)
    except HoldfastError:
        return open_store(address_of(place))
