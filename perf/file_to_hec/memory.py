"""Where the memory of a process lies while it runs: its resident part by the program, libraries, heap and each thread's arena, in KB."""
import re
import sys
import time

pid, began, shown = sys.argv[1], time.time(), 0


def resident():
    parts, name = {}, ""
    with open(f"/proc/{pid}/smaps") as maps:
        for line in maps:
            if head := re.match(r"([0-9a-f]+)-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)", line):
                start, path = head.groups()
                name = ("program" if "siem-forward" in path else "libraries" if path.startswith("/") else
                        path.strip("[]") if path in ("[heap]", "[stack]") else f"arena {start[-10:]}" if start.endswith("000000") else "other")
            elif line.startswith("Rss:"):
                parts[name] = parts.get(name, 0) + int(line.split()[1])
    return parts


try:
    while True:
        seconds = time.time() - began
        # Twice as late each time.
        if seconds >= shown:
            shown = max(1, 2 * shown)
            parts = {name: size for name, size in resident().items() if size > 0}
            print(f"  after {seconds:3.0f} s {sum(parts.values()):,} KB: " + ", ".join(f"{name} {size:,}" for name, size in sorted(parts.items())), flush=True)
        time.sleep(0.2)
except OSError:
    # It has ended.
    pass
