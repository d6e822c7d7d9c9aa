"""Each example is run in a process of its own, as a user runs it: tests/e2e/test_examples.py."""

collect_ignore_glob = ["*/test_app.py"]
