"""How long something takes and when it was, as a person says it."""

from datetime import UTC, datetime, timedelta


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


def in_full(seconds: float) -> str:
    """Time that was spent, to the second: 12 s, 4 min 12 s, 1 h 4 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def now(timespec: str = "seconds") -> str:
    """The time as files have it, UTC."""
    return datetime.now(UTC).isoformat(timespec=timespec)


def moment(time: datetime) -> str:
    """When something was, in this computer's time: 14:02, yesterday 14:02, 3 May 14:02, 3 May 2024."""
    local, today = time.astimezone(), datetime.now().astimezone().date()
    clock = f"{local:%H:%M}"
    if local.date() == today:
        return clock
    if local.date() == today - timedelta(days=1):
        return f"yesterday {clock}"
    return f"{local.day} {local:%b} {clock}" if local.year == today.year else f"{local.day} {local:%b %Y}"
