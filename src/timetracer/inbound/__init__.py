"""Integrations: what comes in, described once per framework, and the answer that goes out."""
