"""Files of older exporters, opsets 7 to 13: what is an input today was an attribute then."""

import onnx
import pytest
from onnx import parser

from leap_audit.errors import ModelRefused
from leap_audit.gradient import build_gradient, check_gradient

REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
CASES: dict[str, tuple[int, str]] = {
    "BatchNormalization": (
        7,
        """(float[n,2,3,3] x) => (float[a,b,c,d] y)
        <float[2] s={0.5,2.0}, float[2] b={0.1,0.2}, float[2] m={0.1,0.3}, float[2] v={1.1,0.7}>
        { y = BatchNormalization<epsilon=0.001, momentum=0.9>(x,s,b,m,v) }""",
    ),
    "BatchNormalization with its other outputs": (
        7,
        """(float[n,2,3] x) => (float[a,b,c] y)
        <float[2] s={0.5,2.0}, float[2] b={0.1,0.2}, float[2] m={0.1,0.3}, float[2] v={1.1,0.7}>
        { z = BatchNormalization(x,s,b,m,v) y = Sin(z) }""",
    ),
    "Dropout with a mask": (
        7,
        "(float[n,4] x) => (float[a,b] y) { d, mask = Dropout<ratio=0.3>(x) y = Sigmoid(d) }",
    ),
    "Dropout with a ratio": (
        12,
        """(float[n,4] x) => (float[a,b] y) <float r={0.4}>
        { d, mask = Dropout(x,r) y = Sigmoid(d) }""",
    ),
    "Softmax over all that follows": (
        11,
        "(float[n,3,4] x) => (float[a,b,c] y) { y = Softmax(x) }",
    ),
    "LogSoftmax over all that follows": (
        7,
        "(float[n,3,4] x) => (float[a,b,c] y) { y = LogSoftmax<axis=1>(x) }",
    ),
    "Slice": (
        7,
        """(float[n,5,6] x) => (float[a,b,c] y)
        { z = Slice<axes=[1,2], starts=[1,-4], ends=[4,1000]>(x) y = Sin(z) }""",
    ),
    "Pad": (
        7,
        """(float[n,5,6] x) => (float[a,b,c] y)
        { z = Pad<pads=[0,1,0,0,0,2], value=1.5>(x) y = Sin(z) }""",
    ),
    "Pad by reflection": (
        7,
        """(float[n,5,6] x) => (float[a,b,c] y)
        { z = Pad<pads=[0,1,0,0,0,2], mode="reflect">(x) y = Sin(z) }""",
    ),
    "Clip": (7, "(float[n,6] x) => (float[a,b] y) { y = Clip<min=0.3, max=0.7>(x) }"),
    "Clip from below": (7, "(float[n,6] x) => (float[a,b] y) { y = Clip<min=0.3>(x) }"),
    "Squeeze and Unsqueeze": (
        11,
        """(float[n,6,1] x) => (float[a,b,c] y)
        { z = Squeeze<axes=[2]>(x) s = Sin(z) y = Unsqueeze<axes=[1]>(s) }""",
    ),
    "Split": (
        7,
        """(float[n,5] x) => (float[a,b] y)
        { p, q = Split<axis=1, split=[2,3]>(x) e = Exp(p) y = Concat<axis=1>(e,q) }""",
    ),
    "TopK": (7, "(float[n,5] x) => (float[a,b] y) { y, i = TopK<k=2>(x) }"),
    "Upsample": (
        7,
        """(float[n,1,2,2] x) => (float[a,b,c,d] y)
        { y = Upsample<mode="linear", scales=[1.0,1.0,2.0,2.0]>(x) }""",
    ),
    "Upsample with an input": (
        9,
        """(float[n,1,2,2] x) => (float[a,b,c,d] y) <float[4] r={1.0,1.0,2.0,3.0}>
        { y = Upsample<mode="nearest">(x,r) }""",
    ),
    "Resize": (
        10,
        """(float[n,1,4,4] x) => (float[a,b,c,d] y) <float[4] r={1.0,1.0,0.5,0.5}>
        { y = Resize<mode="linear">(x,r) }""",
    ),
    "Scatter": (
        9,
        """(float[n,3] x) => (float[a,b] y)
        { i = Constant<value=int64[1,2]{0,2}>() u = Constant<value=float[1,2]{0.1,0.3}>()
        z = Scatter<axis=1>(x,i,u) y = Sin(z) }""",
    ),
    "PRelu": (
        7,
        """(float[n,2,2] x) => (float[a,b,c] y) <float[2,1] s={0.2,0.3}>
        { z = Neg(x) y = PRelu(z,s) }""",
    ),
    "AveragePool": (
        7,
        """(float[n,1,5,5] x) => (float[a,b,c,d] y)
        { y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]>(x) }""",
    ),
    "MaxPool": (
        8,
        """(float[n,1,5,5] x) => (float[a,b,c,d] y)
        { y, i = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]>(x) }""",
    ),
    "Tile, Mean and Flatten": (
        7,
        """(float[n,2,2] x) => (float[a,b] y) <int64[3] r={1,2,1}>
        { e = Exp(x) t = Tile(e,r) u = Tile(x,r) m = Mean(t,u) y = Flatten(m) }""",
    ),
    **{
        f"Reduce{name}": (
            11,
            f"(float[n,5,6] x) => (float[a,b] y) {{ y = Reduce{name}<axes=[1], keepdims=0>(x) }}",
        )
        for name in REDUCTIONS
    },
}


def _model(opset: int, text: str) -> onnx.ModelProto:
    return parser.parse_model(f'<ir_version: 4, opset_import: ["": {opset}]> old {text}')


@pytest.mark.parametrize("name", CASES)
def test_an_operator_in_its_old_words(name: str) -> None:
    # build_gradient holds the upgraded graph against the file; check_gradient the gradient.
    gradient = build_gradient(_model(*CASES[name]), batch=1)
    assert check_gradient(gradient).agrees


def test_the_scan_of_opset_8_is_refused_by_name() -> None:
    text = """(float[1,5,3] x) => (float[a,b] y, float[c,d,e] all) <float[1,3] z={0.0,0.0,0.0}>
    { y, all = Scan<num_scan_inputs=1,
      body = b (float[3] h, float[3] v) => (float[3] h2, float[3] o)
      { h2 = Add(h,v) o = Tanh(h2) }>(, z, x) }"""
    model = parser.parse_model(f'<ir_version: 4, opset_import: ["": 8]> old {text}')
    with pytest.raises(ModelRefused, match="Scan of opset 8"):
        build_gradient(model)
