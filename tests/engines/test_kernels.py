from __future__ import annotations

import pytest

from toolkit.engines import kernels
from toolkit.engines.kernels import Primitive

CONVOLUTION = (
    "onednn_verbose,exec,cpu,convolution,brgconv:avx512_core_vnni,forward_inference,src_s8:a:blocked:acdb::f0 "
    "wei_s8:ap:blocked:AcdB64a4b::f1:s8m1 bia_f32::blocked:a::f0 dst_s8:a:blocked:acdb::f0,"
    "attr-scales:src0:0+dst:0+wei:1 attr-post-ops:eltwise_swish:1 ,alg:convolution_direct,"
    "mb1_ic960oc60_ih1oh1kh1sh1dh0ph0_iw40ow40kw3sw1dw0pw1,0.065918"
)
# The source is what counts: here the weights are s8 and the source is not.
FLOAT_CONVOLUTION = CONVOLUTION.replace("src_s8:a", "src_f32:")
UNSIGNED = CONVOLUTION.replace("src_s8:a", "src_u8:").replace("0.065918", "1.5")
BF16 = (
    "onednn_verbose,exec,cpu,inner_product,brgemm:avx512_core_bf16,forward_inference,src_bf16::blocked:ab::f0 "
    "wei_bf16:a:blocked:AB16b64a2b::f0 bia_f32::blocked:a::f0 dst_bf16::blocked:ab::f0,,,mb1ic4oc2,0.0229492"
)
DECONVOLUTION = CONVOLUTION.replace("cpu,convolution", "cpu,deconvolution").replace("src_s8:a", "src_f32:")
REORDER = "onednn_verbose,exec,cpu,reorder,simple:any,undef,src_f32::blocked:ab::f0 dst_s8::blocked:ab::f0,,,1x2,0.0029"
OLD = (
    "dnnl_verbose,exec,cpu,matmul,gemm:jit,undef,src_u8::blocked:ab:f0 wei_s8::blocked:ab:f0 "
    "dst_f32::blocked:ab:f0,,,4x8:8x2:4x2,0.5"
)
NOISE = [
    "onednn_verbose,info,oneDNN v3.4.1 (commit f5ff0a6de16c130053bec1a1aec3a9b826c66f78)",
    "onednn_verbose,info,cpu,runtime:threadpool,nthr:1",
    "onednn_verbose,primitive,info,template:operation,engine,primitive,implementation,prop_kind,memory_descriptors",
    "onednn_verbose,create:cache_miss,cpu,convolution,brgconv:avx512_core,forward_inference,src_f32::,,,mb1,0.05",
    "I1123 00:17:28.1 26872 analysis_predictor.cc:1",
    "",
]


def test_a_primitive_is_its_kind_the_type_of_its_source_and_its_time() -> None:
    assert kernels.parse([CONVOLUTION, BF16]) == [
        Primitive("convolution", "int8", 0.065918),
        Primitive("inner_product", "bf16", 0.0229492),
    ]


@pytest.mark.parametrize(
    ("line", "source"),
    [(CONVOLUTION, "int8"), (UNSIGNED, "int8"), (FLOAT_CONVOLUTION, "fp32"), (OLD, "int8")],
)
def test_the_source_decides_not_the_weights(line: str, source: str) -> None:
    (primitive,) = kernels.parse([line])
    assert primitive.source == source


def test_what_was_not_executed_is_no_proof() -> None:
    assert kernels.parse(NOISE) == []


@pytest.mark.parametrize("line", [CONVOLUTION[:100], CONVOLUTION[:-9], CONVOLUTION + "I1123 garbled"])
def test_a_line_that_was_cut_or_garbled_is_left_out(line: str) -> None:
    assert kernels.parse([line, OLD]) == kernels.parse([OLD])


def test_heavy_primitives_are_counted_by_kind_and_type() -> None:
    lines = [CONVOLUTION, UNSIGNED, FLOAT_CONVOLUTION, DECONVOLUTION, REORDER, BF16, *NOISE]
    assert kernels.count(kernels.parse(lines)) == {
        "convolution": {"fp32": 1, "int8": 2},
        "deconvolution": {"fp32": 1},
        "inner_product": {"bf16": 1},
    }


def test_the_proof_in_words_tells_how_many_of_how_many() -> None:
    counts = {"convolution": {"fp32": 12, "int8": 41}, "inner_product": {"fp32": 1}, "matmul": {"int8": 2}}
    assert kernels.describe(counts, "int8") == "41 of 53 convolutions ran INT8, 2 of 2 matmuls ran INT8"
    assert (
        kernels.describe(counts, "fp32") == "12 of 53 convolutions ran FP32, 1 of 1 inner products ran FP32"
    )
    assert kernels.describe(counts, "bf16") == "nothing ran BF16"
    assert kernels.describe({}, "int8") == "nothing ran INT8"
