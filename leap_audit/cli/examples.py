"""The examples that `--help` teaches with."""

__all__ = ["EXAMPLES", "print_examples"]

_Example = tuple[str, str]
"""What it does, and the command."""

EXAMPLES: dict[str, dict[str, tuple[_Example, ...]]] = {
    "leap-audit": {
        "Start here": (
            ("Audit a network; the report goes to model-audit/", "leap-audit model.onnx"),
            (
                "Name its classes, and explain photographs",
                "leap-audit model.onnx --classes classes.txt --samples photos/",
            ),
            ("See every option", "leap-audit audit --help"),
        ),
    },
    "audit": {
        "Choose what is audited": (
            (
                "Some classes, by number",
                "leap-audit model.onnx --classes names.txt --targets 1,8,20-25",
            ),
            (
                "One by its whole name, then another",
                "leap-audit model.onnx --classes names.txt \\\n"
                "  --targets 'tench, Tinca tinca' --targets goldfish",
            ),
            (
                "Explain photographs as well",
                "leap-audit model.onnx --classes names.txt --samples photos/",
            ),
        ),
        "Say how the model reads a picture": (
            (
                "Height, width, channels; 0 to 255",
                "leap-audit net.onnx --layout NHWC --range 0,255",
            ),
            (
                "As Caffe trained them",
                "leap-audit net.onnx --channel-order BGR --range 0,255 \\\n"
                "  --mean 103.939,116.779,123.68 --std 1,1,1",
            ),
        ),
        "Bring a model of PyTorch or Keras": (
            (
                "A Keras model",
                "leap-audit model.keras --classes names.txt \\\n  --preprocessing keras.tf",
            ),
            ("A model exported by torch.export", "leap-audit model.pt2 --classes names.txt"),
        ),
        "In a script": (
            (
                "Fail if a threshold of a policy is missed",
                "leap-audit model.onnx --policy release.toml --junit junit.xml",
            ),
            ("A summary that programs read", "leap-audit model.onnx --quiet --json > summary.json"),
        ),
    },
    "many": {
        "Examples": (
            ("All models of a list", "leap-audit many models.toml --policy release.toml"),
            ("Some files, quickly", "leap-audit many one.onnx two.onnx --effort quick"),
        ),
    },
    "methods": {
        "Examples": (
            ("List the methods of measurement", "leap-audit methods"),
            ("Say everything about one, with its options", "leap-audit methods smoothgrad"),
            (
                "Run one beside the isolations",
                "leap-audit model.onnx --samples photos/ --methods smoothgrad \\\n"
                "  --method-option smoothgrad.copies=32",
            ),
        ),
    },
    "report": {
        "Examples": (
            ("Write the report again", "leap-audit report model-audit"),
            (
                "Judge it by other thresholds",
                "leap-audit report model-audit --policy release.toml --out judged/",
            ),
        ),
    },
    "policy": {
        "Examples": (
            ("Start a policy of your own", "leap-audit policy > release.toml"),
            ("What can be checked?", "leap-audit policy --list"),
        ),
    },
    "compare": {
        "Examples": (
            ("What changed with the new training?", "leap-audit compare v1-audit v2-audit"),
            (
                "Fail on a new finding of severity high",
                "leap-audit compare v1-audit v2-audit --fail-on high",
            ),
            (
                "A summary that programs read",
                "leap-audit compare v1-audit v2-audit --quiet --json",
            ),
        ),
    },
    "verify": {
        "Examples": (
            ("Is this still what was audited?", "leap-audit verify model-audit --model model.onnx"),
            (
                "Everything, and once more from the start",
                "leap-audit verify model-audit --model model.onnx \\\n"
                "  --classes classes.txt --samples photos/ --rerun",
            ),
            (
                "Who signed it?",
                "leap-audit verify model-audit \\\n  --signature model-audit.sig --key public.pem",
            ),
        ),
    },
    "attach": {
        "Examples": (
            ("Write or refresh the section of a card", "leap-audit attach model-audit README.md"),
            (
                "Offer the same to a repository of the Hub",
                "leap-audit attach model-audit README.md \\\n  --push me/model --create-pr",
            ),
            (
                "A copy of the model that carries the figures",
                "leap-audit attach model-audit --onnx model.onnx -o audited.onnx",
            ),
            (
                "For a supply chain",
                "leap-audit attach model-audit --cyclonedx bom.json \\\n  --intoto result.json",
            ),
            (
                "Into a run of MLflow",
                "leap-audit attach model-audit --mlflow http://localhost:5000 \\\n"
                "  --mlflow-run 0f3c",
            ),
        ),
    },
    "sign": {
        "Examples": (
            ("Write model-audit.sig", "leap-audit sign model-audit --key private.pem"),
            (
                "A pair of keys to do that with",
                "openssl ecparam -genkey -name prime256v1 -noout -out private.pem\n"
                "openssl ec -in private.pem -pubout -out public.pem",
            ),
        ),
    },
    "export": {
        "Examples": (
            ("Write model.onnx", "leap-audit export model.keras"),
            ("A model that leaves its size free", "leap-audit export net.pt --input-size 224,224"),
            (
                "The graph that is differentiated",
                "leap-audit export model.onnx --canonical -o c.onnx",
            ),
        ),
    },
    "examples": {
        "Examples": (
            (
                "Which training pictures are nearest?",
                "leap-audit examples model.onnx photo.jpg --training train/",
            ),
            (
                "Which ones would the answer miss?",
                "leap-audit examples model.onnx photo.jpg --training train/ -m influence",
            ),
            (
                "Over several checkpoints",
                "leap-audit examples model.onnx photo.jpg --training train/ -m tracin \\\n"
                "  --checkpoint epoch-1.onnx --checkpoint epoch-5.onnx",
            ),
        ),
    },
    "explain": {
        "Examples": (
            ("What does the answer depend on?", "leap-audit explain model.onnx photo.jpg"),
            (
                "Two methods, with their checks",
                "leap-audit explain model.onnx photos/ -m gradcam,saliency --check",
            ),
            (
                "Which method does best here?",
                "leap-audit explain model.onnx photos/ -m all --compare",
            ),
            (
                "What does this model lack for each method?",
                "leap-audit explain model.onnx --methods",
            ),
        ),
    },
    "gradient": {
        "Examples": (
            ("Write model.grad.onnx", "leap-audit gradient model.onnx"),
            ("For 8 pictures at once", "leap-audit gradient model.onnx -o eight.onnx --batch 8"),
            ("Of a layer, with its check", "leap-audit gradient model.onnx --of conv5 --check"),
            ("Guided backpropagation", "leap-audit gradient model.onnx --rules guided"),
        ),
    },
    "operators": {
        "Examples": (
            ("What has no gradient yet", "leap-audit operators --missing"),
            ("Can this model be differentiated?", "leap-audit operators model.onnx"),
        ),
    },
    "doctor": {
        "Examples": (
            ("What works on this machine?", "leap-audit doctor"),
            ("The same, for programs", "leap-audit doctor --json"),
        ),
    },
}


def print_examples(command: str) -> None:
    """Print the panels of examples of a command to stdout, under its help."""
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.text import Text

    console = Console(highlight=False)
    for title, examples in EXAMPLES.get(command, {}).items():
        lines = []
        for purpose, words in examples:
            lines.append(Text(purpose))
            lines.append(Text("\n".join(f"  {line}" for line in words.split("\n")), "bold cyan"))
        console.print(Panel(Group(*lines), title=title, title_align="left", border_style="dim"))
