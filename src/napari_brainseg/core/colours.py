"""Colours that mean the same in layers, plots and reports; safe for the colour-blind (Okabe and Ito 2008)."""

MANUAL = "#56B4E9"
PREDICTION = "#E69F00"
CORRECTION = "#CC79A7"
OTHER = "#F0E442"
"""Of a mask that may be any of these."""

AGREE = "#009E73"
MISSED = "#0072B2"
TOO_MUCH = "#D55E00"
