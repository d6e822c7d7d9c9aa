"""Tells a story: prints what a language model streams, word by word."""

from __future__ import annotations

import os
from collections.abc import Iterator

from openai import DefaultHttpxClient, OpenAI

MODEL_URL = os.environ.get("MODEL_URL", "https://api.openai.com/v1")


def story(topic: str, url: str = MODEL_URL) -> Iterator[str]:
    key = os.environ.get("OPENAI_API_KEY", "none")
    with OpenAI(base_url=url, api_key=key, http_client=DefaultHttpxClient(trust_env=False)) as client:
        stream = client.chat.completions.create(
            model="gpt-5-mini",
            messages=[{"role": "user", "content": f"Tell a story about {topic}"}],
            stream=True,
        )
        for event in stream:
            if event.choices and event.choices[0].delta.content:
                yield event.choices[0].delta.content


if __name__ == "__main__":
    for word in story("snow"):
        print(word, end="", flush=True)
    print()
