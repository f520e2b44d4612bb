"""Parts of the harness that drives real client libraries against a fleet."""
