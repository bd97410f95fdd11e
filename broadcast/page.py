"""A service's page: a few files, served by the same port that the WebSocket listens on."""

from __future__ import annotations

from http import HTTPStatus
from importlib import resources

from websockets.http11 import Response

from chassis.http import respond

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
}

SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Page:
    """The page's files, read once from the folder `page` of a package."""

    def __init__(self, package: str) -> None:
        self._files: dict[str, tuple[bytes, str]] = {}
        folder = resources.files(package).joinpath("page")
        for file in folder.iterdir():
            kind = TYPES.get(file.name[file.name.rfind(".") :])
            if file.is_file() and kind:
                self._files[f"/{file.name}"] = (file.read_bytes(), kind)
        self._files["/"] = self._files["/index.html"]

    def answer(self, path: str) -> Response:
        """Answer a GET of `path`."""
        body, kind = self._files.get(path, (b"There is nothing here.\n", "text/plain"))
        found = path in self._files
        response = respond(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, body, kind)
        del response.headers["Cache-Control"]
        response.headers["Cache-Control"] = "no-cache"
        for name, value in SECURITY.items():
            response.headers[name] = value
        return response
