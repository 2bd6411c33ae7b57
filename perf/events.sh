#!/usr/bin/env bash
# Prints audit events of 634 bytes with the line end, of the layout that `run` reads; the id holds the line's number.
#
#   perf/events.sh EVENTS
set -euo pipefail
awk -v events="$1" 'BEGIN {
  agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
  for (line = 0; line < events; line++) {
    text = sprintf("{\"id\":\"00000000-0000-4000-8000-%012x\",\"timestamp\":\"2026-01-01T00:00:00.%06dZ\",\"event_type\":\"tool_invoked\",\"severity\":\"low\",\"user_id\":\"u-%05d\",\"user_email\":\"user%05d@example.com\",\"server_id\":\"srv-payments-eu-west-1a\",\"tool_name\":\"create_ticket\",\"decision\":\"allow\",\"policy_id\":\"policy-%02d\",\"ip_address\":\"10.194.128.%03d\",\"user_agent\":\"%s\",\"request_id\":\"req-%012d\",\"details\":{\"amount\":%d,\"currency\":\"EUR\",\"tags\":[\"a\",\"b\"],\"reason\":\"", line, line % 1000000, line % 99991, line % 99991, line % 31, 100 + line % 150, agent, line, 1000 + line % 9000)
    while (length(text) < 630) text = text "x"
    print text "\"}}"
  }
}'
