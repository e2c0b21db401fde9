"""What a monitoring system is given for a service: Prometheus' configuration, its alert rules, Grafana's dashboard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit import templates
from toolkit.errors import TemplateError

PROMETHEUS, ALERTS, GRAFANA = "prometheus.yml", "alerts.yml", "grafana.json"

# Bounds of the histogram of requests that an objective can be set at: what lies between two of them is not known.
LATENCIES = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)

# How fast a budget of errors burns (1: it lasts just as long as it should), over a long window and a short one that
# says whether it still does, and how urgent that is. https://sre.google/workbook/alerting-on-slos/
BURNS = {
    "fast": {"factor": 14.4, "long": "1h", "short": "5m", "severity": "critical"},
    "slow": {"factor": 6, "long": "6h", "short": "30m", "severity": "warning"},
}
_LARGEST_BUDGET = 1 / 14.4


@dataclass(frozen=True)
class Objectives:
    """What is expected of a service, and when somebody has to know that it is otherwise.

    Attributes:
        availability: share of the requests that the service does not fail.
        latency: share of the requests that are answered within `latency_seconds`, one of `LATENCIES`.
        least_requests: in an hour; with fewer, a share says nothing, and no alarm is raised for one.
        restarts: of a replica in ten minutes; more raise an alarm.
        memory_share: of a replica's limit.
        golden_seconds: since a golden inference succeeded.
        rejected_share: of the requests, turned down since the queue was full.
    """

    availability: float = 0.999
    latency: float = 0.95
    latency_seconds: float = 5.0
    least_requests: int = 20
    restarts: int = 2
    memory_share: float = 0.9
    golden_seconds: float = 60.0
    rejected_share: float = 0.05

    def __post_init__(self) -> None:
        """
        Raises:
            TemplateError: an objective that no alarm could tell the failure of.
        """
        for name in ("availability", "latency"):
            share = getattr(self, name)
            if not 1 - _LARGEST_BUDGET < share < 1:
                raise TemplateError(
                    f"the objective `{name}` is {share}; it must be above {1 - _LARGEST_BUDGET:.3f} and below 1"
                )
        if self.latency_seconds not in LATENCIES:
            raise TemplateError(
                f"the objective `latency_seconds` is {self.latency_seconds}; it must be one of "
                + ", ".join(map(str, LATENCIES))
            )


@dataclass(frozen=True)
class Scrape:
    """How Prometheus reaches the service.

    Attributes:
        host: as Prometheus sees it.
        tls: whether the port speaks TLS.
        ca_file: of the certificate, if that is not known to the machine.
        key_file: holds one API key, where the service asks for keys.
    """

    host: str = "127.0.0.1"
    tls: bool = False
    ca_file: str = ""
    key_file: str = ""


def render(
    name: str,
    http_port: int,
    models: Sequence[str],
    objectives: Objectives | None = None,
    scrape: Scrape | None = None,
) -> dict[str, str]:
    """The text of each file, by its name.

    Args:
        name: the pipeline.
        models: its models, in order: `det` or `ocr.det`.

    Raises:
        TemplateError: a template is wrong, or what it renders is no YAML or JSON.
    """
    variables: dict[str, Any] = {
        "pipeline": name,
        "job": f"serving-{name}",
        "http_port": http_port,
        "models": [model.removeprefix(f"{name}.") for model in models],
        "limits": objectives or Objectives(),
        "scrape": scrape or Scrape(),
        "burns": BURNS,
        "alerts_file": ALERTS,
    }
    prometheus, _ = templates.render_yaml("monitoring/prometheus.yml.j2", **variables)
    alerts, _ = templates.render_yaml("monitoring/alerts.yml.j2", **variables)
    return {PROMETHEUS: prometheus, ALERTS: alerts, GRAFANA: _dashboard(variables)}


def _dashboard(variables: Mapping[str, Any]) -> str:
    text = templates.render("monitoring/grafana.json.j2", **variables)
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
    except ValueError as error:
        raise TemplateError(
            f"what the template renders is not valid JSON: {error}", where="monitoring/grafana.json.j2"
        ) from error
