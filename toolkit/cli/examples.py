"""Lines to copy that ask a running service, and work as they are printed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from toolkit.cli import reach
from toolkit.client.security import Access
from toolkit.content.kinds import FIELDS, Kind
from toolkit.errors import ServiceError
from toolkit.serving import release
from toolkit.supervisor.state import State

# The environment variable that the lines take the key from, so that it stands on no command line.
_KEY = "API_KEY"

_TEXT = 'Path(sys.argv[1]).read_text(encoding="utf-8")'
_CALLS: Mapping[Kind, str] = {
    "image": "predict({name}, Path(sys.argv[1]))",
    "text": f"predict_text({{name}}, {_TEXT})",
    "json": f"predict_json({{name}}, json.loads({_TEXT}))",
}


def endpoints(state: State) -> str:
    """Where the service answers, and how to ask it; keys are named, not shown."""
    access = _access(state)
    directory = Path(state.release)
    kind = release.read(directory).accepts
    file = shlex.quote(_shortest(release.goldens(directory)[0][0]))
    lines = [
        f"HTTP  {state.http_url}/predict/{state.name}",
        f"gRPC  {state.grpc_target}",
        "",
        *([f"export {_KEY}=...   # one of the keys of the service", ""] if access.api_key else []),
        " ".join(
            ["curl -sS", *_curl_options(state, access), f"-F {FIELDS[kind]}=@{file}", _url(state, access)]
        ),
        "",
        f"{shlex.quote(_shortest(Path(sys.executable)))} - {file} <<'EOF'",
        *(["import json"] if kind == "json" else []),
        *(["import os"] if access.api_key else []),
        "import sys",
        "from pathlib import Path",
        "from toolkit.client import GrpcClient",
        f"with GrpcClient({', '.join([repr(state.grpc_target), *_arguments(access)])}) as client:",
        f"    print(client.{_CALLS[kind].format(name=repr(state.name))}.raw)",
        "EOF",
    ]
    return "\n".join(lines)


def _access(state: State) -> Access:
    try:
        return reach.access(state)
    except ServiceError:
        # Its client certificate is not known here.
        return Access()


def _url(state: State, access: Access) -> str:
    """With the name that the certificate is for."""
    name, host = access.server_name, _host(state)
    url = f"{state.http_url}/predict/{state.name}"
    return url.replace(f"//{host}:", f"//{name}:", 1) if name is not None else url


def _host(state: State) -> str:
    """As it stands in the URL."""
    return urlsplit(state.http_url).netloc.rpartition(":")[0]


def _curl_options(state: State, access: Access) -> list[str]:
    files = {"--cacert": access.ca, "--cert": access.cert, "--key": access.key}
    found = [f"{name} {shlex.quote(_shortest(path))}" for name, path in files.items() if path is not None]
    if access.server_name is not None:
        found.append(f"--connect-to ::{_host(state)}:")
    if access.api_key:
        found.append(f'-H "X-API-Key: ${_KEY}"')
    return found


def _arguments(access: Access) -> list[str]:
    """Those of `GrpcClient` beside its target."""
    files = {"ca": access.ca, "cert": access.cert, "key": access.key}
    found = [f"{name}=Path({_shortest(path)!r})" for name, path in files.items() if path is not None]
    if access.server_name is not None:
        found.append(f"server_name={access.server_name!r}")
    if access.api_key:
        found.append(f"api_key=os.environ[{_KEY!r}]")
    return found


def _shortest(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
