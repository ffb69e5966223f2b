"""The base class of all artifacts: frozen data without unknown fields."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Frozen"]


class Frozen(BaseModel):
    """A record without behaviour; an unknown field is an error."""

    # The docstrings of the fields are the descriptions in docs/audit.schema.json.
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True
    )
