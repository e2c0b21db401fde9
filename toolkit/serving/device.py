"""A model on other hardware than an x86 processor: by Paddle Serving's own predictor, as config.yml tells it.

None of it has run on such hardware. What is proven is the way there: the same predictor with `device_type: 0` gives
the outputs of ours, and a Paddle without the device is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from paddle_serving_app import local_predict
from paddle_serving_server.pipeline.local_service_handler import LocalServiceHandler

from toolkit.engines import predictor, program
from toolkit.engines.model import files_in
from toolkit.engines.predictor import Feed, Fetch
from toolkit.errors import ModelError
from toolkit.serving.release import CONFIG_FILE, StepRelease

_GPU, _TENSORRT = 1, 2
# Of the GPU's memory, at first; as LocalPredictor has it.
_POOL_MEGABYTES = 100


class DevicePredictor:
    """A model that Paddle Serving loaded; see `toolkit.engines.predictor.Predictor`.

    Args:
        sequences: inputs with a level of detail; the rows of an inference are one sequence.
    """

    def __init__(self, local: Any, sequences: frozenset[str] = frozenset()) -> None:
        self._local = local
        self._sequences = sequences
        self.inputs: list[str] = list(local.feed_names_)
        self.outputs: list[str] = list(local.fetch_names_)

    def __call__(self, feed: Feed) -> Fetch:
        """Run one inference; see `Predictor`."""
        if set(feed) != set(self.inputs):
            raise ModelError(f"the model takes the inputs {self.inputs}, not {sorted(feed)}")
        lengths = {f"{name}.lod": [0, len(feed[name])] for name in self._sequences}
        try:
            found = self._local.predict(feed={**feed, **lengths}, fetch=self.outputs, batch=True)
        except Exception as error:
            raise ModelError(f"the inference failed: {error}") from error
        # Outputs with a level of detail have it beside them.
        return {name: found[name] for name in self.outputs}


def load(directory: Path, model: Path, item: StepRelease) -> DevicePredictor:
    """The model of a step, on the device that the release in `directory` is for.

    Args:
        model: its serving directory.

    Raises:
        ModelError: the Paddle that is installed does not know the device.
    """
    config = yaml.safe_load((directory / CONFIG_FILE).read_text(encoding="utf-8"))
    service = config["op"][item.name]["local_service_conf"]
    if service["device_type"] in (_GPU, _TENSORRT):
        _require_gpu()
    handler = LocalServiceHandler(
        model_config=str(model), client_type="local_predictor", dynamic_shape_info=item.shapes, **service
    )
    with _making(service):
        return DevicePredictor(handler.get_client(0), program.sequences(files_in(model).model))


def _require_gpu() -> None:
    """Without this, Paddle logs an error and runs the model on the processor."""
    config = local_predict.paddle_infer.Config()
    config.enable_use_gpu(1, 0)
    if not config.use_gpu():
        raise ModelError(
            "the Paddle that is installed has no GPU in it", remedy="install paddlepaddle-gpu in its place"
        )


@contextmanager
def _making(service: Mapping[str, Any]) -> Iterator[None]:
    """While it lasts, LocalPredictor makes its predictors as the device needs them."""
    create = local_predict.paddle_infer.create_predictor

    def made(config: Any) -> Any:
        if service["device_type"] == _GPU and service["precision"] == "fp16":
            # paddle-serving-app 0.9.0 gives the precision to TensorRT only (local_predict.py, load_model_config):
            # without it a GPU would run in fp32 without a word.
            half = local_predict.paddle_infer.PrecisionType.Half
            config.enable_use_gpu(_POOL_MEGABYTES, int(service["devices"]), half)
        # As it is, LocalPredictor crashes on processors without AVX-512.
        return create(predictor.safe(config))

    local_predict.paddle_infer.create_predictor = made
    try:
        yield
    finally:
        local_predict.paddle_infer.create_predictor = create
