"""Class lists as tools write them: each is read, or refused by the name of its format."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from leap_audit.errors import ClassesRefused
from leap_audit.ingest.classes.lists import read_class_list, read_classes
from leap_audit.ingest.classes.names import match_classes

ANIMALS = ("cat", "dog", "emu")
READ = {
    "class_indices.json": '{"dog": 1, "emu": 2, "cat": 0}',
    "nested.json": '{"class_indices": {"dog": 1, "emu": 2, "cat": 0}}',
    "class_to_idx.json": '{"class_to_idx": {"dog": 1, "emu": 2, "cat": 0}}',
    "from_one.json": '{"dog": 2, "emu": 3, "cat": 1}',
    "text_numbers.json": '{"dog": "1", "emu": "2", "cat": "0"}',
    "one_based.json": '{"3": "emu", "1": "cat", "2": "dog"}',
    "class_index.json": '{"0": ["n1", "cat"], "1": ["n2", "dog"], "2": ["n3", "emu"]}',
    "vocab.json": '{"vocab": ["cat", "dog", "emu"]}',
    "classes_.json": '{"classes_": ["cat", "dog", "emu"]}',
    "coco.json": '{"categories": [{"id": 2, "name": "dog"}, {"id": 3, "name": "emu"},'
    ' {"id": 1, "name": "cat"}]}',
    "objects.json": '[{"name": "cat"}, {"name": "dog"}, {"name": "emu"}]',
    "label2id.json": '{"label2id": {"emu": 2, "cat": 0, "dog": 1}}',
    "clsidx_to_labels.txt": "{0: 'cat',\n 1: 'dog',\n 2: 'emu'}\n",
    "trailing.txt": "{0: 'cat',\n 1: 'dog',\n 2: 'emu',\n}",
    "python_indices.txt": "{'dog': 1, 'emu': 2, 'cat': 0}",
    "python_list.txt": "['cat', 'dog',\n 'emu']  # three\n",
    "python_tuple.txt": "('cat', 'dog', 'emu')",
    "data.yaml": "path: ../data\ntrain: images/train\nnc: 3\nnames: ['cat', 'dog', 'emu']\n",
    "data2.yaml": "train: x\nnames:\n  0: cat\n  1: dog\n  2: emu\ndownload: |\n  import os\n",
    "data3.yml": "# Ultralytics\nnames:\n- cat\n- dog\n- emu\n",
    "data4.txt": "train: x\nval: y\nnames:\n  0: cat\n  1: dog\n  2: emu\n",
    "indices.yaml": "dog: 1\ncat: 0\nemu: 2\n",
    "list.yaml": "- cat\n- dog\n- emu\n",
    "dashes.txt": "- cat\n- dog\n- emu\n",
    "label_map.pbtxt": "item {\n  id: 1\n  name: 'cat'\n}\nitem {\n  name: \"dog\" id: 2\n}\n"
    "item { id: 3 name: '/m/0' display_name: 'emu' keypoints { id: 1 label: 'x' } }\n",
    "zero.pbtxt": "# made by hand\nitem: { id: 0 name: 'cat' } item: { id: 2, name: 'emu' }"
    " item: { id: 1, name: 'dog' }",
    "label_map.txt": "item {\n  id: 1\n  name: 'cat'\n}\nitem { id: 2 name: 'dog' }"
    "item { id: 3 name: 'emu' }",
    "class_number.csv": "class,name\n2,emu\n0,cat\n1,dog\n",
    "name_label.csv": "name,label\nemu,2\ncat,0\ndog,1\n",
    "semicolon.csv": 'id;name\r\n1;"cat"\r\n2;"dog"\r\n3;"emu"\r\n',
    "bom.csv": "\ufefflabel,index\r\nemu,2\r\ncat,0\r\ndog,1\r\n",
    "quoted.csv": '"id";"class"\n"1";"cat"\n"2";"dog"\n"3";"emu"\n',
    "spaced.csv": "Class ID,Class Name\n0,cat\n1,dog\n2,emu\n",
    "gtsrb.csv": "ClassId,SignName\n0,cat\n1,dog\n2,emu\n",
    "german.csv": "nr;klasse\n0;cat\n1;dog\n2;emu\n",
    "three.txt": "0\tn01440764\tcat\n1\tn01443537\tdog\n2\tn01484850\temu\n",
    "tabs.csv": "id\tname\n0\tcat\n1\tdog\n2\temu\n",
    "tabs.tsv": "name\tid\ncat\t0\ndog\t1\nemu\t2\n",
    "bars.csv": "id|name\n0|cat\n1|dog\n2|emu\n",
    "table.txt": "id,name\n2,emu\n0,cat\n1,dog\n",
    "freebase.csv": "/m/01,cat\n/m/02,dog\n/m/03,emu\n",
    "audioset.csv": 'index,mid,display_name\n0,/m/01,"cat"\n1,/m/02,"dog"\n2,/m/03,"emu"\n',
    "colon.txt": "0: cat\n1: dog\n2: emu\n",
    "space.txt": "2 emu\n0 cat\n1 dog\n",
    "coral.txt": "0  cat\n1  dog\n2  emu\n",
    "commas.txt": "0,cat\n1,dog\n2,emu\n",
    "dots.txt": "1. cat\n2. dog\n3. emu\n",
    "cub.txt": "001.cat\n002.dog\n003.emu\n",
    "equals.txt": "0=cat\n1=dog\n2=emu\n",
    "places365.txt": "cat 0\ndog 1\nemu 2\n",
    "behind.txt": "cat: 0\nemu: 2\ndog: 1\n",
    "synsets.txt": "n01440764 cat\nn01443537 dog\nn01484850 emu\n",
    "map_clsloc.txt": "n02119789 2 dog\nn02100735 1 cat\nn02110185 3 emu\n",
    "darknet.names": "cat\ndog\nemu\n",
    "spaces.txt": "  cat \r\n dog\r\nemu\r\n\r\n",
}


@pytest.mark.parametrize("file", READ)
def test_what_tools_write_is_read(tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    path.write_bytes(READ[file].encode())
    assert read_classes(path) == ANIMALS


KEPT = {
    "teachable.txt": ("0 Class 1\n1 Class 2\n", ("Class 1", "Class 2")),
    "digits.txt": ("0\n1\n2\n", ("0", "1", "2")),
    "counted.txt": ("class 0\nclass 1\nclass 2\n", ("class 0", "class 1", "class 2")),
    "aircraft.txt": ("Boeing 707\nBoeing 747\n", ("Boeing 707", "Boeing 747")),
    "cars.txt": ("2 door\n4 door\n", ("2 door", "4 door")),
    "years.txt": ("1967 Ford\n2012 Audi\n", ("1967 Ford", "2012 Audi")),
    "tags.txt": ("<b>cat</b>\n'><img src=x>\n", ("<b>cat</b>", "'><img src=x>")),
    "tokens.txt": ("<background>\ncat\n", ("<background>", "cat")),
    "brackets.txt": ("[unused]\n[mask]\n", ("[unused]", "[mask]")),
    "hyphens.txt": ("t-shirt/top\n-none-\n", ("t-shirt/top", "-none-")),
    "commas.txt": ("tench, Tinca tinca\ngoldfish\n", ("tench, Tinca tinca", "goldfish")),
    "hashes.txt": ("#cat\n#dog\n", ("#cat", "#dog")),
    "one.txt": ("broken", ("broken",)),
    "no.yaml": ("names: [no, yes, 1.0]", ("no", "yes", "1.0")),
    "folders.json": ('{"0": 0, "10": 1, "2": 2}', ("0", "10", "2")),
    "digits.json": ('{"0": "5", "1": "7"}', ("5", "7")),
}


@pytest.mark.parametrize("file", KEPT)
def test_names_that_look_like_something_else_are_kept(tmp_path: Path, file: str) -> None:
    data, names = KEPT[file]
    (tmp_path / file).write_text(data)
    assert read_classes(tmp_path / file) == names


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(["cat", "dog"]))
    return file.getvalue()


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "a.xml": ("<classes><class>cat</class></classes>", "is XML"),
    "xml.txt": ("<classes>\n<class>cat</class>\n</classes>", "is XML or HTML"),
    "cut_xml.txt": ("<item>\n<name>cat</name>\n", "is XML or HTML"),
    "page.txt": ("<!DOCTYPE html>\n<html>\ncat\n</html>", "is a web page"),
    "a.html": ("cat\ndog\n", "is a web page"),
    "train.yaml": ("lr: 0.1\nepochs: many\n", "is not a YAML list"),
    "yaml.txt": ("model: resnet\ndata: pets\n", "is YAML"),
    "bad.yaml": ("names: [cat, dog\n", "is not valid YAML"),
    "twice.yaml": ("names:\n  0: cat\n  0: dog\n", "numbers two names alike"),
    "gap.yaml": ("names:\n  0: cat\n  2: dog\n", "none for class 1"),
    "nc.yaml": ("nc: 3\nnames: [cat, dog]\n", "says nc: 3, and has 2 names"),
    "model.py": ("CLASSES = ['cat']", "is Python source"),
    "py.txt": ("import os\nCLASSES = [\n'cat',\n]\n", "is Python source"),
    "assigned.txt": ("classes = ['cat', 'dog']\n", "is source code"),
    "js.txt": ("export const CLASSES = {\n  0: 'cat',\n};\n", "is source code"),
    "a.toml": ("cat\ndog", "is TOML"),
    "toml.txt": ("[names]\n0 = 'cat'\nn = 1\n", "is TOML or INI"),
    "ini.txt": ("[net]\nbatch=64\n", "is TOML or INI"),
    "darknet.data": ("classes= 2\ntrain = t.txt\nnames = x.names\n", "is settings"),
    "table.txt": ("| id | name |\n|---|---|\n| 0 | cat |\n", "is a Markdown table"),
    "a.md": ("- cat\n- dog\n", "is Markdown"),
    "bullets.txt": ("* cat\n* dog\n", "is a Markdown list"),
    "lines.txt": ('{"name": "cat"}\n{"name": "dog"}\n', "is JSON Lines"),
    "quoted.txt": ("'cat',\n'dog',\n", "each line in quotes"),
    "bare_dict.txt": ("0: 'cat',\n1: 'dog',\n", "is an entry of a Python dict"),
    "cut.txt": ("{0: 'cat',\n 1: 'dog',\n", "begins like a list or map"),
    "cut2.txt": ("['cat',\n 'dog',\n", "begins like a list or map"),
    "numpy.txt": ("['cat' 'dog' 'emu']", "line 1: no comma"),
    "forgotten.txt": ("['cat',\n 'dog'\n 'emu']", "line 3: no comma"),
    "called.txt": ("[open('x'), 'cat']", "begins like a list or map"),
    "numbers.txt": ("[1, 2]", "is not a JSON list"),
    "double.txt": ("{0: 'cat', 0: 'dog'}", "numbers two names alike"),
    "double.json": ('{"0": "cat", "0": "dog"}', "numbers two names alike"),
    "names.json": ('{"cat": 0, "dog": 0}', "numbers two names alike"),
    "gap.json": ('{"cat": 0, "dog": 2}', "none for class 1"),
    "same.json": ('{"cat": 0, "cat": 1}', "two numbers, 0 and 1"),
    "from2.json": ('{"cat": 2, "dog": 3}', "is not a JSON list"),
    "minus.json": ('{"cat": -1, "dog": 0}', "is not a JSON list"),
    "bool.json": ('{"cat": true, "dog": false}', "is not a JSON list"),
    "gap.txt": ("0 cat\n1 dog\n3 emu\n", "none for class 2.* JSON list"),
    "twice.txt": ("0 cat\n1 dog\n1 emu\n", "line 3: number 1 is given .*in line 2"),
    "comment.txt": ("# animals\ncat\ndog\n", "line 1 begins like a comment"),
    "one_line.txt": ("cat,dog,emu\n", "one line with several names"),
    "gap.csv": ("id,name\n1,cat\n3,dog\n", "none for class 2"),
    "twice.csv": ("id,name\n1,cat\n1,dog\n", "row 3: number 1 is given"),
    "unnamed.csv": ("n,klasse,farbe\n0,cat,red\n1,dog,blue\n", "which of its 3 columns"),
    "unnamed2.csv": ("art,klasse\npet,cat\npet,dog\n", "which of its 2 columns"),
    "unnamed.txt": ("art\tklasse\npet\tcat\npet\tdog\n", "which of its 2 columns"),
    "ended.txt": ("cat;\ndog;\n", "which of its 2 columns"),
    "head.txt": ("key,value\ncat,0\ndog,1\n", "line 1 has no number"),
    "minus.txt": ("-1 none\n0 cat\n", "line 1 has a number below 0"),
    "latex.txt": ("\\begin{itemize}\n\\item cat\n\\item dog\n", "is LaTeX"),
    "empty.csv": ("id,name\n0,cat\n1,\n", "row 3 is empty"),
    "float.csv": ("id,name\n0.5,cat\n1,dog\n", "row 2 has no whole number"),
    "gap.pbtxt": ("item { id: 1 name: 'cat' } item { id: 5 name: 'dog' }", "none for class 2"),
    "no_id.pbtxt": ("item { name: 'cat' }", "item 1 of the label map has no name or no id"),
    "broken.pbtxt": ("item { id: 1 name: 'cat'", "is not a label map"),
    "other.pbtxt": ("node { op: 'Conv' }", "is a label map without items"),
    "latin.txt": ("cat\nhyène\n".encode("latin-1"), "line 2 has the byte 0xE8, as Latin-1"),
    "utf16.txt": ("cat\ndog\n".encode("utf-16"), "is UTF-16 text"),
    "a.npy": (_npy(), "is a NumPy array"),
    "a.pkl": (pickle.dumps(["cat", "dog"]), "is a Python pickle"),
    "a.xlsx": (b"PK\x03\x04\0\0", "is a ZIP archive"),
    "lfs.txt": ("version https://git-lfs.github.com/spec/v1\noid x\n", "is a Git LFS pointer"),
    "a.sh": ("#!/bin/sh\necho cat\n", "is a script"),
    "rtf.txt": (r"{\rtf1\ansi cat}", "begins like a list or map"),
    "laughs.yaml": (
        "a: &a [x, x]\n"
        + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n"
            for i in range(9)
        )
        + "names: *j\n",
        "is not valid YAML .*repeats itself",
    ),
}


@pytest.mark.parametrize("file", REFUSED)
def test_another_format_is_refused_by_its_name(tmp_path: Path, file: str) -> None:
    data, says = REFUSED[file]
    (tmp_path / file).write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(ClassesRefused, match=says) as caught:
        read_classes(tmp_path / file)
    assert len(str(caught.value).splitlines()) == 1
    assert str(tmp_path / file) in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_how_a_list_was_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"class_indices": {"cat": 1, "dog": 2}}))
    found = read_class_list(path)
    assert found.from_one
    assert found.notes == (
        "The names are what the file has as class_indices.",
        "The file numbers its classes from 1: number 1 is the model's first output.",
    )
    path = tmp_path / "a.txt"
    path.write_text("cat\ndog\n")
    assert read_class_list(path).notes == ()


def test_a_list_from_one_fits_a_model_with_a_background() -> None:
    names, (note,) = match_classes(["cat", "dog"], 3, from_one=True)
    assert names == ("background", "cat", "dog")
    assert "number 0, is taken for the background" in note
    assert match_classes(["cat", "dog"], 2, from_one=True) == (("cat", "dog"), ())
    with pytest.raises(ClassesRefused, match="one name is missing"):
        match_classes(["cat", "dog"], 3)


def test_the_lists_at_hand(shared: Path) -> None:
    counts = {path.name: len(read_classes(path)) for path in (shared / "labels").iterdir()}
    assert counts["imagenet_synset.txt"] == 1000
    assert counts["imagenet_labels_coral_1001.txt"] == 1001
    assert counts["mnist.txt"] == 10
    assert read_classes(shared / "labels/imagenet_synset.txt")[0] == "tench, Tinca tinca"
