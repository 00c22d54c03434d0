"""The parts of tools/bench-peers: a module each, with measure(options) -> results, HEAD and table(results)."""
