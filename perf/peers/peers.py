"""Runs each forwarder that is there on the same file, to a receiver of its own, and prints one table.

    peers.py EVENTS FOLDER ROWS

The file is FOLDER/events.ndjson. Speed counts from the first event that arrives to the last; CPU is that of the whole process until its
end, start included; memory is its peak. A forwarder that does not end with its input is told to once all events are there, or none
has come for a while.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EVENTS, FOLDER, ROWS = int(sys.argv[1]), sys.argv[2], sys.argv[3]
FILE = os.path.join(FOLDER, "events.ndjson")
# Whoever has not ended so long after it was told to is killed.
PATIENCE = 60


class Forwarder:
    def __init__(self, name, program, command, config, gzip=False, ends=False, environment=None):
        self.name, self.program, self.command, self.config = name, program, command, config
        self.gzip, self.ends, self.environment = gzip, ends, environment or {}


def program(variable, name):
    return os.environ.get(variable) or shutil.which(name)


def forwarders():
    """All of them; those whose program is None are not here."""
    ours, fluent_bit = "target/release/siem-forward", program("FLUENT_BIT", "fluent-bit")
    syslog_ng, vector = program("SYSLOG_NG", "syslog-ng"), program("VECTOR", "vector")
    run = ["run", "--config", "@CONFIG@", "--input", FILE]
    libraries = os.environ.get("SYSLOG_NG_LIBRARIES")
    elsewhere = {"LD_LIBRARY_PATH": libraries} if libraries else {}
    modules = os.environ.get("SYSLOG_NG_MODULES")
    foreground = ["-F", "-f", "@CONFIG@", "--no-caps", "-R", "@FOLDER@/persist", "-c", "@FOLDER@/control", "-p", "@FOLDER@/pid"]
    foreground += [f"--module-path={modules}"] if modules else []
    for compression in (False, True):
        yield Forwarder("siem-forward", ours, run, "siem-forward.toml", compression, ends=True)
    yield Forwarder("syslog-ng, parsed", syslog_ng, foreground, "syslog-ng.conf", environment=elsewhere)
    yield Forwarder("syslog-ng, pasted unread", syslog_ng, foreground, "syslog-ng-pasted.conf", environment=elsewhere)
    for compression in (False, True):
        yield Forwarder("Fluent Bit, parsed", fluent_bit, ["-c", "@CONFIG@"], "fluent-bit.conf", compression)
        yield Forwarder("Vector, parsed", vector, ["--quiet", "--config", "@CONFIG@"], "vector.yaml", compression)


def filled(text, url, folder, gzip):
    host, port = re.fullmatch(r"http://(.*):(\d+)", url).groups()
    values = {
        "URL": url, "HOST": host, "PORT": port, "FILE": FILE, "FOLDER": folder,
        "CONFIG": os.path.join(folder, "config"),
        "COMPRESSION": "gzip" if gzip else "none",
        "COMPRESSION_LINE": "compress gzip" if gzip else "",
    }
    return re.sub(r"@([A-Z_]+)@", lambda found: values[found.group(1)], text)


def begin_receiver():
    receiver = subprocess.Popen(
        ["target/release/examples/perf", "receive", "--expect", str(EVENTS)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return receiver, receiver.stderr.readline().split()[-1]


def watch_memory(pid, peak):
    """Until the process is gone, what the system says was its largest resident memory, in bytes."""
    while True:
        try:
            with open(f"/proc/{pid}/status") as status:
                found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
        except OSError:
            return
        if not found:
            return
        peak[0] = int(found.group(1)) * 1024
        time.sleep(0.02)


def measure(forwarder):
    """What the receiver has counted, CPU seconds and peak memory."""
    folder = os.path.join(FOLDER, re.sub(r"\W+", "-", f"{forwarder.name} {forwarder.gzip}"))
    os.mkdir(folder)
    receiver, url = begin_receiver()
    for config in (forwarder.config, "fluent-bit-parsers.conf"):
        with open(os.path.join(HERE, config)) as file:
            text = filled(file.read(), url, folder, forwarder.gzip)
        with open(os.path.join(folder, "config" if config == forwarder.config else config), "w") as file:
            file.write(text)
    command = [forwarder.program] + [filled(word, url, folder, forwarder.gzip) for word in forwarder.command]
    with open(os.path.join(folder, "log"), "w") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **forwarder.environment})
    peak = [0]
    threading.Thread(target=watch_memory, args=(process.pid, peak), daemon=True).start()
    try:
        counted = json.loads(receiver.communicate()[0])
    finally:
        if not forwarder.ends:
            process.terminate()
        reaper = threading.Timer(PATIENCE, process.kill)
        reaper.start()
        _, status, usage = os.wait4(process.pid, 0)
        reaper.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    if not counted["events"]:
        with open(os.path.join(folder, "log")) as log:
            print(f"{forwarder.name}: nothing came\n{log.read()[-2000:]}", file=sys.stderr)
    return counted, usage.ru_utime + usage.ru_stime, peak[0]


def main():
    print(f"{EVENTS:,} events of 634 bytes from a file to a HEC receiver; CPU in seconds per million events")
    print(f"{'':<26}{'compression':<13}{'events/s':>10}{'CPU-s':>8}{'memory':>10}{'delivered':>12}{'twice':>8}{'missing':>9}")
    columns = "question,series,compression,events,events_per_second,cpu_s_per_million,peak_memory_mb,delivered,twice,missing"
    missing_programs = []
    with open(ROWS, "a") as rows:
        print(columns, file=rows)
        for forwarder in forwarders():
            if not forwarder.program:
                missing_programs.append(forwarder.name.split(",")[0])
                continue
            counted, cpu, peak = measure(forwarder)
            speed = counted["unique"] / counted["seconds"] if counted["seconds"] else 0
            per_million = cpu * 1e6 / max(counted["events"], 1)
            compression = "gzip" if forwarder.gzip else "none"
            lost = [counted["unique"], counted["duplicated"], counted["missing"]]
            print(f"{forwarder.name:<26}{compression:<13}{speed:>10,.0f}{per_million:>8.2f}{peak / 1e6:>7.1f} MB"
                  f"{lost[0]:>12,}{lost[1]:>8,}{lost[2]:>9,}", flush=True)
            name = forwarder.name.replace(",", "")
            print("peers", name, compression, EVENTS, f"{speed:.0f}", f"{per_million:.2f}", f"{peak / 1e6:.1f}", *lost,
                  sep=",", file=rows)
    for name in sorted(set(missing_programs)):
        print(f"{name} is not here: not measured")


main()
