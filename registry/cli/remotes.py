"""The places that copies live in: `remote add`, `ls`, `test`, `trust`, `rm`."""

from typing import Annotated, Any

import typer

from registry import clock
from registry.cli.context import context
from registry.cli.output import out, size, word

remote = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None,
                     help="The places that copies live in.")  # fmt: skip


@remote.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What you call it.")],
    place: Annotated[
        str, typer.Argument(help="A folder, [USER@]HOST:PATH, ssh://…, s3://BUCKET/PREFIX, rclone:NAME:PATH.")
    ],
    domain: Annotated[
        str | None, typer.Option(help="What it fails together with: a label. Same label, same failure domain.")
    ] = None,
    klass: Annotated[
        str | None,
        typer.Option("--class", metavar="ephemeral|durable|offline", help="How long it lives (a folder: ephemeral)."),
    ] = None,
    trust: Annotated[
        str, typer.Option(metavar="normal|untrusted", help="untrusted: count only what was read back to here.")
    ] = "normal",
) -> None:
    """Make a place known, and write its identity into it when it has none."""
    from registry.copies.remotes import add_remote

    options = context()
    added = add_remote(options.db(create=True), name, place, domain=domain, klass=klass, trust=trust)
    if options.json:
        out.json(_as_json(added))
        return
    out.line(f"{added.name}: {added.url} ({added.klass}, failure domain {added.domain})")
    if added.medium == "memory":
        out.warn(f"{added.url} is in memory: it is gone at the next power cut, whatever its class says")
    if added.kind == "folder" and not added.labelled:
        out.warn(
            f"copies on {name} count as lost with this machine; a disk that outlives it is added with"
            " --domain LABEL --class durable"
        )


@remote.command("ls")
def ls() -> None:
    """List the remotes: what they are, what they fail together with, what they hold, when they were last seen."""
    from registry.copies.record import active_remotes
    from registry.copies.remotes import holdings

    options = context()
    with options.db().read() as session:
        remotes = active_remotes(session)
        held = holdings(session)
    if options.json:
        out.json([{**_as_json(item), **held.get(item.id, {"copies": 0, "size_bytes": 0})} for item in remotes])
        return
    if not remotes:
        out.line("no remotes yet: registry remote add NAME PLACE")
        return
    rows = []
    for item in remotes:
        holds = held.get(item.id, {"copies": 0, "size_bytes": 0})
        rows.append(
            [item.name, item.url, item.klass, item.domain, item.trust, word(item.probe),
             clock.iso(item.probed_at), holds["copies"], size(holds["size_bytes"])]
        )  # fmt: skip
    heads = ["name", "place", "class", "failure domain", "trust", "last look", "at", "copies", "size"]
    out.table(heads, rows, numeric=["copies", "size"])


def _as_json(item: Any) -> dict[str, Any]:
    return {
        "name": item.name,
        "id": item.id,
        "url": item.url,
        "kind": item.kind,
        "domain": item.domain,
        "class": item.klass,
        "trust": item.trust,
        "medium": item.medium,
        "added_at": clock.iso(item.added_at),
        "probe": item.probe,
        "probed_at": clock.iso(item.probed_at),
        "probe_error": item.probe_error,
    }


@remote.command("test")
def test(name: Annotated[str, typer.Argument(help="The remote.")]) -> None:
    """Try everything a place must be able to do, with small files of its own that it removes again."""
    from registry.copies.remotes import connect
    from registry.errors import CheckFailedError
    from registry.remotes.conformance import run_suite

    options = context()
    with connect(options.db(), name) as connected:
        checks = list(run_suite(connected.store))
    rows = [
        {"check": check.name, "verdict": "fail" if check.error else "pass", "reason": check.error} for check in checks
    ]
    if options.json:
        out.json(rows)
    else:
        out.table(
            ["check", "verdict", "reason"], [[row["check"], word(row["verdict"] or ""), row["reason"]] for row in rows]
        )
    n_failed = sum(bool(check.error) for check in checks)
    if n_failed:
        raise CheckFailedError(f"{name} fails {n_failed} of {len(checks)} checks", hint="do not keep copies there")


@remote.command("trust")
def trust(
    name: Annotated[str, typer.Argument(help="The remote.")],
    level: Annotated[str, typer.Argument(metavar="normal|untrusted|dead", help="How far it is believed.")],
) -> None:
    """Say how far a remote is believed: untrusted counts only what was read back to here, dead counts nothing."""
    from registry.copies.remotes import set_trust

    set_trust(context().db(), name, level)
    out.line(f"{name}: {level}")


@remote.command("rm")
def rm(
    name: Annotated[str, typer.Argument(help="The remote.")],
    forget: Annotated[bool, typer.Option("--forget", help="Even though it holds copies; they count no more.")] = False,
) -> None:
    """Stop using a remote. Nothing on it is touched."""
    from registry.copies.remotes import remove_remote

    n_copies = remove_remote(context().db(), name, forget=forget)
    out.line(f"{name} is not used any more" + (f"; {n_copies} copies stay there, uncounted" if n_copies else ""))
