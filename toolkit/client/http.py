"""The client that speaks HTTP."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from toolkit.client.contents import Image, Inputs, to_base64, to_json
from toolkit.client.errors import ClientError, ServerFault, from_status
from toolkit.client.results import Prediction, parse_prediction
from toolkit.client.security import Access
from toolkit.client.transport import HttpAnswer, HttpTransport


class HttpClient:
    """Ask the service at `url`; safe to share between threads.

    Connections stay open between calls; `close`, or leaving the `with` block, closes them.

        with HttpClient("http://127.0.0.1:9393") as client:
            prediction = client.predict("ocr", Path("receipt.jpg"))
            prediction = client.predict_text("segmentation_zh", "我爱北京天安门")

    Args:
        url: `http://host:port` or `https://host:port`. Proxy settings of the environment are not heeded.
        timeout: seconds for a call that names none. The service is told, so it does not work on for nobody.
        api_key: for a service that asks for one.
        ca: file of the authorities that may have signed the service's certificate, in place of the system's.
        cert, key: certificate and private key of the client, for a service that asks for them.
        server_name: whom the service's certificate is for, if not the host of the URL.

    Raises:
        ValueError: the URL, or what goes with it, makes no sense.
        OSError: a file of a certificate cannot be read, or is none.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:9393",
        timeout: float = 10.0,
        *,
        api_key: str | None = None,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        server_name: str | None = None,
    ) -> None:
        self._transport = HttpTransport(url, Access(api_key, ca, cert, key, server_name))
        self._timeout = timeout

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def predict(self, model: str, image: Image, timeout: float | None = None) -> Prediction:
        """Ask a pipeline that takes images.

        Args:
            image: the bytes of an image file (JPEG, PNG, ...), or its path.
            timeout: seconds, in place of the client's own.

        Raises:
            ClientError: one of its subclasses, by what went wrong.
            OSError: the file cannot be read.
        """
        return self._ask(model, f'{{"image": "{to_base64(image)}"}}', timeout)

    def predict_text(self, model: str, text: str, timeout: float | None = None) -> Prediction:
        """Ask a pipeline that takes texts; raises as `predict` does."""
        return self._ask(model, json.dumps({"text": text}), timeout)

    def predict_json(self, model: str, inputs: Inputs, timeout: float | None = None) -> Prediction:
        """Ask a pipeline that takes JSON.

        Args:
            inputs: an object or array, as the pipeline takes it.
            timeout: seconds, in place of the client's own.

        Raises:
            ClientError: one of its subclasses, by what went wrong.
            ValueError, TypeError: there is something in `inputs` that JSON does not have, as NaN.
        """
        return self._ask(model, f'{{"inputs": {to_json(inputs)}}}', timeout)

    def _ask(self, model: str, body: str, timeout: float | None) -> Prediction:
        seconds = self._timeout if timeout is None else timeout
        answer = self._transport.request(
            "POST",
            f"/predict/{quote(model, safe='')}",
            body.encode("utf-8"),
            {"Content-Type": "application/json", "X-Timeout-Ms": str(max(1, math.ceil(seconds * 1000)))},
            timeout=seconds,
        )
        if answer.status != 200:
            raise from_status(answer.status, _message(answer), answer.headers.get("retry-after"))
        return parse_prediction(_json(answer))

    def ready(self, model: str = "") -> bool:
        """Whether the service can be reached and says that it can answer.

        Args:
            model: a pipeline of it; empty: all that it serves.
        """
        path = f"/readyz?model={quote(model)}" if model else "/readyz"
        try:
            return self._transport.request("GET", path, timeout=self._timeout).status == 200
        except ClientError:
            return False

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._transport.close()


def _json(answer: HttpAnswer) -> object:
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise ServerFault(f"the service answered something that is not JSON: {error}") from error


def _message(answer: HttpAnswer) -> str:
    try:
        return str(json.loads(answer.body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.body[:200].decode(errors="replace") or "no message"
