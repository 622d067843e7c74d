-- What Prosody gives its modules.
std = "min"
read_globals = { "prosody" }
globals = { "module" }
max_line_length = 140
files["**/testdata"] = { std = "lua54" }
