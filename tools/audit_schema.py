"""docs/audit.schema.json: the JSON Schema of audit.json, from the classes that write it.

    python -m tools.audit_schema

writes the file, which tests hold against the classes.
"""

import json
from pathlib import Path
from typing import Any

from leap_audit.artifacts import Audit

PAGE = Path(__file__).resolve().parents[1] / "docs" / "audit.schema.json"
OUT_OF_DATE = "docs/audit.schema.json is out of date: make schema"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what an audit of this version holds."""
    found = Audit.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | found


if __name__ == "__main__":
    PAGE.write_text(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
