from __future__ import annotations

import ast
import copy
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit.errors import TemplateError
from toolkit.serving import config

CONFIG: dict[str, Any] = yaml.safe_load(
    """
    rpc_port: 18090
    worker_num: 4
    build_dag_each_worker: false
    dag: {is_thread_op: true, retry: 1, client_type: brpc, tracer: {interval_s: -1}}
    op:
      det: {concurrency: 1, timeout: -1, retry: 1, batch_size: 1, auto_batching_timeout: -1}
      rec: {concurrency: 1, local_service_conf: {thread_num: 2, use_mkldnn: true}}
    """
)


def server() -> Path:
    """The installed pipeline server's folder; it is read, not imported, since that imports paddle."""
    found = importlib.util.find_spec("paddle_serving_server")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(next(iter(found.submodule_search_locations))) / "pipeline"


def table(function: str, name: str) -> dict[str, Any]:
    """The literal dictionary `name` in a function of ServerYamlConfChecker; types by their names."""
    tree = ast.parse((server() / "pipeline_server.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            for statement in node.body:
                if (
                    isinstance(statement, ast.Assign)
                    and isinstance(statement.targets[0], ast.Name)
                    and statement.targets[0].id == name
                    and isinstance(statement.value, ast.Dict)
                ):
                    return {
                        ast.literal_eval(key): ast.unparse(value)
                        for key, value in zip(statement.value.keys, statement.value.values)
                        if key is not None
                    }
    raise AssertionError(f"{function} has no {name}")


def changed(path: str, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(CONFIG)
    *parents, key = path.split(".")
    section = data
    for parent in parents:
        section = section.setdefault(parent, {})
    section[key] = value
    return data


def refusal(data: Any) -> str:
    with pytest.raises(TemplateError) as caught:
        config.check(data, where="serving/config.yml.j2")
    assert caught.value.where == "serving/config.yml.j2"
    return caught.value.message


def test_a_safe_config_is_accepted() -> None:
    config.check(CONFIG, where="")


@pytest.mark.parametrize(
    ("function", "keys"),
    [
        ("check_server_conf", config.SERVER_KEYS),
        ("check_dag_conf", config.DAG_KEYS),
        ("check_tracer_conf", config.TRACER_KEYS),
        ("check_op_conf", config.OP_KEYS),
        ("check_local_service_conf", config.LOCAL_SERVICE_KEYS),
    ],
)
def test_the_keys_are_those_that_the_installed_server_reads(function: str, keys: Mapping[str, type]) -> None:
    types, defaults = table(function, "conf_type"), table(function, "default_conf")
    source = "".join(file.read_text(encoding="utf-8") for file in server().glob("*.py"))
    for key, kind in keys.items():
        if key in types:
            assert types[key] == kind.__name__, key
        else:
            assert key in defaults or f'["{key}"]' in source, f"{key} is not read by the server"
    left_out = {"mkldnn_op_list", "mkldnn_bf16_op_list"}
    assert set(types) | set(defaults) <= set(keys) | left_out


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("worker_nums", "`worker_nums` (did you mean `worker_num`?)"),
        ("dag.retries", "`dag.retries` (did you mean `retry`?)"),
        ("dag.tracer.interval", "`dag.tracer.interval` (did you mean `interval_s`?)"),
        ("op.det.concurency", "`op.det.concurency` (did you mean `concurrency`?)"),
        ("op.rec.local_service_conf.thread_nums", "`op.rec.local_service_conf.thread_nums`"),
        ("op.rec.local_service_conf.mkldnn_op_list", "`op.rec.local_service_conf.mkldnn_op_list`"),
        ("zzz", "`zzz`"),
    ],
)
def test_a_key_that_the_server_does_not_read_is_refused(path: str, message: str) -> None:
    assert refusal(changed(path, 1)).startswith(f"Paddle Serving does not read the key {message}")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("worker_num", "4"),
        ("worker_num", True),
        ("build_dag_each_worker", 0),
        ("dag.is_thread_op", "true"),
        ("op.det.timeout", 1.5),
        ("op.det.fetch_list", "y"),
        ("dag", None),
        ("op", []),
    ],
)
def test_a_value_of_another_type_is_refused(path: str, value: Any) -> None:
    assert f"`{path}` is {value!r}, must be of type" in refusal(changed(path, value))


@pytest.mark.parametrize(("data", "message"), [(None, "`the config`"), (changed("op.det", None), "`op.det`")])
def test_a_section_that_is_no_mapping_is_refused(data: Any, message: str) -> None:
    assert refusal(data) == f"{message} is not a mapping"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("dag.retry", 2),
        ("dag.is_thread_op", False),
        ("build_dag_each_worker", True),
        ("op.det.timeout", 1000),
        ("op.det.batch_size", 8),
    ],
)
def test_a_value_that_makes_the_server_hang_or_fail_is_refused(path: str, value: Any) -> None:
    assert refusal(changed(path, value)).startswith(f"`{path}` has an unsafe value")


def test_batching_with_a_timeout_is_accepted() -> None:
    data = changed("op.det.batch_size", 8)
    data["op"]["det"]["auto_batching_timeout"] = 2000
    config.check(data, where="")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("device_type", 7, "it would run on the CPU"),
        ("device_type", -1, "it would run on the CPU"),
        ("devices", "", "it ends the server's start"),
        ("precision", "half", "it would run in fp32"),
    ],
)
def test_a_device_that_the_server_would_pass_over_is_refused(key: str, value: Any, message: str) -> None:
    data = copy.deepcopy(CONFIG)
    device = {"device_type": 1, "devices": "0", "precision": "fp16"}
    data["op"]["rec"]["local_service_conf"] = device
    config.check(data, where="")
    device[key] = value
    told = refusal(data)
    assert told.startswith(f"`op.rec.local_service_conf.{key}` has an unsafe value")
    assert message in told
