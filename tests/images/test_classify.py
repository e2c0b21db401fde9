from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toolkit.errors import SpecError
from toolkit.images import classify
from toolkit.images.classify import ImageNetStep


def image(height: int, width: int) -> Any:
    """Blue grows to the right, red downwards."""
    found = np.zeros((height, width, 3), np.uint8)
    found[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    found[..., 2] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    return found


@pytest.mark.parametrize("size", [(300, 600), (600, 300), (40, 40), (1, 1), (1, 5000)])
def test_any_image_becomes_the_square_that_the_network_takes(size: tuple[int, int]) -> None:
    (feed,) = ImageNetStep({}).preprocess({"image": image(*size)})
    assert (feed["image"].shape, feed["image"].dtype) == ((1, 3, 224, 224), np.float32)
    assert np.isfinite(feed["image"]).all()


def test_the_shorter_side_is_scaled_and_the_centre_cut_out() -> None:
    scaled = classify.resize_short(image(300, 600), 256)
    assert scaled.shape == (256, 512, 3)
    cut = classify.centre(scaled, 224)
    assert cut.shape == (224, 224, 3)
    assert abs(int(cut[112, 112, 0]) - 127) <= 1, "the middle stays the middle"


def test_planes_are_red_green_blue_by_mean_and_deviation() -> None:
    blue = np.zeros((256, 256, 3), np.uint8)
    blue[..., 0] = 255
    (feed,) = ImageNetStep({}).preprocess({"image": blue})
    red, green, last = feed["image"][0, :, 0, 0]
    assert red == pytest.approx((0 - 0.485) / 0.229, rel=1e-5)
    assert green == pytest.approx((0 - 0.456) / 0.224, rel=1e-5)
    assert last == pytest.approx((1 - 0.406) / 0.225, rel=1e-5)
    (plain,) = ImageNetStep({"mean": [0, 0, 0], "std": [1, 1, 1]}).preprocess({"image": blue})
    assert plain["image"][0, 2, 0, 0] == 1


def classes(scores: list[float], names: Any = None, **options: Any) -> Any:
    outputs = [{"scores": np.array([scores], np.float32)}]
    return classify.answer(ImageNetStep(options, names).postprocess({}, outputs))["classes"]


def test_the_likeliest_classes_come_first_with_their_names() -> None:
    found = classes([0.1, 0.7, 0.2], ["cat", "dog", "cow"], top=2)
    assert found == [{"id": 1, "name": "dog", "score": 0.7}, {"id": 2, "name": "cow", "score": 0.2}]
    assert [item["name"] for item in classes([0.1, 0.9])] == ["1", "0"]


def test_logits_become_probabilities_where_the_options_say_so() -> None:
    found = classes([1000.0, 1000.0, 0.0], softmax=True)
    assert [item["score"] for item in found] == [0.5, 0.5, 0.0]


def test_of_a_very_long_image_only_what_may_reach_the_centre_is_scaled() -> None:
    line = np.zeros((1, 30_000, 3), np.uint8)
    line[:, 14_990:15_010] = 255
    scaled = classify.resize_short(line, 256)
    assert scaled.shape == (256, 16 * 256, 3)
    assert classify.centre(scaled, 224).min() == 255


def test_a_centre_larger_than_the_image_is_refused() -> None:
    with pytest.raises(SpecError, match="crop 256 is more than resize 224"):
        ImageNetStep({"resize": 224, "crop": 256})
