"""What a page of ours may do in a browser: only what its Content-Security-Policy names."""

from __future__ import annotations

import base64
import hashlib

from starlette.responses import HTMLResponse, Response

# For every page: it asks nobody but its own service, is shown in no frame, and has no form that leads elsewhere.
_ALWAYS = (
    "default-src 'none'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)


def text(*directives: str) -> str:
    """The policy of a page, which may do what `directives` say beside what every page may."""
    return "; ".join((*_ALWAYS, *directives))


def hash_of(source: str) -> str:
    """How a policy names an inline script or style that may run: by its content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def html(page: str, policy: str) -> Response:
    """The page with its policy, and with what else keeps others away from it."""
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
        "Vary": "Accept",
    }
    return HTMLResponse(page, headers=headers)
