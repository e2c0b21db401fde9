"""The body of `POST /predict/{model}`: JSON with base64, a form with a file, or the image itself."""

from __future__ import annotations

from email.message import Message

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from toolkit.gateway import body, schemas
from toolkit.gateway.faults import BadRequest, WrongContentType

FIELD = "image"

_JSON, _FORM = "application/json", "multipart/form-data"
_TYPES = (_JSON, _FORM, "application/octet-stream")

# Of a form, what is no content, and one header of a part: the parser goes over the first byte by byte, and the time
# that the second takes grows with its square. Browsers and clients send a few hundred bytes.
_MOST_OVERHEAD, _LONGEST_HEADER = 64 * 1024, 4 * 1024
_CHUNK = 16 * 1024


def check_type(content_type: str) -> str:
    """The media type of a Content-Type header, if an image can come in it.

    Raises:
        WrongContentType: none can.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _TYPES or kind.startswith("image/"):
        return kind
    raise WrongContentType(
        f"Content-Type is {content_type!r}",
        'send {"image": "<base64>"} as application/json, a form with the file `image` as multipart/form-data, '
        "or the image file itself as image/jpeg, image/png, ... or application/octet-stream",
    )


def image_of(content_type: str, data: bytes) -> bytes:
    """The image file.

    Args:
        content_type: the header; see `check_type`.

    Raises:
        WrongContentType: no image can come in it.
        BadRequest: the body is not what its type says, or has no image.
    """
    kind = check_type(content_type)
    if kind == _JSON:
        return body.decode(schemas.parse_predict(data).image)
    image = _file(content_type, data) if kind == _FORM else data
    if not image:
        raise BadRequest("the image is missing", "send the bytes of an image file")
    return image


def _file(content_type: str, data: bytes) -> bytes:
    """The content of the form's field `image`."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise _bad_form("its Content-Type has no boundary")
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks)  # type: ignore[arg-type]
        _parse(parser, form, data)
    except FormParserError as error:
        raise _bad_form(str(error)) from error
    if not form.ended:
        raise _bad_form("it is cut off")
    if form.image is None:
        raise _bad_form(f"it has no field `{FIELD}`")
    return bytes(form.image)


def _parse(parser: MultipartParser, form: _Form, data: bytes) -> None:
    view = memoryview(data)
    for start in range(0, len(data), _CHUNK):
        parser.write(bytes(view[start : start + _CHUNK]))
        if form.ended:
            break
        if start + _CHUNK - form.content_bytes > _MOST_OVERHEAD:
            raise FormParserError("it has more than 64 KB beside its content")
    parser.finalize()


def _bad_form(why: str) -> BadRequest:
    return BadRequest(f"the form cannot be read: {why}", "send one file in the field `image`")


class _Form:
    """Collects the one field that counts while the parser calls back.

    Attributes:
        image: what the field has so far; None: it has not come.
        ended: whether the last boundary has.
        content_bytes: of all fields.
    """

    def __init__(self) -> None:
        self.image: bytearray | None = None
        self.ended = False
        self.content_bytes = 0
        self._name = self._value = b""
        self._wanted = False
        self.callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": lambda: None,
            "on_part_data": self._data,
            "on_part_end": lambda: None,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._wanted = False
        self._name = self._value = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        if len(self._value) > _LONGEST_HEADER:
            raise FormParserError("a header of a part is too long")

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            message = Message()
            message["content-disposition"] = self._value.decode("utf-8", errors="replace")
            if message.get_param("name", header="content-disposition") == FIELD:
                if self.image is not None:
                    raise FormParserError(f"the field `{FIELD}` is there twice")
                self._wanted = True
                self.image = bytearray()
        self._name = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.content_bytes += end - start
        if self._wanted and self.image is not None:
            self.image += data[start:end]

    def _end(self) -> None:
        self.ended = True
