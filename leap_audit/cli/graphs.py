"""leap-audit gradient, operators, export: a model as a graph."""

import warnings
from pathlib import Path
from typing import Any

import typer

from leap_audit.cli import flags, input_flags
from leap_audit.cli.answers import answering
from leap_audit.cli.app import Command, app
from leap_audit.cli.trust import TrustModel
from leap_audit.errors import GradientUnavailable, GradientWarning, LessOptimised, OutputRefused
from leap_audit.text.filenames import plain_name
from leap_audit.text.lists import columns

__all__: list[str] = []

ABOUT_GRADIENT = (
    "Write the model with its gradient, as one ONNX graph of standard operators.\n\n"
    "Its inputs are the model's own and [bold]cotangent[/]; its outputs the model's own and "
    "[bold]INPUT_grad[/]. Any ONNX runtime can run it. Tensors inside the graph can be named with "
    "--wrt and --of, and become outputs as well."
)
ABOUT_OPERATORS = (
    "Say which operators can be differentiated.\n\n"
    "Of every operator of ONNX, or of those of a [bold]MODEL[/], with its nodes; then the exit "
    "code is 3 if there is no gradient of it."
)
ABOUT_EXPORT = (
    "Write a model of PyTorch, TensorFlow or Keras as ONNX, as an audit reads it.\n\n"
    "Takes a torch.export program (.pt2), TorchScript, .keras, .h5, a SavedModel folder or "
    "TensorFlow Lite. What is written gave the same numbers as the framework on random "
    "pictures. [bold]--canonical[/] writes the graph whose gradient is taken, with one opset "
    "and fixed shapes."
)


@app.command(cls=Command, help=ABOUT_GRADIENT, short_help="Write a model's gradient as ONNX.")
def gradient(
    ctx: typer.Context,
    model: flags.Model,
    out: flags.GradientOut = None,
    batch: flags.GradientBatch = 1,
    wrt: flags.GradientWrt = None,
    of: flags.GradientOf = None,
    shape: flags.GradientShape = None,
    input_: input_flags.GradientInput = None,
    set_: input_flags.GradientSet = None,
    signature: input_flags.GradientSignature = None,
    rules: flags.GradientRules = None,
    check: flags.GradientCheck = False,
    trust_model: TrustModel = False,
    debug: flags.GradientDebug = False,
) -> None:
    """Write the gradient graph of a model, and print what it is."""
    shapes, said = flags.shapes(ctx, shape), input_flags.values(ctx, set_)
    with answering(debug=debug, trust=trust_model) as terminal:
        from leap_audit.ingest.inputs.selection import read_inputs
        from leap_audit.ingest.sandbox.parent import run_in_child
        from leap_audit.pipeline.graphs import gradient_of
        from leap_audit.publish.folder import write_file

        place = out or Path(f"{plain_name(model.stem)}.grad.onnx")
        if place.exists() and model.exists() and place.samefile(model):
            raise OutputRefused(f"{place}: is the model itself; give another file as --out.")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", GradientWarning)
            asked: dict[str, Any] = {"batch": batch, "wrt": wrt, "of": of, "shapes": shapes}
            asked["inputs"] = read_inputs(input_, said, signature)
            made = run_in_child(gradient_of, model, check=check, rules=rules, **asked)
        for each in caught:
            if issubclass(each.category, GradientWarning):
                terminal.warn(str(each.message))
            elif issubclass(each.category, LessOptimised):
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
        if made.agreement:
            terminal.note(made.agreement)
        if not made.agrees:
            raise GradientUnavailable(f"{model}: the gradient is wrong; nothing was written.")
        write_file(place, made.data)
        ending = f", rules {rules}" if rules else ""
        outputs = ", ".join(made.outputs)
        print(f"{place}: {made.nodes} nodes, outputs {outputs}{ending}", flush=True)


@app.command(cls=Command, help=ABOUT_OPERATORS, short_help="List the operators with a gradient.")
def operators(
    ctx: typer.Context,
    model: flags.OptionalModel = None,
    missing: flags.OperatorsMissing = False,
    batch: flags.GradientBatch = 1,
    wrt: flags.GradientWrt = None,
    of: flags.GradientOf = None,
    shape: flags.GradientShape = None,
    input_: input_flags.GradientInput = None,
    set_: input_flags.GradientSet = None,
    signature: input_flags.GradientSignature = None,
    trust_model: TrustModel = False,
    debug: flags.GradientDebug = False,
) -> None:
    """Print the operators, and what becomes of each in a gradient."""
    shapes, said = flags.shapes(ctx, shape), input_flags.values(ctx, set_)
    with answering(debug=debug, trust=trust_model) as terminal:
        from leap_audit.ingest.inputs.selection import read_inputs
        from leap_audit.ingest.sandbox.parent import run_in_child
        from leap_audit.pipeline.graphs import operators_of

        asked: dict[str, Any] = {"batch": batch, "wrt": wrt, "of": of, "shapes": shapes}
        asked["inputs"] = read_inputs(input_, said, signature)
        found = run_in_child(operators_of, model, **asked)
        shown = [row for state, row in found.rows if state == "missing" or not missing]
        print("\n".join(columns(shown)), end="\n" if shown else "", flush=True)
        terminal.note(f"{len(found.rows)} operators: {found.counts}.")
        if found.refusal is not None:
            raise GradientUnavailable(f"{model}: {found.refusal}")


@app.command(cls=Command, help=ABOUT_EXPORT, short_help="Write a model of any framework as ONNX.")
def export(
    ctx: typer.Context,
    model: flags.Model,
    out: flags.ExportOut = None,
    input_size: flags.InputSize = None,
    channel_order: flags.ChannelOrder = None,
    input_: input_flags.GradientInput = None,
    set_: input_flags.GradientSet = None,
    signature: input_flags.GradientSignature = None,
    canonical: flags.Canonical = False,
    trust_model: TrustModel = False,
    debug: flags.GradientDebug = False,
) -> None:
    """Write a model as ONNX, and print what it is."""
    size, said = flags.size(ctx, input_size), input_flags.values(ctx, set_)
    with answering(debug=debug, trust=trust_model) as terminal:
        from leap_audit.config import DeclaredPreprocessing
        from leap_audit.ingest.inputs.selection import read_inputs
        from leap_audit.ingest.sandbox.parent import run_in_child
        from leap_audit.pipeline.graphs import exported_of
        from leap_audit.publish.folder import write_file

        place = out or Path(f"{plain_name(model.stem)}.onnx")
        if place.exists() and model.exists() and place.samefile(model):
            raise OutputRefused(f"{place}: is the model itself; give another file as --out.")
        declared = DeclaredPreprocessing(input_size=size, channel_order=channel_order)
        inputs = read_inputs(input_, said, signature)
        made = run_in_child(exported_of, model, declared, inputs=inputs, canonical=canonical)
        terminal.note(f"{model}: {made.converted or 'an ONNX file'}.")
        write_file(place, made.data)
        print(f"{place}: {made.nodes} nodes, opset {made.opset}, {made.shapes}", flush=True)
