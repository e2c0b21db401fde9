from __future__ import annotations

import pytest

from toolkit.engines import verbose
from toolkit.engines.verbose import Primitive
from toolkit.errors import ModelError

CONVOLUTION = (
    "onednn_verbose,exec,cpu,convolution,brgconv:avx512_core_vnni,forward_inference,src_s8:a:blocked:acdb::f0 "
    "wei_s8:ap:blocked:AcdB64a4b::f1:s8m1 bia_f32::blocked:a::f0 dst_s8:a:blocked:acdb::f0,"
    "attr-scales:src0:0+dst:0+wei:1 attr-post-ops:eltwise_swish:1 ,alg:convolution_direct,"
    "mb1_ic960oc60_ih1oh1kh1sh1dh0ph0_iw40ow40kw3sw1dw0pw1,0.065918"
)
# The source is what counts: here the weights are s8 and the source is not.
FLOAT_CONVOLUTION = CONVOLUTION.replace("src_s8:a", "src_f32:")
UNSIGNED = CONVOLUTION.replace("src_s8:a", "src_u8:")
TIMED = CONVOLUTION.replace("verbose,exec", "verbose,1700000000000.123,exec")
OLD = (
    "dnnl_verbose,exec,cpu,matmul,gemm:jit,undef,src_u8::blocked:ab:f0 wei_s8::blocked:ab:f0 "
    "dst_f32::blocked:ab:f0,,,4x8:8x2:4x2,0.5"
)
REORDER = "onednn_verbose,exec,cpu,reorder,simple:any,undef,src_f32::blocked:ab::f0 dst_s8::blocked:ab::f0,,,1x2,0.0029"
NOISE = [
    "onednn_verbose,info,oneDNN v3.4.1 (commit f5ff0a6de16c130053bec1a1aec3a9b826c66f78)",
    "onednn_verbose,info,cpu,runtime:threadpool,nthr:1",
    "onednn_verbose,primitive,info,template:operation,engine,primitive,implementation,prop_kind,memory_descriptors",
    "onednn_verbose,create:cache_miss,cpu,convolution,brgconv:avx512_core,forward_inference,src_f32::,,,mb1,0.05",
    "I1123 00:17:28.1 26872 analysis_predictor.cc:1",
    "",
]


def line(kind: str, problem: str) -> str:
    return f"onednn_verbose,exec,cpu,{kind},jit:any,forward_inference,src_f32::blocked:a::f0,,,{problem},0.25"


def test_a_primitive_is_its_kind_type_kernel_work_and_time() -> None:
    # 60 x 40 outputs, each the sum over 960 channels and 3 columns.
    assert verbose.parse([CONVOLUTION, REORDER]) == [
        Primitive("convolution", "int8", "brgconv:avx512_core_vnni", 6912000, (60, 960, 1, 3), 0.065918),
        Primitive("reorder", "fp32", "simple:any", 0, (), 0.0029),
    ]


@pytest.mark.parametrize(
    ("report", "source"),
    [
        (CONVOLUTION, "int8"),
        (UNSIGNED, "int8"),
        (FLOAT_CONVOLUTION, "fp32"),
        (CONVOLUTION.replace("src_s8:a", "src_bf16:"), "bf16"),
        (OLD, "int8"),
        (TIMED, "int8"),
    ],
)
def test_the_source_decides_not_the_weights(report: str, source: str) -> None:
    (primitive,) = verbose.parse([report])
    assert primitive.source == source


@pytest.mark.parametrize(
    ("kind", "problem", "macs", "shape"),
    [
        # 2 images, 4 channels of 3 x 5 outputs, each from 8 channels and 3 x 3 pixels.
        (
            "convolution",
            "mb2_ic8oc4_ih6oh3kh3sh2dh0ph1_iw10ow5kw3sw2dw0pw1",
            2 * 4 * 3 * 5 * 8 * 3 * 3,
            (4, 8, 3, 3),
        ),
        # In 2 groups an output sees half of the channels. Older and newer versions write the groups elsewhere.
        (
            "convolution",
            "g2mb1_ic8oc4_ih6oh6kh1sh1dh0ph0_iw6ow6kw1sw1dw0pw0",
            4 * 36 * 4,
            (4, 4, 1, 1),
        ),
        ("convolution", "mb1_g16ic16oc16_ih4oh4kh5sh1dh0ph2_iw4ow4kw5sw1dw0pw2", 16 * 16 * 25, (16, 1, 5, 5)),
        ("convolution", "mb1_ic2oc3_iw9ow7kw3sw1dw0pw0", 3 * 7 * 2 * 3, (3, 2, 3)),
        (
            "convolution",
            "mb1_ic2oc3_id4od2kd2sd2dd0pd0_ih4oh2kh2sh2dh0ph0_iw4ow2kw2sw2dw0pw0",
            3 * 8 * 2 * 8,
            (3, 2, 2, 2, 2),
        ),
        # Every one of 160 x 160 inputs in 24 channels gives 2 x 2 outputs in 24 channels.
        (
            "deconvolution",
            "mb1_ic24oc24_ih160oh320kh2sh2dh0ph0_iw160ow320kw2sw2dw0pw0",
            58982400,
            (24, 24, 2, 2),
        ),
        (
            "deconvolution",
            "g2mb1_ic4oc6_ih2oh4kh2sh2dh0ph0_iw2ow4kw2sw2dw0pw0",
            4 * 4 * 3 * 4,
            (4, 3, 2, 2),
        ),
        ("inner_product", "mb40ic120oc6625", 40 * 120 * 6625, (120, 6625)),
        ("inner_product", "mb2ic16ih7iw7oc10", 2 * 16 * 49 * 10, (784, 10)),
        ("matmul", "4x8:8x3", 4 * 8 * 3, (8, 3)),
        ("matmul", "4x8:8x3:4x3", 4 * 8 * 3, (8, 3)),
        ("matmul", "1x8x40x15:1x8x15x40", 8 * 40 * 15 * 40, (15, 40)),
        ("matmul", "6x40x120:1x120x7", 6 * 40 * 120 * 7, (120, 7)),
        ("gemm_api", "40x15:15x40", 40 * 15 * 40, (15, 40)),
    ],
)
def test_the_multiply_accumulates_follow_from_the_sizes(
    kind: str, problem: str, macs: int, shape: tuple[int, ...]
) -> None:
    (primitive,) = verbose.parse([line(kind, problem)])
    assert primitive.is_heavy
    assert (primitive.macs, primitive.weight_shape) == (macs, shape)


@pytest.mark.parametrize("kind", ["reorder", "binary", "eltwise", "pooling", "softmax"])
def test_what_neither_convolves_nor_multiplies_matrices_has_none(kind: str) -> None:
    (primitive,) = verbose.parse([line(kind, "1x16x32x32")])
    assert not primitive.is_heavy
    assert primitive.macs == 0


@pytest.mark.parametrize(
    ("kind", "problem"), [("convolution", "1x16x32x32"), ("inner_product", "mb40"), ("matmul", "*x8:8x*")]
)
def test_sizes_that_cannot_be_read_are_an_error_since_a_share_would_be_wrong(kind: str, problem: str) -> None:
    with pytest.raises(ModelError, match=f"a {kind} in a way that is not known"):
        verbose.parse([line(kind, problem)])


def test_what_was_not_executed_is_left_out() -> None:
    assert verbose.parse(NOISE) == []


@pytest.mark.parametrize("report", [CONVOLUTION[:100], CONVOLUTION[:-9], CONVOLUTION + "I1123 garbled"])
def test_a_line_that_was_cut_or_garbled_is_left_out(report: str) -> None:
    assert verbose.parse([report, OLD]) == verbose.parse([OLD])
