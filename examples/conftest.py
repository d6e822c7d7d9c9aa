"""Each example is run in a process of its own, as a user runs it, by the end-to-end tests."""

collect_ignore_glob = ["*/test_app.py", "pytest_only/*"]
