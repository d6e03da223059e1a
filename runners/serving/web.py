"""The HTTP side: `/health`, `/schema`, and `POST /NAME` for each call of the model. Bodies are bounded and typed.

Only requests that name this host (and carry the token, where there is one) are answered, so that no page in a browser
can talk to a server on loopback behind its user's back.
"""

import hmac
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from runners.serving.batching import OverloadedError
from runners.serving.endpoint import BadRequestError
from runners.serving.service import Service

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


class TooLargeError(Exception):
    """A body over the limit."""


def make_app(service: Service, *, token: str | None, hosts: Sequence[str], max_bytes: int) -> FastAPI:
    """Return the application. `hosts` are the names a request may use for this server; empty allows any."""
    app = FastAPI(title=f"holdfast: {service.target}", docs_url=None, redoc_url=None, openapi_url=None)

    def refusal(request: Request, *, open_to_all: bool = False) -> Response | None:
        if hosts and _host_name(request.headers.get("host", "")) not in hosts:
            return _said(421, "this server is not known by that name")
        if token and not open_to_all and not _has_token(request, token):
            return _said(401, "send the token: Authorization: Bearer …")
        return None

    @app.get("/health")
    async def health(request: Request) -> Response:
        refused = refusal(request, open_to_all=True)
        if refused:
            return refused
        found = service.health()
        shown = found if not token or _has_token(request, token) else {"status": found["status"]}
        return JSONResponse(shown, status_code=200 if found["status"] == "ok" else 503)

    @app.get("/schema")
    async def schema(request: Request) -> Response:
        shapes = {
            name: {"request": call.request.model_json_schema(), "response": call.response.model_json_schema()}
            for name, call in service.current.calls.items()
        }
        return refusal(request) or JSONResponse(shapes)

    @app.post("/{name}")
    async def ask(name: str, request: Request) -> Response:
        return refusal(request) or await _answer(service, name, request, max_bytes)

    return app


async def _answer(service: Service, name: str, request: Request, max_bytes: int) -> Response:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _said(415, "send Content-Type: application/json")
    try:
        body = await _bounded_body(request, max_bytes)
        serving = service.current
        if name not in serving.calls:
            return _said(404, f"no call {name!r}; there is {', '.join(sorted(serving.calls))}")
        wanted = serving.calls[name].request.model_validate_json(body)
        answer = await serving.batchers[name].ask(wanted)
    except TooLargeError:
        return _said(413, f"a request has at most {max_bytes:,} bytes")
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        return _said(422, "the request does not have the shape that /schema shows", errors=details)
    except BadRequestError as error:
        return _said(422, str(error))
    except OverloadedError:
        return _said(503, "too many requests wait already; try again", headers={"Retry-After": "1"})
    except Exception as error:
        service.tell(f"{name}: {type(error).__name__}: {error}")
        return _said(500, "the model failed on this request")
    headers = {"X-Holdfast-Run": serving.deployed.run_id, "X-Holdfast-Digest": serving.deployed.digest}
    return Response(answer.model_dump_json(), media_type="application/json", headers=headers)


async def _bounded_body(request: Request, max_bytes: int) -> bytes:
    """Return the body, read no further than the limit. Raises TooLargeError."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_bytes:
        raise TooLargeError
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > max_bytes:
            raise TooLargeError
    return bytes(body)


def _said(status: int, words: str, *, headers: dict[str, str] | None = None, **more: Any) -> Response:
    return JSONResponse({"detail": words, **more}, status_code=status, headers=headers)


def _has_token(request: Request, token: str) -> bool:
    sent = request.headers.get("authorization", "").encode()
    return hmac.compare_digest(sent, f"Bearer {token}".encode())


def _host_name(host: str) -> str:
    """Return the name in a Host header, without its port and the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
