"""The flags of the commands that read a finished audit: attach, verify, sign."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from leap_audit.attach.ways import WAYS
from leap_audit.cli.flags import GradientDebug, option

__all__: list[str] = []  # used as record_flags.Card, ...

_WHERE, _HUB, _OPTIONS = "What it is attached to", "Upload to the Hugging Face Hub", "Options"

AuditDir = Annotated[
    Path, typer.Argument(metavar="AUDIT_DIR", help="The folder that an audit wrote.")
]
Debug = GradientDebug
Json = Annotated[bool, option("--json", _OPTIONS, "Print the result for programs.")]

Card = Annotated[Path | None, typer.Argument(metavar=WAYS["card"].metavar, help=WAYS["card"].about)]
Report = Annotated[
    Literal["copy", "link"],
    option(
        "--report",
        _WHERE,
        "The PDF: a copy beside the card, or a link into the audit's folder (copy).",
        "copy|link",
    ),
]
Onnx = Annotated[
    Path | None, option(WAYS["onnx"].flag, _WHERE, WAYS["onnx"].about, WAYS["onnx"].metavar)
]
OnnxOut = Annotated[
    Path | None, option("--out -o", _WHERE, "That copy (MODEL.audited.onnx).", "FILE")
]
CycloneDx = Annotated[
    Path | None,
    option(WAYS["cyclonedx"].flag, _WHERE, WAYS["cyclonedx"].about, WAYS["cyclonedx"].metavar),
]
InToto = Annotated[
    Path | None, option(WAYS["intoto"].flag, _WHERE, WAYS["intoto"].about, WAYS["intoto"].metavar)
]
Mlflow = Annotated[
    str | None, option(WAYS["mlflow"].flag, _WHERE, WAYS["mlflow"].about, WAYS["mlflow"].metavar)
]
MlflowRun = Annotated[
    str | None, option("--mlflow-run", _WHERE, "The run that is logged to (a new one).", "ID")
]
Wandb = Annotated[
    str | None, option(WAYS["wandb"].flag, _WHERE, WAYS["wandb"].about, WAYS["wandb"].metavar)
]
Push = Annotated[
    str | None, option("--push", _HUB, "Upload the card and what it shows.", "OWNER/NAME")
]
CreatePr = Annotated[bool, option("--create-pr", _HUB, "As a pull request.")]
Yes = Annotated[bool, option("--yes", _HUB, "Upload without being asked.")]

Model = Annotated[
    Path | None, option("--model", _OPTIONS, "The model, to compare with the audited one.", "FILE")
]
Classes = Annotated[
    Path | None, option("--classes", _OPTIONS, "The list of class names, likewise.", "FILE")
]
Samples = Annotated[
    list[Path] | None,
    option("--samples", _OPTIONS, "The photographs: a file or folder; repeat for more.", "PATH"),
]
Rerun = Annotated[
    bool, option("--rerun", _OPTIONS, "Repeat the audit as it is recorded, and compare.")
]
Signature = Annotated[
    Path | None, option("--signature", _OPTIONS, "Check this signature of the folder.", "FILE")
]
PublicKey = Annotated[
    Path | None, option("--key", _OPTIONS, "The public key that it must be made with.", "PEM")
]
PrivateKey = Annotated[
    Path, option("--key", _OPTIONS, "An elliptic private key (P-256, P-384, P-521).", "PEM")
]
SignatureOut = Annotated[
    Path | None, option("--out -o", _OPTIONS, "File to write (AUDIT_DIR.sig).", "FILE")
]
