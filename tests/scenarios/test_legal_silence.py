"""Limits that are shorter than a legal step, or than messages take: time in which somebody
computes, or a message is on its way, is nobody's silence. Each of these once ended with a false
alarm."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.worlds.virtual.running import Ran, differences, problems, run

UNREAD = """
name: unread
topology: {context: {ranks: 1}, generation: {ranks: 1}}
model: {step_base: 6s}
workload:
  kind: script
  requests: [{at: 0s, prompt_tokens: 9, output_tokens: 4, times: 3, every: 100ms}]
"""
"""A step takes longer than messages may lie unread."""

HUGE_PROMPT = """
name: huge-prompt
topology: {context: {ranks: 1}, generation: {ranks: 1}}
kv_cache: {blocks: 6400}
transceiver: {max_inflight_blocks_per_peer: 6400}
workload:
  kind: script
  requests:
    - {at: 0s, prompt_tokens: 400000, output_tokens: 4}
    - {at: 150s, prompt_tokens: 64, output_tokens: 4, times: 3, every: 2s}
"""
"""So do those that compute the end of a long prompt."""

SLOW_COLLECTIVES = """
name: slow-collectives
topology: {context: {ranks: 2}, generation: {ranks: 2}}
model: {collective: 2s}
workload:
  kind: script
  requests: [{at: 0s, prompt_tokens: 9, output_tokens: 4, times: 6, every: 3s}]
"""
"""And so does an iteration's worth of collectives."""

LONG_STEPS = """
name: long-steps
topology: {context: {ranks: 1}, generation: {ranks: 1}}
transceiver: {progress_deadline: 1s, shutdown_grace: 1s}
model: {step_base: 4s}
workload:
  kind: script
  requests: [{at: 0s, prompt_tokens: 64, output_tokens: 4, times: 3, every: 1s}]
"""
"""A sender computes for longer than nothing may move."""

SLOW_MESSAGES = """
name: slow-messages
topology: {context: {ranks: 2}, generation: {ranks: 2}}
executor: {drain_timeout: 1ms}
transceiver: {mail_latency: 3s, transfer_timeout: 1s, progress_deadline: 1s, shutdown_grace: 1s}
workload:
  kind: script
  requests: [{at: 0s, prompt_tokens: 64, output_tokens: 4, times: 3, every: 1s}]
"""
"""Every word takes longer than all that waits for one."""

FAR_LINK = """
name: far-link
topology: {context: {ranks: 1}, generation: {ranks: 1}}
transceiver: {link: {latency: 5s}, progress_deadline: 1s, shutdown_grace: 1s}
workload:
  kind: script
  requests: [{at: 0s, prompt_tokens: 64, output_tokens: 4, times: 3, every: 1s}]
"""
"""The last byte is on its way for longer than nothing may move."""

LATE_ANSWER = """
name: late-answer
topology: {context: {ranks: 1}, generation: {ranks: 2}}
executor: {drain_timeout: 100ms}
model: {step_base: 1s}
workload: {kind: script, requests: [{at: 0s, prompt_tokens: 9, output_tokens: 2}]}
faults: [{kind: sigkill, ranks: [2], after: 100ms}]
"""
"""A rank fails while another computes for longer than a stop may take."""

LEFT_BEHIND = """
name: left-behind
topology: {context: {ranks: 2}, generation: {ranks: 1}}
executor: {drain_timeout: 3ms}
transceiver: {mail_latency: 500ms}
workload: {kind: script, requests: [{at: 10ms, prompt_tokens: 9, output_tokens: 2}]}
faults: [{kind: sigkill, ranks: [1, 2]}]
"""
"""The last rank once left before the coordinator heard of anything: the request was nowhere."""

CLEAN = (UNREAD, HUGE_PROMPT, SLOW_COLLECTIVES, LONG_STEPS, SLOW_MESSAGES, FAR_LINK)


def both_ways(text: str, **sections: Any) -> Ran:
    data = yaml.safe_load(text) | sections
    jumped, stepped = (run(data, jump=jump) for jump in (True, False))
    assert differences(jumped, stepped) == []
    return jumped


@pytest.mark.parametrize("text", CLEAN, ids=lambda text: text.split()[1])
def test_what_takes_long_and_is_legal_is_no_fault(text: str) -> None:
    ran = both_ways(text)
    assert problems(ran) == []
    assert (ran.exit_code, ran.summary["violations"]) == (0, [])
    assert {record.outcome for record in ran.records} == {"completed"}
    assert ran.summary["health"]["unhealthy_intervals"] == 0


@pytest.mark.parametrize("text", [LATE_ANSWER, LEFT_BEHIND], ids=lambda text: text.split()[1])
def test_a_failure_is_told_as_one_and_every_request_is_recorded(text: str) -> None:
    ran = both_ways(text)
    assert (ran.exit_code, ran.summary["violations"]) == (5, [])
    (record,) = ran.records
    assert (record.outcome, record.responses <= 1) == ("failed", True)
    assert ran.summary["requests"]["submitted"] == 1
