"""Put a trained model and its card into the package, with the scores of models of folds that were trained alike.

    python scripts/ship_model.py NAME MODEL_FOLDER FOLD_MODEL_FOLDER... [--temperature T]

A model trained on all cases has none left to be validated on. Models of the same recipe that left some out speak for
it, and so does the temperature that fits what they say of those cases: `benchmarks/accuracy.py` finds it.
"""

import argparse
import sys
from pathlib import Path

from model_card import ROOT, write_card

from napari_brainseg.core.model_folders import read_model_info
from napari_brainseg.core.models import TrainedModel, load_model, save_model


def main() -> None:
    """Copy the model, and check that the recipe is the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="what it is to be called, such as default")
    parser.add_argument("model", type=Path)
    parser.add_argument("folds", type=Path, nargs="+")
    parser.add_argument("--temperature", type=float, default=1.0, help="what its logits are divided by")
    options = parser.parse_args()
    model = load_model(options.model)
    folds = [read_model_info(folder) for folder in options.folds]
    if any(fold.model != model.info.model for fold in folds):
        sys.exit("a model of a fold has another network or preprocessing")
    dice = {name: score for fold in folds for name, score in fold.validation_dice.items()}
    if not dice:
        sys.exit("the models of folds have no scores, so that nothing can be said of this one")
    info = model.info.changed({"name": options.name, "recipe_dice": dice, "temperature": options.temperature})
    folder = ROOT / "src" / "napari_brainseg" / "models" / options.name
    shipped = save_model(TrainedModel(info, model.network), folder, overwrite=True)
    write_card(shipped.info)
    print(f"{folder}: {len(info.train_cases)} training cases, recipe scored on {len(dice)}")


if __name__ == "__main__":
    main()
