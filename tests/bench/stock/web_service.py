"""The stock OCR service: what Serving's examples/Pipeline/PaddleOCR/ocr does, with its readers and settings.

A program that runs in a directory with `config.yml`, the models that it names, and `ppocr_keys_v1.txt`. What had to be
repaired for this stack is marked REPAIRED. It must run in a session of its own: Paddle Serving kills its process group
on an error.
"""

from __future__ import annotations

import base64
import os
import sys
from types import ModuleType
from typing import Any

import cv2
import numpy as np

# REPAIRED: the readers' package imports what splits texts for BERT, which the toolkit does not install. So this comes
# before the imports below, E402.
sys.modules.setdefault("sentencepiece", ModuleType("sentencepiece"))

from paddle_serving_app import local_predict  # noqa: E402
from paddle_serving_app.reader import (  # noqa: E402
    DBPostProcess,
    Div,
    FilterBoxes,
    GetRotateCropImage,
    Normalize,
    OCRReader,
    ResizeByFactor,
    Sequential,
    SortedBoxes,
    Transpose,
)
from paddle_serving_server.web_service import Op, WebService  # noqa: E402

from toolkit.engines import predictor  # noqa: E402

# Height of a line in PP-OCRv3 and v4; the reader was written for 32.
_HEIGHT, _READERS_HEIGHT = 48, 32

# REPAIRED: the example puts all lines of an image into one batch. With the fifty of a receipt a process takes more than
# 10 GB, until the kernel kills one and all further requests hang. PaddleOCR's deploy/pdserving has six.
_BATCH = 6

# REPAIRED: Paddle 2.6 turns oneDNN on by itself, and LocalPredictor has no way to say no: `use_mkldnn: False`, which is
# the default and what the example has, means off only since this is set.
_OFF = os.environ.get("STOCK_ONEDNN") != "1"


def _repaired(create: Any) -> Any:
    def make(config: Any) -> Any:
        if _OFF:
            config.disable_mkldnn()
        # REPAIRED: a pass of Paddle 2.6.2 crashes on processors without AVX-512.
        return create(predictor.safe(config))

    return make


local_predict.paddle_infer.create_predictor = _repaired(local_predict.paddle_infer.create_predictor)


class DetOp(Op):  # type: ignore[misc] # the base class has no types
    """Finds lines."""

    def init_op(self) -> None:
        self.reader = Sequential(
            [
                ResizeByFactor(32, 960),
                Div(255),
                Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
                Transpose((2, 0, 1)),
            ]
        )
        self.boxes = DBPostProcess(
            {"thresh": 0.3, "box_thresh": 0.5, "max_candidates": 1000, "unclip_ratio": 1.5, "min_size": 3}
        )
        self.filter = FilterBoxes(10, 10)

    def preprocess(self, input_dicts: Any, data_id: int, log_id: int) -> Any:
        (fields,) = input_dicts.values()
        # Kept from here to `postprocess`: in process ops one request comes after the other.
        self.file = base64.b64decode(fields["image"])
        image = cv2.imdecode(np.frombuffer(self.file, np.uint8), cv2.IMREAD_COLOR)
        planes = self.reader(image)
        self.size = image.shape[:2]
        self.ratios = [planes.shape[1] / image.shape[0], planes.shape[2] / image.shape[1]]
        return {"image": planes[np.newaxis].copy()}, False, None, ""

    def postprocess(self, input_dicts: Any, fetch_dict: Any, data_id: int, log_id: int) -> Any:
        found = self.boxes(fetch_dict["probability"], [self.ratios])
        return {"dt_boxes": self.filter(found[0], self.size), "image": self.file}, None, ""


class RecOp(Op):  # type: ignore[misc] # the base class has no types
    """Reads the lines of an image in batches, in the order of the page, each as wide as its widest."""

    def init_op(self) -> None:
        self.reader = OCRReader(image_shape=[3, _HEIGHT, 320], char_dict_path="ppocr_keys_v1.txt")
        self.crop = GetRotateCropImage()
        self.order = SortedBoxes()

    def preprocess(self, input_dicts: Any, data_id: int, log_id: int) -> Any:
        (found,) = input_dicts.values()
        image = cv2.imdecode(np.frombuffer(found["image"], np.uint8), cv2.IMREAD_COLOR)
        crops = [self.crop(image, box) for box in self.order(found["dt_boxes"])]
        if not crops:
            return {}, True, None, ""
        return [self._batch(crops[i : i + _BATCH]) for i in range(0, len(crops), _BATCH)], False, None, ""

    def _batch(self, crops: list[Any]) -> dict[str, Any]:
        widest = max(crop.shape[1] / crop.shape[0] for crop in crops)
        # REPAIRED: the reader takes the width of a line for height 32 whatever its height is.
        scaled = widest * _HEIGHT / _READERS_HEIGHT
        return {"image": np.stack([self.reader.resize_norm_img(crop, scaled) for crop in crops])}

    def postprocess(self, input_dicts: Any, fetch_data: Any, data_id: int, log_id: int) -> Any:
        batches = fetch_data if isinstance(fetch_data, list) else [fetch_data]
        texts = []
        for batch in batches:
            if batch:
                # REPAIRED: the reader looks for outputs of PP-OCRv1, or for this name, whatever the model has.
                read = self.reader.postprocess_ocrv2({"save_infer_model/scale_0.tmp_1": batch["characters"]})
                texts += [text for text, _ in read]
        return {"res": str(texts)}, None, ""


class OcrService(WebService):  # type: ignore[misc] # the base class has no types
    """`ocr`: detector, then recognizer."""

    def get_pipeline_response(self, read_op: Any) -> Any:
        return RecOp(name="rec", input_ops=[DetOp(name="det", input_ops=[read_op])])


if __name__ == "__main__":
    service = OcrService(name="ocr")
    service.prepare_pipeline_config("config.yml")
    service.run_service()
