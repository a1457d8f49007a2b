"""The story of a request: told from runs, for every reader, and refused where there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from adpkv.config import Experiment, parse
from adpkv.core.topology import Kind
from adpkv.errors import StuckError, UsageError
from adpkv.field_policies import assembly
from adpkv.output import EventLog, RunFolder
from adpkv.output.story import Story, concerned, last_open, read_stories
from adpkv.output.story_text import MOST_LINES, MOST_STORIES, as_values, stories, story_lines
from adpkv.output.story_words import Event, Setting, words
from adpkv.worlds.virtual.run import Simulation, simulate
from tests.scenarios.story import Script, arrival, setting

ARRIVALS = [arrival(10 * i, 32, 4, wanted=i % 2) for i in range(5)]
ARRIVALS[2] = arrival(20, 32, 400, wanted=0, cancel_ms=100)
ARRIVALS.append(arrival(1500, 32, 4))
"""The last one keeps the job running until then."""


class Scripted(Simulation):
    """A job with these requests."""

    def __init__(self, experiment: Experiment, **options: Any) -> None:
        super().__init__(experiment, **{**options, "workload": Script(ARRIVALS)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Request 0 completes, 1 is stuck and quarantined, 2 is cancelled by its client."""
    return ran(
        tmp_path_factory.mktemp("run"),
        executor={"drain_timeout": "100ms"},
        transceiver={"transfer_timeout": "300ms"},
        faults=[{"kind": "stall", "requests": [1], "duration": "500ms"}],
    )


def ran(out: Path, **sections: Any) -> RunFolder:
    loaded = parse(setting("told", 2, 2, **sections), "told")
    simulate(loaded, out=out / "out", kind=Scripted, assemble=assembly(loaded))
    return RunFolder(out / "out")


def whats(story: Story) -> list[str]:
    return [f"{story.setting.who(e.rank)} {words(e, story.setting)}" for e in story.events]


def test_a_recovery_names_all_who_failed(folder: RunFolder, tmp_path: Path) -> None:
    """Told by every rank of a real job; of interest where a rank of the request is among them."""
    told = RunFolder(Path(shutil.copytree(folder.path, tmp_path / "out")))
    told.events.rename(told.events_part(1))
    (story,) = read_stories(told, [0])
    at_ns, own = story.events[2].at_ns, {event.rank for event in story.events}
    stranger = next(rank for rank in range(4) if rank not in own)
    log = EventLog(told.events_part(2))
    for lost in ([stranger, max(own)], [stranger], []):
        log.write(at_ns, stranger, "recovered", -1, {"lost": lost, "epoch": 1, "behind": 0})
    log.close()
    (story,) = read_stories(told, [0])
    recovered = [words(e, story.setting) for e in story.events if e.kind == "recovered"]
    assert recovered == [f"goes on with all ranks but {stranger},{max(own)}"]


# -- what is told ------------------------------------------------------------------------------


def test_a_request_that_goes_well(folder: RunFolder) -> None:
    (story,) = read_stories(folder, [0])
    assert whats(story) == [
        "coordinator arrives: 32 prompt tokens, 4 to generate",
        "coordinator goes to context-0",
        "rank 0 (context-0) is given it, waits for KV blocks",
        "rank 0 (context-0) has blocks, begins to compute (0 tokens cached)",
        "rank 0 (context-0) prompt is computed; its KV waits to be fetched",
        "coordinator goes to generation-1",
        "rank 2 (generation-1) is given it, waits for KV blocks",
        "rank 2 (generation-1) has blocks, waits for a slot",
        "rank 2 (generation-1) tells rank 0 (context-0) where its blocks are",
        "rank 0 (context-0) sends the KV to rank 2 (generation-1)",
        "rank 2 (generation-1) hears that rank 0 (context-0) has begun",
        "rank 2 (generation-1) the KV is here, begins to decode",
        "rank 0 (context-0) the KV is sent; its blocks become cache",
        "rank 2 (generation-1) all tokens are generated: answers completed",
        "coordinator is over: completed",
    ]
    assert story.wrong is None
    parts = {part.name: part.duration_ns for part in story.parts()}
    assert parts["prefill"] is not None
    assert parts["prefill"] > 5_000_000, "a step"
    assert None not in parts.values()
    assert story.record is not None
    assert parts["in all"] == story.record.ended_ns - story.record.arrival_ns


def test_of_a_request_that_was_computed_again_the_last_attempt_counts(tmp_path: Path) -> None:
    data = setting("again", 1, 3, on_rank_failure="shrink", recompute=True)
    data["workload"] |= {"users": 6, "requests": 60, "output_tokens": {"min": 8, "max": 30}}
    data["faults"] = [{"kind": "sigkill", "ranks": [2], "after": "300ms"}]
    out = RunFolder(simulate(parse(data, "again"), out=tmp_path / "out").folder)
    lines = map(json.loads, out.requests.read_text().splitlines())
    again = next(line["request_id"] for line in lines if line["recomputed"])
    (story,) = read_stories(out, [again])
    assert "coordinator is computed again, as another attempt" in whats(story)
    parts = {part.name: part.duration_ns for part in story.parts()}
    assert story.record is not None
    assert parts["decode"] == story.record.decode_ns
    assert parts["KV transfer"] == story.record.kv_transfer_ns
    assert parts["lost attempts"] == story.record.lost_attempts_ns > 0
    assert (
        parts["in all"]
        == sum(story.record.columns())
        == story.record.ended_ns - story.record.arrival_ns
    )


def test_all_of_a_request_is_the_sum_of_its_columns_however_late_it_was_taken(
    folder: RunFolder,
) -> None:
    (story,) = read_stories(folder, [0])
    assert story.record is not None
    early = story.record.arrival_ns - 5
    record = structs.replace(
        story.record, arrival_ns=early, coordinator_queue_ns=story.record.coordinator_queue_ns + 5
    )
    parts = {p.name: p.duration_ns for p in structs.replace(story, record=record).parts()}
    assert parts["in all"] == sum(record.columns()) == record.ended_ns - early


def test_with_staging_a_slot_is_in_doubt(tmp_path: Path) -> None:
    """The same run: no story says that blocks are kept, which are free."""
    found = ran(
        tmp_path / "run",
        executor={"drain_timeout": "100ms"},
        transceiver={"transfer_timeout": "300ms", "staging": "on"},
        faults=[{"kind": "stall", "requests": [1], "duration": "500ms"}],
    )
    (story,) = read_stories(found, [1])
    said = "\n".join(story_lines(story))
    assert "where its staging slot is" in said
    assert "transfer in doubt, its staging slot is kept: it took too long" in said
    assert "nobody touches its staging slot any more" in said
    assert "blocks are kept" not in said


def test_a_transfer_in_doubt_is_told_from_both_sides(folder: RunFolder) -> None:
    (story,) = read_stories(folder, [1])
    told = whats(story)
    assert "rank 1 (context-0) FAULT stall (post)" in told
    assert "rank 3 (generation-1) transfer in doubt, its blocks are kept: it took too long" in told
    assert "rank 3 (generation-1) answers timed_out" in told
    assert any("rank 3 (generation-1) nobody touches its blocks any more" in line for line in told)
    assert story.wrong is not None
    assert (story.wrong.kind, story.wrong.rank) == ("fault", 1)
    lines = story_lines(story)
    assert lines[-2].startswith("  outcome: timed_out after")
    assert "went wrong at" in lines[-1]
    assert "on rank 1 (context-0): FAULT stall" in lines[-1]


def test_a_cancel_is_told(folder: RunFolder) -> None:
    (story,) = read_stories(folder, [2])
    assert "coordinator its client cancels" in whats(story)
    assert story.wrong is not None
    assert story.wrong.kind == "client_cancel"
    assert any("outcome: cancelled" in line for line in story_lines(story))


def test_ill_health_of_its_ranks_belongs_to_the_story(tmp_path: Path) -> None:
    health = {"transfer_timeout": "100ms", "progress_deadline": "300ms", "shutdown_grace": "100ms"}
    sick = ran(
        tmp_path,
        executor={"drain_timeout": "100ms"},
        transceiver=health,
        faults=[{"kind": "stall", "requests": [1]}],
    )
    (story,) = read_stories(sick, [1])
    told = whats(story)
    assert any(line.startswith("rank 3 (generation-1) is unhealthy: ") for line in told)
    assert any("stops with code 75: unhealthy" in line for line in told)
    (other,) = read_stories(sick, [0])
    assert not any("is unhealthy" in line for line in whats(other)), "it was over by then"


def test_an_event_without_words_is_told_as_it_was_written(folder: RunFolder) -> None:
    (story,) = read_stories(folder, [0])
    strange = Event(5, 2, "moon_rose", 0, {"phase": "full", "tides": [1, 2]})
    assert words(strange, story.setting) == "moon rose phase=full tides=1,2"


def test_who_nobody_was_given_to_has_a_nameless_peer(folder: RunFolder) -> None:
    (story,) = read_stories(folder, [0])
    alone = Setting(story.setting.topology, {})
    assert alone.peer(2) == f"its {Kind.CONTEXT} rank"


def test_replicas_are_all_in_it(tmp_path: Path) -> None:
    topology = {"context": {"ranks": 2}, "generation": {"ranks": 2}, "attention": "replicated"}
    (story,) = read_stories(ran(tmp_path, topology=topology), [0])
    told = whats(story)
    for rank in (2, 3):
        assert f"rank {rank} (generation-1) tells its context rank where its blocks are" in told
    assert [line for line in told if "answers completed" in line] == [
        "rank 2 (generation-1) all tokens are generated: answers completed"
    ]


# -- how it looks ------------------------------------------------------------------------------


def test_a_line_an_event_aligned(folder: RunFolder) -> None:
    (story,) = read_stories(folder, [1])
    lines = story_lines(story)
    rows = lines[1 : 1 + len(story.events)]
    at = rows[0].index("arrives")
    assert all(row[at - 1] == " " and row[at] != " " for row in rows)
    assert {row.index(" s") for row in rows} == {rows[0].index(" s")}


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_window(folder: RunFolder, width: int) -> None:
    (story,) = read_stories(folder, [1])
    lines = story_lines(story, width)
    assert max(map(len, lines)) <= max(width, 45)
    assert " ".join(" ".join(lines).split()).count("transfer in doubt") == 2


def test_as_values_is_the_same_story(folder: RunFolder) -> None:
    (story,) = read_stories(folder, [1])
    values = json.loads(json.dumps(as_values(story)))
    assert [event["what"] for event in values["events"]] == [
        words(event, story.setting) for event in story.events
    ]
    assert values["outcome"] == "timed_out"
    assert values["wrong"]["kind"] == "fault"


def test_several_stories_are_bounded(folder: RunFolder) -> None:
    lines = stories(folder, [0, 1, 2, 3, 4])
    assert [line for line in lines if line.startswith("request ")] == [
        "request 0",
        "request 1",
        "request 2",
    ]
    assert lines[-1] == "also concerned: request 3, 4"


def test_a_long_story_keeps_its_beginning_and_its_end(tmp_path: Path, folder: RunFolder) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for n in range(100):
        log.write(n, 2, "assigned" if n else "arrived", 0, {})
    log.close()
    (tmp_path / "config.yaml").write_text(folder.config.read_text())
    lines = stories(RunFolder(tmp_path), [0])
    assert len(lines) == MOST_LINES + 2
    assert lines[0] == "request 0"
    assert any("lines left out" in line for line in lines)
    assert lines[-2] == "  outcome: none, it was never answered"


# -- whom a violation or a deadlock concerns ---------------------------------------------------


def test_violations_lead_to_their_requests(tmp_path: Path, folder: RunFolder) -> None:
    assert concerned(folder) == []
    broken = ran(
        tmp_path,
        transceiver={"transfer_timeout": "100ms"},
        faults=[{"kind": "stall", "requests": [1], "duration": "200ms"}],
        policy={"on_timeout": "free"},
    )
    summary = json.loads(broken.summary.read_text())
    assert {v["kind"] for v in summary["violations"]} == {"write_after_free"}
    assert set(summary["violations"][0]) == {"kind", "rank", "at_s", "detail"}
    assert concerned(broken)[0] == 1
    (story,) = read_stories(broken, [1])
    assert any("VIOLATION write_after_free" in line for line in whats(story))


def test_a_deadlock_leads_to_what_was_open(tmp_path: Path) -> None:
    with pytest.raises(StuckError) as caught:
        ran(tmp_path, policy={"responses": "owner"})
    error = caught.value
    stuck = RunFolder(Path(error.folder))
    ranks = {place.rank for place in error.places}
    told = read_stories(stuck, last_open(stuck, ranks)[:MOST_STORIES])
    ends = [whats(story)[-1] for story in told]
    assert any("all tokens are generated: answers completed" in end for end in ends)
    for story in told:
        assert any("the job got stuck: rank" in line for line in story_lines(story))
        assert "  outcome: none, it was never answered" in story_lines(story)


# -- what is no story --------------------------------------------------------------------------


def test_a_request_that_does_not_exist(folder: RunFolder) -> None:
    with pytest.raises(UsageError, match="there is no request 99; its requests are 0 to 5"):
        read_stories(folder, [99])


def test_folders_that_hold_no_run(tmp_path: Path, folder: RunFolder) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        read_stories(RunFolder(tmp_path / "none"), [0])
    with pytest.raises(UsageError, match=r"no config\.yaml"):
        read_stories(RunFolder(tmp_path), [0])
    (tmp_path / "config.yaml").write_text("- 1")
    with pytest.raises(UsageError, match="no run's experiment"):
        read_stories(RunFolder(tmp_path), [0])
    (tmp_path / "config.yaml").write_text(folder.config.read_text())
    with pytest.raises(UsageError, match="without events"):
        read_stories(RunFolder(tmp_path), [0])
    assert stories(RunFolder(tmp_path), [0]) == []


@pytest.mark.parametrize("line", ["{}", '{"request":0}', '{"request":0', "what"])
def test_a_line_that_is_no_event_is_named(tmp_path: Path, folder: RunFolder, line: str) -> None:
    (tmp_path / "config.yaml").write_text(folder.config.read_text())
    (tmp_path / "events.jsonl").write_text(line + "\n")
    with pytest.raises(UsageError, match=r"events\.jsonl:1: damaged, left out: "):
        read_stories(RunFolder(tmp_path), [0])


def test_ranks_that_never_merged_their_parts_are_read_all_the_same(
    tmp_path: Path, folder: RunFolder
) -> None:
    (tmp_path / "config.yaml").write_text(folder.config.read_text())
    parts: dict[int, list[str]] = {}
    for line in folder.events.read_text().splitlines():
        parts.setdefault(json.loads(line)["rank"], []).append(line)
    for rank, lines in parts.items():
        text = "\n".join(lines) + '\n{"at_ns":9'
        RunFolder(tmp_path).events_part(rank).write_text(text)
    (tmp_path / "requests.jsonl").write_text(folder.requests.read_text())
    (whole,) = read_stories(folder, [1])
    (merged,) = read_stories(RunFolder(tmp_path), [1])
    assert sorted(whats(merged)) == sorted(whats(whole))
    assert [e.at_ns for e in merged.events] == [e.at_ns for e in whole.events]
