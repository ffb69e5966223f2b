"""The table of what relevance conserves: a gap, or the operators that are refused."""

from benchmarks.rule_sets import conservation_table

Row = dict[str, str]


def row(network: str, rules: str, composite: str, gap: str = "", refused: str = "") -> Row:
    heads = ("network", "rules", "composite", "gap", "refused")
    return dict(zip(heads, (network, rules, composite, gap, refused), strict=True))


def test_a_network_has_one_line_with_gaps_or_refused_operators() -> None:
    refused = "the rule set 'lrp' has no rule for: MatMul (2 nodes, m), Softmax (1 node, s)."
    lines = conservation_table(
        [
            row("tv_vit", "lrp", "epsilon", refused=refused),
            row("tv_vit", "attnlrp", "epsilon", gap="0.25"),
            row("timm_plain", "lrp", "epsilon", gap="1.26e-07"),
            row("timm_plain", "lrp", "epsilon_plus", gap="3e-07"),
            row("timm_plain", "attnlrp", "epsilon", refused="the file is broken"),
        ]
    )
    assert lines[2:] == [
        "| plain | 1.3e-07 | 3.0e-07 | the file is broken |",
        "| vit | MatMul, Softmax | MatMul, Softmax | 2.5e-01 |",
    ]
