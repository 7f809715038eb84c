"""What compare.py says: tables in Markdown, and one picture."""

from xml.sax.saxutils import escape

from workloads import SCALING, SCALING_GOAL, WORKLOADS

# figure: title, format.
COSTS = {
    "cpu": ("CPU us/op", "{:.3f}"),
    "instructions": ("instr/op", "{:.0f}"),
    "rate": ("ops/s", "{:.0f}"),
    "rss": ("RSS MB", "{:.1f}"),
}
LATENCIES = {"p50": ("p50 us", "{:.0f}"), "p99": ("p99 us", "{:.0f}"), "p99.9": ("p99.9 us", "{:.0f}")}


def judgement(ratio, goal):
    """`0.35 met`, or by how much it is missed."""
    if goal is None:
        return ""
    return f"{goal:.2f} met" if ratio <= goal else f"{goal:.2f} missed"


def table(summaries, figures, with_goals):
    """A Markdown table with columns as wide as they must be."""
    heading = ["workload"]
    for name, (title, _) in figures.items():
        heading += [f"{title} mc", "larder", "ratio"] + (["best"] if name == "cpu" else [])
        if name == "cpu" and with_goals:
            heading.append("goal")
    heading += ["errors mc/larder"] if with_goals else ["goals"]
    rows = [heading]
    for workload, summary in summaries.items():
        rows.append(row(workload, summary, figures, with_goals))
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(heading))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths))) + " |"
        for cells in rows)


def row(workload, summary, figures, with_goals):
    cells = [workload]
    for name, (_, form) in figures.items():
        values = summary.get(name)
        if values is None:
            cells += ["", "", ""] + (["", ""] if name == "cpu" else [])
            continue
        cells += [form.format(values["memcached"]), form.format(values["larder"]), f"{values['ratio']:.3f}"]
        if name == "cpu":
            cells.append(f"{values['best']:.3f}")
            if with_goals:
                cells.append(judgement(values["ratio"], WORKLOADS[workload].goal))
    if with_goals:
        cells.append(f"{summary['errors']['memcached']}/{summary['errors']['larder']}")
    else:
        goals = WORKLOADS[workload].latency_goals
        cells.append(", ".join(f"{name} {judgement(summary[name]['ratio'], goal)}" for name, goal in goals))
    return cells


def scaling(summaries):
    """What four threads cost over one, on the same cores."""
    lines = []
    for four, one in SCALING.items():
        if four in summaries and one in summaries:
            ratios = {
                kind: summaries[four]["cpu"][kind] / summaries[one]["cpu"][kind] for kind in ("memcached", "larder")}
            verdict = judgement(ratios["larder"], SCALING_GOAL)
            lines.append(
                f"CPU an operation, {four} over {one}: memcached {ratios['memcached']:.3f}, "
                f"larder {ratios['larder']:.3f} (goal {verdict})")
    return "\n".join(lines)


def floors(summaries):
    """What reading a request and sending a constant costs beside memcached and Larder."""
    return "\n".join(
        f"CPU an operation, {name}: floor {summary['floor']['cpu']:.3f} us, {summary['floor']['ratio']:.3f} of memcached's "
        f"(best {summary['floor']['best']:.3f}); larder {summary['cpu']['ratio']:.3f} (best {summary['cpu']['best']:.3f})"
        for name, summary in summaries.items() if "floor" in summary)


# ---- the picture ----

LEFT, WIDTH, TOP, STEP = 110, 640, 96, 26
MOST = 1.3


def place(ratio):
    return LEFT + WIDTH * min(ratio, MOST) / MOST


def picture(summaries, subtitle):
    """Ratios as an SVG: a bar for the CPU, marks for instructions and p99, a line for the goal."""
    height = TOP + STEP * len(summaries) + 40
    bottom = height - 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="900" height="{height}" viewBox="0 0 900 {height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        text(LEFT, 26, "Larder over memcached: less is better", size=16),
        text(LEFT, 46, subtitle, size=12, fill="#52525b"),
    ] + legend()
    for tenths in range(0, 13, 2):
        x, colour = place(tenths / 10), "#18181b" if tenths == 10 else "#d4d4d8"
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{colour}"/>')
        parts.append(text(x, bottom + 18, f"{tenths / 10:.1f}", anchor="middle"))
    for number, (workload, summary) in enumerate(summaries.items()):
        parts += bar(workload, summary, TOP + STEP * number)
    return "\n".join(parts + ["</svg>"]) + "\n"


def legend():
    y = 68
    return [
        f'<rect x="{LEFT}" y="{y - 10}" width="22" height="11" fill="#0b6bcb"/>',
        text(LEFT + 28, y, "CPU an operation"),
        f'<line x1="{LEFT + 160}" y1="{y - 13}" x2="{LEFT + 160}" y2="{y + 3}" stroke="#b91c1c" stroke-width="3"/>',
        text(LEFT + 168, y, "its goal"),
        f'<circle cx="{LEFT + 244}" cy="{y - 4}" r="5" fill="#15803d"/>', text(LEFT + 254, y, "instructions"),
        diamond(LEFT + 356, y - 4), text(LEFT + 366, y, "p99 (at the right edge: beyond)"),
    ]


def bar(workload, summary, top):
    middle = top + STEP / 2 - 3
    ratio = summary["cpu"]["ratio"]
    parts = [
        text(LEFT - 8, middle + 4, workload, anchor="end"),
        f'<rect x="{LEFT}" y="{top:.1f}" width="{place(ratio) - LEFT:.1f}" height="{STEP - 8}" fill="#0b6bcb" '
        f'fill-opacity="0.75"><title>{escape(WORKLOADS[workload].about)}</title></rect>',
        text(LEFT + WIDTH + 20, middle + 4, f"{ratio:.2f}"),
    ]
    goal = WORKLOADS[workload].goal
    if goal is not None:
        x = place(goal)
        parts.append(
            f'<line x1="{x:.1f}" y1="{top - 3}" x2="{x:.1f}" y2="{top + STEP - 5}" stroke="#b91c1c" stroke-width="3"/>')
    if "instructions" in summary:
        x = place(summary["instructions"]["ratio"])
        parts.append(f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="5" fill="#15803d" stroke="white"/>')
    parts.append(diamond(place(summary["p99"]["ratio"]), middle))
    return parts


def diamond(x, y):
    return (f'<path d="M {x:.1f} {y - 6:.1f} l 6 6 l -6 6 l -6 -6 z" fill="#f59e0b" stroke="white"/>')


def text(x, y, words, anchor="start", size=13, fill="#18181b"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}">'
            f"{escape(words)}</text>")
