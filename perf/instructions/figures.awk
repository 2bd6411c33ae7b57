# Instructions per event, out of callgrind's dumps: `awk -f figures.awk PARTS DUMP...`. PARTS holds a line for each part: its name,
# how many events it had, and how many threads were counted, each of which left a dump; dumps are numbered in the order of the
# parts: FILE.NUMBER-THREAD.

FILENAME == ARGV[1] {
  name[FNR] = $1
  events[FNR] = $2
  threads[FNR] = $3
  parts = FNR
  next
}

/^totals:/ {
  number = FILENAME
  sub(/-[0-9]+$/, "", number)
  sub(/.*\./, "", number)
  counted[number + 0] = $2
  dumps++
}

END {
  for (part = 1; part <= parts; part++) {
    sum = 0
    for (thread = 1; thread <= threads[part]; thread++) {
      sum += counted[++number_of]
    }
    printf "%s %.1f\n", name[part], sum / events[part]
  }
  if (dumps != number_of) {
    printf "%d dumps, and %d threads were counted\n", dumps, number_of > "/dev/stderr"
    exit 1
  }
}
