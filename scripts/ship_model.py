"""Put a trained model into the package, with the scores of models of folds that were trained in the same way.

    python scripts/ship_model.py MODEL_FOLDER FOLD_MODEL_FOLDER...

A model trained on all cases has none left to be validated on. Models of the same recipe that left some out speak for
it.
"""

import sys
from pathlib import Path

from napari_brainseg.core.model_folders import DEFAULT_MODEL, read_model_info
from napari_brainseg.core.models import TrainedModel, load_model, save_model

SHIPPED = Path(__file__).parents[1] / "src" / "napari_brainseg" / "models" / DEFAULT_MODEL


def main() -> None:
    """Copy the model, and check that the recipe is the same."""
    model = load_model(sys.argv[1])
    folds = [read_model_info(folder) for folder in sys.argv[2:]]
    if any(fold.model != model.info.model for fold in folds):
        sys.exit("a model of a fold has another network or preprocessing")
    dice = {name: score for fold in folds for name, score in fold.validation_dice.items()}
    info = model.info.model_copy(update={"name": DEFAULT_MODEL, "recipe_dice": dice})
    save_model(TrainedModel(info, model.network), SHIPPED, overwrite=True)
    print(f"{SHIPPED}: {len(info.train_cases)} training cases, recipe scored on {len(dice)}")


if __name__ == "__main__":
    main()
