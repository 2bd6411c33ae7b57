//! A TOML table whose keys are taken out, and the problems found on the way.
