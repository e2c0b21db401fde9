"""The rendered Deployment as a pod of podman on this machine, asked over HTTP and gRPC."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import requests
import yaml

from tests.e2e.harness import free_port
from toolkit import smoke
from toolkit.client import GrpcClient
from toolkit.serving import release as releases
from toolkit.smoke import Golden
from toolkit.spec.pipeline import PipelineSpec
from toolkit.targets import files
from toolkit.targets.plan import plan

ROOT = Path(__file__).resolve().parents[2]


class Failed(Exception):
    """Something was not as it should be; the message is for people."""


def run(*argv: str, timeout: float = 1800) -> str:
    """What a command prints.

    Raises:
        Failed: it ended with another code than 0.
    """
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise Failed(
            f"{' '.join(argv[:4])} ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def toolkit(*arguments: str) -> str:
    """What a command of the toolkit prints."""
    return run(sys.executable, "-m", "toolkit", *arguments)


@dataclass(frozen=True)
class Pod:
    """
    Attributes:
        spec: of the pipeline.
        release: directory of what its images serve.
        folder: for its manifest.
        replicas: processes in it.
        http_port, grpc_port: on this machine.
    """

    spec: PipelineSpec
    release: Path
    folder: Path
    replicas: int
    http_port: int
    grpc_port: int

    @classmethod
    def of(cls, spec: PipelineSpec, release: Path, folder: Path, replicas: int) -> Pod:
        return cls(spec, release, folder, replicas, free_port(), free_port())

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever happened, nothing of it is left."""
        argv = ["podman", "pod", "rm", "--force", "--ignore", self._name]
        subprocess.run(argv, capture_output=True, check=False)

    @property
    def _name(self) -> str:
        """That podman gives to the first pod of a Deployment."""
        return f"{plan(self.spec).label}-pod-0"

    @property
    def _file(self) -> Path:
        return self.folder / "pod.yml"

    def play(self, version: str) -> float:
        """Run a version, in the place of any other; seconds until its probes succeed."""
        self._file.write_text(yaml.safe_dump(self._manifest(version)), encoding="utf-8")
        began = time.monotonic()
        run("podman", "kube", "play", "--replace", str(self._file))
        limit = began + self.spec.serving.start_seconds
        while not self._ready():
            if time.monotonic() > limit:
                raise Failed(f"{version} is not ready in time:\n{run('podman', 'pod', 'logs', self._name)}")
            time.sleep(0.2)
        return time.monotonic() - began

    def _manifest(self, version: str) -> dict[str, Any]:
        """The Deployment, on ports of this machine that are free: podman has no Service and no autoscaler."""
        rendered = files.render(self.spec, ["kubernetes"], version)
        deployment: dict[str, Any] = yaml.safe_load(rendered[PurePosixPath("kubernetes/base/deployment.yml")])
        deployment["spec"]["replicas"] = 1
        pod = deployment["spec"]["template"]["spec"]
        pod["hostNetwork"] = True
        (container,) = pod["containers"]
        container["args"] = [
            *("--replicas", str(self.replicas)),
            *("--http-port", str(self.http_port), "--grpc-port", str(self.grpc_port)),
        ]
        # Podman maps ports into a network of the pod's own only; for probes it would run curl in the container.
        for name in ("ports", "livenessProbe", "readinessProbe", "startupProbe"):
            del container[name]
        return deployment

    def _ready(self) -> bool:
        """What the three probes ask."""
        try:
            paths = ("/healthz", "/readyz")
            codes = {
                requests.get(f"http://127.0.0.1:{self.http_port}{path}", timeout=2).status_code
                for path in paths
            }
        except requests.RequestException:
            return False
        with GrpcClient(f"127.0.0.1:{self.grpc_port}") as client:
            return codes == {200} and client.ready()

    def ask(self, variant: str = ".") -> dict[str, Any]:
        """The golden images over every protocol, and what has to be refused; latencies.

        Args:
            variant: of the release, whose answers they are to get.
        """
        told = releases.goldens(self.release / variant)
        goldens = [Golden(file.name, file, answer) for file, answer in told]
        http, grpc = f"http://127.0.0.1:{self.http_port}", f"127.0.0.1:{self.grpc_port}"
        deadline = self.spec.serving.deadline_seconds
        return smoke.smoke(http, grpc, self.spec.name, goldens, deadline, rounds=2).to_json()

    def rollback(self) -> float:
        """Go to FP32 as an operator does, by a command within the container; seconds that the shift took."""
        command = ["python", "-m", "toolkit", "rollback", "--json", "--model", self.spec.name, "--to", "fp32"]
        container = f"{self._name}-serving"
        told = run("podman", "exec", container, *command, "--build", "/var/lib/serving")
        seconds: float = json.loads(told)["rollout"]["seconds"]
        return seconds

    def stop(self) -> float:
        """Stop and remove it; seconds."""
        began = time.monotonic()
        run("podman", "kube", "down", str(self._file))
        return time.monotonic() - began
