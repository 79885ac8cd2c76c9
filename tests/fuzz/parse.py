"""atheris on `parse_body`: `python -m tests.fuzz parse`."""

from __future__ import annotations

from tests.fuzz.harness import StructuralMutator, fuzz, instrumented

with instrumented():
    from tests.fuzz.oracles import check_parse

if __name__ == "__main__":
    fuzz(check_parse, StructuralMutator())
