from __future__ import annotations

from toolkit.cli.options import settings_given
from toolkit.supervisor.settings import Settings


def test_options_that_are_given_replace_what_was_recorded_and_others_do_not() -> None:
    recorded = Settings("0.0.0.0", 80, 81, 3, keys_file="/old", tls_cert="/cert", tls_key="/key")
    given = Settings("127.0.0.1", 9393, 9394, None, keys_file="/new")
    assert settings_given(given, recorded, {"model", "build", "http_port", "api_keys"}) == Settings(
        "0.0.0.0", 9393, 81, 3, keys_file="/new", tls_cert="/cert", tls_key="/key"
    )
    assert settings_given(given, recorded, set()) == recorded
