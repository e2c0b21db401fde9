"""The Open Inference Protocol v2, as KServe and Triton speak it: messages, datatypes, and what both look like in bytes.

Nothing here knows a server: what comes in is bytes or a message, what is wrong with it is an `OipError`.
"""

from __future__ import annotations

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
INFER = "ModelInfer"
INFER_PATH = f"/{SERVICE}/{INFER}"

# Of every model: a release is replaced as a whole, so there is one version at a time.
VERSION = "1"
