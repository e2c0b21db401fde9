"""The body of `POST /predict/{model}`: JSON, a form with a file, or the content itself, as an image file is."""

from __future__ import annotations

from email.message import Message
from fnmatch import fnmatchcase

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from toolkit.gateway.faults import BadRequest, WrongContentType
from toolkit.gateway.intake import Intake

_JSON, _FORM, _TEXT = "application/json", "multipart/form-data", "text/plain"

# Others would have to be guessed at, or could be anything.
_CHARSETS = ("utf-8", "us-ascii")

# Of a form, what is no content, and one header of a part: the parser goes over the first byte by byte, and the time
# that the second takes grows with its square. Browsers and clients send a few hundred bytes.
_MOST_OVERHEAD, _LONGEST_HEADER = 64 * 1024, 4 * 1024
_CHUNK = 16 * 1024


def check_type(content_type: str, intake: Intake) -> str:
    """The media type of a Content-Type header, if what the pipeline takes can come in it.

    Raises:
        WrongContentType: it cannot.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    known = (_JSON, _FORM, *intake.types)
    if not any(fnmatchcase(media_type, pattern) for pattern in known):
        raise WrongContentType(f"Content-Type is {content_type!r}", intake.accepted)
    if media_type == _TEXT and not _is_utf8(content_type):
        raise WrongContentType(f"Content-Type is {content_type!r}", "send the text in UTF-8")
    return media_type


def _is_utf8(content_type: str) -> bool:
    _, options = parse_options_header(content_type)
    return options.get(b"charset", b"utf-8").decode("latin-1").lower() in _CHARSETS


def content_of(content_type: str, data: bytes, intake: Intake) -> bytes:
    """What the pipeline works on, as the bytes of a file.

    Args:
        content_type: the header; see `check_type`.

    Raises:
        WrongContentType: it cannot come in that type.
        BadRequest: the body is not what its type says, or does not have it.
    """
    media_type = check_type(content_type, intake)
    if media_type == _JSON:
        return intake.from_json(data)
    return intake.from_file(_file(content_type, data, intake.field) if media_type == _FORM else data)


def _file(content_type: str, data: bytes, field: str) -> bytes:
    """The content of the form's field of that name."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise _bad_form("its Content-Type has no boundary", field)
    form = _Form(field)
    try:
        parser = MultipartParser(boundary, form.callbacks)  # type: ignore[arg-type]
        _parse(parser, form, data)
    except FormParserError as error:
        raise _bad_form(str(error), field) from error
    if not form.ended:
        raise _bad_form("it is cut off", field)
    if form.content is None:
        raise _bad_form(f"it has no field `{field}`", field)
    return bytes(form.content)


def _parse(parser: MultipartParser, form: _Form, data: bytes) -> None:
    view = memoryview(data)
    for start in range(0, len(data), _CHUNK):
        parser.write(bytes(view[start : start + _CHUNK]))
        if form.ended:
            break
        if start + _CHUNK - form.content_bytes > _MOST_OVERHEAD:
            raise FormParserError("it has more than 64 KB beside its content")
    parser.finalize()


def _bad_form(why: str, field: str) -> BadRequest:
    return BadRequest(f"the form cannot be read: {why}", f"send one file in the field `{field}`")


class _Form:
    """Collects the one field that counts while the parser calls back.

    Attributes:
        content: what the field has so far; None: it has not come.
        ended: whether the last boundary has.
        content_bytes: of all fields.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self.content: bytearray | None = None
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
            if message.get_param("name", header="content-disposition") == self._field:
                if self.content is not None:
                    raise FormParserError(f"the field `{self._field}` is there twice")
                self._wanted = True
                self.content = bytearray()
        self._name = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.content_bytes += end - start
        if self._wanted and self.content is not None:
            self.content += data[start:end]

    def _end(self) -> None:
        self.ended = True
