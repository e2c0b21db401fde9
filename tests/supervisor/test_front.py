"""What a running service cannot take over without a start, told by its name."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from tests.serving.test_release import RELEASE
from toolkit.serving.release import Limits
from toolkit.supervisor import front
from toolkit.supervisor.settings import Settings

SETTINGS = Settings("127.0.0.1", 1, 2)
LIMITS = Limits(**RELEASE["limits"])
KEYS = {"TOOLKIT_API_KEYS": "a-key-that-is-long-enough"}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"host": "0.0.0.0"}, "the address"),
        ({"grpc_port": 3}, "the address"),
        ({"keys_file": "/keys"}, "the API keys"),
        ({"tls_cert": "/cert"}, "the certificates"),
        ({"replicas": 3}, None),
    ],
)
def test_settings_of_the_front_door_are_told_apart(changes: dict[str, Any], name: str | None) -> None:
    wanted = front.of(replace(SETTINGS, **changes), LIMITS, {})
    assert front.changed(front.of(SETTINGS, LIMITS, {}), wanted) == ([name] if name else [])


def test_limits_of_connections_are_the_front_doors_and_others_are_the_releases() -> None:
    has = front.of(SETTINGS, LIMITS, {})
    more = LIMITS.model_copy(update={"max_connections": 5})
    assert front.changed(has, front.of(SETTINGS, more, {})) == ["the limits of connections and bodies"]
    assert front.changed(has, front.of(SETTINGS, LIMITS.model_copy(update={"queue": 1}), {})) == []


def test_keys_of_the_environment_count_and_are_not_shown() -> None:
    has, wanted = front.of(SETTINGS, LIMITS, {}), front.of(SETTINGS, LIMITS, KEYS)
    assert front.changed(has, wanted) == ["the API keys"]
    assert not any(KEYS["TOOLKIT_API_KEYS"] in value for value in wanted.values())


def test_other_code_of_the_toolkit_is_a_change() -> None:
    has = front.of(SETTINGS, LIMITS, {})
    assert front.changed({**has, "the toolkit's code": "older"}, has) == ["the toolkit's code"]


def test_the_toolkits_code_is_all_that_the_service_and_its_replicas_import() -> None:
    modules = "toolkit.supervisor.service, toolkit.serving.replica, toolkit.serving.ops"
    show = f"import sys, {modules}; print(*(name for name in sys.modules if name.startswith('toolkit.')))"
    found = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    parts = {name.split(".")[1] for name in found.stdout.split()}
    assert parts <= {*front._ROOMS, *(name.removesuffix(".py") for name in front._MODULES)}
