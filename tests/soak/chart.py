"""Charts of a soak as one SVG: a panel for each column, its samples as a line, and the two medians that are compared."""

WIDTH, PANEL, LEFT, RIGHT, GAP = 1000, 130, 90, 20, 34
STYLE = "font-family:sans-serif;font-size:12px;fill:#333"


def nice(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"


def panel(at: int, title: str, times: list[float], values: list[float], medians: list[tuple[float, float, float]]) -> str:
    """`medians` are spans of time with a value."""
    top, bottom = at + GAP, at + GAP + PANEL
    high = max(values, default=0) * 1.05 or 1
    end = times[-1] if times and times[-1] > 0 else 1

    def x(time: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * time / end

    def y(value: float) -> float:
        return bottom - PANEL * value / high

    points = " ".join(f"{x(time):.1f},{y(value):.1f}" for time, value in zip(times, values))
    lines = [
        f'<text x="{LEFT}" y="{top - 8}" style="{STYLE};font-weight:bold">{title}</text>',
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{PANEL}" fill="#fafafa" stroke="#ccc"/>',
        f'<text x="{LEFT - 8}" y="{top + 10}" text-anchor="end" style="{STYLE}">{nice(high)}</text>',
        f'<text x="{LEFT - 8}" y="{bottom}" text-anchor="end" style="{STYLE}">0</text>',
        f'<polyline points="{points}" fill="none" stroke="#1f6feb" stroke-width="1.2"/>',
    ]
    for begin, until, value in medians:
        lines.append(
            f'<line x1="{x(begin):.1f}" x2="{x(until):.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#d1242f" stroke-width="2"/>'
            f'<text x="{x(until):.1f}" y="{y(value) - 5:.1f}" text-anchor="end" style="{STYLE};fill:#d1242f">{nice(value)}</text>'
        )
    return "\n".join(lines)


def chart(samples: list[dict[str, float]], medians: dict[str, list[tuple[float, float, float]]]) -> str:
    """An SVG of all columns but `time`."""
    columns = [name for name in samples[0] if name != "time"]
    times = [sample["time"] for sample in samples]
    height = len(columns) * (PANEL + GAP) + 40
    panels = [
        panel(index * (PANEL + GAP), name, times, [sample[name] for sample in samples], medians.get(name, []))
        for index, name in enumerate(columns)
    ]
    footer = f'<text x="{WIDTH - RIGHT}" y="{height - 14}" text-anchor="end" style="{STYLE}">{nice(times[-1])} s</text>'
    body = "\n".join([*panels, footer])
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" style="background:#fff">\n{body}\n</svg>\n'
