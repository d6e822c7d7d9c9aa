"""Cassettes: what one inbound call and its dependencies said, as data, as a file, without secrets."""
