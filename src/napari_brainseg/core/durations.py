"""How long something takes, as a person says it."""


def in_words(seconds: float) -> str:
    """Seconds in the unit that fits: 45 s, 6 min, 4 h, 3 days."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    if hours < 10:
        return f"{hours:.1f} h".replace(".0 h", " h")
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"
