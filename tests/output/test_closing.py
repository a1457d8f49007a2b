"""The closing words: a table per instance, latencies, the outcome in one sentence."""

from __future__ import annotations

import copy
import io
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import adpkv
from adpkv.core.columns import COLUMNS
from adpkv.output.closing import closing_sentence, show_closing

LEFT_OUT = (
    *("context_ttft_s", "itl_s", "tpot_s"),
    *(f"{column}_s" for column in COLUMNS if column != "decode"),
)
NO_SAMPLE = dict.fromkeys(("p50", "p90", "p99", "mean", "max"))
AVOIDED = {
    "rank": 2,
    "instance": "generation-1",
    "times": 4,
    "probes": 3,
    "readmitted": 0,
    "for_s": 7.74,
    "now": True,
}
CLEAN: dict[str, Any] = {
    "world": "virtual",
    "outcome": "completed",
    "exit_code": 0,
    "wall_s": 1.25,
    "simulated_s": None,
    "requests": {
        "submitted": 9,
        "completed": 8,
        "cancelled": 1,
        "timed_out": 0,
        "failed": 0,
        "refused": 0,
        "never_arrived": 0,
    },
    "responses": {"terminal": 9, "duplicates": 0},
    "transfers": {"quarantined_now": 0},
    "blocks": {
        "context-0": {"total": 4096, "free": 4000, "in_transfer": 0, "leaked": 0},
        "generation-1": {"total": 1024, "free": 1024, "in_transfer": 0, "leaked": 0},
    },
    "latency": {
        "ttft_s": {"p50": 0.0125, "p90": 1.5, "p99": 2.0, "mean": 0.000_25, "max": 2.0},
        "e2e_s": {"p50": 2.0, "p90": 2.0, "p99": 2.0, "mean": 2.0, "max": 2.0},
        "decode_s": {"p50": 1.0, "p90": 1.0, "p99": 1.0, "mean": 1.5, "max": 2.0},
        **dict.fromkeys(LEFT_OUT, NO_SAMPLE),
    },
    "rates": {
        "requests_per_s": 12.345,
        "output_tokens_per_s": 1234.5,
        "prompt_tokens_per_s": None,
        "error_rate": 0.125,
        "goodput_per_s": None,
        "slo_attainment": None,
        "prefix_hit_rate": 0.5,
    },
    "utilisation": {
        "context-0": {
            "step_share": 0.415,
            "step_wait_share": 0.284,
            "steps": 177,
            "tokens_per_step": 480.8,
        }
    },
    "failures": [],
    "broken_off": None,
    "lost": [],
    "recomputed": 0,
    "health": {"reasons": []},
    "avoided": [],
    "outages": [],
    "violations": [],
    "faults": {},
    "unfired": [],
    "maintenance_missed": [],
}


def _changed(*path: Any, to: Any) -> dict[str, Any]:
    summary = copy.deepcopy(CLEAN)
    place = summary
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return summary


def test_a_run_that_was_broken_off_says_why_and_not_that_nothing_leaked() -> None:
    stuck = _changed("broken_off", to={"why": "no rank can go on", "unanswered": 4})
    assert closing_sentence(stuck | {"outcome": "deadlock"}) == (
        "deadlock: 8 of 9 requests completed, 1 cancelled, 4 without an answer in 1.2 s;"
        " no rank can go on."
    )


def test_of_a_run_that_was_killed_no_blocks_are_shown(tmp_path: Path) -> None:
    adpkv.simulate("quickstart", set={"workload.requests": 5}, out=tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    killed = adpkv.load_run(tmp_path / "run")
    assert repr(killed).endswith(
        "; there is no summary.json: the run was killed, or is still at work.>"
    )
    assert "KV blocks" not in str(killed)


def test_a_clean_run_in_one_sentence() -> None:
    assert closing_sentence(CLEAN) == (
        "completed: 8 of 9 requests completed, 1 cancelled in 1.2 s; no violation, nothing leaked."
    )


def test_of_real_ranks_it_says_over_what() -> None:
    real = CLEAN | {"world": "mpi", "transport": "nixl", "memory": "cuda", "staging": None}
    assert " in 1.2 s over nixl, cuda memory; no violation" in closing_sentence(real)
    staged = closing_sentence(real | {"staging": {"total": 64}})
    assert " in 1.2 s over nixl, cuda memory, 64 staging slots; no violation" in staged


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (_changed("simulated_s", to=60.0), "in 60.0 s of virtual time (1.2 s)"),
        (_changed("requests", "timed_out", to=2), "2 timed out"),
        (_changed("requests", "never_arrived", to=1234), ", 1,234 never arrived in 1.2 s"),
        (_changed("blocks", "context-0", "leaked", to=1), "; 1 block leaked."),
        (_changed("transfers", "quarantined_now", to=2), "; 2 transfers in quarantine."),
        (_changed("responses", "duplicates", to=2), "; 2 duplicate responses."),
        (_changed("health", "reasons", to=["age"]), "; unhealthy: age."),
        (_changed("avoided", to=[AVOIDED]), "; rank 2 avoided after failures."),
        (_changed("recomputed", to=2), "; 2 requests computed again."),
        (
            _changed("violations", to=[{"kind": "leak", "rank": 3, "at_s": 1, "detail": "b7"}]),
            "; 1 violation, the first of kind leak on rank 3 at 1.000 s: b7.",
        ),
    ],
)
def test_what_is_wrong_is_said(summary: dict[str, Any], said: str) -> None:
    assert said in closing_sentence(summary)


def test_without_a_terminal_it_is_plain_text() -> None:
    out = io.StringIO()
    show_closing(Console(file=out, width=30), CLEAN, Path("runs/x"))
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert "context-0 4,096 4,000 0 0" in lines
    assert "generation-1 1,024 1,024 0 0" in lines
    assert "time to first token 12.50 ms 1.50 s 2.00 s 250.0 µs 2.00 s" in lines
    assert "time per output token - - - - -" in lines
    assert "context-0 41.5% 28.4% 177 480.8" in lines
    assert out.getvalue().splitlines()[-2:] == [closing_sentence(CLEAN), "files: runs/x"]
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_window_cuts_a_figure_or_leaves_a_column_out(width: int) -> None:
    plain, narrow = io.StringIO(), io.StringIO()
    show_closing(Console(file=plain), CLEAN)
    show_closing(Console(file=narrow, width=width, force_terminal=True, color_system=None), CLEAN)
    assert max(map(len, narrow.getvalue().splitlines())) <= width
    assert set(plain.getvalue().split()) == set(narrow.getvalue().split())
    assert "files:" not in narrow.getvalue()


def test_a_fault_that_could_never_fire_is_a_warning() -> None:
    """One that chance left out is none: another seed may draw it."""
    never = "faults.0 (lose) could never fire: no ended happened on its ranks"
    chance = "faults.1 (stall) did not fire: it fitted, and with a probability of 0 was not drawn"
    out = io.StringIO()
    show_closing(Console(file=out), _changed("unfired", to=[never, chance]))
    assert f"warning: {never}\n" in out.getvalue()
    assert "faults.1" not in out.getvalue()


def test_maintenance_that_did_not_happen_is_a_warning() -> None:
    missed = {"entry": 0, "instance": "context-0", "after_s": 0.25, "why": "none could serve"}
    said = "topology.maintenance.0 (context-0 after 0.25 s) did not happen: none could serve"
    assert f"warning: {said}\n" in shown(_changed("maintenance_missed", to=[missed]), None)


def shown(summary: dict[str, Any], folder: Path | None) -> str:
    out = io.StringIO()
    show_closing(Console(file=out), summary, folder)
    return out.getvalue()


def test_shares_of_the_mean_say_where_the_time_goes() -> None:
    told = shown(CLEAN, None)
    assert "decode" in told
    assert "75.0%" in told
    assert "lost attempts" not in told, "nothing was lost"
    assert "goodput" not in told, "there is no objective"


def test_failed_requests_come_with_the_command_that_tells_their_story() -> None:
    failed = [{"request": 7, "outcome": "timed_out", "detail": "its transfer took too long"}]
    summary = _changed("failures", to=failed)
    summary["requests"] |= {"timed_out": 2}
    told = shown(summary, Path("runs/x"))
    assert "what happened to the first failed requests:" in told
    assert "  adpkv story 7 --out runs/x  # timed out: its transfer took too long" in told


def test_the_newest_run_need_not_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        config = Path("runs") / name / "config.yaml"
        config.parent.mkdir(parents=True)
        config.write_text("name: x\n")
        os.utime(config, (0, 0) if name == "old" else None)
    failed = [{"request": 7, "outcome": "failed", "detail": "why"}]
    summary = _changed("failures", to=failed)
    assert "  adpkv story 7  # failed: why" in shown(summary, Path("runs/new"))
    assert "  adpkv story 7 --out runs/old  # failed: why" in shown(summary, Path("runs/old"))


def test_advice_stands_below_the_outcome() -> None:
    out = io.StringIO()
    show_closing(Console(file=out), CLEAN, Path("runs/x"), ["try something else"])
    lines = out.getvalue().splitlines()
    assert lines[-2:] == ["advice: try something else", "files: runs/x"]


def test_what_was_taken_out_has_a_table() -> None:
    outage = {
        "instance": "generation-2",
        "why": "maintenance",
        "from_s": 1.0,
        "drained_s": 1.3,
        "until_s": None,
        "taken": 2,
        "spare": "generation-3",
    }
    summary, shown = _changed("outages", to=[outage, outage]), io.StringIO()
    assert closing_sentence(summary).endswith("; generation-2 taken out of service.")
    show_closing(Console(file=shown, width=100), summary)
    rows = [line.split() for line in shown.getvalue().splitlines() if "maintenance" in line]
    row = "generation-2 maintenance 1.00 s 1.30 s the end 2 generation-3"
    assert rows == [row.split()] * 2


def test_who_was_avoided_has_a_table() -> None:
    shown = io.StringIO()
    show_closing(Console(file=shown, width=100), _changed("avoided", to=[AVOIDED]))
    lines = [line.split() for line in shown.getvalue().splitlines()]
    row = next(line for line in lines if line[:2] == ["rank", "2"])
    assert row == ["rank", "2", "(generation-1)", "4", "7.74", "s", "3", "0", "avoided"]
    assert ["avoided", "times", "for", "probes", "readmitted", "at", "the", "end"] in lines
