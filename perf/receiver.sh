# What the scripts share that send to the embedded receiver: sourced in the repository's root. `program` is siem-forward, and what is
# written lies in `folder`.

# Starts it on a free port, with more arguments: its process is `receiver`, its address `url`.
receiver_begin() {
  "$program" receive --port 0 "$@" > "$folder/receiver.txt" 2> "$folder/receiver.log" &
  receiver=$!
  until grep -q 'listening on' "$folder/receiver.log"; do kill -0 "$receiver"; sleep 0.05; done
  url=$(sed -n 's/.*listening on \(http[^ ]*\).*/\1/p' "$folder/receiver.log" | head -1)
}

# A configuration that sends there, with this compression; the token is that of PERF_TOKEN.
receiver_toml() {
  printf '[siem.splunk]\ntype = "splunk"\nurl = "%s"\ntoken = { env = "PERF_TOKEN" }\ncompression = "%s"\ndead_letter = "none"\n' "$url" "$1"
}
