"""Branches that are decided, and loops whose length is known, are written out; others say why."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from leap_audit.canonical import form as canonical
from leap_audit.canonical.form import canonicalise
from leap_audit.canonical.rewrite import Writer
from leap_audit.canonical.rewrites import CONTROL, control
from leap_audit.errors import CanonicalMismatch, GradientUnavailable, LeapAuditError
from leap_audit.gradient import build_gradient, check_gradient
from leap_audit.run import Session, choose_provider

CPU = choose_provider("cpu")
SQUEEZED = """(float[n,4,1] x) => (float[a,b] y) {
  s = Shape(x) at = Constant<value=int64 {2}>() d = Gather(s, at)
  one = Constant<value=int64 {1}>() alone = Equal(d, one)
  r = If (alone) <
    then_branch = t () => (float p) { axes = Constant<value=int64[1] {2}>() p = Squeeze(x, axes) },
    else_branch = e () => (float q) { q = Identity(x) }>
  y = Sigmoid(r) }"""
NESTED = """(float[n,4] x) => (float[a,b] y) {
  yes = Constant<value=bool {1}>()
  y = If (yes) <
    then_branch = t () => (float p) {
      size = Size(x) four = Constant<value=int64 {4}>() less = Less(size, four) z = Exp(x)
      p = If (less) <then_branch = t2 () => (float p2) { p2 = Mul(z, x) },
                     else_branch = e2 () => (float q2) { w = Sin(z) q2 = Mul(w, z) }> },
    else_branch = e () => (float q) { q = Cos(x) }> }"""
LOOP = """(float[n,4] x) => (float[a,b] y) <float[4] w = {0.5, 0.7, -0.3, 0.2}> {
  n = Constant<value=int64 {3}>() yes = Constant<value=bool {1}>()
  last, all = Loop (n, yes, x) <
    body = b (int64 i, bool go, float h) => (bool on, float h2, float o) {
    on = Identity(go) f = Cast<to=1>(i) t = Mul(h, w) s = Add(t, f) h2 = Sin(s) o = Mul(h2, x) }>
  first = Constant<value=int64 {1}>() o = Gather(all, first) y = Add(last, o) }"""
LOOPS_IN_LOOPS = """(float[n,4] x) => (float[a,b] y) {
  two = Constant<value=int64 {2}>() three = Constant<value=int64 {3}>()
  yes = Constant<value=bool {1}>()
  y = Loop (two, yes, x) <body = b (int64 i, bool go, float h) => (bool on, float h2) {
    on = Identity(go)
    h2 = Loop (three, yes, h) <body = c (int64 j, bool go2, float g) => (bool on2, float g2) {
      on2 = Identity(go2) k = Add(i, j) f = Cast<to=1>(k) p = Mul(g, f) g2 = Sin(p) }> }> }"""
STOPPED = """(float[n,4] x) => (float[a,b] y) {
  many = Constant<value=int64 {9}>() yes = Constant<value=bool {1}>()
  y = Loop (many, yes, x) <body = b (int64 i, bool go, float h) => (bool on, float h2) {
    on = Constant<value=bool {0}>() h2 = Sin(h) }> }"""
NEVER = STOPPED.replace("yes = Constant<value=bool {1}>()", "yes = Constant<value=bool {0}>()")
SCAN = """(float[n,5,3] x) => (float[a,b,c] y) {
  s = Shape(x) first = Constant<value=int64[2] {0,2}>() size = Gather(s, first)
  zero = ConstantOfShape(size)
  h, y = Scan <num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[2],
    scan_input_directions=[1], scan_output_directions=[1],
    body = b (float[2,3] h1, float[2,3] v) => (float[2,3] h2, float[2,3] o)
    { t = Add(h1, v) h2 = Tanh(t) o = Mul(h2, v) }> (zero, x) }"""
SEQUENCE = """(float[n,4] x) => (float[a,b] y) {
  n = Constant<value=int64 {3}>() yes = Constant<value=bool {1}>() none = SequenceEmpty()
  s, l = Loop (n, yes, none, x) <
    body = b (int64 i, bool go, seq(float) h, float v) => (bool on, seq(float) h2, float v2)
    { on = Identity(go) v2 = Sin(v) h2 = SequenceInsert(h, v2) }>
  y = ConcatFromSequence<axis=1>(s) }"""
MAPPED = """(float[n,4,6] x) => (float[a,b,c] y) {
  two = Constant<value=int64 {2}>() s = SplitToSequence<axis=1>(x, two)
  t = SequenceMap <body = b (float[2,2,6] v) => (float[2,2,6] o) { o = Sin(v) }> (s)
  y = ConcatFromSequence<axis=1>(t) }"""
COUNTING = """(float[n,4] x) => (float[a,b] y) {
  most = Constant<value=int64 {7}>() zero = Constant<value=int32 {0}>()
  three = Constant<value=float {3}>() one = Constant<value=int32 {1}>()
  start = Cast<to=1>(zero) yes = Less(start, three)
  count, y = Loop (most, yes, zero, x) <
    body = b (int64 i, bool go, int32 c, float h) => (bool on, int32 c2, float h2) {
    c2 = Add(c, one) f = Cast<to=1>(c2) less = Less(f, three)
    g = Cast<to=1>(i) early = Less(g, three) on = And(less, early) h2 = Sin(h) }> }"""
FUSED = """(float[n,4] x) => (float[a,b] y) {
  n = Constant<value=int64 {2}>() yes = Constant<value=bool {1}>()
  y = Loop (n, yes, x) <body = b (int64 i, bool go, float h) => (bool on, float h2) {
    on = Identity(go) h2 = com.microsoft.QuickGelu(h) }> }"""
WRITTEN_OUT = {
    "a Squeeze that the exporter left to the shape": SQUEEZED,
    "a branch in a branch": NESTED,
    "a loop": LOOP,
    "a loop in a loop": LOOPS_IN_LOOPS,
    "a loop that stops at once": STOPPED,
    "a loop that never starts": NEVER,
    "a loop that counts": COUNTING,
    "a loop that counts, of no other length": COUNTING.replace("Loop (most,", "Loop (,"),
    "a scan, backward": SCAN,
    "a loop that fills a sequence": SEQUENCE,
    "a sequence's map": MAPPED,
    "a fused operator in a loop": FUSED,
}
BY_DATA = """(float[n,4] x) => (float[n,4] y) {
  many = Constant<value=int64 {9}>() yes = Constant<value=bool {1}>()
  three = Constant<value=float {3}>()
  z = Loop (many, yes, x) <body = b (int64 i, bool go, float h) => (bool on, float h2) {
    h2 = Sin(h) m = ReduceSum<keepdims=0>(h2) on = Less(m, three) }>
  y = Add(z, x) }"""
CHOICE = """(float[n,4] x) => (float[n,4] y) {
  m = ReduceMax<keepdims=0>(x) zero = Constant<value=float {0}>() c = Greater(m, zero)
  y = If (c) <then_branch = t () => (float[n,4] p) { p = Exp(x) },
              else_branch = e () => (float[n,4] q) { q = Cos(x) }> }"""


def _model(text: str, name: str = "") -> onnx.ModelProto:
    head = '<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]> flow'
    model = parser.parse_model(f"{head} {text}")
    for node in model.graph.node:
        if name and node.op_type in CONTROL:
            node.name = name
    return model


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_it_is_written_out_and_has_a_gradient(name: str) -> None:
    model = _model(WRITTEN_OUT[name])
    gradient = build_gradient(model, batch=2 if "[2," in WRITTEN_OUT[name] else 1)
    assert not {node.op_type for node in gradient.graph.node} & CONTROL
    if name != "a loop that never starts":  # y is x
        assert check_gradient(gradient).agrees


def test_a_loop_has_the_numbers_of_the_same_nodes_written_by_hand() -> None:
    by_hand = """(float[n,4] x) => (float[a,b] y) <float[4] w = {0.5, 0.7, -0.3, 0.2},
      float one = {1.0}, float two = {2.0}> {
      t1 = Mul(x, w) h1 = Sin(t1)
      t2 = Mul(h1, w) s2 = Add(t2, one) h2 = Sin(s2)
      t3 = Mul(h2, w) s3 = Add(t3, two) h3 = Sin(s3)
      o = Mul(h2, x) y = Add(h3, o) }"""
    rng = np.random.default_rng(0)
    feed = {name: rng.standard_normal((1, 4)).astype(np.float32) for name in ("x", "cotangent")}
    found, wanted = (
        Session(build_gradient(_model(text)), CPU, threads=1).run(feed) for text in (LOOP, by_hand)
    )
    for have, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5)


@pytest.mark.parametrize(("most", "times"), [(7, 3), (3, 3), (2, 2), (0, 0)])
def test_a_loop_that_counts_runs_as_often_as_it_would(most: int, times: int) -> None:
    graph = canonicalise(_model(COUNTING.replace("{7}", f"{{{most}}}")), provider=CPU).graph
    assert sum(node.op_type == "Sin" for node in graph) == times


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BY_DATA, r"Loop \(node 'x'\): its number of iterations depends on the input\."),
        (
            COUNTING.replace("f = Cast<to=1>(c2)", "f = ReduceSum<keepdims=0>(h)"),
            r"Loop \(node 'x'\): its number of iterations depends on the input\.",
        ),
        (CHOICE, r"If \(node 'x'\): which branch is taken depends on the input\."),
        (
            LOOP.replace("int64 {3}", "int64 {9000}"),
            r"Loop \(node 'x'\): its 9000 iterations of 6 nodes are more than the 20000 nodes",
        ),
    ],
)
def test_what_stays_says_why(text: str, sentence: str) -> None:
    with pytest.raises(LeapAuditError, match=sentence):
        build_gradient(_model(text, "x"))


def test_with_its_shape_declared_it_is_named_among_what_has_no_rule() -> None:
    with pytest.raises(GradientUnavailable, match=r"^no gradient rule for: If \(1 node, e.g. 'x'"):
        build_gradient(_model(CHOICE, "x"))


def test_off_the_path_it_does_not_matter() -> None:
    text = BY_DATA.replace("=> (float[n,4] y)", "=> (float[n,4] y, float[n,4] z)")
    text = text.replace("y = Add(z, x)", "y = Exp(x)")
    gradient = build_gradient(_model(text))
    assert "Loop" in {node.op_type for node in gradient.graph.node}
    assert check_gradient(gradient).agrees


def test_the_check_notices_a_loop_that_is_one_step_short(monkeypatch: pytest.MonkeyPatch) -> None:
    canonical._simplified.cache_clear()
    honest = control._steps
    monkeypatch.setattr(control, "_steps", lambda node: (honest(node) or 1) - 1)
    with pytest.raises(CanonicalMismatch, match="other numbers"):
        canonicalise(_model(LOOP), provider=CPU)
    canonical._simplified.cache_clear()


def test_the_check_notices_a_scan_read_the_wrong_way(monkeypatch: pytest.MonkeyPatch) -> None:
    canonical._simplified.cache_clear()
    honest = Writer.attribute

    def blind(op: Writer, name: str, default: Any = None) -> Any:
        return default if name == "scan_input_directions" else honest(op, name, default)

    monkeypatch.setattr(Writer, "attribute", blind)
    with pytest.raises(CanonicalMismatch, match="other numbers"):
        canonicalise(_model(SCAN), batch=2, provider=CPU)
    canonical._simplified.cache_clear()
