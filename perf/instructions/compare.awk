# Compares instructions per event with those that are written down: `awk -f compare.awk BASELINE FIGURES`. Prints a table and fails
# where a part differs by more than 3 %, where one is missing on either side, and where the figures of one part from so many
# threads, whose names end in a number, are not within 3 % of each other. Those of several batchers may differ by 10 %: how often
# one of them looks for what is not there yet depends on when it gets to run.

function most(name) { return name ~ /^batch\/batchers/ ? 10 : 3 }

/^#/ || NF == 0 { next }
FILENAME == ARGV[1] { old[$1] = $2; next }

{
  new[$1] = $2
  part[++parts] = $1
  if (match($1, /\/[0-9]+$/)) {
    family = substr($1, 1, RSTART - 1)
    if (!(family in least)) { least[family] = most_of[family] = $2; families[++family_count] = family }
    if ($2 < least[family]) least[family] = $2
    if ($2 > most_of[family]) most_of[family] = $2
  }
}

END {
  printf "%-24s %12s %12s %9s\n", "instructions per event", "written down", "now", "change"
  for (n = 1; n <= parts; n++) {
    name = part[n]
    if (!(name in old)) { printf "%-24s %12s %12.1f %9s  FAILED: it is not written down\n", name, "-", new[name], "-"; failed++; continue }
    change = 100 * (new[name] - old[name]) / old[name]
    far = change > most(name) || change < -most(name)
    printf "%-24s %12.1f %12.1f %+8.1f%%%s\n", name, old[name], new[name], change, far ? "  FAILED" : ""
    failed += far
  }
  for (name in old) if (!(name in new)) { printf "%-24s %12.1f %12s %9s  FAILED: it is not counted any more\n", name, old[name], "-", "-"; failed++ }
  for (n = 1; n <= family_count; n++) {
    family = families[n]
    spread = 100 * (most_of[family] - least[family]) / least[family]
    far = spread > most(family)
    printf "%-24s %+8.1f%% between the fewest and the most%s\n", family "/*", spread, far ? "  FAILED: not flat" : ""
    failed += far
  }
  exit failed > 0
}
