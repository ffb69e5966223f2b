"""Formats that are programs: every attack is refused by what is looked through, without a wall.

The files are real ones with one thing changed. Code that ran would write the file `ran`.
"""

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leap_audit.errors import ModelRefused
from leap_audit.ingest.files.archives import LARGEST_FILE, open_archive
from leap_audit.ingest.frameworks.pt2 import clean_size
from leap_audit.ingest.loading import read_source
from leap_audit.ingest.sandbox.parent import run_in_child
from leap_audit.ingest.sandbox.trust import require_walls, trust_models
from leap_audit.walls import confinement
from tests.builders.misbehaviour import trusts

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
Change = Callable[[dict[str, bytes]], None]


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolve = torch.nn.Conv2d(3, 4, 3)
        self.answer = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answer(torch.relu(self.convolve(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("program") / "m.pt2"
    free = ({0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=8, max=64)},)
    example = (torch.rand(2, 3, 16, 16),)
    torch.export.save(torch.export.export(Network().eval(), example, dynamic_shapes=free), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("script") / "m.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Network().eval()).save(path)
    return path.read_bytes()


def changed(data: bytes, change: Change) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return written.getvalue()


def refused(path: Path) -> str:
    with pytest.raises(ModelRefused) as caught:
        read_source(path)
    said = str(caught.value)
    assert not (path.parent / "ran").exists()
    assert "\n" not in said
    assert "does not say what pictures" not in said  # asked once everything was looked through
    return said


CODE = "__import__('pathlib').Path('ran').write_text('x')"


def described(entries: dict[str, bytes], change: Callable[[Any], None]) -> None:
    name = next(name for name in entries if name.endswith("models/model.json"))
    description = json.loads(entries[name])
    change(description)
    entries[name] = json.dumps(description).encode()


def sizes(description: Any) -> Iterator[dict[str, Any]]:
    waiting = [description]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "expr_str" in value:
                yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def size(text: str) -> Change:
    def change(description: Any) -> None:
        for each in sizes(description):
            each["expr_str"] = text

    return lambda entries: described(entries, change)


def at(place: str, value: Any) -> Change:
    def change(description: Any) -> None:
        *path, last = place.split("/")
        for step in path:
            description = description[int(step) if step.isdigit() else step]
        description[int(last) if last.isdigit() else last] = value

    return lambda entries: described(entries, change)


def entry(name: str, data: bytes = b"x") -> Change:
    def change(entries: dict[str, bytes]) -> None:
        root = next(iter(entries)).partition("/")[0]
        entries[name.replace("ROOT", root)] = data

    return change


def use_pickle(entries: dict[str, bytes]) -> None:
    name = next(name for name in entries if name.endswith("model_weights_config.json"))
    config = json.loads(entries[name])
    for each in config["config"].values():
        each["use_pickle"] = True
    entries[name] = json.dumps(config).encode()


NODES = "graph_module/graph/nodes/0"
PROGRAMS: dict[str, Change] = {
    "eval in brackets": size("(eval)((chr)(95)+(chr)(95))"),
    "an attribute": size("s0.__class__"),
    "a text": size("'x'.join(s0)"),
    "a lambda": size("(lambda: s0)()"),
    "a comprehension": size("[s0 for s0 in (1,)]"),
    "a subscript": size("s0[0]"),
    "an assignment": size("(x:=s0)"),
    "a conditional": size("s0 if s0 else 1"),
    "an f-string": size("f'{s0}'"),
    "a call by keyword": size("Max(key=s0)"),
    "spread arguments": size("Max(*s0)"),
    "a line break": size("s0\n+1"),
    "other letters": size("ｅｖａｌ(s0)"),
    "a large power": size("2**10**10"),
    "many powers": size("((((2**16)**16)**16)**16)**16"),
    "a symbol that is none": size("Symbol('__import__(0)')"),
    "an unknown function": size("sympify('1')"),
    "a statement": size(f"exec({CODE!r})"),
    "the system": at(f"{NODES}/target", "torch.os.system"),
    "a hub": at(f"{NODES}/target", "torch.hub.load"),
    "a loader": at(f"{NODES}/target", "torch.ops.aten.from_file.default"),
    "a saver": at(f"{NODES}/target", "torch.ops.aten.save.default"),
    "a method": at(f"{NODES}/target", "_operator.methodcaller"),
    "an attribute getter": at(f"{NODES}/target", "_operator.attrgetter"),
    "a dunder": at(f"{NODES}/target", "math.__loader__"),
    "another namespace": at(f"{NODES}/target", "torch.ops.image.read_file.default"),
    "an extension": at(f"{NODES}/target", "#os.system"),
    "a builtin": at(f"{NODES}/target", "builtins.eval"),
    "a name that is code": at("graph_module/graph/inputs/0/as_tensor/name", f"x={CODE}"),
    "a name with a line break": at("graph_module/graph/inputs/0/as_tensor/name", "x):\n import os"),
    "a node's name": at(f"{NODES}/name", f"y={CODE}"),
    "a nesting of any class": at(
        "graph_module/module_call_graph/0/signature",
        {"in_spec": '[1, {"type": "os.system"}]', "out_spec": "", "inputs": [], "outputs": []},
    ),
    "a default factory": at(
        "graph_module/module_call_graph/0/signature",
        {"in_spec": '[1, {"type": "collections.defaultdict"}]', "out_spec": ""},
    ),
    "an older layout": entry("ROOT/serialized_exported_program.json", b"{}"),
    "an older layout at the top": entry("serialized_exported_program.json", b"{}"),
    "a second model": entry("ROOT/models/other.json", b"{}"),
    "a library": entry("ROOT/data/aotinductor/model/a.so"),
    "a source": entry("ROOT/extra.py"),
    "an object": entry("ROOT/data/constants/custom_obj_0"),
    "an opaque object": entry("ROOT/data/constants/opaque_obj_0"),
    "weights in other letters": entry("ROOT/Data/weights/weight_0"),
    "the same name twice": entry("ROOT/MODELS/model.json", b"{}"),
    "a way out": entry("ROOT/../../ran"),
    "an absolute place": entry("/tmp/ran"),
    "pickled weights": use_pickle,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program(
    tmp_path: Path, program: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.pt2").write_bytes(changed(program, PROGRAMS[name]))
    refused(tmp_path / "m.pt2")


def test_examples_and_source_for_debugging_never_reach_pytorch(program: bytes) -> None:
    from leap_audit.ingest.frameworks.pt2 import clean_program

    def change(entries: dict[str, bytes]) -> None:
        at("guards_code", [CODE])(entries)
        at(f"{NODES}/metadata", {"source_fn_stack": f"x,{CODE}"})(entries)
        name = next(name for name in entries if name.endswith("sample_inputs/model.pt"))
        entries[name] = b"a pickle"
        entry("ROOT/extra/notes.txt", b"of the user")(entries)

    path = Path("m.pt2")
    with zipfile.ZipFile(io.BytesIO(changed(program, change))) as archive:
        from leap_audit.ingest.files.archives import Archive

        clean = clean_program(Archive(path, archive, 1000), path)
    assert b"write_text" not in clean
    assert b"a pickle" not in clean
    assert b"of the user" not in clean


@pytest.mark.parametrize(
    "text", ["s0", "s77 + 1", "Max(1, s0//2)", "Symbol('s0', integer=True)", "-s0*(u1 + 2)**2"]
)
def test_sizes_of_networks(text: str) -> None:
    assert clean_size(text) is not None


CALLS = {
    "save": "torch.save(x, 'ran')",
    "a space": "torch .save(x, 'ran')",
    "a line break": "torch.\\\n  save(x, 'ran')",
    "another namespace": "ops.aten.save(x, 'ran')",
    "a mapped file": "ops.aten.from_file('/etc/passwd', True, 1)",
    "a method": "x.save('ran')",
    "a name of its own": "_0 = torch.save; _0(x, 'ran')",
    "a name of the root": "_0 = torch; _0.save(x, 'ran')",
    "a picture": "ops.image.read_file('/etc/passwd')",
    "a written picture": "ops.image.write_file('ran', x)",
    "a remote call": "ops.prim.rpc_async('a', x)",
    "Python": "ops.prim.PythonOp(x)",
    "a print": "print(x)",
    "another print": "ops.prim.Print(x)",
    "a fork": "fork(x)",
    "a class of native code": "__torch__.torch.classes.profiling.Recorder()",
    "a subscript": "[torch.save][0](x, 'ran')",
    "an import": "import os",
    "a decorator": "@torch.save\n  def other(self): pass",
    "a lambda": "f = lambda y: y",
    "a with": "with x: pass",
    "a global": "global x",
    "an f-string": "y = f'{x}'",
    "letters that look alike": "tоrch.save(x, 'ran')",
    "no Python at all": "torch.relu(x) torch.save",
}


@pytest.mark.parametrize("name", CALLS)
def test_a_script(
    tmp_path: Path, script: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def change(entries: dict[str, bytes]) -> None:
        code = next(n for n in entries if n.endswith(".py") and b"convolve" in entries[n])
        text = entries[code].decode()
        place = text.index("    convolve = self.convolve")
        entries[code] = f"{text[:place]}    {CALLS[name]}\n{text[place:]}".encode()

    (tmp_path / "m.pt").write_bytes(changed(script, change))
    refused(tmp_path / "m.pt")


@pytest.mark.parametrize(
    "change",
    [
        entry("ROOT/model.json", b"{}"),
        entry("ROOT/attributes.pkl", b"cos\nsystem\n."),
        entry("other/code/__torch__.py", b"torch.save"),
        entry("ROOT/data.pkl", b"cos\nsystem\n(S'touch ran'\ntR."),
        entry("ROOT/constants.pkl", b"\x80\x04\x8c\x02os\x8c\x06system\x93."),
        entry("ROOT/data.pkl", b"c__torch__.torch.classes.profiling\nRecorder\n."),
    ],
)
def test_entries_of_a_script(tmp_path: Path, script: bytes, change: Change) -> None:
    (tmp_path / "m.pt").write_bytes(changed(script, change))
    refused(tmp_path / "m.pt")


def test_an_archive_that_swells(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/models/model.json", b"{}")
        archive.writestr("m/data/weights/weight_0", b"\0" * (200 << 20))
    with pytest.raises(ModelRefused, match="its contents claim"), open_archive(tmp_path / "m.pt2"):
        pass
    assert LARGEST_FILE > 2**32


def test_without_a_wall_a_program_is_refused_and_both_ways_out_are_named(
    tmp_path: Path, script: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"files": "the kernel offers no Landlock"}
    monkeypatch.setattr(confinement, "_missing", missing)
    (tmp_path / "m.pt").write_bytes(script)
    said = refused(tmp_path / "m.pt")
    assert "which is a program" in said
    assert "no Landlock" in said
    assert "--trust-model" in said
    assert "trust_model=True" in said
    assert "doctor" in said
    with trust_models(True):
        require_walls(tmp_path / "m.pt", "TorchScript")
    with pytest.raises(ModelRefused):
        require_walls(tmp_path / "m.pt", "TorchScript")


def test_the_child_is_told_who_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEAP_AUDIT_CONTAINED")
    assert run_in_child(trusts) is False
    with trust_models(True):
        assert run_in_child(trusts) is True
    assert run_in_child(trusts) is False
