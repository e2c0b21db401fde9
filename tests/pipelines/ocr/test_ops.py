from __future__ import annotations

import base64
import io
import itertools
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from toolkit import pipeline
from toolkit.pipeline import RequestError, RequestTooLarge, Unprocessable
from toolkit.spec.load import load

FOLDER = Path(__file__).parents[3] / "pipelines" / "ocr"

Array = Any

NO_BOXES = np.empty((0, 4, 2), np.float32)

pytestmark = pytest.mark.usefixtures("_postprocessing_without_paddle")

# Read before the package is replaced.
SPEC = load(FOLDER.parent, "ocr")
ops = sys.modules[pipeline.resolve(FOLDER, "ops:answer").__module__]


def picture(height: int = 40, width: int = 60) -> Array:
    """A smooth RGB picture, red to the left, green to the top, so that a turned one is another."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(255, 0, width).astype(np.uint8)
    image[..., 1] = np.linspace(255, 0, height).astype(np.uint8)[:, None]
    image[..., 2] = 60
    return image


def request(data: bytes) -> dict[str, str]:
    return {"image": base64.b64encode(data).decode()}


def difference(first: Array, second: Array) -> float:
    return float(np.abs(first.astype(float) - second.astype(float)).mean())


# --- decode


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "no field `image`"),
        ({"image": ""}, "no field `image`"),
        ({"image": 7}, "no field `image`"),
        ({"picture": "aGVsbG8="}, "no field `image`"),
        ({"image": "not base64!"}, "not base64"),
        ({"image": "aGVsbG8"}, "not base64"),
        ({"image": "收据"}, "not base64"),
    ],
)
def test_a_malformed_request_is_refused_with_the_reason(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        ops.decode(fields)
    assert caught.value.code == 51


def test_what_is_well_formed_but_no_image_is_unprocessable() -> None:
    with pytest.raises(Unprocessable, match="not an image file") as caught:
        ops.decode(request(b"hello"))
    assert caught.value.code == 54


def test_a_request_is_decoded_to_the_image_in_it_and_the_answer_has_its_upright_size() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(picture(30, 50)).save(file, "JPEG", exif=exif)
    payload = ops.decode(request(file.getvalue()))
    assert payload["image"].shape == (50, 30, 3)
    empty = {**payload, "boxes": NO_BOXES, "texts": [], "min_score": 0.5}
    assert ops.answer(empty) == {"lines": [], "width": 30, "height": 50}


def test_the_limit_of_pixels_is_an_option() -> None:
    file = io.BytesIO()
    Image.fromarray(picture(20, 30)).save(file, "PNG")
    assert ops.decode(request(file.getvalue()), {"max_pixels": 600})["image"].shape == (20, 30, 3)
    with pytest.raises(RequestTooLarge, match="30 x 20 pixels, at most 599 are taken") as caught:
        ops.decode(request(file.getvalue()), {"max_pixels": 599})
    assert caught.value.code == 52


# --- Detector


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 640), (640, 640)),
        ((960, 960), (960, 960)),
        ((1920, 1080), (960, 544)),
        ((1000, 3000), (320, 960)),
        ((650, 100), (640, 96)),
        ((31, 33), (32, 32)),
        ((1, 1), (32, 32)),
        ((1, 5000), (32, 960)),
        ((5000, 1), (960, 32)),
    ],
)
def test_the_detectors_image_is_limited_and_its_sides_are_multiples(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    detector = ops.Detector({"limit": 960, "multiple": 32})
    (feed,) = detector.preprocess({"image": np.zeros((*size, 3), np.uint8)})
    assert feed["image"].shape == (1, 3, *expected)
    assert feed["image"].dtype == np.float32


def test_another_limit_and_multiple_are_kept() -> None:
    detector = ops.Detector({"limit": 1280, "multiple": 64})
    (feed,) = detector.preprocess({"image": np.zeros((2000, 1000, 3), np.uint8)})
    assert feed["image"].shape == (1, 3, 1280, 640)


def test_the_detectors_image_is_normalised_by_imagenets_mean() -> None:
    image = np.full((32, 32, 3), 255, np.uint8)
    (feed,) = ops.Detector({}).preprocess({"image": image})
    expected = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(feed["image"][0, :, 5, 5], expected, rtol=1e-5)


def test_the_table_gives_what_the_arithmetic_of_paddleocr_gives_to_the_last_bit() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    (feed,) = ops.Detector({}).preprocess({"image": image})
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)
    expected = ((image.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]
    np.testing.assert_array_equal(feed["image"], expected)
    assert feed["image"].flags.c_contiguous


def detect(height: int, width: int, *regions: tuple[int, int, int, int]) -> Array:
    """Boxes found where `regions` (left, top, right, bottom) of the map are certain; the map has half the size."""
    probability = np.zeros((1, 1, height // 2, width // 2), np.float32)
    for left, top, right, bottom in regions:
        probability[0, 0, top // 2 : bottom // 2, left // 2 : right // 2] = 0.95
    payload = {"image": np.zeros((height, width, 3), np.uint8)}
    return ops.Detector({}).postprocess(payload, [{"probability": probability}])["boxes"]


def test_a_box_is_in_pixels_of_the_image_and_grows_beyond_the_texts_core() -> None:
    (box,) = detect(200, 400, (100, 80, 300, 100))
    assert box.dtype == np.float32
    left, top = box.min(axis=0)
    right, bottom = box.max(axis=0)
    assert 80 < left < 100 < 300 < right < 320
    assert 60 < top < 80 < 100 < bottom < 120
    np.testing.assert_array_equal(box[0], [left, top])
    np.testing.assert_array_equal(box[2], [right, bottom])


def test_boxes_stay_within_the_image() -> None:
    (box,) = detect(100, 200, (0, 0, 200, 100))
    np.testing.assert_array_equal(box, [[0, 0], [199, 0], [199, 99], [0, 99]])


def test_boxes_come_in_reading_order() -> None:
    boxes = detect(400, 400, (220, 100, 380, 120), (20, 104, 160, 124), (20, 20, 160, 40))
    assert [(round(float(box[0][0]), -2), round(float(box[0][1]), -2)) for box in boxes] == [
        (0.0, 0.0),
        (0.0, 100.0),
        (200.0, 100.0),
    ]


def test_an_image_without_text_has_no_boxes() -> None:
    assert detect(64, 64).shape == (0, 4, 2)


def test_a_single_pixel_has_no_boxes() -> None:
    certain = np.ones((1, 1, 32, 32), np.float32)
    payload = ops.Detector({}).postprocess(
        {"image": np.zeros((1, 1, 3), np.uint8)}, [{"probability": certain}]
    )
    assert payload["boxes"].shape == (0, 4, 2)


def speckled(count: int, size: int = 8) -> Array:
    """A probability map with `count` certain squares, each with air around it."""
    probability = np.zeros((1, 1, 640, 640), np.float32)
    side = 640 // 20
    for index in range(count):
        row, column = index // side * 20, index % side * 20
        probability[0, 0, row : row + size, column : column + size] = 0.95
    return probability


def test_as_many_boxes_as_allowed_are_found_and_one_more_is_refused() -> None:
    detector = ops.Detector({"max_boxes": 50})
    payload = {"image": np.zeros((640, 640, 3), np.uint8)}
    assert len(detector.postprocess(payload, [{"probability": speckled(50)}])["boxes"]) == 50
    with pytest.raises(Unprocessable, match="the image has 51 lines, at most 50 are taken: send it in parts"):
        detector.postprocess(payload, [{"probability": speckled(51)}])


def test_spots_too_small_for_a_box_do_not_count_but_noise_all_over_is_refused() -> None:
    payload = {"image": np.zeros((640, 640, 3), np.uint8)}
    few, many = ops.Detector({"max_boxes": 50}), ops.Detector({"max_boxes": 10})
    assert len(few.postprocess(payload, [{"probability": speckled(400, 1)}])["boxes"]) == 0
    with pytest.raises(Unprocessable, match="400 spots that may be text, at most 100"):
        many.postprocess(payload, [{"probability": speckled(400, 1)}])


def test_no_line_is_dropped_in_silence_beyond_paddleocrs_thousand_candidates() -> None:
    detector = ops.Detector({"max_boxes": 1010})
    boxes = detector.postprocess(
        {"image": np.zeros((640, 640, 3), np.uint8)}, [{"probability": speckled(1010)}]
    )["boxes"]
    assert len(boxes) == 1010


# --- crop


def test_a_crop_of_an_upright_box_is_that_part_of_the_image() -> None:
    image = picture(60, 100)
    box = np.array([[10, 20], [70, 20], [70, 40], [10, 40]], np.float32)
    np.testing.assert_array_equal(ops.crop(image, box), image[20:40, 10:70])


def straightened(image: Array, box: Array) -> Array:
    """An upright box as any other is cut out."""
    (left, top), (right, bottom) = box[0].tolist(), box[2].tolist()
    width, height = int(right - left), int(bottom - top)
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(box, target)
    found = cv2.warpPerspective(
        image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC
    )
    return np.rot90(found) if height >= width * 1.5 else found


@pytest.mark.parametrize(
    ("size", "corner"),
    [
        ((60, 100), (0, 0)),
        ((200, 32_766), (31_000, 50)),
        ((32_766, 200), (50, 31_000)),
        ((60, 100), (-2, -2)),
    ],
)
def test_an_upright_box_is_cut_out_as_straightening_would_to_the_last_bit(
    size: tuple[int, int], corner: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    for width, height in ((30, 20), (20, 30), (99, 59), (102, 62), (1, 1)):
        left, top = corner
        right, bottom = left + width, top + height
        box = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
        np.testing.assert_array_equal(ops.crop(image, box), straightened(image, box))


def test_a_crop_of_a_turned_box_is_straightened() -> None:
    canvas = np.zeros((200, 200, 3), np.uint8)
    canvas[80:120, 40:160] = picture(40, 120)
    turn = cv2.getRotationMatrix2D((100, 100), 30, 1)
    turned = cv2.warpAffine(canvas, turn, (200, 200), flags=cv2.INTER_CUBIC)
    corners = np.array([[40, 80], [160, 80], [160, 120], [40, 120]], np.float32)
    box = corners @ turn[:, :2].T + turn[:, 2]
    straight = ops.crop(turned, box)
    assert straight.shape == (40, 120, 3)
    assert difference(straight[3:-3, 3:-3], picture(40, 120)[3:-3, 3:-3]) < 5


@pytest.mark.parametrize(
    ("height", "width", "lies"), [(90, 60, True), (89, 60, False), (60, 60, False), (30, 60, False)]
)
def test_a_crop_half_as_tall_again_as_wide_is_laid_down(height: int, width: int, lies: bool) -> None:
    image = picture(100, 100)
    box = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    shape = ops.crop(image, box).shape[:2]
    assert shape == ((width, height) if lies else (height, width))
    if lies:
        np.testing.assert_array_equal(ops.crop(image, box), np.rot90(image[:height, :width]))


def test_a_box_without_area_still_gives_an_image() -> None:
    box = np.array([[5, 5], [5, 5], [5, 5], [5, 5]], np.float32)
    assert min(ops.crop(picture(), box).shape) >= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 7), (7, 1), (1, 32_766), (32_766, 1)])
def test_images_of_one_pixel_or_one_row_pass_every_step(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 7, np.uint8)
    height, width = size
    box = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    (feed,) = ops.Detector({}).preprocess({"image": image})
    assert np.isfinite(feed["image"]).all()
    assert min(ops.crop(image, box).shape) >= 1
    for step in (ops.Recognizer({}), ops.Classifier({})):
        (feed,) = step.preprocess({"image": image, "boxes": box[None]})
        assert feed["image"].shape[:3] == (1, 3, 48)
        assert np.isfinite(feed["image"]).all()


# --- resize_to_height


@pytest.mark.parametrize(
    ("size", "width", "filled"),
    [((24, 48), 320, 96), ((48, 500), 320, 320), ((100, 1), 320, 1), ((48, 319), 320, 319), ((1, 1), 64, 48)],
)
def test_a_line_is_scaled_to_the_height_and_padded_with_zeros(
    size: tuple[int, int], width: int, filled: int
) -> None:
    result = ops.resize_to_height(np.full((*size, 3), 255, np.uint8), 48, width)
    assert result.shape == (3, 48, width)
    np.testing.assert_allclose(result[:, :, :filled], 1, atol=1e-6)
    assert (result[:, :, filled:] == 0).all()


def test_black_is_minus_one() -> None:
    assert (ops.resize_to_height(np.zeros((48, 48, 3), np.uint8), 48, 48) == -1).all()


# --- Classifier


def test_lines_on_their_head_are_turned_back_and_others_left() -> None:
    classifier = ops.Classifier({"threshold": 0.9, "batch": 2})
    crops = [picture(48, 96), picture(48, 97), picture(48, 98)]
    payload: dict[str, Any] = {"crops": list(crops)}
    feeds = classifier.preprocess(payload)
    assert [feed["image"].shape for feed in feeds] == [(2, 3, 48, 192), (1, 3, 48, 192)]
    outputs = [
        {"direction": np.array([[0.05, 0.95], [0.2, 0.8]], np.float32)},
        {"direction": np.array([[0.0, 1.0]], np.float32)},
    ]
    result = classifier.postprocess(payload, outputs)
    assert result["turned"] == [True, False, True]
    np.testing.assert_array_equal(result["crops"][0], np.rot90(crops[0], 2))
    np.testing.assert_array_equal(result["crops"][1], crops[1])


# --- Recognizer

CLASSES = 6625


def characters(*classes: int) -> Array:
    """What the recognizer would answer for one line: a certain class at each place; 0 is the blank."""
    output = np.zeros((len(classes), CLASSES), np.float32)
    output[np.arange(len(classes)), classes] = 0.9
    return output


def test_the_dictionary_has_a_character_for_every_class_of_the_model() -> None:
    decoder = ops.Recognizer({})._decoder
    assert len(decoder.character) == CLASSES
    assert decoder.character[-1] == " "
    assert decoder.character[1] == "'"


def test_every_crop_is_in_one_batch_as_wide_as_its_widest() -> None:
    recognizer = ops.Recognizer({"widths": [96, 320, 640], "batch": 3, "batch_width": 640, "overhead": 150})
    widths = [50, 300, 60, 2000, 310, 70, 80, 97, 96]
    payload: dict[str, Any] = {"crops": [np.zeros((48, width, 3), np.uint8) for width in widths]}
    feeds = recognizer.preprocess(payload)
    assert [feed["image"].shape for feed in feeds] == [
        (2, 3, 48, 96),
        (3, 3, 48, 96),
        (1, 3, 48, 320),
        (2, 3, 48, 320),
        (1, 3, 48, 640),
    ]
    batches = [indices for _, indices in payload["batches"]]
    assert sorted(index for batch in batches for index in batch) == list(range(len(widths)))
    assert batches == [[0, 2], [5, 6, 8], [1], [4, 7], [3]]


@pytest.mark.parametrize("overhead", [0, 40, 150, 10_000])
def test_lines_are_cut_into_the_batches_of_least_cost(overhead: int) -> None:
    random = np.random.default_rng(overhead)
    for count in range(1, 10):
        widths = sorted(int(width) for width in random.choice([64, 96, 128, 320, 960], count))
        found = ops.cuts(widths, 4, 640, overhead)
        assert cost(widths, found, overhead) == min(
            cost(widths, ends, overhead)
            for number in range(count)
            for inner in itertools.combinations(range(1, count), number)
            if allowed(widths, ends := [*inner, count])
        )
        assert allowed(widths, found)


def cost(widths: list[int], ends: list[int], overhead: int) -> int:
    return sum((end - start) * widths[end - 1] + overhead for start, end in zip([0, *ends], ends))


def allowed(widths: list[int], ends: list[int]) -> bool:
    sizes = [(end - start, widths[end - 1]) for start, end in zip([0, *ends], ends)]
    return all(number <= 4 and (number == 1 or number * width <= 640) for number, width in sizes)


def test_no_lines_are_no_batch() -> None:
    assert ops.cuts([], 4, 640, 150) == []


def test_texts_come_back_in_the_order_of_the_crops() -> None:
    recognizer = ops.Recognizer({"widths": [96, 320], "batch": 2})
    character = recognizer._decoder.character
    payload: dict[str, Any] = {
        "crops": [np.zeros((48, width, 3), np.uint8) for width in (300, 50, 310, 60, 70)]
    }
    feeds = recognizer.preprocess(payload)
    # Answer each line with the class of its index, through the batches as they were made.
    outputs = [
        {"characters": np.stack([characters(0, 10 + index, 10 + index, 0) for index in batch])}
        for _, batch in payload["batches"]
    ]
    assert len(feeds) == len(outputs)
    texts = recognizer.postprocess(payload, outputs)["texts"]
    assert [text for text, _ in texts] == [character[10 + index] for index in range(5)]
    assert all(score == pytest.approx(0.9) for _, score in texts)


def test_repeated_characters_need_a_blank_between_them() -> None:
    recognizer = ops.Recognizer({"widths": [96]})
    payload: dict[str, Any] = {"crops": [np.zeros((48, 50, 3), np.uint8)]}
    recognizer.preprocess(payload)
    output = {"characters": characters(7, 7, 0, 7, 9)[None]}
    ((text, _),) = recognizer.postprocess(payload, [output])["texts"]
    seven, nine = recognizer._decoder.character[7], recognizer._decoder.character[9]
    assert text == seven + seven + nine


def test_steps_do_not_share_state_between_requests() -> None:
    recognizer = ops.Recognizer({"widths": [96], "batch": 1})
    first: dict[str, Any] = {"crops": [np.zeros((48, 50, 3), np.uint8)]}
    second: dict[str, Any] = {"crops": [np.zeros((48, 50, 3), np.uint8)] * 2}
    recognizer.preprocess(first)
    recognizer.preprocess(second)
    output = {"characters": characters(7)[None]}
    assert len(recognizer.postprocess(first, [output])["texts"]) == 1
    assert len(recognizer.postprocess(second, [output, output])["texts"]) == 2


# --- shapes

RECOGNIZERS: list[dict[str, Any]] = [
    {},
    {"widths": [64, 96, 320, 640, 1920], "batch": 8, "batch_width": 1280, "overhead": 150},
    {"widths": [100, 2000], "batch": 3, "batch_width": 50, "overhead": 0},
]


def made(step: Any, payload: dict[str, Any]) -> set[Any]:
    return {feed["image"].shape for feed in step.preprocess(payload)}


@pytest.mark.parametrize("options", RECOGNIZERS)
def test_every_shape_that_the_recognizer_makes_is_listed_once(options: dict[str, Any]) -> None:
    recognizer = ops.Recognizer(options)
    known = [item["image"] for item in recognizer.shapes()]
    assert len(set(known)) == len(known)
    random = np.random.default_rng(0)
    for count in (1, 2, 3, 5, 9, 40, 40, 40):
        sizes = zip(random.integers(8, 90, count), np.exp(random.uniform(2, 8, count)).astype(int))
        assert made(recognizer, {"crops": [np.zeros((*size, 3), np.uint8) for size in sizes]}) <= set(known)


@pytest.mark.parametrize("options", RECOGNIZERS)
def test_every_shape_that_is_listed_can_occur(options: dict[str, Any]) -> None:
    recognizer = ops.Recognizer({**options, "overhead": 150})
    for shape in (item["image"] for item in recognizer.shapes()):
        size, _, height, width = shape
        assert made(recognizer, {"crops": [np.zeros((height, width, 3), np.uint8)] * size}) == {shape}


def test_full_batches_are_listed_first() -> None:
    recognizer = ops.Recognizer({"widths": [320, 640], "batch": 8, "batch_width": 1280})
    known = [item["image"] for item in recognizer.shapes()]
    assert [(size, width) for size, _, _, width in known] == [
        (4, 320),
        (2, 640),
        (3, 320),
        (2, 320),
        (1, 640),
        (1, 320),
    ]


def test_the_detector_lists_what_its_options_say_and_what_is_in_the_pipeline_can_occur() -> None:
    assert list(ops.Detector({}).shapes()) == []
    options = SPEC.models["det"].options
    detector = ops.Detector(options)
    for shape in (item["image"] for item in detector.shapes()):
        assert made(detector, {"image": np.zeros((*shape[2:], 3), np.uint8)}) == {shape}


def test_the_classifiers_shapes_are_listed() -> None:
    classifier = ops.Classifier({"batch": 3})
    known = {item["image"] for item in classifier.shapes()}
    for count in range(1, 8):
        assert made(classifier, {"crops": [picture()] * count}) <= known


def test_a_replica_keeps_all_the_shapes_that_the_pipeline_lists() -> None:
    steps = [pipeline.resolve(FOLDER, item.step)(item.options) for item in SPEC.models.values()]
    assert sum(len(list(step.shapes())) for step in steps) <= SPEC.serving.cache_capacity


def test_the_sizes_of_the_lines_are_their_widths_before_they_are_padded() -> None:
    crops = [np.zeros((24, 100, 3), np.uint8), np.zeros((96, 5000, 3), np.uint8)]
    assert ops.Recognizer({"widths": [320]}).sizes({"crops": crops}) == {"widths": [200, 2500]}


# --- the whole


def test_an_image_without_text_asks_no_model_and_gets_an_empty_answer() -> None:
    payload: dict[str, Any] = {"image": np.zeros((30, 50, 3), np.uint8), "boxes": NO_BOXES}
    for step in (ops.Classifier({}), ops.Recognizer({})):
        payload = pipeline.run_step(step, lambda feed: pytest.fail("asked"), payload)
    assert ops.answer(payload) == {"lines": [], "width": 50, "height": 30}


def test_the_answer_leaves_out_what_is_uncertain_or_empty() -> None:
    corners = [(1.26, 2), (3, 4), (5, 6), (7, 8)]
    payload = {
        "image": np.zeros((30, 50, 3), np.uint8),
        "boxes": np.array([[[x, y], [x + 9, y], [x + 9, y + 5], [x, y + 5]] for x, y in corners], np.float32),
        "texts": [("sure", 0.98761), ("unsure", 0.4999), ("", 0.0), ("just", 0.5)],
        "min_score": 0.5,
    }
    answer = ops.answer(payload)
    assert [(line["text"], line["score"]) for line in answer["lines"]] == [("sure", 0.9876), ("just", 0.5)]
    assert answer["lines"][0]["box"][0] == [1.3, 2.0]
