"""atheris on `normalise`: `python -m tests.fuzz normalise`."""

from __future__ import annotations

from tests.fuzz.harness import StructuralMutator, fuzz, instrumented

with instrumented():
    from tests.fuzz.oracles import check_normalise

if __name__ == "__main__":
    fuzz(check_normalise, StructuralMutator())
