"""Write the cards of the shipped models, from their model.json, into their folders and into the documentation.

python scripts/model_card.py
"""

from collections.abc import Mapping
from pathlib import Path

from napari_brainseg.core.cases import patient_of, site_of
from napari_brainseg.core.evaluation import POOR_DICE, Summary
from napari_brainseg.core.model_folders import DEFAULT_MODEL, ModelInfo, model_folder, read_model_info, shipped_models
from napari_brainseg.core.score_tables import has_interval

ROOT = Path(__file__).parents[1]

_CARD = """\
# Card of the model `{name}`

Outlines low-grade glioma on MRI of the brain: `load_model("{name}")`, or *{name} (shipped)* in the Segment tab, {use}.
All figures on this card are made from `model.json` by `scripts/model_card.py`.

## What it is for, and what not

**For** research and teaching: a first outline of the FLAIR abnormality of adults with low-grade glioma, which a person
checks and corrects. It takes FLAIR with pre- and post-contrast T1, or FLAIR alone, and slices of any size.

**Not for** diagnosis or treatment: it is no medical device and was not tested as one. Not for other tumours, children,
CT, MRI without FLAIR, or parts of a tumour: there is one label.

## Data and licence

Trained on {cases} cases of the TCGA-LGG collection of The Cancer Imaging Archive, with the manual masks that Mateusz
Buda published in the Kaggle data set `mateuszbuda/lgg-mri-segmentation`, outlined on FLAIR. That data set is under
[CC BY-NC-SA 4.0](https://creativecommons.org/licenses/by-nc-sa/4.0/), and so are the weights: with attribution, not for
commercial use, and passed on alike. The code of the package is under the BSD 3-Clause licence.

Please cite: Buda, Saha, Mazurowski, "Association of genomic subtypes of lower-grade gliomas with shape features
automatically extracted by a deep learning algorithm", *Computers in Biology and Medicine* 109, 2019; and for the images
Pedano et al., "The Cancer Genome Atlas Low Grade Glioma Collection", The Cancer Imaging Archive, 2016,
[doi:10.7937/K9/TCIA.2016.L4LTD3TK](https://doi.org/10.7937/K9/TCIA.2016.L4LTD3TK).

## How good it is

The model has seen all of these cases, so what it says of them does not tell how good it is. Models that were trained
in the same way without them speak for it: Dice per volume of {scored} cases that they had not seen, threshold 0.5, none
left out, nothing cleaned up. In brackets the 95 % interval of the mean, by drawing patients with replacement.

{table}
{beside}
{probability}

## Known failures

{poor}

- Bright places that look like tumour on FLAIR are taken for it: around the ventricles, and at the top of the head.
- Large parts of a tumour that is hardly brighter than grey matter may be missed, and a small one altogether.
- How much of the folded cortex around a tumour counts is a matter of taste, in the masks as well.
- Scanners, sequences and stages of treatment that this collection does not have were not tested.

![The worst unseen cases, where they are worst](https://raw.githubusercontent.com/napari-brainseg/napari-brainseg/main/docs/images/{picture})

The page on accuracy in the documentation (`docs/accuracy.md`) looks into them.

## How to make it again

With the data set unpacked beside it:

```
{make}
```

Models of folds are made with `--folds folds.json --fold 0` in place of `--validation-share 0`, and
`python benchmarks/accuracy.py kaggle_3m FOLD_MODEL...` scores them and finds the temperature,
{temperature:.2f} here, which a trained model does not have by itself. On another kind of processor the weights come out
a little different.
"""


_USES = {DEFAULT_MODEL: "which begins with it", "fast": "for a computer on which `default` takes too long"}
_MAKE = "brainseg train kaggle_3m --config model.json --validation-share 0 --device auto --output again"
_GO_ON = """\
python benchmarks/cross_validation.py kaggle_3m folds.json cv fast --folds all
brainseg train kaggle_3m --config model.json --from cv/fast/all --validation-share 0 --device auto --output again"""


def places(name: str) -> tuple[Path, Path]:
    """Where people look for the card of a shipped model."""
    page = "model-card.md" if name == DEFAULT_MODEL else f"model-card-{name}.md"
    return model_folder(name) / "README.md", ROOT / "docs" / page


def model_card(info: ModelInfo) -> str:
    """Everything that a person should know before they use the model."""
    dice = dict(sorted(info.recipe_dice.items(), key=lambda item: item[1]))
    poor = [f"{name} ({value:.2f})" for name, value in dice.items() if value < POOR_DICE]
    is_default = info.name == DEFAULT_MODEL
    return _CARD.format(
        name=info.name,
        use=_USES[info.name],
        picture="worst.png" if is_default else f"worst-{info.name}.png",
        beside="" if is_default else _beside_default(info),
        make=_GO_ON if info.lineage else _MAKE,
        cases=len(info.train_cases),
        scored=len(dice),
        table=_table(dice),
        temperature=info.temperature,
        probability=_say_of_probability(info.temperature),
        poor=f"Below {POOR_DICE}: {len(poor)} of {len(dice)} cases{': ' if poor else ''}{', '.join(poor)}.",
    )


def write_card(info: ModelInfo) -> None:
    """Write the card of a shipped model wherever people look for it."""
    for place in places(info.name):
        place.write_text(model_card(info), "utf-8")


def _beside_default(info: ModelInfo) -> str:
    """How far from the default model it is, on the cases that neither recipe had seen."""
    others = read_model_info(DEFAULT_MODEL).recipe_dice
    gains = {name: value - others[name] for name, value in info.recipe_dice.items() if name in others}
    found = Summary.of(gains.values(), map(patient_of, gains))
    assert found.interval
    low, high = found.interval
    return (
        f"\nOn {len(gains)} of these cases the recipe of `default` was scored as well: this one is {found.mean:+.3f} "
        f"[{low:+.3f}, {high:+.3f}]\nfrom it, case by case.\n"
    )


def _table(dice: Mapping[str, float]) -> str:
    groups = {"all": dice}
    for site in sorted({site_of(name) for name in dice}):
        groups[f"site {site}"] = {name: value for name, value in dice.items() if site_of(name) == site}
    lines = [f"| cases | number | mean | median | smallest | below {POOR_DICE} |", "|---|---|---|---|---|---|"]
    for title, group in groups.items():
        found = Summary.of(group.values(), map(patient_of, group))
        interval = " [{:.3f}, {:.3f}]".format(*found.interval) if found.interval and has_interval(found) else ""
        poor = sum(value < POOR_DICE for value in group.values())
        figures = f"{found.mean:.3f}{interval} | {found.median:.3f} | {found.minimum:.3f} | {poor}"
        lines.append(f"| {title} | {len(group)} | {figures} |")
    return "\n".join(lines)


def _say_of_probability(temperature: float) -> str:
    if temperature == 1:
        return (
            "The probability is that of the network as it was trained: take it for an order, not for a share of voxels."
        )
    return (
        f"A network is surer than it should be, so its logits are divided by a temperature of {temperature:.2f},\n"
        "measured on unseen cases. That helps and is no cure (`docs/accuracy.md`): of a case that fails it can be\n"
        "sure and wrong."
    )


if __name__ == "__main__":
    for shipped in shipped_models():
        write_card(read_model_info(shipped))
