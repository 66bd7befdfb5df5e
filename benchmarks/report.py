"""Tables of docs/performance.md from figures that the topics wrote with --json.

    python benchmarks/gemm.py --threads 1 --json gemm1.json
    python benchmarks/report.py gemm1.json ... [--write docs/performance.md]

Of each file a table: rates of every contender, tilec's ratio to the best other one, its share of the machine's peak
(measured here, for as many threads), geometric means. A table takes the place of the one between its two marks.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tilec.devices import resolve_target
from tilec.dtypes import F32
from tilec.measure.peaks import Peaks, measure

Figures = Mapping[str, Any]


@cache
def peaks(threads: int) -> Peaks:
    return measure(replace(resolve_target("llvm"), threads=threads))


def table(figures: Figures) -> str:
    """Markdown."""
    if figures["topic"] == "latency":
        return _latency(figures["milliseconds"])
    if figures["topic"] == "networks":
        return _networks(figures["networks"])
    rows, work = figures["seconds"], figures["work"]
    names = sorted({n for row in rows.values() for n in row}, key=lambda n: (n != "tilec", n))
    share = figures["unit"] == "GFLOP/s"
    lines = [_line([figures["unit"], *names, "tilec / best", *(["of the peak"] if share else [])])]
    lines.append(_line(["---", *["---:"] * (len(names) + 1 + share)]))
    peak = peaks(figures["threads"]).flops[F32] if share else 1.0
    for label, row in rows.items():
        rates = [f"{work[label] / row[n] / 1e9:.1f}" if n in row else "" for n in names]
        mine = [f"{work[label] / row['tilec'] / peak:.2f}"] if share and "tilec" in row else []
        lines.append(_line([label, *rates, _ratio(row), *mine]))
    lines.append(
        _line(["tilec / each, geometric mean", "", *(_mean(rows, n) for n in names[1:]), _mean(rows), *[""] * share])
    )
    return "\n".join(lines)


def _latency(rows: Mapping[str, Mapping[str, float]]) -> str:
    kinds = ("imports", "first", "cached", "later")
    lines = [_line(["ms", *kinds]), _line(["---", *["---:"] * len(kinds)])]
    lines += [_line([name, *(f"{row[k]:.1f}" for k in kinds)]) for name, row in rows.items()]
    return "\n".join(lines)


def _networks(rows: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Milliseconds of all contenders; what tilec needs to begin, beside torch.compile, and its memory."""
    names = list(dict.fromkeys(n for row in rows.values() for n in row))
    figures = ["tilec / best", "first call, s", "of torch.compile", "peak, MiB", "least other"]
    lines = [_line(["ms", *names, *figures]), _line(["---", *["---:"] * (len(names) + len(figures))])]
    times = {label: {n: f["time"] for n, f in row.items()} for label, row in rows.items()}
    for label, row in rows.items():
        own, others = row["tilec"], [f for n, f in row.items() if n != "tilec"]
        compiled = f"{row['torch.compile']['first']:.1f}" if "torch.compile" in row else ""
        peaks = f"{own['peak']:.0f}", f"{min(f['peak'] for f in others):.0f}"
        shown = [f"{row[n]['time'] * 1e3:.3g}" if n in row else "" for n in names]
        lines.append(_line([label, *shown, _ratio(times[label]), f"{own['first']:.1f}", compiled, *peaks]))
    for kind in ("inference", "training"):
        chosen = {label: t for label, t in times.items() if kind in label}
        each = [_mean(chosen, n) for n in names if n != "tilec"]
        lines.append(_line([f"{kind}: tilec / each, geometric mean", "", *each, _mean(chosen), *[""] * 4]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _others(row: Mapping[str, float]) -> list[float]:
    return [s for n, s in row.items() if n != "tilec"]


def _ratio(row: Mapping[str, float]) -> str:
    return f"{min(_others(row)) / row['tilec']:.2f}" if "tilec" in row and _others(row) else ""


def _mean(rows: Mapping[str, Mapping[str, float]], name: str | None = None) -> str:
    """Geometric mean of tilec's ratio to one contender, or to the best of each row."""
    both = [r for r in rows.values() if "tilec" in r and (name in r if name else _others(r))]
    ratios = [(r[name] if name else min(_others(r))) / r["tilec"] for r in both]
    return f"{statistics.geometric_mean(ratios):.2f}" if ratios else ""


def title(figures: Figures) -> str:
    return " ".join([figures["topic"], *([f"threads={figures['threads']}"] if "threads" in figures else [])])


def placed(text: str, name: str, made: str) -> str:
    """The text with the table between `<!-- name -->` and `<!-- end -->` replaced; raises SystemExit without marks."""
    marks = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marks.search(text):
        raise SystemExit(f"there is no place for '{name}'")
    return marks.sub(lambda m: f"{m[1]}\n{made}\n\n{m[2]}", text)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tables from figures of benchmarks.")
    parser.add_argument("figures", nargs="+", type=Path)
    parser.add_argument("--write", type=Path, help="document whose tables are replaced")
    options = parser.parse_args()
    text = options.write.read_text(encoding="utf-8") if options.write else ""
    for path in options.figures:
        figures = json.loads(path.read_text(encoding="utf-8"))
        if options.write:
            text = placed(text, title(figures), table(figures))
        else:
            print(f"\n{title(figures)}\n\n{table(figures)}")
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
