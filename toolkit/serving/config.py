"""The keys that Paddle Serving's pipeline server reads from its config.yml, and the values that are safe.

It takes misspelt keys in silence, and some values make it hang; so what is rendered is checked against this table
(paddle_serving_server/pipeline/pipeline_server.py, ServerYamlConfChecker, version 0.9.0).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from toolkit.errors import TemplateError

SERVER_KEYS: Mapping[str, type] = {
    "rpc_port": int,
    "http_port": int,
    "worker_num": int,
    "build_dag_each_worker": bool,
    "grpc_gateway_port": int,
    "dag": dict,
    "op": dict,
}
DAG_KEYS: Mapping[str, type] = {
    "retry": int,
    "client_type": str,
    "use_profile": bool,
    "channel_size": int,
    "is_thread_op": bool,
    "tracer": dict,
    "channel_recv_frist_arrive": bool,
    "enable_prometheus": bool,
    "prometheus_port": int,
}
TRACER_KEYS: Mapping[str, type] = {"interval_s": int}
OP_KEYS: Mapping[str, type] = {
    "server_endpoints": list,
    "fetch_list": list,
    "client_config": str,
    "concurrency": int,
    "timeout": int,
    "retry": int,
    "batch_size": int,
    "auto_batching_timeout": int,
    "local_service_conf": dict,
}
# Of these, `mkldnn_op_list` and `mkldnn_bf16_op_list` are left out: given as lists, as the checker demands, they stop
# the start.
LOCAL_SERVICE_KEYS: Mapping[str, type] = {
    "model_config": str,
    "workdir": str,
    "thread_num": int,
    "device_type": int,
    "devices": str,
    "mem_optim": bool,
    "ir_optim": bool,
    "precision": str,
    "use_calib": bool,
    "use_mkldnn": bool,
    "mkldnn_cache_capacity": int,
    "min_subgraph_size": int,
}

# local_service_handler.py and local_predict.py: 0 CPU, 1 GPU, 2 TensorRT, 3 ARM, 4 Kunlun, 5 and 6 Ascend 310 and 910.
# With another number it only logs an error and runs on the CPU; with another precision it warns and runs in fp32.
_DEVICE_TYPES = range(7)
_WITH_DEVICES = (1, 2, 4, 5, 6)
_PRECISIONS = ("fp32", "fp16", "int8", "bf16")


def check(config: Any, where: str) -> None:
    """Check a parsed config.yml.

    Raises:
        TemplateError: an unknown key, a wrong type, or a value that is known to make the server hang.
    """
    _check_section(config, SERVER_KEYS, "", where)
    dag = config.get("dag", {})
    _check_section(dag, DAG_KEYS, "dag.", where)
    _check_section(dag.get("tracer", {}), TRACER_KEYS, "dag.tracer.", where)
    for name, op in config.get("op", {}).items():
        _check_section(op, OP_KEYS, f"op.{name}.", where)
        _check_section(
            op.get("local_service_conf", {}), LOCAL_SERVICE_KEYS, f"op.{name}.local_service_conf.", where
        )
        _check_op(op, name, where)
        _check_device(op.get("local_service_conf", {}), f"op.{name}.local_service_conf.", where)
    if dag.get("retry", 1) != 1:
        raise _unsafe("dag.retry", "one timeout then hangs the service for good; it must be 1", where)
    if not dag.get("is_thread_op", True):
        raise _unsafe("dag.is_thread_op", "a request hangs when an op's process dies; it must be true", where)
    if config.get("build_dag_each_worker"):
        raise _unsafe("build_dag_each_worker", "it refuses requests over 4 MiB; it must be false", where)


def _check_section(section: Any, keys: Mapping[str, type], path: str, where: str) -> None:
    if not isinstance(section, dict):
        raise TemplateError(f"`{path.rstrip('.') or 'the config'}` is not a mapping", where=where)
    for key, value in section.items():
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, n=1)
            hint = f" (did you mean `{near[0]}`?)" if near else ""
            raise TemplateError(f"Paddle Serving does not read the key `{path}{key}`{hint}", where=where)
        if not isinstance(value, keys[key]) or (keys[key] is int and isinstance(value, bool)):
            raise TemplateError(
                f"`{path}{key}` is {value!r}, must be of type {keys[key].__name__}", where=where
            )


def _check_op(op: Mapping[str, Any], name: str, where: str) -> None:
    if op.get("timeout", -1) > 0:
        raise _unsafe(
            f"op.{name}.timeout", "every request with a list of feeds then fails; it must be -1", where
        )
    if op.get("batch_size", 1) > 1 and op.get("auto_batching_timeout", -1) <= 0:
        raise _unsafe(
            f"op.{name}.batch_size", "a lone request then waits for ever; set auto_batching_timeout", where
        )


def _check_device(conf: Mapping[str, Any], path: str, where: str) -> None:
    kind = conf.get("device_type", 0)
    if kind not in _DEVICE_TYPES:
        raise _unsafe(f"{path}device_type", "it would run on the CPU; it must be 0 to 6", where)
    if kind in _WITH_DEVICES and not conf.get("devices"):
        raise _unsafe(f"{path}devices", "it ends the server's start; give the number of a device", where)
    if conf.get("precision", "fp32") not in _PRECISIONS:
        raise _unsafe(
            f"{path}precision", f"it would run in fp32; it must be one of {', '.join(_PRECISIONS)}", where
        )


def _unsafe(key: str, why: str, where: str) -> TemplateError:
    return TemplateError(f"`{key}` has an unsafe value in Paddle Serving 0.9.0: {why}", where=where)
