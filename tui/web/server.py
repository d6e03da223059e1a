"""One dashboard process a browser tab, on loopback unless told otherwise, and then only with a token.

The door checks three things before anything is shown or typed: the name the browser used (no DNS rebinding), where a
WebSocket comes from (no other site may talk to this one), and the token (a cookie after the first visit). What may be
changed is decided when the process is started, not by what the browser sends.
"""

import hmac
import ipaddress
import logging
import shlex
import sys
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server, to_int

from registry.errors import UsageError

COOKIE = "holdfast"
PAGE = Template((Path(__file__).parent / "page.html").read_text())
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Return whether an address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_door(host: str, token: str, *, allow_actions: bool) -> None:
    """Raise UsageError for a door that is too wide: another address, or actions, without a token."""
    if not token and not is_loopback(host):
        raise UsageError(f"{host} can be reached from other machines", hint="add --token TEXT, or --token auto")
    if not token and allow_actions:
        raise UsageError("actions in a browser need a token", hint="add --token TEXT, or --token auto")


class WebServer(Server):
    """Serves the dashboard of one registry."""

    def __init__(self, url: str, *, host: str, port: int, token: str = "", allow_actions: bool = False) -> None:
        check_door(host, token, allow_actions=allow_actions)
        words = [sys.executable, "-m", "tui", url, *([] if allow_actions else ["--view-only"])]
        shown = f"[{host}]" if ":" in host else host
        super().__init__(shlex.join(words), host=host, port=port, title="Holdfast", public_url=f"http://{shown}:{port}")
        self.token = token

    @property
    def address(self) -> str:
        """What to open in the browser, the token included."""
        return f"{self.public_url}/?token={self.token}" if self.token else f"{self.public_url}/"

    def initialize_logging(self) -> None:
        """Say only what went wrong."""
        logging.basicConfig(level=logging.WARNING, format="registry: %(message)s")

    async def on_startup(self, app: web.Application) -> None:
        """Say where it is."""
        print(f"registry: the dashboard is at {self.address} (ctrl+c ends it)", file=sys.stderr, flush=True)

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """Serve the page; the first visit with the token leaves it as a cookie."""
        self._check(request)
        socket = f"{'wss' if request.secure else 'ws'}://{request.host}/ws"
        font_size = str(to_int(request.query.get("fontsize", "14"), 14))
        page = PAGE.substitute(socket=socket, font_size=font_size)
        response = web.Response(text=page, content_type="text/html")
        response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
        response.headers["Cache-Control"] = "no-store"
        if self.token:
            response.set_cookie(COOKIE, self.token, httponly=True, samesite="Strict")
        return response

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Open a dashboard for one tab."""
        self._check(request)
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="this socket is not for other sites\n")
        return await super().handle_websocket(request)

    async def handle_download(self, request: web.Request) -> web.StreamResponse:
        """Serve a file that the dashboard offers."""
        self._check(request)
        return await super().handle_download(request)

    def _check(self, request: web.Request) -> None:
        name = urlsplit(f"//{request.host}").hostname or ""
        if not self.token and name not in LOCAL_NAMES and name != self.host:
            raise web.HTTPForbidden(text=f"no dashboard is served as {name}\n")
        given = request.query.get("token") or request.cookies.get(COOKIE, "")
        if self.token and not hmac.compare_digest(given.encode(), self.token.encode()):
            raise web.HTTPForbidden(text="this dashboard needs its token: open the address that was printed\n")
