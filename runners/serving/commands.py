"""`registry serve TARGET`: an HTTP server on loopback; anywhere else only with a token."""

import ipaddress
import os
import signal
import socket
import sys
from typing import Annotated

import typer

from registry.errors import HoldfastError, RefusedError, UnreachableError, UsageError

TOKEN_VARIABLE = "REGISTRY_SERVE_TOKEN"
MIN_TOKEN_LENGTH = 16
MAX_REQUEST_BYTES = 1 << 20
GRACE_S = 10


def serve(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="What to serve: production, staging, …")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 9007,
    host: Annotated[str, typer.Option(help="Address to listen at; other than loopback only with a token.")] = (
        "127.0.0.1"
    ),
    max_bytes: Annotated[int, typer.Option(min=1, help="Largest request, in bytes.")] = MAX_REQUEST_BYTES,
) -> None:
    """Serve the deployed model over HTTP: /health, /schema, /predict. Follows promotion and rollback.

    The token is read from the environment, REGISTRY_SERVE_TOKEN, and sent as `Authorization: Bearer …`.
    """
    token = _token(host)
    try:
        import uvicorn

        from runners.serving.service import Service
        from runners.serving.web import LOOPBACK_NAMES, make_app
    except ImportError as error:
        raise HoldfastError(f"{error.name} is not installed", hint="pip install 'holdfast[serve,train]'") from None
    from registry.cli.context import context
    from registry.record import Registry

    with Registry(context().db()) as record, _listen(host, port) as listener:
        service = Service(record, target, _tell)
        names = LOOPBACK_NAMES if is_loopback(host) else ()
        app = make_app(service, token=token, hosts=names, max_bytes=max_bytes)
        config = uvicorn.Config(
            app, log_level="warning", server_header=False, access_log=False, timeout_graceful_shutdown=GRACE_S
        )
        deployed = service.current.deployed
        shown = f"[{host}]" if ":" in host else host
        _tell(f"{target} serves {deployed.run_name} ({deployed.run_id}), sha256 {deployed.digest[:12]}")
        _tell(f"listening at http://{shown}:{listener.getsockname()[1]}")
        service.follow()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            service.close()


def _tell(words: str) -> None:
    print(f"registry: {words}", file=sys.stderr, flush=True)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(host: str) -> str | None:
    """Return the token to ask for. Raises RefusedError for an open address without one, UsageError for a weak one."""
    token = os.environ.get(TOKEN_VARIABLE)
    if token is not None and (len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable()):
        raise UsageError(f"{TOKEN_VARIABLE} is too weak", hint=f"use {MIN_TOKEN_LENGTH} or more plain characters")
    if token is None and not is_loopback(host):
        raise RefusedError(f"{host} can be reached from other machines", hint=f"set {TOKEN_VARIABLE}, or use 127.0.0.1")
    return token


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        raise UnreachableError(
            f"cannot listen at {host}:{port}: {error.strerror}", hint="choose another --port"
        ) from None
    return listener
