"""`make train LABELLED=folder`: write the fallback's weights and its model card."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from services.analyzer.training.card import model_card
from services.analyzer.training.labelled import read_folder
from services.analyzer.training.training import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labelled", type=Path, help="folder with files author-*.jsonl")
    parser.add_argument("--weights", type=Path, required=True, help="the data file to write")
    parser.add_argument("--card", type=Path, required=True, help="the page to write")
    parser.add_argument("--day", type=date.fromisoformat, help="day for the page; by default that of the newest `now`")
    arguments = parser.parse_args()
    conversations = read_folder(arguments.labelled)
    newest = max(each.analysis_input.now for each in conversations).date()
    trained = train(conversations)
    arguments.weights.write_text(trained.model.to_json(trained.wording), encoding="utf-8")
    arguments.card.write_text(model_card(trained, arguments.day or newest), encoding="utf-8")


if __name__ == "__main__":
    main()
