from __future__ import annotations

from pathlib import Path

from tests.contract import check_replica
from tests.fakes import FakeReplica


def test_the_fake_replica_keeps_the_contract_of_the_real_one(tmp_path: Path) -> None:
    with FakeReplica(tmp_path / "r.sock") as replica:
        check_replica(replica.target)
